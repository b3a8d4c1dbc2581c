"""The WebSocket: `taskdeck.v1` (watches and updates) or, without a subprotocol, the guide's messages.

Sending never waits for a client to read: writing waits, outside of aiohttp, until little is left unsent, the
engine merges what happens meanwhile, and a connection that does not move for `stuck_after` seconds is aborted
(closing it would wait for the flush for ever).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from typing import Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from engines.errors import TaskdeckError
from engines.query import Query
from engines.tasks.api import Watch, Watcher
from tui_app import wire
from tui_app.web.context import DECK, Deck, caller
from tui_app.web.guide_feed import BUSY, GuideFeed
from tui_app.web.hub import Hub, Line

_LOG = logging.getLogger(__name__)
MAX_WATCHES: Final = 8
MAX_WINDOW: Final = 1000
MAX_MESSAGE: Final = 16 * 1024
_UNBLOCKED: Final = 64 << 20
_POLL: Final = 0.02
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(wire.ClientMessage)

HUB: Final = web.AppKey("hub", Hub)
FEED: Final = web.AppKey("guide_feed", GuideFeed)


class Sockets:
    """The open WebSockets of an application."""

    def __init__(self) -> None:
        self.open: set[web.WebSocketResponse] = set()


SOCKETS: Final = web.AppKey("sockets", Sockets)


async def websocket(request: web.Request) -> web.StreamResponse:
    """GET /ws/dashboard."""
    deck = request.app[DECK]
    socket = web.WebSocketResponse(
        heartbeat=25, compress=False, max_msg_size=MAX_MESSAGE, protocols=(wire.SUBPROTOCOL,), timeout=1
    )
    if not socket.can_prepare(request):
        raise web.HTTPUpgradeRequired()
    await socket.prepare(request)
    transport = request.transport
    if transport is None:
        return socket
    unblock(transport)
    request.app[SOCKETS].open.add(socket)
    deck.connections += 1
    try:
        if socket.ws_protocol == wire.SUBPROTOCOL:
            hub = None if caller(request).local else request.app[HUB]
            await _Connection(deck, hub, socket, transport).serve()
        else:
            await request.app[FEED].serve(socket, transport)
    except (ConnectionError, TimeoutError):
        pass
    finally:
        deck.connections -= 1
        request.app[SOCKETS].open.discard(socket)
        if transport.get_write_buffer_size() > 0 and not deck.closing.is_set():
            transport.abort()
    return socket


def unblock(transport: asyncio.Transport) -> None:
    """Make sure that no send on this connection waits in `drain`: a cancelled drain poisons the socket."""
    transport.set_write_buffer_limits(high=_UNBLOCKED)


async def close_all(app: web.Application) -> None:
    """Tell every live client that we go (1001), without waiting for those who do not listen."""
    sockets = list(app[SOCKETS].open)
    closing = (socket.close(code=WSCloseCode.GOING_AWAY, message=b"the daemon stops") for socket in sockets)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            await asyncio.gather(*closing, return_exceptions=True)


class _Connection:
    """One `taskdeck.v1` client: its watches.

    Over the Unix socket each watch is pumped by a task of its own (a terminal moves its window with every key, and
    then gets only the rows it lacks); browsers share theirs through the hub.
    """

    def __init__(
        self, deck: Deck, hub: Hub | None, socket: web.WebSocketResponse, transport: asyncio.Transport
    ) -> None:
        self._deck = deck
        self._hub = hub
        self._lines: dict[int, Line] = {}
        self._socket = socket
        self._transport = transport
        self._gate = asyncio.Lock()
        self._watches: dict[int, tuple[Watcher, asyncio.Task[None]]] = {}

    async def serve(self) -> None:
        deck = self._deck
        rev = (await deck.tasks.query(Query(limit=1))).rev
        hello = wire.Hello(wire.program_version(), wire.PROTOCOL, os.getpid(), deck.started, rev)
        await self._send(hello)
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._handle(message.data)
        finally:
            for line in list(self._lines.values()):
                await line.close()
            for watcher, pump in self._watches.values():
                pump.cancel()
                await watcher.close()
            await asyncio.gather(*(pump for _, pump in self._watches.values()), return_exceptions=True)

    async def _handle(self, text: str) -> None:
        try:
            message = _DECODER.decode(text)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            refusal = TaskdeckError("usage", "cannot read the message", str(error))
            await self._send(wire.WatchFailed(0, refusal.info))
            return
        match message:
            case wire.Ping():
                await self._send(wire.Pong())
            case wire.CloseWatch(id=number):
                await self._close(number)
            case wire.OpenWatch(id=number, watch=watch, fresh=fresh):
                try:
                    await self._open(number, _bounded(watch), fresh)
                except TaskdeckError as error:
                    await self._close(number)
                    await self._send(wire.WatchFailed(number, error.info))

    async def _open(self, number: int, watch: Watch, fresh: bool) -> None:
        if self._hub is not None:
            await self._join(self._hub, number, watch)
            return
        if number in self._watches and not fresh:
            await self._watches[number][0].change(watch)
            return
        await self._close(number)
        if len(self._watches) >= MAX_WATCHES:
            raise TaskdeckError("value", "cannot watch more", f"a connection may hold {MAX_WATCHES} watches")
        watcher = await self._deck.tasks.watch(watch)
        self._watches[number] = (watcher, asyncio.create_task(self._pump(number, watcher), name=f"watch-{number}"))

    async def _join(self, hub: Hub, number: int, watch: Watch) -> None:
        if number in self._lines:
            await self._lines[number].change(watch)
        elif len(self._lines) >= MAX_WATCHES:
            raise TaskdeckError("value", "cannot watch more", f"a connection may hold {MAX_WATCHES} watches")
        else:
            self._lines[number] = await hub.join(watch, number, self._send_frame, self._transport)

    async def _send_frame(self, frame: bytes) -> None:
        await self._socket.send_frame(frame, WSMsgType.TEXT)

    async def _close(self, number: int) -> None:
        if number in self._lines:
            await self._lines.pop(number).close()
        if number in self._watches:
            watcher, pump = self._watches.pop(number)
            pump.cancel()
            await watcher.close()

    async def _pump(self, number: int, watcher: Watcher) -> None:
        try:
            async for update in watcher:
                await self._send(wire.Updated(number, update))
        except ConnectionError:
            pass
        except TaskdeckError as error:
            with contextlib.suppress(ConnectionError):
                await self._send(wire.WatchFailed(number, error.info))
        except Exception:
            _LOG.exception("a watch failed")
            self._transport.abort()

    async def _send(self, message: wire.ServerMessage) -> None:
        frame = _ENCODER.encode(message)
        async with self._gate:
            await self._writable()
            await self._socket.send_frame(frame, WSMsgType.TEXT)

    async def _writable(self) -> None:
        """Wait until little is unsent.

        Raises:
            ConnectionResetError: The client has gone, or did not read for too long and was cut.
        """
        left = self._transport.get_write_buffer_size()
        since = time.monotonic()
        while left > BUSY:
            await asyncio.sleep(_POLL)
            if self._transport.is_closing():
                raise ConnectionResetError
            now_left = self._transport.get_write_buffer_size()
            if now_left < left:
                since = time.monotonic()
            elif time.monotonic() - since > self._deck.stuck_after:
                _LOG.warning("a live client stopped reading; its connection is cut")
                self._transport.abort()
                raise ConnectionResetError
            left = now_left


def _bounded(watch: Watch) -> Watch:
    query = watch.query
    if query.cursor:
        raise TaskdeckError("value", "cannot watch this", "a window is moved by its offset, not by a cursor")
    if query.limit > MAX_WINDOW or query.offset < 0 or query.limit < 0 or not 0.05 <= watch.hz <= 20:
        raise TaskdeckError("value", "cannot watch this", f"a window has 0 to {MAX_WINDOW} tasks at 0.05 to 20 Hz")
    return watch
