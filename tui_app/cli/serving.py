"""Commands about the daemon: serve, stop, restart, service."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from engines.errors import Exit
from tui_app.cli.context import Context
from tui_app.cli.output import err, out
from tui_app.client.launch import answers, ensure_daemon, stop_daemon
from tui_app.client.local import LocalClient

if TYPE_CHECKING:
    import asyncio


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Parameters of the commands of this module."""
    if name == "serve":
        parser.add_argument("--foreground", action="store_true", help="stay in the foreground (the default)")
        parser.add_argument("--background", action="store_true", help="log to the file only; what commands start")
        parser.add_argument("--web", action=argparse.BooleanOptionalAction, help="serve the web side on TCP")
        parser.add_argument("--host", metavar="ADDRESS", help="address of the web side")
        parser.add_argument("--port", metavar="PORT", help="its port; 0 takes a free one")
    elif name in ("stop", "restart"):
        parser.add_argument("--drain", action="store_true", help="let running tasks finish first, start no more")
    elif name == "service":
        parser.add_argument("action", choices=["install", "uninstall", "status", "print"], nargs="?", default="status")


def run(context: Context, name: str, arguments: argparse.Namespace) -> int:
    """Run a command of this module."""
    match name:
        case "serve":
            return _serve(context, arguments)
        case "stop":
            return _stop(context, drain=arguments.drain)
        case "restart":
            return _restart(context, drain=arguments.drain)
    from tui_app.service import command

    return command(context, arguments.action)


def _serve(context: Context, arguments: argparse.Namespace) -> int:
    import asyncio

    if arguments.web is not None:
        context.add_flag("web.enabled", str(arguments.web).lower())
    if arguments.host is not None:
        context.add_flag("web.host", arguments.host)
    if arguments.port is not None:
        context.add_flag("web.port", arguments.port)
    from tui_app.daemon import serve, start_logging

    start_logging(context.locations, stderr=not arguments.background)
    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        runner.run(serve(context.locations, context.load_config))
    return Exit.OK


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's event loop where the extra `fast` is installed (a third less CPU a request), else Python's."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _stop(context: Context, *, drain: bool) -> int:
    locations = context.locations
    if not answers(locations):
        err("taskdeck: no daemon is running")
        return Exit.OK
    stop_daemon(locations, drain=drain)
    err("taskdeck: the daemon has stopped; open tasks go on when it starts again")
    return Exit.OK


def _restart(context: Context, *, drain: bool) -> int:
    if answers(context.locations):
        _stop(context, drain=drain)
    ensure_daemon(context.locations, flags=context.global_arguments())
    hello = LocalClient(context.locations).hello()
    out(f"daemon {hello.version} runs (process {hello.pid})")
    return Exit.OK
