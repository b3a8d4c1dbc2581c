"""`taskdeck` without a command: the terminal interface, attached to a daemon or with its own engine."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import TYPE_CHECKING

from engines.errors import Exit, TaskdeckError
from engines.names import display
from engines.tasks.api import Tasks
from tui_app.cli.context import Context
from tui_app.cli.output import err, is_interactive

if TYPE_CHECKING:
    from tui_app.client.remote import TaskClient


def open_interface(context: Context, *, solo: bool, url: str | None, token: str | None) -> int:
    """Open the interface; without a terminal show the tasks instead."""
    url = url or os.environ.get("TASKDECK_URL") or None
    dumb = os.environ.get("TERM") == "dumb"
    if dumb or not sys.stdout.isatty() or not sys.stdin.isatty():
        if solo or url:
            raise TaskdeckError(
                "usage", "cannot open the terminal interface", "there is no terminal", "use `taskdeck serve`"
            )
        from tui_app.cli import tasks
        from tui_app.cli.parser import Parser

        parser = Parser(prog="taskdeck status")
        tasks.add_arguments(parser, "status")
        return tasks.run(context, "status", parser.parse_args(["--watch"] if dumb and sys.stdout.isatty() else []))
    if solo and url:
        raise TaskdeckError("usage", "cannot open the terminal interface", "--solo and --url exclude each other")
    if solo:
        return _solo(context)
    if url is not None:
        return _remote(context, url, token or os.environ.get("TASKDECK_TOKEN") or None)
    return _attached(context)


def _attached(context: Context) -> int:
    """The interface paints first and then attaches; the daemon starts meanwhile."""
    _renew(context)
    from tui_app.app import run
    from tui_app.faces import DaemonFaces

    clients: list[TaskClient] = []
    attached = False

    async def start() -> None:
        from tui_app.client.launch import ensure_daemon

        await asyncio.to_thread(ensure_daemon, context.locations, flags=context.global_arguments())

    async def connect() -> Tasks:
        nonlocal attached
        from tui_app.client.remote import TaskClient

        if not attached:  # later it may be down because somebody stopped it: then only the user starts it again
            await start()
            attached = True
        await closing()
        client = TaskClient(socket=context.locations.socket(), face="tui", reconnect=False)
        clients.append(client)
        await client.hello()
        return client

    def client() -> TaskClient:
        if not clients:
            raise TaskdeckError("daemon.absent", "cannot reach the daemon", "the connection is down")
        return clients[0]

    async def stop() -> None:
        await client().stop_daemon()

    async def reload() -> None:
        await client().reload()

    async def closing() -> None:
        while clients:
            await clients.pop().close()

    return run(
        connect,
        context.load_config().settings,
        where="this machine",
        stop=stop,
        start=start,
        reload=reload,
        closing=closing,
        settings_file=context.locations.config,
        faces=DaemonFaces(client, context.locations.config),
        memory=context.locations.memory,
    )


def _remote(context: Context, url: str, token: str | None) -> int:
    from tui_app.app import run
    from tui_app.client.remote import TaskClient
    from tui_app.faces import DaemonFaces
    from tui_app.places import RemotePlaces

    client = TaskClient(url=url, token=token, face="tui", reconnect=False)

    async def connect() -> Tasks:
        await client.hello()
        await places.roots()
        return client

    where = display(url, limit=100)
    places = RemotePlaces(client.files)
    return run(
        connect,
        context.load_config().settings,
        where=where,
        places=places,
        closing=client.close,
        faces=DaemonFaces(lambda: client, None),
        memory=context.locations.memory,
    )


def _solo(context: Context) -> int:
    """Interface, engine and API in this process and one event loop."""
    from tui_app.app import run
    from tui_app.client.remote import TaskClient
    from tui_app.daemon import Daemon, start_logging
    from tui_app.faces import SoloFaces

    start_logging(context.locations, stderr=False)
    daemon = Daemon(context.locations, context.load_config, tcp=True)
    daemon.claim()
    client = TaskClient(socket=context.locations.socket(), face="tui")
    started = False

    async def connect() -> Tasks:
        nonlocal started
        if not started:
            await daemon.start()
            started = True
        return daemon.tasks

    async def reload() -> None:
        daemon.reload()

    async def closing() -> None:
        await client.close()
        await daemon.close()

    return run(
        connect,
        daemon.settings,
        where="this process",
        reload=reload,
        closing=closing,
        detachable=False,
        settings_file=context.locations.config,
        faces=SoloFaces(lambda: client, daemon.listen),
        memory=context.locations.memory,
    )


def _renew(context: Context) -> None:
    """Offer to restart a daemon that was started before the program was changed on the disk."""
    from tui_app.client.local import LocalClient
    from tui_app.wire import build

    client = LocalClient(context.locations, timeout=2.0)
    try:
        other = client.hello().build != build()
    except TaskdeckError as error:
        other = False
        if error.code == "daemon.version":
            raise
    finally:
        client.close()
    if other:
        _ask_to_restart(context, "the program was changed since the daemon was started")


def offer_restart(error: TaskdeckError) -> bool:
    """After a version mismatch: ask, and restart the daemon with its tasks kept. Whether that was done."""
    return is_interactive() and _ask_to_restart(Context(), error.message)


def _ask_to_restart(context: Context, why: str) -> bool:
    err(f"taskdeck: {why}")
    sys.stderr.write("Restart the daemon now? Running tasks go on from their checkpoints. [Y/n] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().casefold() not in ("", "y", "yes"):
        return False
    from tui_app.cli import serving

    return serving.run(context, "restart", argparse.Namespace(drain=False)) == Exit.OK
