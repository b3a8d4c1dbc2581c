"""Where runs report: progress and checkpoints into memory (flushed by the journal), claims straight to the disk."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engines.errors import TaskdeckError
from engines.model import Json, Progress, TaskState
from engines.names import display
from engines.tasks import rows
from engines.tasks.record import Record
from engines.tasks.store import Statement

_MOST: Final = (1 << 63) - 1
"""The largest number that SQLite holds."""

if TYPE_CHECKING:
    from engines.tasks.engine import Engine


class TaskSink:
    """Receives what a run reports."""

    def __init__(self, engine: Engine, record: Record) -> None:
        self._engine = engine
        self._record = record

    def started(self) -> None:
        """See `Sink`."""
        self._record.moved = time.monotonic()

    def progress(self, progress: Progress) -> None:
        """See `Sink`."""
        record = self._record
        now = time.monotonic()
        # A hostile archive may claim any number of bytes.
        done, total = min(progress.done, _MOST), None if progress.total is None else min(progress.total, _MOST)
        if done != record.done:
            record.moved = now
        record.done, record.total, record.unit = done, total, progress.unit
        record.item, record.stage = display(progress.item, limit=500), display(progress.stage, limit=100)
        if record.state is TaskState.RUNNING:
            record.meter.add(now, done)
        self._engine.board.report(record)
        self._engine.journal.dirty(record)

    def checkpoint(self, checkpoint: Json) -> None:
        """See `Sink`."""
        self._record.checkpoint = checkpoint
        self._record.checkpoint_pending = True
        self._record.moved = time.monotonic()
        self._engine.journal.dirty(self._record)

    def log(self, line: str) -> None:
        """See `Sink`."""
        self._engine.log(self._record, line)

    async def claim(self, path: Path) -> None:
        """See `Sink`; a checkpoint given before is on the disk when this returns."""
        statement: Statement = (
            "INSERT OR IGNORE INTO claim (path, task, at) VALUES (?, ?, ?)",
            (os.fsencode(path), self._record.id, self._engine.journal.clock()),
        )
        await self._patiently(statement, *([rows.checkpoint(self._record)] if self._record.checkpoint else []))

    async def release(self, path: Path) -> None:
        """See `Sink`."""
        await self._patiently(
            ("DELETE FROM claim WHERE path=? AND task=?", (os.fsencode(path), self._record.id)),
        )

    async def _patiently(self, *statements: Statement) -> None:
        while True:
            try:
                await self._engine.store.write(list(statements))
                return
            except TaskdeckError:
                if self._engine.journal.closing:
                    raise
                await asyncio.sleep(1.0)
