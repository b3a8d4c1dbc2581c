"""How many connections there may be over TCP: in all, and from one address. Who comes later is cut at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast
from weakref import WeakSet

from aiohttp import web

from engines.settings import WebSettings
from tui_app.web.peer import group_of, is_proxy

_LEAST_EACH: Final = 32
"""A few browsers with a few windows each, behind one address."""


class Door:
    """Makes the protocol of each new connection; to be given to `create_server`.

    aiohttp itself has no such limit. The address is known once a connection stands, so the newcomer is looked at
    there, before aiohttp sees it.
    """

    def __init__(self, make: Callable[[], web.RequestHandler], settings: WebSettings) -> None:
        self._make = make
        self._settings = settings
        self._open: dict[str, set[web.RequestHandler]] = {}
        self._coming: WeakSet[_Newcomer] = WeakSet()

    def __call__(self) -> asyncio.BaseProtocol:
        """A protocol for a connection that is being made (over TLS that takes a handshake)."""
        newcomer = _Newcomer(self)
        self._coming.add(newcomer)
        return newcomer

    def enter(self, newcomer: _Newcomer, transport: asyncio.Transport) -> web.RequestHandler | None:
        """The handler of a connection that stands now; None when it must go."""
        self._coming.discard(newcomer)
        name = transport.get_extra_info("peername")
        address = str(name[0]) if isinstance(name, tuple) else ""
        settings = self._settings
        # Behind a proxy all come from its address.
        group = "" if is_proxy(address, settings) else group_of(address)
        if group and self._held(group) >= most_each(settings):
            return None
        if self._total() >= settings.max_connections:
            self._sweep()
            if self._total() >= settings.max_connections:
                return None
        made = self._make()
        self._open.setdefault(group, set()).add(made)
        return made

    def _held(self, group: str) -> int:
        held = self._open.get(group)
        if held is None:
            return 0
        if len(held) >= most_each(self._settings):
            self._sweep()
        return len(self._open.get(group, ()))

    def _total(self) -> int:
        return sum(map(len, self._open.values())) + len(self._coming)

    def _sweep(self) -> None:
        """Forget closed connections."""
        for group, held in list(self._open.items()):
            alive = {item for item in held if item.transport is not None}
            if alive:
                self._open[group] = alive
            else:
                del self._open[group]


def most_each(settings: WebSettings) -> int:
    """Connections one address may hold."""
    return settings.max_per_address or max(_LEAST_EACH, settings.max_connections // 4)


class _Newcomer(asyncio.Protocol):
    """Gives way to the real handler as soon as the connection stands."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's are none by type
        handler = self._door.enter(self, transport)
        if handler is None:
            transport.abort()
            return
        transport.set_protocol(handler)
        handler.connection_made(transport)
