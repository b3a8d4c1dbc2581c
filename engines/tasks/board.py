"""The live tasks in memory, their counters and revisions, and who wants to hear of changes.

Ended tasks are not here: they are read from the store. Lists are kept in order incrementally, so that a
change costs the change and a window costs the window, not the number of tasks.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from engines.model import ACTIVE, Kind, TaskState, TaskView
from engines.query import Filter, Sort, sort_key
from engines.tasks.record import Record

_MOVING: Final = frozenset({Sort.PROGRESS, Sort.SPEED, Sort.ETA})
"""Orders that change with every report: made anew at most once a second."""
_RECENT: Final = 256
_MANY_STALE: Final = 2000
_INDEXES: Final = 16


class LiveIndex:
    """The live tasks that match a filter, in order."""

    def __init__(self, wanted: Filter, sort: Sort, board: Board) -> None:
        self._filter = wanted
        self._sort = sort
        self._board = board
        self._order: list[tuple[Any, ...]] = []
        self._keys: dict[str, tuple[Any, ...]] = {}
        self._stale: set[str] = set()
        self._made = float("-inf")

    def note(self, task_id: str) -> None:
        """A task changed in more than progress, came or went."""
        self._stale.add(task_id)
        if len(self._stale) > _MANY_STALE:  # nobody looks, or everything changed: make it anew when asked
            self._stale.clear()
            self._keys.clear()
            self._order = []
            self._made = float("-inf")

    def ids(self, now: float) -> list[tuple[Any, ...]]:
        """Keys in order; the id is the last item of each."""
        if self._made == float("-inf") or (self._sort in _MOVING and now - self._made >= 1.0):
            self._rebuild(now)
        elif self._stale:
            for task_id in self._stale:
                self._place(task_id, now)
            self._stale.clear()
        return self._order

    def _rebuild(self, now: float) -> None:
        self._made = now
        self._stale.clear()
        keys = (self._key(record, now) for record in self._board.records.values())
        self._keys = {key[-1]: key for key in keys if key is not None}
        self._order = sorted(self._keys.values())

    def _place(self, task_id: str, now: float) -> None:
        record = self._board.records.get(task_id)
        new = self._key(record, now) if record is not None else None
        old = self._keys.pop(task_id, None)
        if old is not None:
            del self._order[bisect_left(self._order, old)]
        if new is not None:
            insort(self._order, new)
            self._keys[task_id] = new

    def _key(self, record: Record, now: float) -> tuple[Any, ...] | None:
        view = record.view(now)
        return (*sort_key(view, self._sort), view.id) if self._filter.matches(view) else None


class Board:
    """Live tasks and counters. `rev` starts at the wall clock so that it never goes back over a restart."""

    def __init__(self, rev: int) -> None:
        self.rev = rev
        self.records: dict[str, Record] = {}
        self.active: dict[str, Record] = {}
        """Tasks that occupy a slot or have a process."""
        self.counts: dict[TaskState, int] = dict.fromkeys(TaskState, 0)
        self.completed: dict[Kind, int] = dict.fromkeys(Kind, 0)
        self.ended_rev = rev
        """Revision of the last change among ended tasks."""
        self.recent: OrderedDict[str, TaskView] = OrderedDict()
        """Views of the tasks that ended last."""
        self.listeners: set[Callable[[Record, TaskView | None], None]] = set()
        """Called after each change in more than progress; with the last view when the task has ended."""
        self._indexes: OrderedDict[tuple[Filter, Sort], LiveIndex] = OrderedDict()

    def add(self, record: Record) -> None:
        """Take in a live task."""
        self.records[record.id] = record
        self.counts[record.state] += 1
        self.recent.pop(record.id, None)
        self.touch(record)

    def moved(self, record: Record, before: TaskState) -> None:
        """A task changed its state."""
        self.counts[before] -= 1
        self.counts[record.state] += 1
        if record.state in ACTIVE or record.run is not None:
            self.active[record.id] = record
        else:
            self.active.pop(record.id, None)
        self.touch(record)

    def end(self, record: Record, before: TaskState, now: float) -> None:
        """A task ended and leaves memory."""
        self.counts[before] -= 1
        self.counts[record.state] += 1
        if record.state is TaskState.COMPLETED:
            self.completed[record.kind] += 1
        del self.records[record.id]
        self.active.pop(record.id, None)
        self.rev += 1
        self.ended_rev = record.rev = record.srev = self.rev
        view = record.view(now)
        self.recent[record.id] = view
        while len(self.recent) > _RECENT:
            self.recent.popitem(last=False)
        self._tell(record, view)

    def forget(self, task_id: str, state: TaskState, kind: Kind) -> None:
        """An ended task was removed from the history, or comes back to life."""
        self.counts[state] -= 1
        if state is TaskState.COMPLETED:
            self.completed[kind] -= 1
        self.recent.pop(task_id, None)
        self.rev += 1
        self.ended_rev = self.rev

    def touch(self, record: Record) -> None:
        """A task changed in more than progress."""
        self.rev += 1
        record.rev = record.srev = self.rev
        self._tell(record, None)

    def report(self, record: Record) -> None:
        """A task's progress changed."""
        self.rev += 1
        record.rev = self.rev

    def index(self, wanted: Filter, sort: Sort) -> LiveIndex:
        """The live tasks that match, in order; shared by everybody who looks at them so."""
        key = (wanted, sort)
        found = self._indexes.get(key)
        if found is None:
            found = self._indexes[key] = LiveIndex(wanted, sort, self)
            if len(self._indexes) > _INDEXES:
                self._indexes.popitem(last=False)
        self._indexes.move_to_end(key)
        return found

    def _tell(self, record: Record, ended: TaskView | None) -> None:
        for index in self._indexes.values():
            index.note(record.id)
        for listener in tuple(self.listeners):
            listener(record, ended)
