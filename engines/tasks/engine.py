"""The heart of the task engine: starts what may start, follows runs, and decides what their ends mean."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

from engines.errors import ErrorInfo, TaskdeckError
from engines.job import Stop
from engines.model import ACTIVE, TERMINAL, Actor, Json, Kind, TaskState, WaitReason
from engines.names import display
from engines.operations import OPERATIONS, fields, output_of, spec_of
from engines.paths import PathPolicy
from engines.settings import Settings
from engines.tasks import claims, disk, history
from engines.tasks.board import Board
from engines.tasks.hosted import HostedFunction, HostedRun
from engines.tasks.journal import ENGINE, Journal
from engines.tasks.queue import ReadyQueue, limit
from engines.tasks.record import Record
from engines.tasks.run import End, Ending, Run, Work
from engines.tasks.sink import TaskSink
from engines.tasks.states import Step
from engines.tasks.store import Statement, Store
from engines.tasks.supervisor import Nursery, ProcessRun
from engines.tasks.timers import Timers, until_words

_PASSING: Final = frozenset({"network", "task.timeout"})
"""Errors that may be gone at the next try."""
_SAID: Final = "the password is wrong; try another password"
"""What every wrong password is answered with, whatever it was."""
_GRACE: Final = 1.5

log = logging.getLogger(__name__)


class Engine:
    """Schedules and runs the tasks of a board."""

    def __init__(self, store: Store, board: Board, journal: Journal, settings: Settings, token: str) -> None:
        self.store = store
        self.board = board
        self.journal = journal
        self.settings = settings
        self.policy = PathPolicy.of(settings.roots)
        self.queue = ReadyQueue()
        self.timers = Timers()
        self.nursery = Nursery(settings.tasks, token)
        self.hosts: dict[str, HostedFunction] = {}
        self.paused_all = False
        self.stopping = False
        self.low_disks: Callable[[Record], bool] = lambda _: False
        """Whether the disk a task writes to is too full to start it."""
        self.dependents: dict[str, set[str]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._wake: asyncio.Handle | None = None

    # scheduling

    def wake(self) -> None:
        """Look for tasks to start, soon."""
        if self._wake is None and not self.stopping:
            self._wake = asyncio.get_running_loop().call_soon(self._schedule)

    def _schedule(self) -> None:
        self._wake = None
        if self.paused_all or self.stopping or not len(self.queue):
            return
        used = dict.fromkeys(Kind, 0)
        for record in self.board.active.values():
            if record.state in ACTIVE or record.busy:
                used[record.kind] += 1
        for kind in Kind:
            free = limit(self.settings.tasks, kind) - used[kind]
            if free <= 0:
                continue
            for task_id in self.queue.waiting(kind):
                record = self.board.records[task_id]
                if record.busy or record.lock.locked() or self._not_served(record):
                    continue
                record.busy = True
                self.board.active[task_id] = record
                self.spawn(self._start(record))
                free -= 1
                if free <= 0:
                    break

    def has_slot(self, record: Record) -> bool:
        """Whether a task of this family may start now."""
        used = sum(
            1
            for other in self.board.active.values()
            if other.kind is record.kind and other is not record and (other.state in ACTIVE or other.busy)
        )
        return not self.paused_all and used < limit(self.settings.tasks, record.kind)

    def _not_served(self, record: Record) -> bool:
        spec = OPERATIONS.get(record.op_name)
        return spec is not None and spec.hosted and record.op_name not in self.hosts

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside, and keep hold of it."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the engine met an unexpected error", exc_info=error)

    async def _start(self, record: Record) -> None:
        try:
            async with record.lock:
                if record.state is TaskState.QUEUED and not self.stopping and not self.paused_all:
                    await self._launch(record)
        except TaskdeckError as error:
            log.warning("task %s could not start: %s", record.id, error)
            await asyncio.sleep(1.0)  # the state folder's disk is full: the task stays in the queue
        except Exception as error:  # a fault of ours: to start it again and again would make process after process
            log.exception("task %s could not start", record.id)
            await self._give_up(record, error)
        finally:
            record.busy = False
            if record.id in self.board.records:
                self._settle(record)
            self.wake()

    async def _give_up(self, record: Record, error: Exception) -> None:
        """Fail a task that cannot be started."""
        async with record.lock:
            run, record.run = record.run, None
            if run is not None:
                run.kill()
            if record.state not in TERMINAL:
                why = f"{type(error).__name__}: {error}"
                await self.fail(record, TaskdeckError("internal", f"cannot start '{record.title}'", why).info)

    async def _launch(self, record: Record) -> None:
        """From queued to running, or to what it must wait for."""
        if await self._must_wait(record):
            return
        if record.run is not None:  # frozen, and its turn has come again
            await self._move(record, Step.START, TaskState.RUNNING)
            self._thaw(record)
            return
        try:
            spec = spec_of(record.op_name)
            policy = self.policy.narrowed(record.roots)
            run = self._new_run(record)
        except TaskdeckError as error:
            await self.fail(record, error.info)
            return
        except OSError as error:
            await self.fail(
                record,
                TaskdeckError("internal", "cannot start a job process", error.strerror or str(error)).info,
            )
            return
        record.run = run
        try:
            await self._move(
                record,
                Step.START,
                TaskState.RUNNING,
                attempt=record.attempt + 1,
                started=record.started or self.journal.clock(),
                reason=WaitReason.NONE,
                note="",
            )
        except BaseException:
            record.run = None
            run.kill()
            raise
        record.moved = time.monotonic()
        struct = f"{spec.struct.__module__}:{spec.struct.__qualname__}"
        work = Work(record.id, record.attempt, record.op, struct, spec.run, record.checkpoint, dict(record.secrets))
        await run.begin(work, self.settings, policy.roots)
        self.spawn(self._follow(record, run))

    def _new_run(self, record: Record) -> ProcessRun | HostedRun:
        sink = TaskSink(self, record)
        if host := self.hosts.get(record.op_name):
            return HostedRun(host, sink)
        return ProcessRun(self.nursery.take(), sink)

    async def _must_wait(self, record: Record) -> bool:
        if set(record.secret_names) - record.secrets.keys():
            await self._move(
                record,
                Step.WAIT,
                TaskState.WAITING,
                reason=WaitReason.PASSWORD,
                note="Waits for its password: it is never stored, and Taskdeck was restarted.",
            )
            return True
        if record.writes and await asyncio.to_thread(self.low_disks, record):
            await self._move(
                record, Step.WAIT, TaskState.WAITING, reason=WaitReason.DISK, note="Waits for free disk space."
            )
            return True
        return False

    # the end of a run

    async def _follow(self, record: Record, run: Run) -> None:
        end = await run.end()
        async with record.lock:
            if record.run is not run:  # given up after a long pause; the task may have a newer run already
                return
            record.run = None
            if record.state in TERMINAL:
                return
            try:
                await self._judge(record, end)
            except TaskdeckError as error:  # only when the service is closing: the next start recovers it
                log.warning("the end of task %s was not recorded: %s", record.id, error)
        if record.id in self.board.records:
            self._settle(record)
        self.wake()

    async def _judge(self, record: Record, end: End) -> None:
        state = record.state
        if end.how is Ending.RESULT:
            await self._complete(record, end.result or {})
        elif state is TaskState.CANCELLING:
            await self.finish_cancel(record, Step.CANCELLED)
        elif state in (TaskState.PAUSED, TaskState.QUEUED):
            self.board.touch(record)  # it was frozen and its memory given back; its checkpoint stays
        elif state is TaskState.PAUSING:
            await self._move(record, Step.SUSPEND, TaskState.PAUSED, patient=True)
        elif end.how is Ending.STOPPED:
            await self._suspended(record)
        elif end.how is Ending.CRASHED:
            await self._crashed(record, end.reason)
        else:
            await self._failed(record, end.error or TaskdeckError("internal", "cannot finish").info, end.result)

    async def _complete(self, record: Record, result: Json) -> None:
        await self._move(
            record,
            Step.COMPLETE,
            TaskState.COMPLETED,
            patient=True,
            also=[_no_claims(record)],
            result=result,
            output=display(output_of(str(record.op["op"]), result) or ""),
            done=record.total if record.total is not None else record.done,
            checkpoint=None,
            reason=WaitReason.NONE,
            note="",
        )
        await self.release_dependents(record.id)

    async def _suspended(self, record: Record) -> None:
        """It stopped in good order with a checkpoint: shutdown, or somebody else asked its process to end."""
        if self.stopping:
            await self._move(record, Step.SUSPEND, TaskState.QUEUED, patient=True)
        else:
            await self._retry_later(record, "Its process was asked to stop.")

    async def _crashed(self, record: Record, reason: str) -> None:
        if self.stopping:
            await self._move(record, Step.SUSPEND, TaskState.QUEUED, patient=True)
            return
        stalled, record.stalled = record.stalled, False
        if stalled:
            reason = "it showed no sign of life in the time allowed"
        self.log(record, f"error: the job process died: {reason}")
        if record.crashes + 1 >= record.max_attempts:
            tries = f" ({record.crashes + 1} tries)" if record.crashes else ""
            error = TaskdeckError(
                "task.timeout" if stalled else "task.crashed",
                f"cannot {record.op_name} '{record.title}'",
                reason + tries,
            )
            await self.fail(record, error.info, crashes=record.crashes + 1)
        else:
            await self._retry_later(record, f"The job process died: {reason}.", crashes=record.crashes + 1)

    async def _failed(self, record: Record, error: ErrorInfo, result: Json | None) -> None:
        error = self._redacted(record, error)
        if error.code == "disk.full":
            await self._start_over_later(
                record,
                Step.HOLD,
                TaskState.PAUSED,
                reason=WaitReason.DISK,
                note=f"{error.message} Goes on by itself when space returns.",
                disk_free=disk.free_space(record, self.policy),
            )
        elif error.code == "password.needed" and (names := _secret_fields(record)):
            await self._start_over_later(
                record,
                Step.WAIT,
                TaskState.WAITING,
                reason=WaitReason.PASSWORD,
                note="Waits for a password.",
                secret_names=names[:1],
            )
        elif error.code in _PASSING and record.crashes + 1 < record.max_attempts:
            await self._retry_later(record, error.message, crashes=record.crashes + 1)
        else:
            await self.fail(record, error, result=result)

    async def _start_over_later(self, record: Record, step: Step, target: TaskState, **changes: Any) -> None:
        """Remove what the run left and let the task wait for what it lacked; it begins anew then."""
        await self.remove_claims(record.id)
        await self._move(record, step, target, patient=True, also=[_no_claims(record)], checkpoint=None, **changes)

    async def _retry_later(self, record: Record, why: str, *, crashes: int | None = None) -> None:
        count = record.crashes if crashes is None else crashes
        tasks = self.settings.tasks
        delay = min(tasks.retry_cap, tasks.retry_first * 2 ** max(0, count - 1)) * random.uniform(0.9, 1.1)  # noqa: S311
        moment = self.journal.clock() + delay
        if record.checkpoint is None:
            await self.remove_claims(record.id)
        await self._move(
            record,
            Step.WAIT,
            TaskState.WAITING,
            patient=True,
            also=[_no_claims(record)] if record.checkpoint is None else (),
            crashes=count,
            not_before=moment,
            reason=WaitReason.RETRY,
            note=f"{why} Next try {until_words(delay)}.",
        )

    async def fail(self, record: Record, error: ErrorInfo, **changes: Any) -> None:
        """End a task as failed, and with it the tasks that need it."""
        await self.remove_claims(record.id)
        await self._move(
            record,
            Step.FAIL,
            TaskState.FAILED,
            patient=True,
            also=[_no_claims(record)],
            data={"code": error.code},
            error=error,
            checkpoint=None,
            reason=WaitReason.NONE,
            note="",
            **changes,
        )
        await self.release_dependents(record.id)

    async def finish_cancel(self, record: Record, step: Step, actor: Actor = ENGINE) -> None:
        """Remove what a cancelled task left, and say that it is gone."""
        await self.remove_claims(record.id)
        await self._move(
            record,
            step,
            TaskState.CANCELLED,
            patient=True,
            actor=actor,
            also=[_no_claims(record)],
            checkpoint=None,
            reason=WaitReason.NONE,
            note="",
        )
        await self.release_dependents(record.id)

    async def release_dependents(self, task_id: str) -> None:
        """Tell the tasks that wait for this one how it ended."""
        state = (await self.store.read(lambda c: history.states(c, [task_id]))).get(task_id)
        for other_id in self.dependents.pop(task_id, set()):
            other = self.board.records.get(other_id)
            if other is not None:
                self.spawn(self._dependency_ended(other, task_id, state))

    async def _dependency_ended(self, record: Record, needed: str, state: TaskState | None) -> None:
        async with record.lock:
            record.missing_deps.discard(needed)
            if state is not TaskState.COMPLETED:
                if record.state not in TERMINAL:
                    word = state.value if state else "removed"
                    error = TaskdeckError(
                        "task.dependency",
                        f"cannot {record.op_name} '{record.title}'",
                        f"task {needed} was {word}" if word != "failed" else f"task {needed} failed",
                    )
                    await self.fail(record, error.info)
            elif record.state is TaskState.WAITING and record.reason is WaitReason.DEPENDENCY:
                await self.ready(record)

    async def ready(self, record: Record, actor: Actor = ENGINE) -> None:
        """Move a waiting task on: to the queue, or to the next thing it must wait for. Call with its lock held."""
        state, reason, note = self.resting_place(record)
        step = Step.READY if state is TaskState.QUEUED else Step.WAIT
        if (state, reason) != (record.state, record.reason):
            # A moment or an end that has come does not come again, a user does.
            await self._move(record, step, state, actor=actor, patient=actor is ENGINE, reason=reason, note=note)
        self.wake()

    def resting_place(self, record: Record) -> tuple[TaskState, WaitReason, str]:
        """Where a task belongs that is neither paused nor running, and why."""
        if record.missing_deps:
            names = ", ".join(sorted(record.missing_deps))
            return TaskState.WAITING, WaitReason.DEPENDENCY, f"Waits for {names} to complete."
        if record.not_before is not None and record.not_before > self.journal.clock():
            if record.reason is WaitReason.RETRY:
                return TaskState.WAITING, WaitReason.RETRY, record.note
            delay = record.not_before - self.journal.clock()
            return TaskState.WAITING, WaitReason.SCHEDULE, f"Starts {until_words(delay)}."
        if set(record.secret_names) - record.secrets.keys():
            return TaskState.WAITING, WaitReason.PASSWORD, "Waits for its password."
        return TaskState.QUEUED, WaitReason.NONE, ""

    # small parts

    async def _move(self, record: Record, step: Step, target: TaskState, **rest: Any) -> None:
        await self.journal.move(record, step, target, **rest)
        self._settle(record)

    def _settle(self, record: Record) -> None:
        """Keep the ready queue and the active set true after a change."""
        if self.board.records.get(record.id, record) is not record:
            return  # it has ended and was retried: another record stands for it now
        if record.state is TaskState.QUEUED:
            self.queue.put(record)
        else:
            self.queue.drop(record.id)
        if record.state in TERMINAL or not (record.state in ACTIVE or record.busy or record.run is not None):
            self.board.active.pop(record.id, None)
        else:
            self.board.active[record.id] = record
        self._plan(record)

    settle = _settle

    def _plan(self, record: Record) -> None:
        """Note the moments at which this task must be looked at."""
        if record.state is TaskState.WAITING and record.not_before is not None:
            self.timers.add(record.not_before, record.id)
        if record.state is TaskState.PAUSED:
            if record.resume_at is not None:
                self.timers.add(record.resume_at, record.id)
            if record.frozen_at is not None:
                self.timers.add(record.frozen_at + self.settings.tasks.frozen_minutes * 60, record.id)

    def _thaw(self, record: Record) -> None:
        record.frozen_at = None
        record.moved = time.monotonic()
        if record.run is not None:
            record.run.thaw()

    thaw = _thaw

    async def remove_claims(self, task_id: str) -> None:
        """Remove the temporary paths a task has left."""
        paths = await self.store.read(
            lambda c: [path for (path,) in c.execute("SELECT path FROM claim WHERE task=?", (task_id,))]
        )
        for path in paths:
            await asyncio.to_thread(claims.remove_quietly, path)

    def log(self, record: Record, line: str) -> None:
        """Add a line to a task's log."""
        for secret in record.secrets.values():
            if len(secret) > 2:
                line = line.replace(secret, "***")
        record.log_count += 1
        record.log_pending.append((record.log_count, line))
        while len(record.log_pending) > self.settings.tasks.log_lines:
            record.log_pending.popleft()
        self.journal.dirty(record)

    def _redacted(self, record: Record, error: ErrorInfo) -> ErrorInfo:
        message, detail = error.message, error.detail
        for secret in record.secrets.values():
            if len(secret) > 2:
                detail = detail.replace(secret, "***")
                if secret not in _SAID:  # blotted out of that, it would be told all the more
                    message = message.replace(secret, "***")
        return ErrorInfo(error.code, message, detail)

    async def shut_down(self) -> None:
        """Stop every run so that its task goes on at the next start."""
        self.stopping = True
        self.nursery.close()
        runs: list[Run] = []
        for record in list(self.board.active.values()):
            async with record.lock:
                if record.run is None:
                    continue
                runs.append(record.run)
                if record.state in (TaskState.PAUSED, TaskState.QUEUED):
                    record.run.kill()  # frozen: its checkpoint is all it needs
                else:
                    record.run.stop(Stop.SUSPEND)
        if runs:
            await asyncio.wait([asyncio.ensure_future(run.end()) for run in runs], timeout=_GRACE)
            for run in runs:
                run.kill()
        while self._running:
            await asyncio.wait(set(self._running), timeout=2.0)


def _no_claims(record: Record) -> Statement:
    return ("DELETE FROM claim WHERE task=?", (record.id,))


def _secret_fields(record: Record) -> tuple[str, ...]:
    """Secret parameters the task could be given and was not."""
    names = (field.name for field in fields(spec_of(record.op_name).struct) if field.secret)
    return tuple(name for name in names if name not in record.secrets)
