"""The `Tasks` protocol in memory: a manual clock, seeded tasks, steps instead of time, faults on demand.

For Pilot tests, snapshots, screenshots and benchmarks of the TUI. It keeps the promises of the protocol (complete
first update, windows, ticks apart from rows, typed errors) and does no work.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from engines import operations
from engines.errors import ErrorInfo, TaskdeckError
from engines.model import (
    TERMINAL,
    Action,
    Actor,
    HostMetrics,
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
from engines.query import MAX_LIMIT, Page, Query, parse_filter, sort_key
from engines.tasks import cursor
from engines.tasks.api import Tick, Update, Watch

START = 1_769_774_400.0
"""2026-01-30 12:00 UTC."""


@dataclass
class ManualClock:
    """A clock that moves when told."""

    now: float = START

    def __call__(self) -> float:
        return self.now


_ACTIONS = {
    TaskState.WAITING: (Action.CANCEL, Action.PAUSE),
    TaskState.QUEUED: (Action.PAUSE, Action.CANCEL),
    TaskState.RUNNING: (Action.PAUSE, Action.CANCEL),
    TaskState.PAUSING: (Action.CANCEL,),
    TaskState.PAUSED: (Action.RESUME, Action.CANCEL),
    TaskState.CANCELLING: (),
    TaskState.COMPLETED: (Action.REMOVE,),
    TaskState.FAILED: (Action.RETRY, Action.REMOVE),
    TaskState.CANCELLED: (Action.RETRY, Action.REMOVE),
}
_RESULT = {
    Action.PAUSE: TaskState.PAUSED,
    Action.RESUME: TaskState.RUNNING,
    Action.CANCEL: TaskState.CANCELLED,
    Action.RETRY: TaskState.QUEUED,
}


def make_view(task_id: str = "t001", **changes: object) -> TaskView:
    """A view with sensible parts; `actions` follow the state."""
    values: dict[str, object] = {
        "id": task_id,
        "op": "zip",
        "kind": Kind.COMPRESS,
        "title": "movies",
        "state": TaskState.RUNNING,
        "created": START - 60,
        "rev": 1,
        "started": START - 45,
        "done": 1_200_000_000,
        "total": 4_520_000_000,
        "speed": 12_400_000.0,
        "eta": 267.0,
        "item": "season 1/episode 04.mkv",
    }
    values.update(changes)
    if values["state"] is not TaskState.RUNNING and "speed" not in changes:
        values.update(speed=0.0, eta=None)
    values.setdefault("actions", _ACTIONS[TaskState(str(values["state"]))])
    return TaskView(**values)  # type: ignore[arg-type]


def seeded(count: int, *, seed: int = 7) -> list[TaskView]:
    """Tasks of every state and kind, with names from several scripts; the same for the same arguments."""
    chance = random.Random(seed)
    names = [
        "holiday pictures 2025",
        "backup-2026-01-29",
        "日本語の映画",
        "movies",
        "Музыка",
        "web logs",
        "disc image",
        "a very long name of a folder that joins all the words somebody could think of",
        "données",
    ]
    kinds = [
        ("zip", Kind.COMPRESS),
        ("unzip", Kind.EXTRACT),
        ("transcode", Kind.TRANSCODE),
        ("download", Kind.DOWNLOAD),
    ]
    states = [TaskState.RUNNING] * 4 + [TaskState.QUEUED, TaskState.PAUSED, TaskState.COMPLETED, TaskState.FAILED]
    views = []
    for number in range(count):
        op, kind = kinds[number % len(kinds)]
        state = states[number % len(states)]
        total = chance.randint(200_000_000, 9_000_000_000)
        done = int(total * chance.random() * 0.8)
        title = names[number % len(names)] + (f" {number}" if number >= len(names) else "")
        extra: dict[str, object] = {"total": total, "done": done, "speed": chance.uniform(3e6, 9e7)}
        if state is TaskState.QUEUED:
            extra |= {"done": 0, "speed": 0.0, "eta": None, "started": None, "item": ""}
        elif state is TaskState.PAUSED:
            extra |= {"speed": 0.0, "eta": None, "reason": WaitReason.USER}
        elif state in TERMINAL:
            extra |= {"speed": 0.0, "eta": None, "finished": START - 10 - number, "started": START - 100 - number}
            if state is TaskState.COMPLETED:
                extra |= {"done": total, "output": f"/home/ada/{title}.zip"}
            else:
                extra |= {
                    "error": ErrorInfo(
                        "disk.full",
                        f"cannot write '{title}.zip': the disk is full; free some space and retry.",
                        "needs 4.52 GB, has 1.10 GB",
                    )
                }
        else:
            extra["eta"] = (total - done) / float(extra["speed"])  # type: ignore[arg-type]
            extra["item"] = f"part {number}/file {number * 3}.bin"
        views.append(make_view(f"t{number:03d}", op=op, kind=kind, title=title, state=state, created=START - number,
                               position=number, **extra))  # fmt: skip
    return views


@dataclass
class _Sent:
    ids: list[str] = field(default_factory=list)
    offset: int = -1
    total: int = -1
    views: dict[str, TaskView] = field(default_factory=dict)
    stats: Stats | None = None
    ended: int = 0


class FakeWatcher:
    """Gives the difference between what was sent and what is."""

    def __init__(self, tasks: FakeTasks, watch: Watch) -> None:
        self._tasks = tasks
        self.watch = watch
        self.changes: list[Watch] = []
        self.event = asyncio.Event()
        self.event.set()
        self.closed = False
        self.fault: TaskdeckError | None = None
        self._sent = _Sent(ended=len(tasks.ended))

    async def _updates(self) -> AsyncIterator[Update]:
        while True:
            await self.event.wait()
            self.event.clear()
            if self.fault is not None:
                raise self.fault
            if self.closed:
                return
            update = self._difference()
            if update is not None:
                yield update

    def __aiter__(self) -> AsyncIterator[Update]:
        return self._updates()

    async def change(self, watch: Watch) -> None:
        self.changes.append(watch)
        self.watch = watch
        self.event.set()

    async def close(self) -> None:
        self.closed = True
        self.event.set()

    def _difference(self) -> Update | None:
        tasks, sent = self._tasks, self._sent
        page = tasks.page(self.watch.query)
        ids = [view.id for view in page.items]
        first = sent.offset < 0
        moved = first or ids != sent.ids or page.offset != sent.offset
        rows, ticks = [], []
        for view in page.items:
            before = sent.views.get(view.id)
            if before == view:
                continue
            if (
                before is not None
                and before.state is view.state
                and before.actions == view.actions
                and (before.priority == view.priority)
            ):
                ticks.append(
                    Tick(view.id, view.rev, view.done, view.total, view.speed, view.eta, view.item, view.stage)
                )
            else:
                rows.append(view)
        stats = tasks.now_stats() if self.watch.stats else None
        ended = tasks.ended[sent.ended :]
        same = stats == sent.stats
        if not (moved or rows or ticks or ended or not same or page.total != sent.total):
            return None
        self._sent = _Sent(ids, page.offset, page.total, {v.id: v for v in page.items}, stats, len(tasks.ended))
        return Update(
            rev=tasks.rev,
            total=page.total,
            offset=page.offset,
            ids=ids if moved else None,
            rows=rows,
            ticks=ticks,
            stats=None if same else stats,
            ended=list(ended),
        )


class FakeTasks:
    """An engine that does nothing, on time.

    Attributes:
        asked: Every call that changes something, as (method, argument, ...) for tests.
        refuse: Raised by the next such call.
    """

    def __init__(self, views: Sequence[TaskView] = (), *, clock: Callable[[], float] | None = None) -> None:
        self.clock = clock or ManualClock()
        self.views = {view.id: view for view in views}
        self.rev = max((view.rev for view in views), default=1)
        self.asked: list[tuple[object, ...]] = []
        self.refuse: TaskdeckError | None = None
        self.ended: list[TaskView] = []
        self.watchers: list[FakeWatcher] = []
        self.details: dict[str, TaskDetail] = {}
        self.params: dict[str, Json] = {}
        self.results: dict[str, Json] = {}
        """Results by operation: `wait` completes a task that has one."""
        self.looks: dict[str, Json | Callable[[Json], Json]] = {}
        """Answers to looks by their name, or functions that give them; a function may raise."""
        self.paused_all = False
        self.notices: tuple[str, ...] = ()
        self.host = HostMetrics(
            at=START, cpu=37.0, load=(0.52, 0.61, 0.4), cores=2, memory=62.0, memory_used=5_000_000_000,
            memory_total=8_000_000_000, disk=81.0, disk_free=42_000_000_000, disk_total=250_000_000_000,
            net_in=1_240_000.0, net_out=310_000.0, io_read=9_100_000.0, io_write=12_000_000.0, uptime=1_054_800.0,
        )  # fmt: skip

    # -- for tests -------------------------------------------------------------------
    async def connect(self) -> FakeTasks:
        """As `Link` wants it."""
        if self.refuse is not None and self.refuse.code == "daemon.absent":
            raise self.refuse
        return self

    def wake(self) -> None:
        """Tell every watcher."""
        for watcher in self.watchers:
            watcher.event.set()

    def put(self, view: TaskView) -> TaskView:
        """Set a task as a new revision."""
        self.rev += 1
        view = msgspec.structs.replace(view, rev=self.rev)
        before = self.views.get(view.id)
        self.views[view.id] = view
        if view.terminal and before is not None and not before.terminal:
            self.ended.append(view)
        return view

    def change(self, task_id: str, **changes: object) -> TaskView:
        """Change fields of a task; actions follow the state."""
        if "state" in changes:
            changes.setdefault("actions", _ACTIONS[TaskState(str(changes["state"]))])
            if changes["state"] is not TaskState.RUNNING:
                changes.setdefault("speed", 0.0)
                changes.setdefault("eta", None)
        view = self.put(msgspec.structs.replace(self.views[task_id], **changes))
        self.wake()
        return view

    def step(self, seconds: float = 0.5, *, chance: random.Random | None = None) -> None:
        """Let running tasks go on; with `chance` at varying speed."""
        for view in list(self.views.values()):
            if view.state is TaskState.RUNNING and view.total:
                speed = view.speed if chance is None else chance.uniform(3e6, 9e6)
                done = view.done + int(speed * seconds)
                if done >= view.total:
                    done = done % view.total
                self.put(msgspec.structs.replace(view, done=done, speed=speed, eta=(view.total - done) / speed))
        if chance is not None:
            self.host = msgspec.structs.replace(self.host, at=self.host.at + seconds, cpu=chance.uniform(20, 60))
        self.wake()

    def lose(self, reason: str = "the daemon went away") -> None:
        """Break every subscription and refuse new ones until `restore`."""
        self.refuse = TaskdeckError("daemon.absent", reason)
        for watcher in self.watchers:
            watcher.fault = self.refuse
            watcher.event.set()
        self.watchers = []

    def restore(self) -> None:
        """Accept connections again."""
        self.refuse = None

    def page(self, query: Query) -> Page:
        """A window of the list."""
        wanted = parse_filter(query.filter, now=self.clock())
        found = [view for view in self.views.values() if wanted.matches(view)]
        found.sort(key=lambda view: sort_key(view, query.sort), reverse=query.reverse)
        start = query.offset
        if query.cursor:
            start = next((n for n, view in enumerate(found, 1) if self._cursor(query, view) == query.cursor), 0)
            if not start:
                raise cursor.invalid("it is not one that this list gave")
        shown = found[start : start + query.limit]
        more = bool(shown) and start + len(shown) < len(found)
        return Page(shown, len(found), query.offset, self.rev, self._cursor(query, shown[-1]) if more else None)

    def _cursor(self, query: Query, view: TaskView) -> str:
        return cursor.behind(view, query, 0.0)

    def now_stats(self) -> Stats:
        """The stat panels."""
        counts: dict[str, int] = {}
        for view in self.views.values():
            counts[view.state.value] = counts.get(view.state.value, 0) + 1
        running = [view for view in self.views.values() if view.state is TaskState.RUNNING]
        return Stats(
            counts=counts,
            active_tasks=len(running),
            total_speed=round(sum(view.speed for view in running), 3),
            total_downloads=12,
            total_uploads=4,
            completed_today=counts.get("completed", 0),
            failed_today=counts.get("failed", 0),
            paused_all=self.paused_all,
            host=self.host,
            notices=self.notices,
        )

    def _ask(self, *what: object) -> None:
        self.asked.append(what)
        if self.refuse is not None:
            raise self.refuse

    # -- the protocol ------------------------------------------------------------------
    async def submit(
        self, op: Json, *, actor: Actor, options: SubmitOptions = SubmitOptions(), base: str | None = None
    ) -> TaskView:
        self._ask("submit", op, base)
        parsed = operations.parse(op)
        spec = operations.spec_of(parsed)
        task_id = f"n{len(self.views):03d}"
        self.params[task_id] = op
        view = self.put(
            make_view(task_id, op=spec.name, kind=spec.kind, title=operations.title(parsed), state=TaskState.QUEUED,
                      created=self.clock(), started=None, done=0, total=None, item="", owner=actor.name,
                      face=actor.face, priority=options.priority, position=len(self.views))
        )  # fmt: skip
        self.wake()
        return view

    async def repeat(self, task_id: str, *, actor: Actor) -> TaskView:
        self._ask("repeat", task_id)
        before = await self.view(task_id)
        view = self.put(
            make_view(f"n{len(self.views):03d}", op=before.op, kind=before.kind, title=before.title,
                      state=TaskState.QUEUED, created=self.clock(), started=None, done=0, total=None, item="",
                      owner=actor.name, face=actor.face, position=len(self.views))
        )  # fmt: skip
        self.wake()
        return view

    async def control(
        self, ids: Sequence[str], action: Action, *, actor: Actor, until: float | None = None
    ) -> list[Outcome]:
        self._ask("control", tuple(ids), action)
        outcomes = []
        for task_id in ids:
            view = self.views.get(task_id)
            if view is None or action not in view.actions:
                error = TaskdeckError("task.state", f"cannot {action} {task_id}", "its state does not allow it")
                outcomes.append(Outcome(task_id, False, view, error.info))
            elif action is Action.REMOVE:
                del self.views[task_id]
                outcomes.append(Outcome(task_id, True, view))
            else:
                outcomes.append(Outcome(task_id, True, self.change(task_id, state=_RESULT[action])))
        self.wake()
        return outcomes

    async def control_all(self, action: Action, *, actor: Actor, finish_current: bool = False) -> Stats:
        self._ask("control_all", action)
        self.paused_all = action is Action.PAUSE
        self.wake()
        return self.now_stats()

    async def reorder(self, task_id: str, *, actor: Actor, priority: int | None = None, move: int = 0) -> TaskView:
        self._ask("reorder", task_id, priority, move)
        changes: dict[str, object] = {} if priority is None else {"priority": priority}
        return self.change(task_id, **changes)

    async def unlock(self, task_id: str, secrets: Mapping[str, str], *, actor: Actor) -> TaskView:
        self._ask("unlock", task_id, dict(secrets))
        return self.change(task_id, state=TaskState.QUEUED, reason=WaitReason.NONE, note="")

    async def view(self, task_id: str) -> TaskView:
        try:
            return self.views[task_id]
        except KeyError:
            raise TaskdeckError("task.missing", f"cannot find task {display(task_id)}") from None

    async def detail(self, task_id: str, *, log_lines: int = 100) -> TaskDetail:
        view = await self.view(task_id)
        known = self.details.get(task_id)
        if known is not None:
            return msgspec.structs.replace(known, view=view)
        return TaskDetail(
            view=view,
            params=self.params.get(task_id, {"path": f"/home/ada/{view.title}", "format": "zip", "level": 6}),
            command=f"taskdeck {view.op} '/home/ada/{view.title}'",
            events=[TaskEvent(1, view.created, view.id, "queued", "ada", "cli"),
                    TaskEvent(2, view.created + 1, view.id, view.state.value)],
            log=["12:00:01 packing 247 files", "12:00:02 level 6 on 2 threads", f"12:00:03 {view.item}"],
            result=self.results.get(view.op),
            history=[float(2_000_000 + (n * n * 791_900) % 9_000_000) for n in range(60)],
        )  # fmt: skip

    async def query(self, query: Query) -> Page:
        assert 0 <= query.limit <= MAX_LIMIT, "the API refuses larger pages"
        return self.page(query)

    async def log(self, task_id: str, *, after: int = 0) -> tuple[int, list[str]]:
        return after, []

    async def events(self, *, after: int = 0, task_id: str | None = None, limit: int = 1000) -> list[TaskEvent]:
        return []

    async def stats(self) -> Stats:
        return self.now_stats()

    async def totals(self, filter: str = "") -> Totals:  # noqa: A002
        wanted = parse_filter(filter, now=self.clock())
        found = [view for view in self.views.values() if view.terminal and wanted.matches(view)]
        done = [view for view in found if view.state is TaskState.COMPLETED]
        amount = sum(view.total or view.done for view in done if view.unit == "bytes")
        return Totals(
            completed=len(done),
            failed=sum(view.state is TaskState.FAILED for view in found),
            cancelled=sum(view.state is TaskState.CANCELLED for view in found),
            bytes=amount,
            saved=amount * 3 // 10,
            seconds=sum((view.finished or 0.0) - (view.started or 0.0) for view in done),
        )

    async def look(self, question: Json, *, base: str | None = None) -> Json:
        self._ask("look", question, base)
        try:
            answer = self.looks[str(question["op"])]
        except KeyError:
            raise TaskdeckError("unsupported", f"cannot look for {question['op']}") from None
        if callable(answer):
            return answer(question)
        return answer

    async def wait(self, task_id: str) -> TaskView:
        view = await self.view(task_id)
        return self.change(task_id, state=TaskState.COMPLETED) if view.op in self.results else view

    async def watch(self, watch: Watch) -> FakeWatcher:
        self._ask("watch", watch)
        watcher = FakeWatcher(self, watch)
        self.watchers.append(watcher)
        return watcher
