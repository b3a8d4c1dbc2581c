"""GET /api/v1/statistics: what was done in the last days, by day and by operation, for the charts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Final

import msgspec
from aiohttp import web

from engines.model import TaskState, TaskView
from engines.query import Query, Sort
from engines.tasks import walk
from engines.tasks.api import Tasks
from tui_app.web.bodies import integer
from tui_app.web.context import DECK
from tui_app.web.problem import json_response

MOST_DAYS: Final = 366
_DAY: Final = 86_400


class Day(msgspec.Struct):
    """One day of the server's calendar."""

    day: str
    """ISO date."""
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    bytes: int = 0
    """Bytes that completed tasks worked through."""


class Operated(msgspec.Struct):
    """One operation over all the days."""

    op: str
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    bytes: int = 0
    seconds: float = 0.0
    """Time completed tasks took."""


class Statistics(msgspec.Struct, frozen=True):
    """The last days, oldest first, and the operations, most used first."""

    days: list[Day]
    operations: list[Operated]


async def statistics(request: web.Request) -> web.Response:
    """GET /api/v1/statistics."""
    count = integer(request, "days", 30, low=1, high=MOST_DAYS)
    return json_response(await summary(request.app[DECK].tasks, days=count, now=time.time()))


async def summary(tasks: Tasks, *, days: int, now: float) -> Statistics:
    """Add up the tasks that ended in the last `days` days, today included."""
    today = date.fromtimestamp(now)  # days are counted by the calendar: some have 23 hours, some 25
    by_day = {name: Day(name) for name in (str(today - timedelta(age)) for age in range(days - 1, -1, -1))}
    by_op: dict[str, Operated] = {}
    async for view in _ended(tasks, now - (days + 1) * _DAY):
        day = by_day.get(_date(view.finished or view.created))
        if day is None:
            continue
        operated = by_op.setdefault(view.op, Operated(view.op))
        for found in (day, operated):
            setattr(found, view.state.value, getattr(found, view.state.value) + 1)
        if view.state is TaskState.COMPLETED:
            counted = (view.total or view.done) if view.unit == "bytes" else 0
            day.bytes += counted
            operated.bytes += counted
            if view.started and view.finished:
                operated.seconds += view.finished - view.started
    ordered = sorted(by_op.values(), key=lambda item: -(item.completed + item.failed + item.cancelled))
    return Statistics(list(by_day.values()), ordered)


async def _ended(tasks: Tasks, since: float) -> AsyncIterator[TaskView]:
    """Tasks that ended after a moment, newest first."""
    async for page in walk.pages(tasks, Query(filter="status:ended", sort=Sort.FINISHED)):
        for view in page:
            if (view.finished or view.created) < since:
                return
            yield view
        await asyncio.sleep(0)


def _date(at: float) -> str:
    return str(date.fromtimestamp(at))
