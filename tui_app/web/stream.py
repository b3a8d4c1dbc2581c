"""Server-sent events of one task: `Last-Event-ID` resumes, a comment every 15 s keeps proxies patient."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from engines.model import TaskView
from engines.query import Query
from engines.tasks.api import Update, Watch
from tui_app.web.context import DECK, Deck
from tui_app.web.guide import task_status

_ENCODER: Final = msgspec.json.Encoder()
_PING: Final = 15.0


async def guide_stream(request: web.Request) -> web.StreamResponse:
    """GET /api/stream/{id}: the guide's `task_status` messages, at most one a second."""
    return await _stream(request, task_status, "task_status", 1.0)


async def native_stream(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/stream/{id}: whole `TaskView`s, up to four a second."""
    return await _stream(request, lambda view: view, "task", 4.0)


async def _stream(request: web.Request, form: Callable[[TaskView], Any], event: str, hz: float) -> web.StreamResponse:
    deck = request.app[DECK]
    first = await deck.tasks.view(request.match_info["id"])
    given = request.headers.get("Last-Event-ID", "")
    seen = int(given) if given.isascii() and given.isdigit() and len(given) < 20 else -1
    if first.terminal and first.rev <= seen:
        return web.Response(status=204)  # the one answer after which browsers do not ask again (WHATWG HTML, 9.2.3)
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream; charset=utf-8",
            "X-Accel-Buffering": "no",
            "Cache-Control": "no-store",
        }
    )
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        await response.write(b"retry: 3000\n\n")
        async for view in _views(deck, first, hz):
            if view is None:
                await response.write(b": still here\n\n")
            elif view.rev > seen:
                data = _ENCODER.encode(form(view))
                await response.write(b"id: %d\nevent: %s\ndata: %s\n\n" % (view.rev, event.encode(), data))
        await response.write_eof()
    return response


async def _views(deck: Deck, first: TaskView, hz: float) -> AsyncIterator[TaskView | None]:
    """The task now and after each change until it has ended or we stop; None when nothing happened for long."""
    yield first
    if first.terminal:
        return
    watcher = await deck.tasks.watch(Watch(Query(filter=f"id:{first.id}", limit=1), hz=hz, stats=False))
    updates = aiter(watcher)
    stopping = asyncio.create_task(deck.closing.wait())
    coming: asyncio.Future[Update] | None = None
    view = first
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(updates))
            both: set[asyncio.Future[Any]] = {coming, stopping}
            done, _ = await asyncio.wait(both, timeout=_PING, return_when=asyncio.FIRST_COMPLETED)
            if stopping in done:
                return
            if coming not in done:
                yield None
                continue
            try:
                changed = _applied(view, coming.result())
            except StopAsyncIteration:
                return
            coming = None
            if changed is not None and changed.rev > view.rev:
                view = changed
                yield view
                if view.terminal:
                    return
    finally:
        stopping.cancel()
        if coming is not None:
            coming.cancel()
        await watcher.close()


def _applied(view: TaskView, update: Update) -> TaskView | None:
    found: TaskView | None = None
    for row in (*update.rows, *update.ended):
        if row.id == view.id:
            found = row
    for tick in update.ticks:
        if tick.id == view.id:
            found = tick.over(found or view)
    return found
