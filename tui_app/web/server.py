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
from tui_app.web.guard import add_headers, guard
from tui_app.web.guide import GuideFeed
from tui_app.web.live import FEED, SOCKETS, Sockets, close_all

_LOG = logging.getLogger(__name__)
MAX_BODY: Final = 1 << 20
_BACKLOG: Final = 32
"""Small: the connection limit may be passed by one accept batch."""


def application(deck: Deck) -> web.Application:
    """The application with every route."""
    app = web.Application(middlewares=[guard], client_max_size=MAX_BODY)
    app[DECK] = deck
    app[FEED] = GuideFeed(deck)
    app[SOCKETS] = Sockets()
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(close_all)
    app.cleanup_ctx.append(_feed)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler)
    return app


async def _feed(app: web.Application) -> AsyncIterator[None]:
    yield
    await app[FEED].close()


class Server:
    """The listeners of a daemon."""

    def __init__(self, deck: Deck) -> None:
        self._deck = deck
        self._runner = web.AppRunner(
            application(deck),
            access_log=None,
            handle_signals=False,
            keepalive_timeout=15,
            shutdown_timeout=0.5,
        )
        self._tcp: asyncio.Server | None = None
        self._path: Path | None = None
        self._places: Locations | None = None

    async def start(self) -> None:
        """Make the application ready; listeners are opened afterwards."""
        await self._runner.setup()

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

        def connect() -> asyncio.BaseProtocol:
            # Unix connections do not count: the terminal must answer while the web side is flooded.
            open_now = sum(1 for item in server.connections if not _is_unix(item.transport))
            return server() if open_now < settings.max_connections else _Refuse()

        try:
            self._tcp = await asyncio.get_running_loop().create_server(
                connect, settings.host, settings.port, backlog=_BACKLOG, ssl=_tls(settings)
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

    async def close_tcp(self) -> None:
        """Close the TCP listener; the Unix socket stays."""
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None

    async def stop(self) -> None:
        """Close listeners, streams and connections; within a second."""
        self._deck.closing.set()
        await self.close_tcp()
        if self._path is not None and self._places is not None:
            for path in (self._path, self._places.record):
                with contextlib.suppress(OSError):
                    path.unlink()
        await self._runner.cleanup()


def _is_unix(transport: asyncio.Transport | None) -> bool:
    connection = transport.get_extra_info("socket") if transport is not None else None
    return connection is not None and connection.family == socket.AF_UNIX


class _Refuse(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


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
