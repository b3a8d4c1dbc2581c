"""What has to be looked after while tasks run: disks that fill, what history may forget, the daily backup."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from engines.errors import TaskdeckError
from engines.model import Action, TaskState, WaitReason
from engines.tasks import disk, history
from engines.tasks.control import Control
from engines.tasks.engine import Engine
from engines.tasks.journal import ENGINE
from engines.tasks.reading import Reader
from engines.tasks.record import Record

log = logging.getLogger(__name__)

_BATCH: Final = 500
_EVENT_DAYS: Final = 30
"""Where retention is by number: days that events outlive their task."""


class Housekeeping:
    """Keeps the house of one engine; whoever owns it calls from time to time.

    Args:
        engine: Whose tasks, store and settings.
        desk: Pauses and resumes.
        reader: Reads tasks that ended.
    """

    def __init__(self, engine: Engine, desk: Control, reader: Reader) -> None:
        self._engine = engine
        self._desk = desk
        self._reader = reader

    def disk_is_low(self, record: Record) -> bool:
        """Whether the disk that a task writes to is too full to start it."""
        return disk.is_low(disk.free_space(record, self._engine.policy), self._engine.settings.tasks.disk_floor)

    async def guard_disks(self) -> None:
        """Pause tasks whose disk is nearly full, resume them when it is not."""
        for record in list(self._engine.board.records.values()):
            held = record.reason is WaitReason.DISK
            if record.writes and (held or record.state is TaskState.RUNNING):
                free = await asyncio.to_thread(disk.free_space, record, self._engine.policy)
                floor = self._engine.settings.tasks.disk_floor
                if held and disk.is_back(record, free, floor):
                    self._engine.spawn(self._desk.disk_is_back(record))
                elif not held and disk.is_low(free, floor):
                    self._engine.spawn(self._desk.disk_is_low(record))

    async def clean(self) -> None:
        """Forget what retention does not keep, and back the store up when a day has passed."""
        engine = self._engine
        tasks, store, now = engine.settings.tasks, engine.store, engine.journal.clock()
        before = now - tasks.keep_days * 86400 if tasks.keep_days else None
        if before is not None or tasks.keep_tasks:
            gone = await store.read(lambda c: history.surplus(c, before=before, keep=tasks.keep_tasks))
            for start in range(0, len(gone), _BATCH):
                await self._forget(gone[start : start + _BATCH])
            await self._forget_events(before if before is not None else now - _EVENT_DAYS * 86400)
        if store.backup_due():
            try:
                await store.backup()
            except TaskdeckError as error:
                log.warning("there is no backup of the task database today: %s", error.message)

    async def _forget(self, tasks: list[str]) -> None:
        async def one(task_id: str) -> None:
            with contextlib.suppress(TaskdeckError):  # somebody has removed or retried it meanwhile
                await self._desk.act_on_ended(await self._reader.view(task_id), Action.REMOVE, ENGINE)

        await asyncio.gather(*(one(task_id) for task_id in tasks))

    async def _forget_events(self, before: float) -> None:
        """Who did what to a task that is gone is kept for a while, but not for ever."""
        store = self._engine.store
        while gone := await store.read(lambda c: history.events_without_task(c, before=before, limit=_BATCH)):
            await store.write([("DELETE FROM event WHERE seq=?", (seq,)) for seq in gone])
