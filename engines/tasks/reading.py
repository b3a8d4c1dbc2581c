"""Reading tasks: live ones from memory, ended ones from the store, and windows over both."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from bisect import bisect_left, bisect_right
from typing import Final

import msgspec

from engines import operations
from engines.errors import TaskdeckError
from engines.model import TERMINAL, Json, TaskDetail, TaskView
from engines.names import display
from engines.query import Filter, Page, Query, parse_filter
from engines.tasks import cursor, history, ids
from engines.tasks.board import Board
from engines.tasks.cursor import Cursor
from engines.tasks.store import Store

_PAGE_LIMIT: Final = 1000


class Reader:
    """Answers questions about tasks."""

    def __init__(self, store: Store, board: Board) -> None:
        self._store = store
        self._board = board
        self._counted: dict[Filter, tuple[int, int]] = {}
        """Ended tasks that match a filter, with the revision at which they were counted."""

    async def resolve(self, given: str) -> str:
        """The id that a prefix stands for."""
        prefix = given.strip().casefold()
        if prefix in self._board.records:
            return prefix
        found = await self._store.read(lambda c: history.ids_like(c, prefix)) if ids.is_id(prefix) else []
        if not found:
            raise TaskdeckError(
                "task.missing", f"cannot find task '{display(given, limit=50)}'", "no task has this id", "see `status`"
            )
        if len(found) > 1:
            listed = ", ".join(found[:5])
            raise TaskdeckError("task.ambiguous", f"cannot tell which task '{prefix}' is", f"it may be {listed}")
        return found[0]

    async def view(self, task_id: str) -> TaskView:
        if record := self._board.records.get(task_id):
            return record.view(time.monotonic())
        if recent := self._board.recent.get(task_id):
            return recent
        view = await self._store.read(lambda c: history.view(c, task_id))
        if view is None:
            raise history.removed(task_id)
        return msgspec.structs.replace(view, rev=self._board.ended_rev)

    async def detail(self, full: str, log_lines: int) -> TaskDetail:
        """Everything about one task."""
        view = await self.view(full)
        params, result, after = await self._store.read(lambda c: history.body(c, full))
        record = self._board.records.get(full)
        _, lines = await self.log(full, max(0, log_lines), 0)
        command, reply = "", ""
        with contextlib.suppress(TaskdeckError):  # an operation of another version: shown without its command
            op = operations.parse(params)
            command = display(operations.as_command(op))
            if result is not None and operations.spec_of(op).reply:
                reply = operations.reply(op, result).render(emoji=False)
        return TaskDetail(
            view=view,
            params=_displayed(params),
            command=command,
            result=result,
            reply=reply,
            events=await self._store.read(lambda c: history.events(c, 0, full, 200)),
            log=lines,
            after=after,
            history=list(record.meter.history) if record else [],
        )

    async def page(self, query: Query, now: float) -> Page:
        """The window that a query asks for by offset or by cursor; `now` is what ages in its filter count from.

        Raises:
            TaskdeckError: `value` for the filter, `query.cursor` for the cursor.
        """
        rev = self._board.rev
        if query.cursor:
            place = cursor.place(query)
            now = place.at
            views, total, more = await self._behind(query, parse_filter(query.filter, now=now), place)
        else:
            views, total = await self.window(query, parse_filter(query.filter, now=now))
            more = query.offset + len(views) < total
        following = cursor.behind(views[-1], query, now) if views and more else None
        return Page(views, total, query.offset, rev, following)

    async def _behind(self, query: Query, wanted: Filter, place: Cursor) -> tuple[list[TaskView], int, bool]:
        """The views behind a place, the number of all that match, and whether there are more."""
        limit = max(0, min(query.limit, _PAGE_LIMIT))
        try:
            if query.sort in history.LIVE_FIRST:
                found, total = await self._live_first_behind(query, wanted, place, limit + 1)
            else:
                found, total = await self._store.read(
                    lambda c: (
                        history.window(
                            c, wanted, query.sort, reverse=query.reverse, limit=limit + 1, ended=False, after=place.key
                        ),
                        self._count_all(c, wanted),
                    )
                )
        except (TypeError, ValueError):  # a key that somebody made up
            raise cursor.invalid("it is not one that this list gave") from None
        return self._alive(found[:limit]), total, len(found) > limit

    def _count_all(self, connection: sqlite3.Connection, wanted: Filter) -> int:
        return (
            sum(self._board.counts.values()) if wanted == Filter() else history.count(connection, wanted, ended=False)
        )

    def _alive(self, views: list[TaskView]) -> list[TaskView]:
        """Stored views with what memory knows better."""
        now = time.monotonic()
        live = self._board.records
        return [live[view.id].view(now) if view.id in live else self._stamped(view) for view in views]

    async def _live_first_behind(
        self, query: Query, wanted: Filter, place: Cursor, limit: int
    ) -> tuple[list[TaskView], int]:
        now = time.monotonic()
        keys = self._board.index(wanted, query.sort).ids(now)
        alive = len(keys)
        if place.live and keys and len(place.key) != len(keys[0]):
            raise ValueError("a key of another order")
        if not place.live:
            keys = keys[::-1] if query.reverse else []
        elif query.reverse:
            keys = keys[: bisect_left(keys, place.key)][::-1]
        else:
            keys = keys[bisect_right(keys, place.key) :]
        chosen = [str(key[-1]) for key in keys[:limit]]
        past: list[TaskView] = []
        if not (query.reverse and place.live):  # in reverse the ended ones come first
            past = await self._store.read(
                lambda c: history.window(
                    c,
                    wanted,
                    query.sort,
                    reverse=query.reverse,
                    limit=limit if query.reverse else limit - len(chosen),
                    ended=True,
                    after=None if place.live else place.key,
                )
            )
        views = [record.view(now) for task_id in chosen if (record := self._board.records.get(task_id))]
        past = [view for view in past if view.id not in self._board.records]
        return (past + views)[:limit] if query.reverse else views + past, alive + await self._matching_ended(wanted)

    async def window(self, query: Query, wanted: Filter) -> tuple[list[TaskView], int]:
        """A window's views and the number of tasks that match."""
        offset, limit = max(0, query.offset), max(0, min(query.limit, _PAGE_LIMIT))
        if query.sort in history.LIVE_FIRST:
            return await self._live_first(query, wanted, offset, limit)
        views, total = await self._store.read(
            lambda c: (
                history.window(c, wanted, query.sort, reverse=query.reverse, offset=offset, limit=limit, ended=False),
                self._count_all(c, wanted),
            )
        )
        return self._alive(views), total

    async def _matching_ended(self, wanted: Filter) -> int:
        """Ended tasks that match; counted once as long as none ends, since it may have to read them all."""
        if wanted == Filter():
            return sum(self._board.counts[state] for state in TERMINAL)
        if wanted.states and not wanted.states & TERMINAL:
            return 0
        rev, number = self._counted.get(wanted, (-1, 0))
        if rev != self._board.ended_rev:
            rev = self._board.ended_rev
            number = await self._store.read(lambda c: history.count(c, wanted, ended=True))
            if len(self._counted) > 32:
                self._counted.clear()
            self._counted[wanted] = (rev, number)
        return number

    async def _live_first(self, query: Query, wanted: Filter, offset: int, limit: int) -> tuple[list[TaskView], int]:
        now = time.monotonic()
        keys = self._board.index(wanted, query.sort).ids(now)
        alive = len(keys)
        ended = await self._matching_ended(wanted)
        # In reverse the ended ones come first, the oldest of them at the top.
        first_live = ended if query.reverse else 0
        ordered = keys[::-1] if query.reverse and offset + limit > ended else keys
        low, high = max(0, offset - first_live), max(0, offset + limit - first_live)
        chosen = [str(key[-1]) for key in ordered[low:high]]
        first_ended = 0 if query.reverse else alive
        start, stop = max(0, offset - first_ended), min(ended, max(0, offset + limit - first_ended))
        past: list[TaskView] = []
        if stop > start:
            past = await self._store.read(
                lambda c: history.window(
                    c, wanted, query.sort, reverse=query.reverse, offset=start, limit=stop - start, ended=True
                )
            )
        views = [record.view(now) for task_id in chosen if (record := self._board.records.get(task_id))]
        stamped = [self._stamped(view) for view in past if view.id not in self._board.records]
        return (stamped + views if query.reverse else views + stamped), alive + ended

    def _stamped(self, view: TaskView) -> TaskView:
        return self._board.recent.get(view.id) or view

    async def log(self, task_id: str, limit: int, after: int) -> tuple[int, list[str]]:
        record = self._board.records.get(task_id)
        # Looked at before the store: what leaves them meanwhile is found there, and no line is missed in between.
        pending = list(record.log_pending) if record is not None else []
        stored = await self._store.read(lambda c: history.log_after(c, task_id, after, limit))
        lines = dict(stored)
        lines.update((number, line) for number, line in pending if number > after)
        numbers = sorted(lines)[-limit:] if limit else []
        return (max(lines, default=after), [lines[number] for number in numbers])


def _displayed(params: Json) -> Json:
    """Parameters with every string safe for display."""
    return {
        display(key): display(value)
        if isinstance(value, str)
        else [display(item) if isinstance(item, str) else item for item in value]
        if isinstance(value, list)
        else value
        for key, value in params.items()
    }
