"""The history as a file: JSON or CSV, streamed page by page."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from aiohttp import web

from engines.errors import TaskdeckError
from engines.model import TaskView
from engines.names import display
from engines.query import Query, Sort, parse_filter
from engines.tasks import walk
from tui_app.web.bodies import text
from tui_app.web.context import DECK
from tui_app.web.guide import timestamp

COLUMNS: Final = (
    "id",
    "operation",
    "title",
    "state",
    "created",
    "started",
    "finished",
    "seconds",
    "done",
    "total",
    "unit",
    "owner",
    "face",
    "output",
    "error_code",
    "error",
)


async def history(request: web.Request) -> web.StreamResponse:
    """GET /api/v1/history."""
    form = text(request, "format", "json")
    if form not in ("json", "csv"):
        raise TaskdeckError("value", f"cannot export as '{display(form, limit=40)}'", "known are json and csv")
    wanted = f"{text(request, 'filter')} status:ended".strip()
    parse_filter(wanted)  # before the first byte goes out
    kind = "text/csv" if form == "csv" else "application/json"
    response = web.StreamResponse(
        headers={
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Disposition": f'attachment; filename="taskdeck-history.{form}"',
        }
    )
    await response.prepare(request)
    found = walk.pages(request.app[DECK].tasks, Query(filter=wanted, sort=Sort.CREATED, reverse=True))
    async for block in (_csv if form == "csv" else _json)(found):
        await response.write(block)
    await response.write_eof()
    return response


async def _json(pages: AsyncIterator[list[TaskView]]) -> AsyncIterator[bytes]:
    separator = b"[\n"
    async for page in pages:
        for view in page:
            yield separator + msgspec.json.encode(view)
            separator = b",\n"
    yield b"[]\n" if separator == b"[\n" else b"\n]\n"


async def _csv(pages: AsyncIterator[list[TaskView]]) -> AsyncIterator[bytes]:
    yield csv_block([list(COLUMNS)])
    async for page in pages:
        yield csv_block([row(view) for view in page])


def row(view: TaskView) -> list[str]:
    """A task as cells."""
    seconds = f"{view.finished - view.started:.2f}" if view.finished and view.started else ""
    moments = ["" if at is None else timestamp(at) for at in (view.created, view.started, view.finished)]
    return [
        view.id,
        view.op,
        view.title,
        view.state.value,
        *moments,
        seconds,
        str(view.done),
        "" if view.total is None else str(view.total),
        view.unit,
        view.owner,
        view.face,
        view.output,
        view.error.code if view.error else "",
        view.error.message if view.error else "",
    ]


def csv_block(rows: list[list[str]]) -> bytes:
    """Rows as CSV (RFC 4180). A cell that a spreadsheet would run as a formula gets an apostrophe before it."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    for cells in rows:
        writer.writerow([f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell for cell in cells])
    return stream.getvalue().encode("utf-8", "replace")
