"""`TaskService`: the task engine behind the `Tasks` protocol. One in a daemon, over one state folder."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from engines.errors import TaskdeckError
from engines.model import (
    ACTIVE,
    Action,
    Actor,
    Json,
    Kind,
    Outcome,
    Stats,
    SubmitOptions,
    TaskDetail,
    TaskEvent,
    TaskState,
    TaskView,
    Totals,
    WaitReason,
)
from engines.names import display
from engines.query import Page, Query, parse_filter
from engines.settings import Settings
from engines.tasks import history, ids, processes, recovery, totals
from engines.tasks.api import Watch
from engines.tasks.board import Board
from engines.tasks.control import Control
from engines.tasks.engine import Engine
from engines.tasks.gauges import Gauges
from engines.tasks.hosted import HostedFunction
from engines.tasks.housekeeping import Housekeeping
from engines.tasks.journal import Journal
from engines.tasks.lock import InstanceLock
from engines.tasks.looking import Looker
from engines.tasks.reading import Reader
from engines.tasks.record import Record
from engines.tasks.store import Store
from engines.tasks.submission import Request, demand_options, demand_priority, prepare
from engines.tasks.watcher import LocalWatcher

_BEAT: Final = 0.5  # progress is written at most twice a second in total
_DISK_EVERY: Final = 5.0
_DRAIN_LOOK: Final = 0.1
_HOUSEKEEPING: Final = 600.0

log = logging.getLogger(__name__)


class TaskService:
    """Owns the tasks of one state folder.

    Args:
        state_dir: Folder of the database and the lock; made with mode 0700.
        settings: The settings; see `reload`.
        clock: Seconds since the epoch.
        version: Shown to whoever finds the lock held.

    Raises:
        TaskdeckError: `daemon.running`, `store.newer`, `store.damaged`, `settings.invalid`.
    """

    def __init__(
        self, state_dir: Path, settings: Settings, *, clock: Callable[[], float] = time.time, version: str = ""
    ) -> None:
        self.state_dir = state_dir
        self.settings = settings
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.lock = InstanceLock(state_dir, version=version)
        try:
            self.store = Store(state_dir / "tasks.db")
        except BaseException:
            self.lock.release()
            raise
        self._clock = clock
        self.board = Board(int(time.time() * 1000))
        seq = self.store.read_now(history.last_event)
        self.journal = Journal(self.store, self.board, clock=clock, lines=settings.tasks.log_lines, seq=seq)
        self.engine = Engine(self.store, self.board, self.journal, settings, processes.run_token(state_dir))
        self.control_desk = Control(self.engine, self.board, self.journal)
        self.notices: list[str] = [self.store.notice] if self.store.notice else []
        """Sentences that every face shows: a restored database, a dashboard without TLS."""
        self.reader = Reader(self.store, self.board)
        self.house = Housekeeping(self.engine, self.control_desk, self.reader)
        self.engine.low_disks = self.house.disk_is_low
        self.looker = Looker(self.engine.nursery, lambda: (self.settings, self.engine.policy))
        self.gauges = Gauges(self.board, self.engine.policy.roots, clock)
        self._watchers = 0
        self._position = 0
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._beats: asyncio.Task[None] | None = None
        self._stopped = False
        self._next = {"disk": 0.0, "keeping": 0.0}
        self.board.listeners.add(self._note)

    # life

    async def start(self) -> None:
        """Recover what an earlier run left, then begin to run tasks. Call from the main thread."""
        processes.sweep(processes.run_token(self.state_dir))
        found = await self.store.read(recovery.live)
        alive = await recovery.recover(self.store, self.journal, found)
        await recovery.sweep_claims(self.store, alive)
        await self._load_counts(alive)
        self.engine.paused_all = self.meta("paused_all") == "1"
        for record in alive:
            self.board.add(record)
            self.board.counts[record.state] -= 1  # counted already
            self._position = max(self._position, record.position)
        for record in alive:
            await self._resettle(record)
        self.engine.nursery.fill()
        self._beats = asyncio.create_task(self._beat(), name="task engine heartbeat")
        self.engine.wake()

    async def stop(self) -> None:
        """Stop the running tasks so that they go on at the next start, and close. A second call does nothing."""
        if self._stopped:
            return
        self._stopped = True
        self.journal.closing = True  # from now on what the disk refuses is left to the next start
        if self._beats is not None:
            self._beats.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._beats
        self.looker.close()
        await self.engine.shut_down()
        await self.journal.flush()
        await asyncio.to_thread(self.store.close)
        self.lock.release()

    async def drain(self) -> None:
        """Start nothing more, and return once nothing runs; `stop` comes next."""
        self.engine.stopping = True
        while any(record.busy or record.state in ACTIVE for record in self.board.active.values()):  # noqa: ASYNC110
            await asyncio.sleep(_DRAIN_LOOK)

    def reload(self, settings: Settings) -> None:
        """Use new settings for what starts from now on.

        Raises:
            TaskdeckError: `settings.invalid` for roots that do not exist; the old settings stay.
        """
        from engines.paths import PathPolicy

        policy = PathPolicy.of(settings.roots)
        self.settings = self.engine.settings = settings
        self.engine.policy = policy
        self.engine.nursery.configure(settings.tasks)
        self.journal.lines = settings.tasks.log_lines
        self.gauges.watch_disks(policy.roots)
        self.engine.wake()

    def host(self, operation: str, function: HostedFunction | None) -> None:
        """Give (or with None take away) the function that runs a hosted operation in this process."""
        if function is None:
            self.engine.hosts.pop(operation, None)
        else:
            self.engine.hosts[operation] = function
            self.engine.wake()

    def meta(self, name: str) -> str:
        """A small durable value of the state folder, "" when it was never set."""
        row = self.store.read_now(lambda c: c.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone())
        return row[0] if row else ""

    async def count_transfer(self, kind: Kind) -> None:
        """Add a finished transfer that was no task (a browser's file) to the totals, durably."""
        row = (f"transfers.{kind}", str(self.gauges.transferred(kind)))
        await self.store.write([("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", row)])

    # Tasks: submit and control

    async def submit(
        self, op: Json, *, actor: Actor, options: SubmitOptions = SubmitOptions(), base: str | None = None
    ) -> TaskView:
        """See `Tasks.submit`."""
        demand_options(options)
        request = await asyncio.to_thread(prepare, op, self.engine.policy, self.settings, base, roots=options.roots)
        if options.key is not None and (known := await self._by_key(actor, options.key, request)):
            return known
        after = tuple(dict.fromkeys([await self.reader.resolve(task_id) for task_id in options.after]))
        return await self._enqueue(request, options, after, actor)

    async def repeat(self, task_id: str, *, actor: Actor) -> TaskView:
        """See `Tasks.repeat`."""
        full = await self.reader.resolve(task_id)
        op, asked, roots = await self.store.read(lambda c: history.order(c, full))
        request = await asyncio.to_thread(
            prepare, op, self.engine.policy, self.settings, None, unknown=asked, roots=roots
        )
        return await self._enqueue(request, SubmitOptions(), (), actor, asked=asked)

    async def _enqueue(
        self,
        request: Request,
        options: SubmitOptions,
        after: tuple[str, ...],
        actor: Actor,
        *,
        asked: Sequence[str] = (),
    ) -> TaskView:
        """Record a task and give it its place; it waits for the secrets named in `asked`."""
        while True:
            record = self._new_record(request, options, after, actor)
            record.secret_names = tuple(sorted({*record.secret_names, *asked}))
            await self._first_place(record, options)
            also = []
            if options.key is not None:
                sql = "INSERT INTO idempotency (owner, key, digest, task) VALUES (?, ?, ?, ?)"
                also.append((sql, (actor.name, options.key, request.digest, record.id)))
            try:
                await self.journal.create(record, actor, also)
                break
            except sqlite3.IntegrityError:
                if options.key is not None and (known := await self._by_key(actor, options.key, request)):
                    return known
                # else the id was taken: draw another
        return await self._placed(record)

    async def control(
        self, ids: Sequence[str], action: Action, *, actor: Actor, until: float | None = None
    ) -> list[Outcome]:
        """See `Tasks.control`."""

        async def one(given: str) -> Outcome:
            try:
                task_id = await self.reader.resolve(given)
                return Outcome(task_id, True, await self._act(task_id, action, actor, until))
            except TaskdeckError as error:
                return Outcome(display(given, limit=50), False, error=error.info)

        return list(await asyncio.gather(*(one(given) for given in ids)))

    async def control_all(self, action: Action, *, actor: Actor, finish_current: bool = False) -> Stats:
        """See `Tasks.control_all`."""
        if action not in (Action.PAUSE, Action.RESUME):
            raise TaskdeckError("usage", f"cannot {action.value} all tasks", "only pause and resume go for all")
        paused = action is Action.PAUSE
        meta = ("INSERT OR REPLACE INTO meta (name, value) VALUES ('paused_all', ?)", ("1" if paused else "0",))
        event = self.journal.statement("", f"{action.value}_all", actor, {"finish_current": finish_current})
        await self.store.write([meta, event])
        self.engine.paused_all = paused
        if not (paused and finish_current):
            await self.control_desk.all(action, actor)
        self.engine.wake()
        return await self.stats()

    async def reorder(self, task_id: str, *, actor: Actor, priority: int | None = None, move: int = 0) -> TaskView:
        """See `Tasks.reorder`."""
        if priority is not None:
            demand_priority(priority)
        record = await self._live(await self.reader.resolve(task_id), "reorder")
        return await self.control_desk.reorder(record, actor, priority, move)

    async def unlock(self, task_id: str, secrets: Mapping[str, str], *, actor: Actor) -> TaskView:
        """See `Tasks.unlock`."""
        record = await self._live(await self.reader.resolve(task_id), "unlock")
        return await self.control_desk.unlock(record, dict(secrets), actor)

    # Tasks: reading

    async def view(self, task_id: str) -> TaskView:
        """See `Tasks.view`."""
        return await self.reader.view(await self.reader.resolve(task_id))

    async def detail(self, task_id: str, *, log_lines: int = 100) -> TaskDetail:
        """See `Tasks.detail`."""
        return await self.reader.detail(await self.reader.resolve(task_id), log_lines)

    async def query(self, query: Query) -> Page:
        """See `Tasks.query`."""
        return await self.reader.page(query, self._clock())

    async def log(self, task_id: str, *, after: int = 0) -> tuple[int, list[str]]:
        """See `Tasks.log`."""
        return await self.reader.log(await self.reader.resolve(task_id), self.settings.tasks.log_lines, max(0, after))

    async def events(self, *, after: int = 0, task_id: str | None = None, limit: int = 1000) -> list[TaskEvent]:
        """See `Tasks.events`."""
        full = await self.reader.resolve(task_id) if task_id is not None else None
        return await self.store.read(lambda c: history.events(c, after, full, max(1, min(limit, 10_000))))

    async def totals(self, filter: str = "") -> Totals:  # noqa: A002
        """See `Tasks.totals`."""
        wanted = parse_filter(filter, now=self._clock())
        return await self.store.read(lambda c: totals.of_ended(c, wanted))

    async def look(self, question: Json, *, base: str | None = None) -> Json:
        """See `Tasks.look`."""
        return await self.looker.look(question, base)

    async def stats(self) -> Stats:
        """See `Tasks.stats`."""
        if not self._watchers:
            self.gauges.sample_if_due()
        return self._stats()

    async def wait(self, task_id: str) -> TaskView:
        """See `Tasks.wait`."""
        full = await self.reader.resolve(task_id)
        while full in self.board.records:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(full, []).append(future)
            await future
        return await self.reader.view(full)

    async def watch(self, watch: Watch) -> LocalWatcher:
        """See `Tasks.watch`."""
        self._watchers += 1
        self.gauges.sample_if_due()

        def closed() -> None:
            self._watchers -= 1

        return LocalWatcher(watch, self.board, self.reader.window, self._stats, closed)

    def _stats(self) -> Stats:
        return self.gauges.stats(self.engine.paused_all, self.notices)

    # inside: submitting

    def _new_record(self, request: Request, options: SubmitOptions, after: tuple[str, ...], actor: Actor) -> Record:
        self._position += 1
        return Record(
            id=ids.new_id(),
            op=request.json,
            op_name=request.spec.name,
            kind=request.spec.kind,
            title=request.title,
            state=TaskState.QUEUED,
            created=self._clock(),
            owner=actor.name,
            face=actor.face,
            priority=options.priority,
            position=self._position,
            max_attempts=options.max_attempts or self.settings.tasks.max_attempts,
            resumable=request.resumable,
            writes=request.spec.writes,
            after=after,
            roots=request.roots,
            not_before=options.not_before,
            secret_names=tuple(sorted(request.secrets)),
            secrets=dict(request.secrets),
        )

    async def _first_place(self, record: Record, options: SubmitOptions) -> None:
        record.missing_deps, bad = await recovery.missing_dependencies(self.store, record)
        if bad:
            needed, state = next(iter(bad.items()))
            raise TaskdeckError(
                "task.dependency", f"cannot queue '{record.title}' after task {needed}", f"that one is {state}"
            )
        record.state, record.reason, record.note = self.engine.resting_place(record)
        if options.paused:
            record.state, record.reason, record.note = TaskState.PAUSED, WaitReason.USER, ""

    async def _placed(self, record: Record) -> TaskView:
        """Let a task that was just recorded take part."""
        self.engine.settle(record)
        for needed in tuple(record.missing_deps):
            self.engine.dependents.setdefault(needed, set()).add(record.id)
            if needed not in self.board.records:  # it ended while this one was being recorded
                await self.engine.release_dependents(needed)
        self.engine.wake()
        return record.view(time.monotonic())

    async def _by_key(self, actor: Actor, key: str, request: Request) -> TaskView | None:
        row = await self.store.read(
            lambda c: c.execute(
                "SELECT task, digest FROM idempotency WHERE owner=? AND key=?", (actor.name, key)
            ).fetchone()
        )
        if row is None:
            return None
        if row[1] != request.digest:
            raise TaskdeckError(
                "task.key_reused", "cannot use this idempotency key", f"it belongs to task {row[0]}, which is another"
            )
        return await self.reader.view(row[0])

    # inside: control

    async def _act(self, task_id: str, action: Action, actor: Actor, until: float | None) -> TaskView:
        while True:  # it may end, and come back to life, while it is asked
            if (record := self.board.records.get(task_id)) is not None:
                if (done := await self.control_desk.act(record, action, actor, until)) is not None:
                    return done
            elif (view := await self.reader.view(task_id)).terminal:
                break
        revived = await self.control_desk.act_on_ended(view, action, actor)
        return view if revived is None else await self._placed(revived)

    async def _live(self, task_id: str, verb: str) -> Record:
        record = self.board.records.get(task_id)
        if record is None:
            raise TaskdeckError("task.state", f"cannot {verb} task {task_id}", "it has ended")
        return record

    # inside: the heartbeat

    def _note(self, record: Record, ended: TaskView | None) -> None:
        if ended is None:
            return
        self.gauges.ended(record.state)
        for future in self._waiters.pop(record.id, []):
            if not future.done():
                future.set_result(None)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(_BEAT)
            try:
                await self._pulse(time.monotonic())
            except Exception:  # such as a lack of descriptors, which passes: without a heartbeat nothing would go on
                log.exception("a heartbeat was cut short")

    async def _pulse(self, now: float) -> None:
        for record in list(self.board.active.values()):
            if record.state is TaskState.RUNNING:
                record.meter.tick(now)
        await self.journal.flush()
        for task_id in self.engine.timers.due(self._clock()):
            if record_due := self.board.records.get(task_id):
                self.engine.spawn(self.control_desk.look(record_due))
        if now >= self._next["disk"]:
            self._next["disk"] = now + _DISK_EVERY
            await self.house.guard_disks()
        if self._watchers:
            self.gauges.sample_if_due()
        self.control_desk.stalled(now, self.settings.tasks.stall_timeout)
        if now >= self._next["keeping"]:
            self._next["keeping"] = now + _HOUSEKEEPING
            self.engine.spawn(self.house.clean())

    # inside: starting

    async def _load_counts(self, alive: list[Record]) -> None:
        counts = await self.store.read(history.counts)
        for state in TaskState:
            self.board.counts[state] = counts.get(state.value, 0)
        completed = await self.store.read(history.completed_by_kind)
        for kind in Kind:
            self.board.completed[kind] = completed.get(kind.value, 0)
        await self.gauges.load(self.store)

    async def _resettle(self, record: Record) -> None:
        """Give a recovered task its place: dependencies, timers, queue, and the password it may need again."""
        record.missing_deps, bad = await recovery.missing_dependencies(self.store, record)
        if bad:
            needed, state = next(iter(bad.items()))
            error = TaskdeckError("task.dependency", f"cannot run '{record.title}'", f"task {needed} is {state}")
            await self.engine.fail(record, error.info)
            return
        for needed in record.missing_deps:
            self.engine.dependents.setdefault(needed, set()).add(record.id)
        if (record.state is TaskState.QUEUED and record.secret_names) or (
            record.state is TaskState.WAITING and record.reason is not WaitReason.DISK
        ):
            await self.engine.ready(record)
        self.engine.settle(record)
