"""The stat panels: counters, today's ends, and samples of the machine and of running tasks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from engines.metrics import HostSampler, TreeSampler
from engines.model import HostMetrics, Kind, Stats, TaskState
from engines.tasks import history
from engines.tasks.board import Board
from engines.tasks.store import Store

_EVERY: Final = 2.0
_COUNTED: Final = (TaskState.COMPLETED, TaskState.FAILED)


class Gauges:
    """Keeps what the stat panels show. `clock`: seconds since the epoch."""

    def __init__(self, board: Board, roots: Sequence[str], clock: Callable[[], float]) -> None:
        self._board = board
        self._clock = clock
        self._host = HostSampler(roots)
        self._trees = TreeSampler()
        self._metrics = HostMetrics()
        self._due = 0.0
        self._today = (0.0, dict.fromkeys(_COUNTED, 0))
        self._transfers = {Kind.DOWNLOAD: 0, Kind.UPLOAD: 0}

    async def load(self, store: Store) -> None:
        """Count what ended today before this start."""
        midnight = history.midnight(self._clock())
        today = await store.read(lambda c: history.ended_since(c, midnight))
        self._today = (midnight, {state: today.get(state.value, 0) for state in _COUNTED})
        rows = await store.read(
            lambda c: c.execute("SELECT name, value FROM meta WHERE name LIKE 'transfers.%'").fetchall()
        )
        for name, value in rows:
            self._transfers[Kind(name.removeprefix("transfers."))] = int(value)

    def transferred(self, kind: Kind) -> int:
        """A transfer that was no task (a browser's file) finished; how many of this kind there were."""
        self._transfers[kind] += 1
        return self._transfers[kind]

    def watch_disks(self, roots: Sequence[str]) -> None:
        """Report the disks of other folders."""
        self._host = HostSampler(roots)

    def ended(self, state: TaskState) -> None:
        """A task ended."""
        self._new_day()
        if state in self._today[1]:
            self._today[1][state] += 1

    def sample_if_due(self) -> None:
        """Sample, at most every two seconds."""
        if time.monotonic() >= self._due:
            self.sample()

    def stats(self, paused_all: bool, notices: Sequence[str] = ()) -> Stats:
        """The stat panels."""
        now = time.monotonic()
        counts = self._board.counts
        active = list(self._board.active.values())
        speed = sum(
            record.meter.speed(now) for record in active if record.state is TaskState.RUNNING and record.unit == "bytes"
        )
        self._new_day()
        today = self._today[1]
        return Stats(
            counts={state.value: counts[state] for state in TaskState},
            active_tasks=counts[TaskState.RUNNING] + counts[TaskState.PAUSING] + counts[TaskState.CANCELLING],
            total_speed=round(speed, 1),
            total_downloads=self._board.completed[Kind.DOWNLOAD] + self._transfers[Kind.DOWNLOAD],
            total_uploads=self._board.completed[Kind.UPLOAD] + self._transfers[Kind.UPLOAD],
            completed_today=today[TaskState.COMPLETED],
            failed_today=today[TaskState.FAILED],
            paused_all=paused_all,
            host=self._metrics,
            notices=tuple(notices),
        )

    def _new_day(self) -> None:
        midnight = history.midnight(self._clock())
        if midnight != self._today[0]:
            self._today = (midnight, {TaskState.COMPLETED: 0, TaskState.FAILED: 0})

    def sample(self) -> None:
        """Sample the machine and the running tasks."""
        self._due = time.monotonic() + _EVERY
        self._metrics = self._host.sample()
        running = {r.id: r.run.pid for r in self._board.active.values() if r.run is not None and r.run.pid}
        for task_id, usage in self._trees.sample(running).items():
            record = self._board.records[task_id]
            record.usage = usage
            self._board.touch(record)  # usage travels with the whole view, at most every two seconds
