"""What users (and the clock, and the disk) may do to a task: pause, resume, cancel, retry, remove, reorder, unlock."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final
from weakref import WeakValueDictionary

from engines.errors import TaskdeckError
from engines.job import Stop
from engines.model import TERMINAL, Action, Actor, TaskState, TaskView, WaitReason
from engines.operations import fields, spec_of
from engines.tasks import history, rows
from engines.tasks.board import Board
from engines.tasks.engine import Engine
from engines.tasks.journal import ENGINE, Journal
from engines.tasks.record import Record
from engines.tasks.recovery import REMOVED, missing_dependencies
from engines.tasks.run import Run
from engines.tasks.states import Step, demand, step_of
from engines.tasks.timers import until_words

_CANCEL_ANSWER: Final = 0.5
_REORDER: Final = frozenset({TaskState.QUEUED, TaskState.WAITING, TaskState.PAUSED})


class Control:
    """Carries out requests on tasks, one at a time for each task."""

    def __init__(self, engine: Engine, board: Board, journal: Journal) -> None:
        self._engine = engine
        self._board = board
        self._journal = journal
        self._ended: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Locks of ended tasks that something is done to; live ones have theirs in the record."""

    async def act(self, record: Record, action: Action, actor: Actor, until: float | None = None) -> TaskView | None:
        """Do what was asked of a live task; None when it has ended by the time its turn comes.

        Raises:
            TaskdeckError: `task.state`, `value`, `disk.full`.
        """
        run: Run | None = None
        async with record.lock:
            if record.state in TERMINAL:
                return None
            kept = action is Action.PAUSE and record.state is TaskState.PAUSED and _is_new(record, until)
            demand(record.id, record.state, Step.KEEP if kept else step_of(action))
            match action:
                case Action.PAUSE:
                    await self._pause(record, actor, until)
                case Action.RESUME:
                    await self._resume(record, actor)
                case Action.CANCEL:
                    run = await self._cancel(record, actor)
                case _:  # retry and remove go for ended tasks; `demand` refused them
                    raise AssertionError(action)
        if run is not None:
            await self._see_cancelled(record, run)
        self._engine.wake()
        return record.view(time.monotonic())

    async def act_on_ended(self, view: TaskView, action: Action, actor: Actor) -> Record | None:
        """Do what was asked of an ended task; a retried one comes back as a live record.

        Raises:
            TaskdeckError: `task.state`; `task.missing` when somebody else has removed it by now.
        """
        demand(view.id, view.state, step_of(action))
        async with self._ended.setdefault(view.id, asyncio.Lock()):
            if (live := self._board.records.get(view.id)) is not None:  # somebody else has retried it
                demand(live.id, live.state, step_of(action))
            found = await self._journal.store.read(lambda c: rows.records(c, "task.id=?", (view.id,)))
            if not found:
                raise history.removed(view.id)
            if action is Action.REMOVE:
                await self._journal.erase([view.id], actor)
                self._board.forget(view.id, found[0].state, view.kind)
                return None
            return await self._retry(found[0], actor)

    async def _retry(self, record: Record, actor: Actor) -> Record:
        record.not_before = None
        record.reason = WaitReason.NONE
        record.missing_deps, bad = await missing_dependencies(self._journal.store, record)
        for needed, state in bad.items():
            raise TaskdeckError(
                "task.dependency",
                f"cannot retry task {record.id}",
                f"task {needed} is {state}",
                "retry that first" if state != REMOVED else f"queue it anew with `taskdeck again {record.id}`",
            )
        target, reason, note = self._engine.resting_place(record)
        changes: dict[str, Any] = {
            "reason": reason,
            "note": note,
            "error": None,
            "result": None,
            "output": "",
            "finished": None,
            "started": None,
            "crashes": 0,
            "done": 0,
            "item": "",
            "stage": "",
            "not_before": None,
            "disk_free": 0,
        }
        await self._journal.revive(record, target, actor, **changes)
        return record

    async def all(self, action: Action, actor: Actor) -> None:
        """Pause what runs, or resume what "pause all" had paused."""

        async def one(record: Record) -> None:
            async with record.lock:
                if action is Action.PAUSE and record.state is TaskState.RUNNING:
                    await self._pause(record, actor, None, WaitReason.ALL_PAUSED)
                elif (
                    action is Action.RESUME
                    and record.state is TaskState.PAUSED
                    and record.reason is WaitReason.ALL_PAUSED
                ):
                    await self._resume(record, actor)

        await asyncio.gather(*(one(record) for record in list(self._board.records.values())))

    # pause and resume

    async def _pause(
        self, record: Record, actor: Actor, until: float | None, reason: WaitReason = WaitReason.USER, note: str = ""
    ) -> None:
        if until is not None:
            if until <= self._journal.clock():
                raise TaskdeckError("value", f"cannot pause task {record.id} until then", "that moment has passed")
            note = f"Resumes {until_words(until - self._journal.clock())}."
        if reason is WaitReason.ALL_PAUSED:
            note = "All tasks are paused."
        run = record.run
        if record.state is TaskState.RUNNING:
            still = asyncio.ensure_future(run.freeze()) if run is not None else None
            try:
                await self._journal.move(
                    record, Step.PAUSE, TaskState.PAUSING, actor=actor, reason=reason, resume_at=until
                )
            except BaseException:  # it is not paused, so it must not stand still
                if run is not None and still is not None:
                    await still
                    run.thaw()
                raise
            if still is not None:
                await still
            step = Step.PAUSED
        else:
            step = Step.KEEP if record.state is TaskState.PAUSED else Step.PAUSE
        await self._journal.move(
            record,
            step,
            TaskState.PAUSED,
            actor=actor,
            patient=step is Step.PAUSED,
            reason=reason,
            note=note,
            resume_at=until,
        )
        if record.run is not None and step is not Step.KEEP:
            record.frozen_at = self._journal.clock()
        self._engine.settle(record)

    async def _resume(self, record: Record, actor: Actor) -> None:
        # A moment that has come does not come again, a user does.
        changes: dict[str, Any] = {"resume_at": None, "patient": actor is ENGINE}
        if record.run is not None and self._engine.has_slot(record):
            await self._journal.move(
                record, Step.RESUME, TaskState.RUNNING, actor=actor, reason=WaitReason.NONE, note="", **changes
            )
            self._engine.thaw(record)
        else:
            if record.reason is WaitReason.RETRY or record.reason is WaitReason.SCHEDULE:
                record.reason = WaitReason.NONE
            target, reason, note = self._engine.resting_place(record)
            await self._journal.move(
                record, Step.RESUME, target, actor=actor, reason=reason, note=note, disk_free=0, **changes
            )
        self._engine.settle(record)

    # cancel

    async def _cancel(self, record: Record, actor: Actor) -> Run | None:
        """Begin to cancel; returns the run to be seen off, None when nothing was running."""
        run = record.run
        if run is None:
            await self._engine.finish_cancel(record, Step.CANCEL, actor)
            return None
        await self._journal.move(
            record, Step.CANCEL, TaskState.CANCELLING, actor=actor, reason=WaitReason.NONE, note=""
        )
        self._engine.settle(record)
        run.stop(Stop.CANCEL)
        return run

    async def _see_cancelled(self, record: Record, run: Run) -> None:
        """Give the job its grace, then end it; answer when it is gone or soon after."""
        end = asyncio.ensure_future(run.end())
        await asyncio.wait((end,), timeout=self._engine.settings.tasks.cancel_grace)
        if not end.done():
            run.kill()
        deadline = time.monotonic() + _CANCEL_ANSWER
        while record.state not in TERMINAL and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    # the queue

    async def reorder(self, record: Record, actor: Actor, priority: int | None, move: int) -> TaskView:
        """Change a task's place among those that have not started.

        Raises:
            TaskdeckError: `task.state` for a task that runs.
        """
        _demand_waiting(record)
        if priority is not None and priority != record.priority:
            async with record.lock:
                _demand_waiting(record)
                await self._journal.change(record, "reorder", actor=actor, priority=priority)
            self._requeue([record])
        if move:
            _demand_waiting(record)
            await self._shift(record, actor, move)
        self._engine.wake()
        return record.view(time.monotonic())

    async def _shift(self, record: Record, actor: Actor, move: int) -> None:
        """Move a task by places among its equals, by handing their positions round."""
        peers = sorted(
            (r for r in self._board.records.values() if r.state is record.state and r.priority == record.priority),
            key=lambda r: (r.position, r.created, r.id),
        )
        here = peers.index(record)
        there = max(0, min(len(peers) - 1, here + move))
        low, high = min(here, there), max(here, there)
        span = peers[low : high + 1]
        places = sorted(r.position for r in span)
        span.insert(there - low, span.pop(here - low))
        for member, place in zip(span, places, strict=True):
            if member.position != place:
                async with member.lock:
                    await self._journal.change(member, "reorder", actor=actor, position=place)
        self._requeue(span)

    def _requeue(self, members: list[Record]) -> None:
        for member in members:
            if member.id in self._board.records:
                self._engine.settle(member)

    # secrets

    async def unlock(self, record: Record, secrets: dict[str, str], actor: Actor) -> TaskView:
        """Take secrets for a task; one that waits for them goes on.

        Raises:
            TaskdeckError: `task.state` when its operation takes none, `value` for a name that is not one of them.
        """
        known = {field.name for field in fields(spec_of(record.op_name).struct) if field.secret}
        if not known:
            raise TaskdeckError("task.state", f"cannot unlock task {record.id}", "its operation takes no secrets")
        if not secrets or not secrets.keys() <= known:
            raise TaskdeckError(
                "value", f"cannot unlock task {record.id}", f"its secrets are: {', '.join(sorted(known))}"
            )
        async with record.lock:
            demand(record.id, record.state, Step.UNLOCK)
            record.secrets.update(secrets)
            names_now = tuple(sorted({*record.secret_names, *secrets}))
            await self._journal.change(record, Step.UNLOCK, actor=actor, secret_names=names_now)
            if record.state is TaskState.WAITING and record.reason is WaitReason.PASSWORD:
                await self._engine.ready(record, actor)
        return record.view(time.monotonic())

    # the clock and the disk

    async def look(self, record: Record) -> None:
        """A moment of this task has come."""
        async with record.lock:
            now = self._journal.clock()
            if record.state is TaskState.WAITING and record.not_before is not None and record.not_before <= now:
                if record.reason in (WaitReason.RETRY, WaitReason.SCHEDULE):
                    record.reason = WaitReason.NONE
                    await self._engine.ready(record)
            elif record.state is TaskState.PAUSED and record.resume_at is not None and record.resume_at <= now:
                await self._resume(record, ENGINE)
            elif self._frozen_long(record, now) and record.run is not None:
                run, record.run, record.frozen_at = record.run, None, None
                run.kill()  # its checkpoint stays
                await run.end()  # gone before a newer run may begin
        self._engine.wake()

    def _frozen_long(self, record: Record, now: float) -> bool:
        if record.state is not TaskState.PAUSED or record.frozen_at is None:
            return False
        return record.frozen_at + self._engine.settings.tasks.frozen_minutes * 60 <= now

    async def disk_is_low(self, record: Record) -> None:
        """Its disk is nearly full: let it stand still."""
        async with record.lock:
            if record.state is TaskState.RUNNING:
                note = "The disk is nearly full; goes on by itself when space returns."
                await self._pause(record, ENGINE, None, WaitReason.DISK, note)

    async def disk_is_back(self, record: Record) -> None:
        """There is space again."""
        async with record.lock:
            if record.reason is not WaitReason.DISK:
                return
            if record.state is TaskState.PAUSED:
                await self._resume(record, ENGINE)
            elif record.state is TaskState.WAITING:
                await self._engine.ready(record)
        self._engine.wake()

    def stalled(self, now: float, timeout: float) -> None:
        """End jobs that show no sign of life; they count as crashed."""
        if timeout <= 0:
            return
        for record in self._board.active.values():
            if record.state is TaskState.RUNNING and record.run is not None and now - record.moved > timeout:
                self._engine.log(record, f"error: no sign of life for {timeout:.0f} s")
                record.stalled = True
                record.run.kill()


def _demand_waiting(record: Record) -> None:
    """Refuse to give a place to a task that has none: it runs or has ended."""
    if record.state not in _REORDER:
        raise TaskdeckError("task.state", f"cannot reorder task {record.id}", f"it is {record.state.value}")


def _is_new(record: Record, until: float | None) -> bool:
    """Whether a user who pauses a paused task changes something: its time, or who has paused it."""
    return until != record.resume_at or record.reason is not WaitReason.USER
