"""Every change of a task passes here: checked against the table, made durable, then applied and announced."""

from __future__ import annotations

import asyncio
import copy
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from engines.errors import TaskdeckError
from engines.model import TERMINAL, Actor, Json, TaskEvent, TaskState
from engines.tasks import rows
from engines.tasks.board import Board
from engines.tasks.record import Record
from engines.tasks.states import Step, demand_move
from engines.tasks.store import Statement, Store

ENGINE: Final = Actor("taskdeck", "engine")
"""Who acts when nobody asked."""
_AGAIN: Final = 1.0

log = logging.getLogger(__name__)


class Journal:
    """Writes transitions and progress.

    Args:
        clock: Seconds since the epoch.
        lines: Log lines kept for each task.
    """

    def __init__(self, store: Store, board: Board, *, clock: Callable[[], float], lines: int, seq: int) -> None:
        self.store = store
        self.board = board
        self.clock = clock
        self.lines = lines
        self._seq = seq
        self._dirty: dict[str, Record] = {}
        self.closing = False

    async def move(
        self,
        record: Record,
        step: Step,
        target: TaskState,
        *,
        actor: Actor = ENGINE,
        data: Json | None = None,
        also: Sequence[Statement] = (),
        patient: bool = False,
        **changes: Any,
    ) -> None:
        """Lead a task to another state; it is on the disk when this returns, and only then announced.

        Args:
            data: More about the event.
            also: Statements of the same transaction.
            patient: Keep trying while the disk refuses: for facts that nobody can be told to repeat.
            changes: Other fields that change.

        Raises:
            TaskdeckError: `task.state`, `disk.full`, `disk.io`.
        """
        demand_move(record.id, record.state, step, target)
        before = record.state
        changes["state"] = target
        if target in TERMINAL:
            changes.setdefault("finished", self.clock())
        await self._commit(record, step, actor, {**(data or {}), "from": before, "to": target}, changes, also, patient)
        now = time.monotonic()
        if target is not TaskState.RUNNING:
            record.meter.stop()
        if target in TERMINAL:
            record.secrets.clear()
            self._dirty.pop(record.id, None)
            self.board.end(record, before, now)
        else:
            self.board.moved(record, before)

    async def change(self, record: Record, kind: str, *, actor: Actor = ENGINE, **changes: Any) -> None:
        """Change fields other than the state."""
        await self._commit(record, kind, actor, {}, changes, (), False)
        self.board.touch(record)

    async def create(self, record: Record, actor: Actor, also: Sequence[Statement] = ()) -> None:
        """Make a new task durable and known.

        Raises:
            sqlite3.IntegrityError: Its id or idempotency key is taken.
        """
        event = self._event(record.id, Step.SUBMIT, actor, {"to": record.state})
        await self.store.write([*rows.insert(record), rows.event(event), *also])
        self.board.add(record)

    async def revive(self, record: Record, target: TaskState, actor: Actor, **changes: Any) -> None:
        """Bring an ended task back to life."""
        demand_move(record.id, record.state, Step.RETRY, target)
        before = record.state
        changes["state"] = target
        await self._commit(record, Step.RETRY, actor, {"from": before, "to": target}, changes, (), False)
        self.board.forget(record.id, before, record.kind)
        self.board.add(record)

    async def erase(self, ids: Sequence[str], actor: Actor) -> None:
        """Remove ended tasks from the history; their events stay."""
        statements: list[Statement] = []
        for task_id in ids:
            statements.append(("DELETE FROM task WHERE id=?", (task_id,)))
            statements.append(rows.event(self._event(task_id, Step.REMOVE, actor, {})))
        await self.store.write(statements)

    def statement(self, task_id: str, kind: str, actor: Actor, data: Json) -> Statement:
        """The statement that records an event, for transactions made elsewhere."""
        return rows.event(self._event(task_id, kind, actor, data))

    # progress, checkpoints and log lines: coalesced

    def dirty(self, record: Record) -> None:
        """Progress, checkpoint or log changed; written with the next flush."""
        self._dirty[record.id] = record

    async def flush(self) -> None:
        """Write what is pending in one commit; what the disk refuses is kept for the next time."""
        if not self._dirty:
            return
        pending, self._dirty = self._dirty, {}
        statements: list[Statement] = []
        settled: list[Callable[[bool], None]] = []
        for record in pending.values():
            statements.append(rows.progress(record))
            statements += self._small(record, settled)
        try:
            await self.store.write(statements)
            for settle in settled:
                settle(True)
        except (TaskdeckError, sqlite3.IntegrityError) as error:
            log.warning("progress was not recorded: %s", error)
            for settle in settled:
                settle(False)
            for task_id, record in pending.items():
                if record.state not in TERMINAL:
                    self._dirty.setdefault(task_id, record)

    def _small(self, record: Record, settled: list[Callable[[bool], None]]) -> list[Statement]:
        """Statements for a record's pending checkpoint and log lines.

        `settled` gets what is to be called with whether they were written. Until then the lines stay pending, where
        readers find them; to write one twice does no harm.
        """
        statements: list[Statement] = []
        checkpoint, record.checkpoint_pending = record.checkpoint_pending, False
        if checkpoint:
            statements.append(rows.checkpoint(record))
        lines = list(record.log_pending)
        if lines:
            statements += [
                ("INSERT OR REPLACE INTO log (task, n, line) VALUES (?, ?, ?)", (record.id, number, line))
                for number, line in lines
            ]
            statements.append(("DELETE FROM log WHERE task=? AND n<=?", (record.id, lines[-1][0] - self.lines)))

        def settle(written: bool) -> None:
            if checkpoint and not written:
                record.checkpoint_pending = True
            while written and lines and record.log_pending and record.log_pending[0][0] <= lines[-1][0]:
                record.log_pending.popleft()

        settled.append(settle)
        return statements

    # inside

    def _event(self, task_id: str, kind: str, actor: Actor, data: Json) -> TaskEvent:
        self._seq += 1
        return TaskEvent(self._seq, self.clock(), task_id, str(kind), actor.name, actor.face, data)

    async def _commit(
        self,
        record: Record,
        kind: str,
        actor: Actor,
        data: Json,
        changes: dict[str, Any],
        also: Sequence[Statement],
        patient: bool,
    ) -> None:
        event = rows.event(self._event(record.id, kind, actor, data))
        while True:
            planned = copy.copy(record)
            for name, value in changes.items():
                setattr(planned, name, value)
            settled: list[Callable[[bool], None]] = []
            # What is pending comes first: a checkpoint that this change takes away must not come back behind it.
            statements = [*self._small(record, settled), *rows.update(planned), event, *also]
            try:
                await self.store.write(statements)
                for settle in settled:
                    settle(True)
                break
            except TaskdeckError as error:
                for settle in settled:
                    settle(False)
                if not patient or self.closing:
                    raise
                log.warning("a change of task %s is not recorded yet: %s", record.id, error)
                await asyncio.sleep(_AGAIN)
        for name, value in changes.items():
            setattr(record, name, value)
