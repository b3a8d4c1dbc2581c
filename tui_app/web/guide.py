"""The seed guide's formats: `task_status` and `dashboard_stats` messages, and the feed of its WebSocket.

The feed looks at the tasks once for all clients. A client whose connection is full is skipped and catches up
with the newest state later; one that stays full is cut. Nothing here ever waits for a client to read.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from aiohttp import WSMsgType, web

from engines.model import Action, Json, Kind, Stats, TaskView, guide_status
from engines.query import Query
from engines.tasks.api import Update, Watch
from tui_app.web.context import Deck

_LOG = logging.getLogger(__name__)
WINDOW: Final = 500
"""Tasks a guide client sees at most: all that move, then the newest others."""
PERIOD: Final = 1.0
"""Seconds between messages about one task."""
BUSY: Final = 32 * 1024
"""Unsent bytes above which a client is skipped."""
_ENCODER: Final = msgspec.json.Encoder()


def timestamp(at: float | None = None) -> str:
    """UTC with milliseconds, as the guide writes it: "2026-01-30T12:34:56.789Z"."""
    return _written(time.time() if at is None else at)


@functools.lru_cache(maxsize=4096)  # a task's times are asked for again with every list
def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TaskData(msgspec.Struct, frozen=True):
    """The `data` of a `task_status` message: percent, units a second, seconds, units."""

    status: str
    progress: float
    speed: int
    eta: int | None
    current_size: int
    total_size: int
    name: str
    unit: str
    kind: Kind
    operation: str
    actions: tuple[Action, ...]
    error: str | None


class TaskObject(TaskData, frozen=True):
    """A task in the answers of the guide's routes."""

    task_id: str
    id: str
    created_at: str
    finished_at: str | None
    output: str


class TaskList(msgspec.Struct, frozen=True):
    """The answer of `GET /api/tasks`."""

    tasks: list[TaskObject]
    total: int
    timestamp: str


class TaskStatus(msgspec.Struct, frozen=True):
    """The guide's message about one task."""

    task_id: str
    data: TaskData
    timestamp: str
    type: str = "task_status"


def _data(view: TaskView) -> Json:
    fraction = view.fraction
    return {
        "status": guide_status(view),
        "progress": 0 if fraction is None else round(fraction * 100, 1),
        "speed": round(view.speed),
        "eta": None if view.eta is None else round(view.eta),
        "current_size": view.done,
        "total_size": view.total or 0,
        "name": view.title,
        "unit": view.unit,
        "kind": view.kind,
        "operation": view.op,
        "actions": view.actions,
        "error": view.error.message if view.error else None,
    }


def task_status(view: TaskView) -> TaskStatus:
    """The guide's message about a task."""
    return TaskStatus(view.id, TaskData(**_data(view)), timestamp())


def task_object(view: TaskView) -> TaskObject:
    """A task as the guide's routes answer it."""
    return TaskObject(
        **_data(view),
        task_id=view.id,
        id=view.id,
        created_at=timestamp(view.created),
        finished_at=None if view.finished is None else timestamp(view.finished),
        output=view.output,
    )


def stats_data(stats: Stats) -> Json:
    """The `data` of a `dashboard_stats` message; uptime is the host's."""
    host = stats.host
    return {
        "active_tasks": stats.active_tasks,
        "total_downloads": stats.total_downloads,
        "total_uploads": stats.total_uploads,
        "total_speed": round(stats.total_speed),
        "cpu_usage": round(host.cpu, 1),
        "memory_usage": round(host.memory, 1),
        "disk_usage": round(host.disk, 1),
        "uptime": int(host.uptime),
    }


def dashboard_stats(stats: Stats) -> Json:
    """The guide's message of the stat panels."""
    return {"type": "dashboard_stats", "data": stats_data(stats), "timestamp": timestamp()}


def broadcast(text: str, level: str = "info") -> Json:
    """The guide's message to people."""
    return {"type": "message", "data": {"message": text, "level": level}, "timestamp": timestamp()}


class _Client:
    __slots__ = ("behind", "pending", "socket", "stats", "transport")

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self.socket = socket
        self.transport = transport
        self.pending: set[str] = set()
        self.stats = True
        self.behind = 0.0


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
            wanted = msgspec.json.decode(text).get("type")
        except (msgspec.DecodeError, AttributeError):
            return
        if wanted == "ping":
            await self._send(client, _ENCODER.encode({"type": "pong"}))
        elif wanted == "get_tasks":
            tasks = [task_object(view) for view in self._views.values()]
            await self._send(client, _ENCODER.encode({"type": "tasks_list", "tasks": tasks, "timestamp": timestamp()}))

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
            elif client.transport.get_write_buffer_size() > BUSY:
                self._overdue(client)
            else:
                client.behind = 0.0
                await self._flush(client, cache)
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
