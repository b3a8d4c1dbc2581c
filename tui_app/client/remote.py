"""`TaskClient`: the task engine of a daemon, seen from another process or machine, behind the `Tasks` protocol.

Kept connections for requests, one WebSocket for all watches. Used by the interface; the command line has a client
of its own that needs no event loop (`tui_app.client.local`).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import msgspec

from engines.errors import TaskdeckError
from engines.model import Action, Actor, Json, Outcome, Stats, SubmitOptions, TaskDetail, TaskEvent, TaskView, Totals
from engines.names import display
from engines.paths import to_uri
from engines.query import Page, Query
from engines.tasks.api import Watch, Watcher
from tui_app import wire
from tui_app.client.address import Address
from tui_app.client.live import Live
from tui_app.client.pool import Pool
from tui_app.client.websocket import WebSocket

T = TypeVar("T")
_LIVE: Final = "/ws/dashboard"


class TaskClient:
    """A `Tasks` over HTTP and WebSocket.

    Args:
        socket: Unix socket of a daemon on this machine.
        url: Or the address of one elsewhere ("https://host:8000"), with its `token`.
        face: What the daemon records as the face of every request.
        on_state: Called with True when the live connection stands, False when it is lost.
        reconnect: Whether watches wait for the daemon to come back; else they end with `daemon.absent`.

    Raises:
        TaskdeckError: `usage` for a URL, `access.login` for a token that cannot be one.

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
        self._address = Address(path=socket) if url is None else Address.parse(url)
        self._headers = {
            wire.PROTOCOL_HEADER: str(wire.PROTOCOL),
            wire.VERSION_HEADER: wire.program_version(),
            wire.FACE_HEADER: face,
        }
        if token:
            self._headers["Authorization"] = f"Bearer {_checked(token)}"
        self._pool = Pool(self._address, self._headers)
        self._live = Live(self._open_live, on_state or _nobody, self._absent, reconnect=reconnect)

    @property
    def where(self) -> str:
        """The daemon's address, for display."""
        return self._address.shown

    async def __aenter__(self) -> TaskClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all watches and connections."""
        await self._live.close()
        await self._pool.close()

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
        key = options.key or f"client-{uuid.uuid4()}"
        return await self._call("POST", "/api/v1/tasks", TaskView, body=body, key=key)

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
        return await self._call("GET", "/api/v1/tasks", Page, query=_parameters(query))

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
        return await self._live.open(watch)

    async def files(self, path: str, *, base: str | None = None, prefix: str = "") -> wire.FilesPage:
        """The content of a folder of the daemon's machine inside its roots, of names that begin with `prefix`."""
        query: dict[str, Any] = {"path": to_uri(path)}
        if prefix and display(prefix) == prefix:  # others are not worth a parameter: they are found among the rest
            query["prefix"] = prefix
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

    async def _open_live(self) -> WebSocket:
        return await WebSocket.connect(self._address, _LIVE, self._headers, protocol=wire.SUBPROTOCOL)

    def _absent(self, why: str) -> TaskdeckError:
        """The error for a daemon that does not answer."""
        local = self._address.path is not None
        fix = "start it with `taskdeck serve`" if local else "see whether it runs there with web.enabled"
        return TaskdeckError("daemon.absent", f"cannot reach the daemon at {self.where}", why, fix)

    async def _call(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        key: str = "",
    ) -> T:
        """One request, its answer decoded. With a `key` the daemon does the same request once only."""
        route = f"{path}?{urlencode({name: str(value) for name, value in query.items()})}" if query else path
        try:
            answer = await self._pool.request(
                method,
                route,
                body=None if body is None else msgspec.json.encode(body),
                headers={"Idempotency-Key": key} if key else {},
                repeatable=method == "GET" or bool(key),
            )
        except TimeoutError:
            raise self._absent("it did not answer in time") from None
        except OSError as error:
            raise self._absent(_reason(error)) from None
        wire.check_protocol(answer.headers)
        if not 200 <= answer.status < 300:
            raise wire.problem_error(answer.status, answer.body)
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except msgspec.MsgspecError as error:
            raise TaskdeckError("daemon.version", "cannot understand the daemon's answer", str(error)) from None


def _parameters(query: Query) -> dict[str, str | int]:
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


def _reason(error: OSError) -> str:
    refused = getattr(error, "verify_message", "")  # of a certificate
    if refused:
        return f"its certificate is not trusted ({refused})"
    if said := getattr(error, "reason", ""):  # of TLS
        return str(said).replace("_", " ").lower()
    if (error.strerror or "").startswith("Connect call failed"):  # asyncio's words for every cause
        return os.strerror(error.errno or 0)
    return error.strerror or str(error) or type(error).__name__


def _checked(token: str) -> str:
    """A token that can stand in a header.

    Raises:
        TaskdeckError: `access.login` when it cannot be one.
    """
    if not (token.isascii() and token.isprintable() and " " not in token):
        raise TaskdeckError("access.login", "cannot use the token", "it has characters that no token has")
    return token


def _nobody(_up: bool) -> None:
    """Nobody asked for the state of the connection."""
