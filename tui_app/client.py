"""`TaskClient`: the task engine of a daemon, seen from another process or machine, behind the `Tasks` protocol.

One HTTP session for requests, one WebSocket for all watches, which comes back by itself after an interruption
(each watch then starts again with a complete update). Used by the TUI; the command line has its own small
client without aiohttp (`tui_app.local`).
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from engines.errors import TaskdeckError
from engines.model import Action, Actor, Json, Outcome, Stats, SubmitOptions, TaskDetail, TaskEvent, TaskView, Totals
from engines.names import display
from engines.paths import to_uri
from engines.query import Page, Query
from engines.tasks.api import Update, Watch, Watcher
from tui_app import wire

T = TypeVar("T")
_RETRY_FIRST: Final = 0.1
_RETRY_CAP: Final = 5.0
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, connect=5)


class TaskClient:
    """A `Tasks` over HTTP and WebSocket.

    Args:
        socket: Unix socket of a daemon on this machine.
        url: Or the address of one elsewhere ("https://host:8000"), with its `token`.
        face: What the daemon records as the face of every request.
        on_state: Called with True when the live connection stands, False when it is lost.
        reconnect: Whether watches wait for the daemon to come back; else they end with `daemon.absent`.

    Use it as an async context manager, or call `close`.
    """

    def __init__(
        self,
        *,
        socket: Path | None = None,
        url: str | None = None,
        token: str | None = None,
        face: str = "tui",
        on_state: Callable[[bool], None] | None = None,
        reconnect: bool = True,
    ) -> None:
        if (socket is None) == (url is None):
            raise ValueError("give either a socket or a url")
        self._socket = socket
        self._base = (url or "http://localhost").rstrip("/")
        self._headers = {
            wire.PROTOCOL_HEADER: str(wire.PROTOCOL),
            wire.VERSION_HEADER: wire.program_version(),
            wire.FACE_HEADER: face,
        }
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._on_state = on_state
        self.reconnect = reconnect
        self._session: aiohttp.ClientSession | None = None
        self._live: _Live | None = None

    @property
    def where(self) -> str:
        """The daemon's address, for display."""
        return display(self._socket) if self._socket else display(self._base)

    async def __aenter__(self) -> TaskClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all watches and connections."""
        if self._live is not None:
            await self._live.close()
            self._live = None
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def hello(self) -> wire.Hello:
        """The handshake.

        Raises:
            TaskdeckError: `daemon.absent`, `daemon.version`, `access.login`.
        """
        return await self._call("GET", "/api/v1/hello", wire.Hello)

    async def submit(
        self, op: Json, *, actor: Actor, options: SubmitOptions = SubmitOptions(), base: str | None = None
    ) -> TaskView:
        """See `Tasks.submit`."""
        body = wire.CreateRequest(op, options, None if base is None else to_uri(base))
        return await self._call("POST", "/api/v1/tasks", TaskView, body=body)

    async def repeat(self, task_id: str, *, actor: Actor) -> TaskView:
        """See `Tasks.repeat`."""
        return await self._call("POST", f"{_task(task_id)}/repeat", TaskView, body={})

    async def control(
        self, ids: Sequence[str], action: Action, *, actor: Actor, until: float | None = None
    ) -> list[Outcome]:
        """See `Tasks.control`."""
        body = wire.BulkRequest(action, list(ids), None, until)
        return (await self._call("POST", "/api/v1/tasks/bulk", wire.BulkResponse, body=body)).outcomes

    async def control_all(self, action: Action, *, actor: Actor, finish_current: bool = False) -> Stats:
        """See `Tasks.control_all`."""
        body = {"action": action.value, "finish_current": finish_current}
        return await self._call("POST", "/api/v1/control_all", Stats, body=body)

    async def reorder(self, task_id: str, *, actor: Actor, priority: int | None = None, move: int = 0) -> TaskView:
        """See `Tasks.reorder`."""
        body = wire.ReorderRequest(priority, move)
        return await self._call("POST", f"{_task(task_id)}/reorder", TaskView, body=body)

    async def unlock(self, task_id: str, secrets: Mapping[str, str], *, actor: Actor) -> TaskView:
        """See `Tasks.unlock`."""
        body = wire.UnlockRequest(dict(secrets))
        return await self._call("POST", f"{_task(task_id)}/unlock", TaskView, body=body)

    async def view(self, task_id: str) -> TaskView:
        """See `Tasks.view`."""
        return await self._call("GET", f"{_task(task_id)}/view", TaskView)

    async def detail(self, task_id: str, *, log_lines: int = 100) -> TaskDetail:
        """See `Tasks.detail`."""
        return await self._call("GET", _task(task_id), TaskDetail, query={"log_lines": log_lines})

    async def query(self, query: Query) -> Page:
        """See `Tasks.query`."""
        return await self._call("GET", "/api/v1/tasks", Page, query=query_parameters(query))

    async def log(self, task_id: str, *, after: int = 0) -> tuple[int, list[str]]:
        """See `Tasks.log`."""
        page = await self._call("GET", f"{_task(task_id)}/log", wire.LogPage, query={"after": after})
        return page.after, page.lines

    async def events(self, *, after: int = 0, task_id: str | None = None, limit: int = 1000) -> list[TaskEvent]:
        """See `Tasks.events`."""
        path = f"{_task(task_id)}/events" if task_id else "/api/v1/events"
        return await self._call("GET", path, list[TaskEvent], query={"after": after, "limit": limit})

    async def stats(self) -> Stats:
        """See `Tasks.stats`."""
        return await self._call("GET", "/api/v1/stats", Stats)

    async def totals(self, filter: str = "") -> Totals:  # noqa: A002
        """See `Tasks.totals`."""
        return await self._call("GET", "/api/v1/totals", Totals, query={"filter": filter})

    async def look(self, question: Json, *, base: str | None = None) -> Json:
        """See `Tasks.look`."""
        body = wire.LookRequest(question, None if base is None else to_uri(base))
        return (await self._call("POST", "/api/v1/look", wire.LookAnswer, body=body)).answer

    async def wait(self, task_id: str) -> TaskView:
        """See `Tasks.wait`."""
        while True:
            # Long polling: the daemon answers when the task ends, or after a while with its present state.
            view = await self._call("GET", f"{_task(task_id)}/wait", TaskView, query={"timeout": 20})
            if view.terminal:
                return view

    async def watch(self, watch: Watch) -> Watcher:
        """See `Tasks.watch`. The watch outlives interruptions of the connection."""
        if self._live is None:
            self._live = _Live(self)
        return await self._live.open(watch)

    async def files(self, path: str, *, base: str | None = None) -> wire.FilesPage:
        """The content of a folder of the daemon's machine inside its roots, for path completion."""
        query: dict[str, Any] = {"path": to_uri(path)}
        if base is not None:
            query["base"] = to_uri(base)
        return await self._call("GET", "/api/v1/files", wire.FilesPage, query=query)

    async def stop_daemon(self, *, drain: bool = False) -> None:
        """Ask the daemon to stop; its tasks go on when it is started again."""
        await self._call("POST", "/api/v1/stop", dict[str, Any], body=wire.StopRequest(drain))

    async def login_link(self) -> str:
        """A link that signs one browser in to the dashboard, once; "" while the dashboard is off."""
        made = await self._call("POST", "/api/v1/login_links", dict[str, Any], body={"scope": "admin"})
        return str(made["url"])

    async def reload(self) -> None:
        """Have the daemon read its settings again."""
        await self._call("POST", "/api/v1/reload", dict[str, Any], body={})

    def session(self) -> aiohttp.ClientSession:
        """The HTTP session, made at first use (it needs a running loop)."""
        if self._session is None:
            connector = aiohttp.UnixConnector(path=str(self._socket)) if self._socket else aiohttp.TCPConnector(limit=8)
            self._session = aiohttp.ClientSession(connector=connector, headers=self._headers, timeout=_TIMEOUT)
        return self._session

    def address(self, path: str) -> str:
        """The full address of a route."""
        return self._base + path

    def state_changed(self, connected: bool) -> None:
        """Tell the face whether the live connection stands."""
        if self._on_state is not None:
            self._on_state(connected)

    def absent(self, why: str = "") -> TaskdeckError:
        """The error for a daemon that does not answer."""
        return TaskdeckError(
            "daemon.absent",
            f"cannot reach the daemon at {self.where}",
            why or "it does not answer",
            "start it with `taskdeck serve`",
        )

    async def _call(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
    ) -> T:
        data = None if body is None else msgspec.json.encode(body)
        headers = {} if data is None else {"Content-Type": "application/json"}
        parameters = {name: str(value) for name, value in (query or {}).items()}
        try:
            async with self.session().request(
                method, self.address(path), data=data, headers=headers, params=parameters, allow_redirects=False
            ) as response:
                raw = await response.read()
                wire.check_protocol(response.headers)
                if response.status >= 400:
                    raise wire.problem_error(response.status, raw)
                return msgspec.json.decode(raw, type=kind)
        except TimeoutError:
            raise self.absent("it did not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self.absent(_reason(error)) from None
        except msgspec.MsgspecError as error:
            raise TaskdeckError("daemon.version", "cannot understand the daemon's answer", str(error)) from None


class _Live:
    """The one WebSocket behind all watches of a client."""

    def __init__(self, client: TaskClient) -> None:
        self._client = client
        self._watches: dict[int, _ClientWatcher] = {}
        self._next = 0
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, watch: Watch) -> _ClientWatcher:
        self._next += 1
        watcher = _ClientWatcher(self, self._next, watch)
        self._watches[watcher.id] = watcher
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="taskdeck-live")
        else:
            await self.send(wire.OpenWatch(watcher.id, watch))
        return watcher

    async def send(self, message: wire.ClientMessage) -> None:
        """Send, or leave it to the next connection, which opens all watches anew."""
        if self._socket is not None and not self._socket.closed:
            with contextlib.suppress(ConnectionError, aiohttp.ClientError):
                await self._socket.send_str(msgspec.json.encode(message).decode())

    async def forget(self, watcher: _ClientWatcher) -> None:
        if self._watches.pop(watcher.id, None) is not None:
            await self.send(wire.CloseWatch(watcher.id))

    async def close(self) -> None:
        for watcher in list(self._watches.values()):
            watcher.end(None)
        self._watches.clear()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        delay = _RETRY_FIRST
        while True:
            try:
                if await self._connected():
                    delay = _RETRY_FIRST
            except TaskdeckError as error:
                if error.code in ("daemon.version", "access.login", "access.denied", "access.host"):
                    self._fail(error)
                    return
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            finally:
                self._socket = None
            self._client.state_changed(False)
            if not self._client.reconnect:
                self._fail(self._client.absent("the connection was lost"))
                self._task = None
                return
            # Full jitter: many clients of a daemon that restarts must not come back in step.
            await asyncio.sleep(random.uniform(delay / 2, delay))  # noqa: S311 - not for secrets
            delay = min(delay * 2, _RETRY_CAP)

    async def _connected(self) -> bool:
        """One connection from handshake to end; whether it ever stood."""
        stood = False
        client = self._client
        try:
            socket = await client.session().ws_connect(
                client.address("/ws/dashboard"),
                protocols=(wire.SUBPROTOCOL,),
                compress=0,
                heartbeat=20,
                max_msg_size=64 << 20,
            )
        except aiohttp.WSServerHandshakeError:
            await client.hello()  # says why: another version, no login
            raise
        async with socket:
            self._socket = socket
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue
                received = _SERVER.decode(message.data)
                if isinstance(received, wire.Hello):
                    wire.check_revision(received.protocol, received.version)
                    stood = True
                    client.state_changed(True)
                    for watcher in list(self._watches.values()):
                        await self.send(wire.OpenWatch(watcher.id, watcher.wanted))
                elif isinstance(received, wire.Updated) and received.id in self._watches:
                    self._watches[received.id].put(received.update)
                elif isinstance(received, wire.WatchFailed) and received.id in self._watches:
                    self._watches.pop(received.id).end(TaskdeckError.from_info(received.error))
        return stood

    def _fail(self, error: TaskdeckError) -> None:
        for watcher in self._watches.values():
            watcher.end(error)
        self._watches.clear()


class _ClientWatcher:
    """A live window fed by the WebSocket.

    Updates queue here while the face is busy; past a bound the window is asked for anew, so that a face that
    sleeps neither grows without limit nor misses the last state.
    """

    _BACKLOG: Final = 64

    def __init__(self, live: _Live, number: int, watch: Watch) -> None:
        self.id = number
        self.wanted = watch
        self._live = live
        self._queue: asyncio.Queue[Update | TaskdeckError | None] = asyncio.Queue()
        self._stale = False

    def put(self, update: Update) -> None:
        if self._stale:
            return
        if self._queue.qsize() >= self._BACKLOG:
            while not self._queue.empty():
                self._queue.get_nowait()
            self._stale = True
        self._queue.put_nowait(update)

    def end(self, error: TaskdeckError | None) -> None:
        self._queue.put_nowait(error)

    def __aiter__(self) -> AsyncIterator[Update]:
        return self._updates()

    async def _updates(self) -> AsyncIterator[Update]:
        while True:
            received = await self._queue.get()
            if received is None:
                return
            if isinstance(received, TaskdeckError):
                raise received
            if self._stale:
                self._stale = False
                await self._live.send(wire.OpenWatch(self.id, self.wanted, fresh=True))
                continue
            yield received

    async def change(self, watch: Watch) -> None:
        """Move the window."""
        self.wanted = watch
        await self._live.send(wire.OpenWatch(self.id, watch))

    async def close(self) -> None:
        """End the subscription."""
        await self._live.forget(self)
        self.end(None)


_SERVER: Final = msgspec.json.Decoder(wire.ServerMessage)


def local_actor(face: str) -> Actor:
    """This user, through this face."""
    try:
        return Actor(getpass.getuser(), face)
    except (OSError, KeyError):
        return Actor("local", face)


def query_parameters(query: Query) -> dict[str, str | int]:
    """A query as URL parameters."""
    return {
        "filter": query.filter,
        "sort": query.sort.value,
        "reverse": int(query.reverse),
        "offset": query.offset,
        "limit": query.limit,
        **({"cursor": query.cursor} if query.cursor else {}),
    }


def _task(task_id: str) -> str:
    if not task_id.isalnum():
        raise TaskdeckError(
            "task.missing", f"cannot find task '{display(task_id, limit=64)}'", "ids are letters and digits"
        )
    return f"/api/v1/tasks/{task_id}"


def _reason(error: BaseException) -> str:
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
