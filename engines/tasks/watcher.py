"""A live window on the task list: computed when its reader asks, so that a slow one costs nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from engines.model import TERMINAL, Stats, TaskView
from engines.query import Filter, Query, parse_filter
from engines.tasks.api import Tick, Update, Watch
from engines.tasks.board import Board
from engines.tasks.record import Record

_FASTEST: Final = 0.1
_ENDED_LIMIT: Final = 200

WindowReader = Callable[[Query, Filter], Awaitable[tuple[list[TaskView], int]]]
"""Gives a window's views and the number of tasks that match."""


class LocalWatcher:
    """A `Watcher` on a board in this process."""

    def __init__(
        self, watch: Watch, board: Board, window: WindowReader, stats: Callable[[], Stats], closed: Callable[[], None]
    ) -> None:
        self._board = board
        self._window = window
        self._stats = stats
        self._on_close = closed
        self._changed = asyncio.Event()
        self._changed.set()
        self._closed = False
        self._ended: dict[str, TaskView] = {}
        self._ids: list[str] | None = None
        self._known: dict[str, TaskView] = {}
        self._total = -1
        self._structure = True
        self._sent_at = float("-inf")
        self._last_stats: Stats | None = None
        self._set(watch)
        board.listeners.add(self._note)

    def __aiter__(self) -> AsyncIterator[Update]:
        """See `Watcher`."""
        return self

    async def __anext__(self) -> Update:
        while True:
            await self._until_due()
            if self._closed:
                raise StopAsyncIteration
            update = await self._update()
            self._sent_at = time.monotonic()
            if update is not None:
                return update

    async def change(self, watch: Watch) -> None:
        """See `Watcher`."""
        self._set(watch)
        self._structure = True
        self._changed.set()

    async def close(self) -> None:
        """See `Watcher`."""
        if not self._closed:
            self._closed = True
            self._on_close()
        self._board.listeners.discard(self._note)
        self._changed.set()

    def _set(self, watch: Watch) -> None:
        self._filter = parse_filter(watch.query.filter)
        self._watch = watch
        self._period = 1.0 / min(10.0, max(0.05, watch.hz))

    def _note(self, record: Record, ended: TaskView | None) -> None:
        self._structure = True
        if ended is not None:
            self._ended[record.id] = ended
            if len(self._ended) > _ENDED_LIMIT:
                del self._ended[next(iter(self._ended))]
        self._changed.set()

    async def _until_due(self) -> None:
        """Wait for a change of structure (but at most ten a second), or for the next tick."""
        wait = self._sent_at + self._period - time.monotonic()
        if wait > 0:
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                pass
            else:
                pause = self._sent_at + _FASTEST - time.monotonic()
                if pause > 0 and not self._closed:
                    await asyncio.sleep(pause)
        self._changed.clear()

    async def _update(self) -> Update | None:
        """What is new since the last update, None when nothing is."""
        board = self._board
        rev = board.rev
        first = self._ids is None
        ids: list[str] | None = None
        rows: list[TaskView] = []
        total = self._total
        if self._structure or self._watch.query.sort.value in ("progress", "speed", "eta"):
            self._structure = False
            views, total = await self._window(self._watch.query, self._filter)
            ids = [view.id for view in views]
            rows = [view for view in views if self._is_new(view)]
            # Rows that are not sent keep what the reader has, so that their progress still goes out as ticks.
            fresh = {view.id for view in rows}
            self._known = {view.id: view if view.id in fresh else self._known[view.id] for view in views}
            if ids == self._ids:
                ids = None
            else:
                self._ids = ids
        ticks = self._ticks(rows)
        stats = self._fresh_stats()
        ended, self._ended = list(self._ended.values()), {}
        if first:
            ended = []
        if not (first or ids is not None or rows or ticks or stats or ended or total != self._total):
            return None
        self._total = total
        return Update(rev, total, self._watch.query.offset, ids, rows, ticks, stats, ended)

    def _is_new(self, view: TaskView) -> bool:
        """Whether a view differs from the one the reader has in more than progress."""
        known = self._known.get(view.id)
        if known is None:
            return True
        record = self._board.records.get(view.id)
        if record is None or known.state in TERMINAL:
            return known.state is not view.state or known.rev != view.rev
        return record.srev > known.rev

    def _ticks(self, rows: list[TaskView]) -> list[Tick]:
        """Progress of the window's tasks that are not sent as rows."""
        now = time.monotonic()
        fresh = {view.id for view in rows}
        ticks = []
        for task_id, known in self._known.items():
            record = self._board.records.get(task_id)
            if record is None or task_id in fresh:
                continue
            view = record.view(now)
            if view is known or (record.rev <= known.rev and view.speed == known.speed):
                continue
            self._known[task_id] = view
            ticks.append(Tick(view.id, view.rev, view.done, view.total, view.speed, view.eta, view.item, view.stage))
        return ticks

    def _fresh_stats(self) -> Stats | None:
        if not self._watch.stats:
            return None
        stats = self._stats()
        if stats == self._last_stats:
            return None
        self._last_stats = stats
        return stats
