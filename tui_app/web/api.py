"""The routes: one table from which the server's router and the OpenAPI document are made.

Handlers speak to the engine through the `Tasks` protocol alone. The seed guide's routes are among them, with
the guide's formats; `/api/v1` has ours.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web

from engines.errors import TaskdeckError
from engines.model import Action, Stats, TaskDetail, TaskEvent, TaskState, TaskView, Totals, guide_status
from engines.paths import from_uri
from engines.query import MAX_LIMIT, Page, Query, Sort
from engines.tasks import walk
from tui_app import wire
from tui_app.web import guide, pages, signin, transfer
from tui_app.web.access import Scope, TokenRequest
from tui_app.web.audit import AuditEntry
from tui_app.web.bodies import integer, query_of, read_body, whole
from tui_app.web.context import DECK, caller, outer
from tui_app.web.export import history
from tui_app.web.files import files
from tui_app.web.live import websocket
from tui_app.web.look import look, totals
from tui_app.web.metrics import metrics
from tui_app.web.problem import json_response
from tui_app.web.statistics import MOST_DAYS, Statistics, statistics
from tui_app.web.stream import guide_stream, native_stream
from tui_app.web.table import operations

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LONGEST_WAIT: Final = 55
_KEY_LIMIT: Final = 200


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter in the URL's query or among the headers, for the OpenAPI document."""

    name: str
    schema: dict[str, Any]
    help: str
    place: str = "query"


@dataclass(frozen=True, slots=True)
class Route:
    """One address: who answers, what goes in, what comes out.

    Attributes:
        answer: Struct of a successful JSON answer, or a media type for anything else.
        errors: Error statuses beside those any route may give.
        scope: What a login needs over TCP; "" means `read` to look and `control` to change.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answer: Any = "application/json"
    body: Any = None
    parameters: tuple[Parameter, ...] = ()
    status: int = 200
    errors: tuple[int, ...] = ()
    scope: str = ""
    events: tuple[str, Any] | None = None
    """Of a stream of server-sent events: their name, and the Struct in their `data`."""

    @property
    def needs(self) -> Scope:
        """The scope a login needs."""
        return Scope(self.scope or (Scope.READ if self.method == "GET" else Scope.CONTROL))


async def hello(request: web.Request) -> web.Response:
    """GET /api/v1/hello."""
    deck = request.app[DECK]
    rev = (await deck.tasks.query(Query(limit=1))).rev
    return json_response(
        wire.Hello(
            wire.program_version(),
            wire.PROTOCOL,
            os.getpid(),
            deck.started,
            rev,
            url=deck.url,
            chat=deck.chat(),
            build=wire.build(),
        )
    )


async def create(request: web.Request) -> web.Response:
    """POST /api/v1/tasks."""
    body = await read_body(request, wire.CreateRequest)
    options = body.options
    key = request.headers.get("Idempotency-Key")
    if key is not None:
        if not 1 <= len(key) <= _KEY_LIMIT or not key.isprintable():  # bytes that are no UTF-8 are not printable
            why = f"it must have 1 to {_KEY_LIMIT} printable characters"
            raise TaskdeckError("value", "cannot use the Idempotency-Key", why)
        options = msgspec.structs.replace(options, key=key)
    base = None if body.base is None else from_uri(body.base)
    if base is not None and not (os.path.isabs(base) and os.path.isdir(base)):  # noqa: ASYNC240 - one stat
        raise TaskdeckError("path.missing", "cannot use the base folder", "it is not the absolute path of a folder")
    view = await request.app[DECK].tasks.submit(
        whole(body.operation), actor=caller(request).actor, options=options, base=base
    )
    return json_response(view, status=201, headers={"Location": outer(request, f"/api/v1/tasks/{view.id}")})


async def list_tasks(request: web.Request) -> web.Response:
    """GET /api/v1/tasks."""
    query = query_of(request)
    page = await request.app[DECK].tasks.query(query)
    return json_response(page, headers=_next(request, query, page))


def _next(request: web.Request, query: Query, page: Page) -> dict[str, str] | None:
    """The Link header (RFC 8288) of the next page: in the way this one was asked for, by cursor unless by offset."""
    if page.next_cursor is None:
        return None
    if "offset" in request.query:
        link = request.rel_url.update_query(offset=str(query.offset + len(page.items)))
    else:
        link = request.rel_url.update_query(cursor=page.next_cursor)
    return {"Link": f'<{outer(request, str(link))}>; rel="next"'}


async def detail(request: web.Request) -> web.Response:
    """GET /api/v1/tasks/{id}."""
    lines = integer(request, "log_lines", 100, high=10_000)
    return json_response(await request.app[DECK].tasks.detail(_id(request), log_lines=lines))


async def view(request: web.Request) -> web.Response:
    """GET /api/v1/tasks/{id}/view."""
    return json_response(await request.app[DECK].tasks.view(_id(request)))


async def wait(request: web.Request) -> web.Response:
    """GET /api/v1/tasks/{id}/wait: the task when it has ended, or as it is after `timeout` seconds."""
    deck = request.app[DECK]
    seconds = integer(request, "timeout", 20, high=_LONGEST_WAIT)
    found = await deck.tasks.view(_id(request))
    if found.terminal:
        return json_response(found)
    ending = asyncio.create_task(deck.tasks.wait(found.id))
    stopping = asyncio.create_task(deck.closing.wait())
    try:
        await asyncio.wait({ending, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return json_response(ending.result() if ending.done() else await deck.tasks.view(found.id))
    finally:
        ending.cancel()
        stopping.cancel()


async def log(request: web.Request) -> web.Response:
    """GET /api/v1/tasks/{id}/log."""
    after, lines = await request.app[DECK].tasks.log(_id(request), after=integer(request, "after", 0))
    return json_response(wire.LogPage(after, lines))


async def events(request: web.Request) -> web.Response:
    """GET /api/v1/events and /api/v1/tasks/{id}/events."""
    task_id = request.match_info.get("id")
    if task_id is not None:
        task_id = (await request.app[DECK].tasks.view(task_id)).id
    found = await request.app[DECK].tasks.events(
        after=integer(request, "after", 0), task_id=task_id, limit=integer(request, "limit", 1000, low=1, high=10_000)
    )
    return json_response(found)


async def result(request: web.Request) -> web.Response:
    """GET /api/v1/tasks/{id}/result."""
    found = await request.app[DECK].tasks.detail(_id(request), log_lines=0)
    if found.view.error is not None and found.view.state is TaskState.FAILED:
        raise TaskdeckError.from_info(found.view.error)
    if found.result is None:
        raise TaskdeckError("task.state", f"cannot give the result of {found.view.id}", f"it is {found.view.state}")
    return json_response({"id": found.view.id, "op": found.view.op, "result": found.result, "reply": found.reply})


async def control(request: web.Request) -> web.Response:
    """POST /api/v1/tasks/{id}/control."""
    body = await read_body(request, wire.ControlRequest)
    return json_response(await _control(request, _id(request), body))


async def guide_control(request: web.Request) -> web.Response:
    """POST /api/tasks/{id}/control and POST /api/control, answered in the guide's form."""
    body: wire.ControlRequest
    if "id" in request.match_info:
        body = await read_body(request, wire.ControlRequest)
        task_id = _id(request)
    else:
        body = named = await read_body(request, wire.NamedControlRequest)
        task_id = named.task_id
    found = await _control(request, task_id, body)
    answer = {
        "success": True,
        "task_id": found.id,
        "action": body.action.value,
        "status": guide_status(found),
        "timestamp": guide.timestamp(),
    }
    return json_response(answer)


async def _control(request: web.Request, task_id: str, body: wire.ControlRequest) -> TaskView:
    outcomes = await request.app[DECK].tasks.control(
        [task_id], body.action, actor=caller(request).actor, until=body.until
    )
    outcome = outcomes[0]
    if outcome.error is not None:
        raise TaskdeckError.from_info(outcome.error)
    if outcome.view is None:
        raise TaskdeckError("task.missing", f"cannot show task {task_id}", "it was removed")
    return outcome.view


async def remove(request: web.Request) -> web.Response:
    """DELETE /api/v1/tasks/{id}."""
    outcome = (await request.app[DECK].tasks.control([_id(request)], Action.REMOVE, actor=caller(request).actor))[0]
    if outcome.error is not None:
        raise TaskdeckError.from_info(outcome.error)
    return web.Response(status=204)


async def bulk(request: web.Request) -> web.Response:
    """POST /api/v1/tasks/bulk: 200 with one outcome a task, failures among them; ids and filter narrow each other."""
    tasks = request.app[DECK].tasks
    body = await read_body(request, wire.BulkRequest)
    ids = list(body.ids)
    if body.filter is not None:
        found = walk.pages(tasks, Query(filter=body.filter, sort=Sort.CREATED))
        matching = [item.id async for page in found for item in page]
        ids = [item for item in matching if item in set(ids)] if ids else matching
    outcomes = await tasks.control(ids, body.action, actor=caller(request).actor, until=body.until)
    return json_response(wire.BulkResponse(outcomes))


async def control_all(request: web.Request) -> web.Response:
    """POST /api/v1/control_all."""
    body = await read_body(request, wire.ControlAllRequest)
    stats = await request.app[DECK].tasks.control_all(
        Action(body.action), actor=caller(request).actor, finish_current=body.finish_current
    )
    return json_response(stats)


async def reorder(request: web.Request) -> web.Response:
    """POST /api/v1/tasks/{id}/reorder."""
    body = await read_body(request, wire.ReorderRequest)
    found = await request.app[DECK].tasks.reorder(
        _id(request), actor=caller(request).actor, priority=body.priority, move=body.move
    )
    return json_response(found)


async def repeat(request: web.Request) -> web.Response:
    """POST /api/v1/tasks/{id}/repeat."""
    view = await request.app[DECK].tasks.repeat(_id(request), actor=caller(request).actor)
    return json_response(view, status=201)


async def unlock(request: web.Request) -> web.Response:
    """POST /api/v1/tasks/{id}/unlock."""
    body = await read_body(request, wire.UnlockRequest)
    return json_response(await request.app[DECK].tasks.unlock(_id(request), body.secrets, actor=caller(request).actor))


async def stats(request: web.Request) -> web.Response:
    """GET /api/v1/stats."""
    return json_response(await request.app[DECK].tasks.stats())


async def stop(request: web.Request) -> web.Response:
    """POST /api/v1/stop, for the user on this machine only."""
    if not caller(request).local:
        raise TaskdeckError("access.denied", "cannot stop the daemon from afar", "", "use `taskdeck stop` there")
    body = await read_body(request, wire.StopRequest)
    request.app[DECK].stop(body.drain)
    return json_response({"stopping": True, "drain": body.drain}, status=202)


async def reload(request: web.Request) -> web.Response:
    """POST /api/v1/reload: read the settings again."""
    if not caller(request).local:
        raise TaskdeckError("access.denied", "cannot change the settings from afar")
    request.app[DECK].reload()
    return json_response({"reloaded": True})


async def guide_tasks(request: web.Request) -> web.Response:
    """GET /api/tasks in the guide's form."""
    query = query_of(request, limit=100)
    page = await request.app[DECK].tasks.query(query)
    tasks = [guide.task_object(item) for item in page.items]
    answer = guide.TaskList(tasks, page.total, guide.timestamp())
    return json_response(answer, headers=_next(request, query, page))


async def guide_task(request: web.Request) -> web.Response:
    """GET /api/tasks/{id} in the guide's form."""
    return json_response(guide.task_object(await request.app[DECK].tasks.view(_id(request))))


async def guide_stats(request: web.Request) -> web.Response:
    """GET /api/stats in the guide's form."""
    found = guide.stats_data(await request.app[DECK].tasks.stats())
    return json_response(guide.StatsAnswer(**msgspec.structs.asdict(found), timestamp=guide.timestamp()))


async def healthz(request: web.Request) -> web.Response:
    """GET /healthz: the process answers, and in one word how the Telegram bot is."""
    return json_response({"status": "ok", "telegram": request.app[DECK].chat().split(" ")[0]})


async def readyz(request: web.Request) -> web.Response:
    """GET /readyz: tasks are accepted."""
    deck = request.app[DECK]
    ready = deck.ready and not deck.closing.is_set()
    return json_response({"status": "ready" if ready else "not ready"}, status=200 if ready else 503)


async def openapi(request: web.Request) -> web.Response:
    """GET /openapi.json."""
    from tui_app.web.openapi import document

    return json_response(document(ROUTES, server=request.app[DECK].settings.web.url_prefix or "/"))


def _id(request: web.Request) -> str:
    return str(request.match_info["id"])


_WINDOW: Final = (
    Parameter("filter", {"type": "string", "maxLength": 1000}, "Such as `status:failed kind:zip since:1d holiday`."),
    Parameter("sort", {"$ref": "#/components/schemas/Sort"}, "Order of the list."),
    Parameter("reverse", {"type": "string", "enum": ["0", "1", "true", "false"]}, "Turn the order round."),
    Parameter("cursor", {"type": "string", "maxLength": 8192}, "The `next_cursor` of the page before; opaque."),
    Parameter("offset", {"type": "integer", "minimum": 0, "maximum": 2**53}, "First task; instead of a cursor."),
    Parameter("limit", {"type": "integer", "minimum": 0, "maximum": MAX_LIMIT}, "Tasks in the window at most."),
)
_AFTER: Final = Parameter("after", {"type": "integer", "minimum": 0, "maximum": 2**53}, "What was already seen.")
_EVENT_LIMIT: Final = Parameter("limit", {"type": "integer", "minimum": 1, "maximum": 10_000}, "Events at most.")

_LAST_EVENT: Final = Parameter(
    "Last-Event-ID", {"type": "string", "maxLength": 20}, "The `id` of the last event that arrived.", "header"
)

_ONE_TASK: Final = "/api/v1/tasks/{id:(?!bulk$)[^/]+}"

ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/", pages.root, "Leads to the dashboard.", "text/html", status=303),
    Route("GET", "/dashboard", pages.dashboard, "The dashboard page.", "text/html"),
    Route("GET", "/login", pages.login, "The page to sign in on.", "text/html"),
    Route("GET", "/offline", pages.offline, "What the installed page shows without a server.", "text/html"),
    Route("GET", "/sw.js", pages.service_worker, "The service worker of the page.", "text/javascript"),
    Route("GET", "/app.webmanifest", pages.manifest, "What makes the page installable.", "application/manifest+json"),
    Route(
        "GET",
        "/static/{version}/{name:[A-Za-z0-9_.-]+}",
        pages.static,
        "Files of the page.",
        "text/javascript",
        errors=(404,),
    ),
    Route(
        "POST",
        "/auth/login",
        signin.login,
        "Sign in with a one-time code or a token; sets the session cookie.",
        None,
        signin.LoginRequest,
        status=204,
        errors=(429,),
    ),
    Route("POST", "/auth/logout", signin.logout, "Sign out.", None, status=204, scope="read"),
    Route("GET", "/api/v1/session", signin.session, "Who this request comes from.", signin.SessionInfo),
    Route(
        "GET",
        "/api/v1/sessions",
        signin.sessions,
        "Browsers that are signed in.",
        list[signin.SessionInfo],
        scope="admin",
    ),
    Route(
        "DELETE",
        "/api/v1/sessions/{id}",
        signin.end_session,
        "Sign a browser out.",
        None,
        status=204,
        errors=(404,),
        scope="admin",
    ),
    Route(
        "GET",
        "/api/v1/tokens",
        signin.tokens,
        "Tokens of programs, without their secrets.",
        list[signin.TokenInfo],
        scope="admin",
    ),
    Route(
        "POST",
        "/api/v1/tokens",
        signin.make_token,
        "Make a token; only this answer holds its text.",
        signin.TokenInfo,
        TokenRequest,
        status=201,
        scope="admin",
    ),
    Route(
        "DELETE",
        "/api/v1/tokens/{id}",
        signin.revoke_token,
        "Revoke a token and the sessions opened with it.",
        None,
        status=204,
        errors=(404,),
        scope="admin",
    ),
    Route(
        "POST",
        "/api/v1/login_links",
        signin.make_link,
        "A link that signs one browser in, once.",
        signin.LoginLink,
        signin.LinkRequest,
        status=201,
        scope="admin",
    ),
    Route(
        "GET",
        "/api/v1/audit",
        signin.audit,
        "The newest entries of the access log.",
        list[AuditEntry],
        scope="admin",
        parameters=(Parameter("limit", {"type": "integer", "minimum": 1, "maximum": signin.AUDIT_LIMIT}, "Entries."),),
    ),
    Route(
        "GET",
        "/ws/dashboard",
        websocket,
        "Live messages (WebSocket); `x-websocket` names them by subprotocol.",
        None,
        status=101,
        errors=(426,),
        parameters=(
            Parameter(
                "Sec-WebSocket-Protocol",
                {"type": "string", "enum": [wire.SUBPROTOCOL]},
                "Without it the server sends the guide's messages.",
                "header",
            ),
        ),
    ),
    Route(
        "GET",
        "/api/tasks",
        guide_tasks,
        "Tasks in the guide's form.",
        guide.TaskList,
        parameters=_WINDOW,
        errors=(404,),
    ),
    Route("GET", "/api/tasks/{id}", guide_task, "One task in the guide's form.", guide.TaskObject, errors=(404, 409)),
    Route(
        "POST",
        "/api/tasks/{id}/control",
        guide_control,
        "Pause, resume or cancel.",
        dict[str, Any],
        wire.ControlRequest,
        errors=(404, 409),
    ),
    Route(
        "POST",
        "/api/control",
        guide_control,
        "The same with task_id in the body.",
        dict[str, Any],
        wire.NamedControlRequest,
        errors=(404, 409),
    ),
    Route("GET", "/api/stats", guide_stats, "Statistics in the guide's form.", guide.StatsAnswer),
    Route(
        "GET",
        "/api/stream/{id}",
        guide_stream,
        "One task live (SSE), guide's form.",
        "text/event-stream",
        errors=(404, 409),
        parameters=(_LAST_EVENT,),
        events=("task_status", guide.TaskStatus),
    ),
    Route("GET", "/api/v1/hello", hello, "Version and protocol of the daemon.", wire.Hello),
    Route("GET", "/api/v1/tasks", list_tasks, "A page of the list of tasks.", Page, parameters=_WINDOW, errors=(404,)),
    Route(
        "POST",
        "/api/v1/tasks",
        create,
        "Queue an operation; an Idempotency-Key header makes it safe to repeat.",
        TaskView,
        wire.CreateRequest,
        status=201,
        errors=(403, 404, 409, 507),
        parameters=(
            Parameter(
                "Idempotency-Key",
                {"type": "string", "minLength": 1, "maxLength": _KEY_LIMIT, "pattern": "^[!-~]+$"},
                "The same key with the same body gives the same task.",
                "header",
            ),
        ),
    ),
    Route("POST", "/api/v1/tasks/bulk", bulk, "Act on many tasks.", wire.BulkResponse, wire.BulkRequest),
    Route(
        "GET",
        _ONE_TASK,
        detail,
        "Everything about a task.",
        TaskDetail,
        errors=(404, 409),
        parameters=(Parameter("log_lines", {"type": "integer", "minimum": 0, "maximum": 10_000}, "Last log lines."),),
    ),
    Route("DELETE", _ONE_TASK, remove, "Remove an ended task.", None, status=204, errors=(404, 409)),
    Route("GET", "/api/v1/tasks/{id}/view", view, "A task as lists show it.", TaskView, errors=(404, 409)),
    Route(
        "GET",
        "/api/v1/tasks/{id}/wait",
        wait,
        "The task once it ended, or as it is when the time is up.",
        TaskView,
        errors=(404, 409),
        parameters=(Parameter("timeout", {"type": "integer", "minimum": 0, "maximum": _LONGEST_WAIT}, "Seconds."),),
    ),
    Route("GET", "/api/v1/tasks/{id}/log", log, "Log lines.", wire.LogPage, parameters=(_AFTER,), errors=(404, 409)),
    Route(
        "GET",
        "/api/v1/tasks/{id}/events",
        events,
        "What was asked of a task, by whom, when.",
        list[TaskEvent],
        parameters=(_AFTER, _EVENT_LIMIT),
        errors=(404, 409),
    ),
    Route(
        "GET",
        "/api/v1/tasks/{id}/result",
        result,
        "The result of a completed task.",
        dict[str, Any],
        errors=(403, 404, 409),
    ),
    Route(
        "GET",
        "/api/v1/tasks/{id}/output",
        transfer.output,
        "The file a completed task made; Range requests resume.",
        "application/octet-stream",
        errors=(403, 404, 409, 416),
    ),
    Route(
        "POST",
        "/api/v1/uploads",
        transfer.upload,
        "Send a file to work on; the body is its content.",
        transfer.Uploaded,
        "application/octet-stream",
        status=201,
        errors=(507,),
        parameters=(Parameter("name", {"type": "string", "minLength": 1, "maxLength": 1000}, "The file's name."),),
    ),
    Route(
        "POST",
        "/api/v1/tasks/{id}/control",
        control,
        "Pause, resume, cancel, retry or remove.",
        TaskView,
        wire.ControlRequest,
        errors=(404, 409),
    ),
    Route(
        "POST",
        "/api/v1/tasks/{id}/reorder",
        reorder,
        "Change priority or place.",
        TaskView,
        wire.ReorderRequest,
        errors=(404, 409),
    ),
    Route(
        "POST", "/api/v1/tasks/{id}/repeat", repeat, "Queue its operation again.", TaskView, status=201, errors=(404,)
    ),
    Route(
        "POST", "/api/v1/tasks/{id}/unlock", unlock, "Give a password.", TaskView, wire.UnlockRequest, errors=(404, 409)
    ),
    Route("POST", "/api/v1/control_all", control_all, "Pause or resume everything.", Stats, wire.ControlAllRequest),
    Route("GET", "/api/v1/stats", stats, "Counts, totals and the machine.", Stats),
    Route("GET", "/api/v1/events", events, "Recorded transitions.", list[TaskEvent], parameters=(_AFTER, _EVENT_LIMIT)),
    Route(
        "GET",
        "/api/v1/stream/{id}",
        native_stream,
        "One task live (SSE).",
        "text/event-stream",
        errors=(404, 409),
        parameters=(_LAST_EVENT,),
        events=("task", TaskView),
    ),
    Route(
        "GET",
        "/api/v1/history",
        history,
        "Ended tasks as a file.",
        "application/json, text/csv",
        parameters=(
            Parameter("format", {"type": "string", "enum": ["json", "csv"]}, "json (default) or csv."),
            Parameter("filter", {"type": "string", "maxLength": 1000}, "Beside `status:ended`."),
        ),
    ),
    Route(
        "GET",
        "/api/v1/statistics",
        statistics,
        "What was done in the last days, for charts.",
        Statistics,
        parameters=(
            Parameter("days", {"type": "integer", "minimum": 1, "maximum": MOST_DAYS}, "Days, today included."),
        ),
    ),
    Route(
        "GET",
        "/api/v1/totals",
        totals,
        "What ended tasks come to: counts, bytes, space saved, time.",
        Totals,
        parameters=(Parameter("filter", {"type": "string", "maxLength": 1000}, "Beside `status:ended`."),),
    ),
    Route(
        "POST",
        "/api/v1/look",
        look,
        "A quick question about files, answered without making a task.",
        wire.LookAnswer,
        wire.LookRequest,
        errors=(403, 404, 409, 504),
    ),
    Route("GET", "/api/v1/operations", operations, "The table of operations.", list[wire.OperationInfo]),
    Route(
        "GET",
        "/api/v1/files",
        files,
        "A folder inside the roots, for completion.",
        wire.FilesPage,
        errors=(403, 404),
        scope="control",
        parameters=(
            Parameter("path", {"type": "string", "maxLength": 4096}, "The folder; empty lists the roots."),
            Parameter(
                "base",
                {"type": "string", "maxLength": 1024},
                "Where a relative path starts; else the first root.",
            ),
            Parameter("prefix", {"type": "string", "maxLength": 255}, "Only names that start so."),
        ),
    ),
    Route(
        "POST",
        "/api/v1/stop",
        stop,
        "Stop the daemon.",
        dict[str, Any],
        wire.StopRequest,
        status=202,
        errors=(403,),
        scope="admin",
    ),
    Route("POST", "/api/v1/reload", reload, "Read the settings again.", dict[str, Any], errors=(403,), scope="admin"),
    Route("GET", "/openapi.json", openapi, "This document.", dict[str, Any]),
    Route("GET", "/healthz", healthz, "The process answers.", dict[str, Any]),
    Route("GET", "/readyz", readyz, "Tasks are accepted.", dict[str, Any], errors=(503,)),
    Route("GET", "/metrics", metrics, "Figures for Prometheus.", "text/plain"),
)
