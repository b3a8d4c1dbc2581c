"""The aiohttp application and its listeners: a Unix socket always, TCP when switched on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from aiohttp import web

from engines.errors import TaskdeckError
from engines.names import display
from engines.settings import WebSettings
from tui_app.locations import Locations, private_directory
from tui_app.web.api import ROUTES
from tui_app.web.context import DECK, Deck
from tui_app.web.door import Door
from tui_app.web.guard import PUBLIC, RULES, Rule, add_headers, guard
from tui_app.web.guide_feed import GuideFeed
from tui_app.web.hub import Hub
from tui_app.web.limits import StuckWatch
from tui_app.web.live import FEED, HUB, SOCKETS, Sockets, close_all

_LOG = logging.getLogger(__name__)
MAX_BODY: Final = 1 << 20
_BACKLOG: Final = 128
_HANDSHAKE_SECONDS: Final = 10.0
_LONGEST_LINE: Final = 1 << 16
"""Bytes of a request line: a path of 4,096 characters, percent-encoded."""
_PATIENCE: Final = 3
"""A request that is answered may stall this many times as long as a live connection: phones change networks."""


def application(deck: Deck) -> web.Application:
    """The application with every route."""
    app = web.Application(middlewares=[guard], client_max_size=MAX_BODY)
    app[DECK] = deck
    app[FEED] = GuideFeed(deck)
    app[HUB] = Hub(deck.tasks, deck.stuck_after)
    app[SOCKETS] = Sockets()
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(close_all)
    app.cleanup_ctx.append(_feed)
    app[RULES] = {}
    # With a sub-path both forms answer: proxies may pass it on or strip it.
    for prefix in dict.fromkeys(("", deck.settings.web.url_prefix)):
        for route in ROUTES:
            added = app.router.add_route(route.method, prefix + route.path, route.handler)
            assert added.resource is not None
            if route.method == "GET" and route.events is None and route.status != 101:
                app.router.add_route("HEAD", prefix + route.path, route.handler)
            path = added.resource.canonical
            app[RULES][route.method, path] = Rule(route.needs, path.removeprefix(prefix) in PUBLIC)
    return app


async def _feed(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[FEED].close()
    await app[HUB].close()


class Server:
    """The listeners of a daemon."""

    def __init__(self, deck: Deck) -> None:
        self._deck = deck
        self._runner = web.AppRunner(
            application(deck),
            access_log=None,
            handle_signals=False,
            keepalive_timeout=deck.idle_after,
            max_line_size=_LONGEST_LINE,
            shutdown_timeout=0.5,
        )
        self._tcp: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._path: Path | None = None
        self._places: Locations | None = None

    async def start(self) -> None:
        """Make the application ready; listeners are opened afterwards."""
        await self._runner.setup()
        self._sweeper = asyncio.create_task(self._sweep(), name="web-sweeper")

    @property
    def connections(self) -> int:
        """Open connections."""
        server = self._runner.server
        return len(server.connections) if server is not None else 0

    async def listen_unix(self, locations: Locations) -> Path:
        """Open the Unix socket (mode 0600 in a folder of mode 0700) and record its path."""
        listener, path = bind_unix(locations)
        await web.SockSite(self._runner, listener, backlog=128).start()
        self._path, self._places = path, locations
        return path

    async def listen_tcp(self, settings: WebSettings) -> int:
        """Open the TCP listener and return its port.

        Raises:
            TaskdeckError: `settings.invalid` when the address cannot be used.
        """
        server = self._runner.server
        assert server is not None

        # Unix connections do not count: the terminal must answer while the web side is flooded.
        context = _tls(settings)
        try:
            self._tcp = await asyncio.get_running_loop().create_server(
                Door(server, settings),
                settings.host,
                settings.port,
                backlog=_BACKLOG,
                ssl=context,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if context else None,
            )
        except OSError as error:
            raise TaskdeckError(
                "settings.invalid",
                f"cannot listen on {display(settings.host)}:{settings.port}",
                (error.strerror or str(error)).lower(),
                "change web.host or web.port",
            ) from None
        port: int = self._tcp.sockets[0].getsockname()[1]
        return port

    async def _sweep(self) -> None:
        """Cut connections whose other side takes nothing, and end sessions whose time is over."""
        patience = self._deck.stuck_after * _PATIENCE
        watch = StuckWatch(patience)
        server = self._runner.server
        assert server is not None
        while True:
            await asyncio.sleep(patience / 6)
            found = [item.transport for item in server.connections if item.transport is not None]
            if watch.look(found):
                _LOG.warning("a client did not read its answer; its connection was cut")
            self._deck.access.sweep()
            self._deck.flights.sweep()

    async def close_tcp(self) -> None:
        """Close the TCP listener; the Unix socket stays."""
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None

    async def stop(self) -> None:
        """Close listeners, streams and connections; within a second."""
        self._deck.closing.set()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self.close_tcp()
        if self._path is not None and self._places is not None:
            for path in (self._path, self._places.record):
                with contextlib.suppress(OSError):
                    path.unlink()
        await self._runner.cleanup()


def bind_unix(locations: Locations) -> tuple[socket.socket, Path]:
    """A bound socket at the first usable place, its path recorded beside the lock.

    Only the holder of the lock calls this: what lies at the path is a leftover, unless another state
    directory's daemon answers there; then the next place is taken.
    """
    from tui_app.locations import write_private

    for path in locations.socket_candidates():
        with contextlib.suppress(OSError, TaskdeckError):
            private_directory(path.parent)
            if not _free(path):
                continue
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                listener.bind(os.fsencode(path))
                os.chmod(path, 0o600)
                listener.setblocking(False)
            except BaseException:
                listener.close()
                raise
            write_private(locations.record, f"{path}\n")
            return listener, path
    tried = ", ".join(display(path) for path in locations.socket_candidates())
    raise TaskdeckError("path.unreadable", "cannot make the socket", f"none of these locations works: {tried}")


def _free(path: Path) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return True
    if not stat.S_ISSOCK(mode):
        return False
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.settimeout(1)
        probe.connect(os.fsencode(path))
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
        return True
    except OSError:
        return False
    finally:
        probe.close()
    return False


def _tls(settings: WebSettings) -> ssl.SSLContext | None:
    if not settings.tls_certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise TaskdeckError("settings.invalid", "cannot use web.tls_certificate", str(error)) from None
    return context
