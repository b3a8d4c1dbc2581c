"""The feed of the guide's WebSocket: one look at the tasks for all clients.

A client whose connection is full is skipped and catches up with the newest state later; one that stays full is
cut. Nothing here ever waits for a client to read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any, Final

import msgspec
from aiohttp import WSMsgType, web

from engines.model import Stats, TaskView
from engines.query import Query
from engines.tasks.api import Update, Watch
from tui_app.web.context import Deck
from tui_app.web.guide import (
    ClientMessage,
    GetTasks,
    Pong,
    TasksList,
    dashboard_stats,
    task_object,
    task_status,
    timestamp,
)

_LOG = logging.getLogger(__name__)
WINDOW: Final = 500
"""Tasks a guide client sees at most: all that move, then the newest others."""
PERIOD: Final = 1.0
"""Seconds between messages about one task."""
BUSY: Final = 32 * 1024
"""Unsent bytes above which a client is skipped."""
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(ClientMessage)


class _Client:
    __slots__ = ("behind", "pending", "socket", "stats", "transport", "wants_list")

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self.socket = socket
        self.transport = transport
        self.pending: set[str] = set()
        self.stats = True
        self.wants_list = False
        self.behind = 0.0

    @property
    def busy(self) -> bool:
        return self.transport.get_write_buffer_size() > BUSY


class GuideFeed:
    """Broadcasts task changes to the WebSocket clients that speak the guide's format."""

    def __init__(self, deck: Deck) -> None:
        self._deck = deck
        self._clients: set[_Client] = set()
        self._views: dict[str, TaskView] = {}
        self._stats: Stats | None = None
        self._primed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def serve(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        """Talk to one client until it goes."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="guide-feed")
        async with asyncio.timeout(10):
            await self._primed.wait()
        client = _Client(socket, transport)
        client.pending = set(self._views)
        await self._flush(client, {})
        self._clients.add(client)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._answer(client, message.data)
        finally:
            self._clients.discard(client)

    async def close(self) -> None:
        """Stop looking at the tasks."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _answer(self, client: _Client, text: str) -> None:
        """The two requests the guide's server knows: ping, and the list of tasks."""
        try:
            wanted = _DECODER.decode(text)
        except msgspec.MsgspecError:
            return
        if isinstance(wanted, GetTasks):
            client.wants_list = True
            await self._list(client)
        elif not client.busy:
            await self._send(client, _ENCODER.encode(Pong()))

    async def _list(self, client: _Client) -> None:
        """The list for a client that asked: once, and when it has room, however often it asked."""
        if client.wants_list and not client.busy:
            client.wants_list = False
            tasks = [task_object(view) for view in self._views.values()]
            await self._send(client, _ENCODER.encode(TasksList(tasks, timestamp())))

    async def _run(self) -> None:
        watcher = await self._deck.tasks.watch(Watch(Query(limit=WINDOW), hz=1 / PERIOD))
        reader = asyncio.create_task(self._read(watcher), name="guide-feed-reader")
        try:
            while not reader.done():
                await asyncio.sleep(PERIOD)
                await self._broadcast()
        finally:
            reader.cancel()
            await watcher.close()

    async def _read(self, watcher: Any) -> None:
        async for update in watcher:
            self._apply(update)
            self._primed.set()

    def _apply(self, update: Update) -> None:
        changed: set[str] = set()
        for view in (*update.rows, *update.ended):
            self._views[view.id] = view
            changed.add(view.id)
        for tick in update.ticks:
            if tick.id in self._views:
                self._views[tick.id] = tick.over(self._views[tick.id])
                changed.add(tick.id)
        if update.ids is not None:
            kept = set(update.ids)
            fresh = {view.id for view in update.ended}
            self._views = {key: view for key, view in self._views.items() if key in kept or key in fresh}
        if update.stats is not None:
            self._stats = update.stats
        for client in self._clients:
            client.pending |= changed
            client.stats = client.stats or update.stats is not None

    async def _broadcast(self) -> None:
        cache: dict[str, bytes] = {}
        for number, client in enumerate(list(self._clients), 1):
            if client.transport.is_closing():
                self._clients.discard(client)
            elif client.busy:
                self._overdue(client)
            else:
                client.behind = 0.0
                await self._flush(client, cache)
                await self._list(client)
            if number % 50 == 0:
                await asyncio.sleep(0)

    def _overdue(self, client: _Client) -> None:
        now = time.monotonic()
        client.behind = client.behind or now
        if now - client.behind > self._deck.stuck_after:
            _LOG.warning("a live client stopped reading; its connection is cut")
            self._clients.discard(client)
            client.transport.abort()

    async def _flush(self, client: _Client, cache: dict[str, bytes]) -> None:
        pending, client.pending = client.pending, set()
        if client.stats and self._stats is not None:
            client.stats = False
            if "" not in cache:
                cache[""] = _ENCODER.encode(dashboard_stats(self._stats))
            await self._send(client, cache[""])
        for key in pending:
            view = self._views.get(key)
            if view is None:
                continue
            if key not in cache:
                cache[key] = _ENCODER.encode(task_status(view))
            await self._send(client, cache[key])

    async def _send(self, client: _Client, frame: bytes) -> None:
        # Never blocks: the transport's limit was raised above anything we let pile up (see `live.unblock`).
        try:
            await client.socket.send_frame(frame, WSMsgType.TEXT)
        except ConnectionError:
            self._clients.discard(client)
