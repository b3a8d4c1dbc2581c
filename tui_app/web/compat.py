"""The feature guide's `DashboardManager` and `DashboardEndpoints`, for people who script against these names.

The manager broadcasts to WebSockets it was given (aiohttp's, or anything with an async `send_json`), one failing
client never harming the others. The endpoints are this package's own server, started and stopped in a few lines:

    manager = DashboardManager()
    endpoints = DashboardEndpoints(tasks, state="/tmp/deck", roots=("/srv",))
    url = await endpoints.start(port=8000)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from engines.model import Json
from engines.paths import PathPolicy
from engines.settings import Settings, WebSettings
from engines.tasks.api import Tasks
from tui_app.web.access import AccessBook, Scope
from tui_app.web.audit import Audit
from tui_app.web.context import Deck
from tui_app.web.guide import broadcast, timestamp
from tui_app.web.peer import in_url
from tui_app.web.server import Server

_SEND_SECONDS: Final = 5.0


class WebSocket(Protocol):
    """What the manager needs of a connection."""

    async def send_json(self, data: Any) -> None:
        """Send one message."""


class DashboardManager:
    """Manages WebSocket connections and broadcasts in the guide's formats."""

    def __init__(self) -> None:
        self.active_connections: list[WebSocket] = []
        self.task_status: dict[str, Json] = {}
        """The last status of each task."""
        self._streams: dict[str, set[asyncio.Queue[Json]]] = {}

    async def connect(self, websocket: WebSocket) -> None:
        """Take a connection in; it is sent the last status of every task."""
        accept = getattr(websocket, "accept", None)
        if accept is not None:
            await accept()
        self.active_connections.append(websocket)
        for task_id, status in self.task_status.items():
            await self._send(websocket, _task_status(task_id, status))

    def disconnect(self, websocket: WebSocket) -> None:
        """Let a connection go; unknown ones are ignored."""
        if websocket in self.active_connections:
            self.active_connections.remove(websocket)

    async def broadcast_task_status(self, task_id: str, status: Mapping[str, Any]) -> None:
        """Send a `task_status` message to everybody."""
        self.task_status[task_id] = dict(status)
        for queue in self._streams.get(task_id, ()):
            if queue.full():
                queue.get_nowait()  # a slow reader gets the newest
            queue.put_nowait(dict(status))
        await self._broadcast(_task_status(task_id, dict(status)))

    async def broadcast_message(self, message: str, msg_type: str = "info") -> None:
        """Send a `message` to everybody."""
        await self._broadcast(msgspec.to_builtins(broadcast(message, msg_type)))

    async def send_dashboard_stats(self, stats: Mapping[str, Any]) -> None:
        """Send a `dashboard_stats` message to everybody."""
        await self._broadcast({"type": "dashboard_stats", "data": dict(stats), "timestamp": timestamp()})

    async def server_sent_events(self, task_id: str) -> AsyncIterator[str]:
        """The status of one task as server-sent events, until it completed, failed or was cancelled."""
        queue: asyncio.Queue[Json] = asyncio.Queue(maxsize=16)
        if task_id in self.task_status:
            queue.put_nowait(self.task_status[task_id])
        self._streams.setdefault(task_id, set()).add(queue)
        try:
            while True:
                status = await queue.get()
                data = msgspec.json.encode(_task_status(task_id, status)).decode()
                yield f"event: task_status\ndata: {data}\n\n"
                if status.get("status") in ("completed", "error", "failed", "cancelled"):
                    return
        finally:
            self._streams[task_id].discard(queue)
            if not self._streams[task_id]:
                del self._streams[task_id]

    async def _broadcast(self, message: Json) -> None:
        sending = (self._send(websocket, message) for websocket in list(self.active_connections))
        await asyncio.gather(*sending)

    async def _send(self, websocket: WebSocket, message: Json) -> None:
        try:
            async with asyncio.timeout(_SEND_SECONDS):
                await websocket.send_json(message)
        except (ConnectionError, TimeoutError, RuntimeError):
            # Never used again: a send that was cancelled leaves an aiohttp socket unusable.
            self.disconnect(websocket)


def _task_status(task_id: str, status: Json) -> Json:
    return {"type": "task_status", "task_id": task_id, "data": status, "timestamp": timestamp()}


class DashboardEndpoints:
    """The guide's addresses, served: `/dashboard`, `/ws/dashboard`, `/api/tasks` and the others.

    Args:
        tasks: The task engine, such as `engines.tasks.service.TaskService`.
        state: Folder for tokens and the access log.
        roots: Folders that may be browsed.
    """

    def __init__(self, tasks: Tasks, *, state: str | Path, roots: tuple[str, ...] = ()) -> None:
        Path(state).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._settings = Settings(roots=roots)
        self.access = AccessBook(Path(state) / "access.json")
        self._deck = Deck(
            tasks=tasks,
            settings=self._settings,
            policy=PathPolicy.of(roots),
            access=self.access,
            audit=Audit(Path(state) / "access.log"),
            stop=lambda drain: None,
            reload=lambda: self._settings,
            ready=True,
        )
        self._server = Server(self._deck)

    async def start(self, *, host: str = "127.0.0.1", port: int = 8000) -> str:
        """Begin to serve; returns the address."""
        await self._server.start()
        taken = await self._server.listen_tcp(WebSettings(enabled=True, host=host, port=port))
        self._deck.url = f"http://{in_url(host)}:{taken}"
        return self._deck.url

    def login_link(self) -> str:
        """A link that signs one browser in, once."""
        code, _ = self.access.make_code("script")
        return f"{self._deck.url}/login#code={code}"

    def token(self, name: str = "script", scope: Scope = Scope.CONTROL) -> str:
        """A new token for a program."""
        return self.access.make_token(name, scope)[0]

    async def stop(self) -> None:
        """Stop serving."""
        await self._server.stop()
