"""Random requests against the real store: no step outside the table, counters true, and a restart changes nothing."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engines.errors import ErrorInfo
from engines.job import Stop
from engines.model import TERMINAL, Action, Progress, SubmitOptions, TaskState
from engines.query import Query
from engines.tasks import engine as engine_module
from engines.tasks.run import End, Ending, Sink, Work
from engines.tasks.sink import TaskSink
from engines.tasks.states import ACTIONS, TRANSITIONS, Step
from tests.support.workbench import DEADLINE, ME, Deck, running


class PlayedRun:
    """A run whose end the test decides: everything else of the engine and the store is real."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.work: Work | None = None
        self.frozen = False
        self._end: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    pid = None

    async def begin(self, work: Work, *_: Any) -> None:
        self.work = work

    async def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        self.frozen = False

    def stop(self, why: Stop) -> None:
        self.play(End(Ending.STOPPED, stop=why))

    def kill(self) -> None:
        self.play(End(Ending.CRASHED, reason="killed"))

    async def end(self) -> End:
        return await asyncio.shield(self._end)

    def play(self, end: End) -> None:
        if not self._end.done():
            self._end.set_result(end)


ENDS = {
    "result": End(Ending.RESULT, result={"output": "/x"}),
    "crash": End(Ending.CRASHED, reason="it died"),
    "stopped": End(Ending.STOPPED, stop=Stop.SUSPEND),
    "disk": End(Ending.ERROR, error=ErrorInfo("disk.full", "Full.")),
    "value": End(Ending.ERROR, error=ErrorInfo("value", "Bad.")),
}


class TaskMachine(RuleBasedStateMachine):
    """Submits, controls, ends and restarts in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.stack = AsyncExitStack()
        self.now = 1_000_000.0
        self.ids: list[str] = []
        self.removed: set[str] = set()
        self.known: dict[str, TaskState] = {}
        self.deck: Deck

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, DEADLINE))

    async def open(self) -> None:
        self.deck = await self.stack.enter_async_context(
            running(self.folder, clock=lambda: self.now, retry_first=50, retry_cap=100, parallel_info=2)
        )

    async def quiet(self) -> None:
        """Until nothing is under way."""
        service = self.deck.service
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            await asyncio.sleep(0)
            busy = any(record.busy or record.lock.locked() for record in service.board.records.values())
            if not busy and not service.engine._wake and not self.pending():
                return
            await asyncio.sleep(0.001)
        raise AssertionError("the engine does not come to rest")

    def pending(self) -> bool:
        return any(
            record.run is not None and record.run._end.done()  # type: ignore[attr-defined]
            for record in self.deck.service.board.records.values()
        )

    @initialize()
    def start(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(engine_module.Engine, "_new_run", lambda engine, record: PlayedRun(TaskSink(engine, record)))
        self.do(self.open())

    @rule(paused=st.booleans(), after=st.booleans(), later=st.booleans(), data=st.data())
    def submit(self, paused: bool, after: bool, later: bool, data: st.DataObject) -> None:
        live = [i for i in self.ids if i in self.deck.service.board.records]
        needs = (data.draw(st.sampled_from(live)),) if after and live else ()
        options = SubmitOptions(
            paused=paused, after=needs, not_before=self.now + 30 if later else None, priority=len(self.ids) % 3
        )

        async def work() -> None:
            self.ids.append((await self.deck.act("nothing", options=options)).id)
            await self.quiet()

        self.do(work())

    @precondition(lambda self: self.ids)
    @rule(action=st.sampled_from(Action), data=st.data())
    def control(self, action: Action, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from(self.ids))

        async def work() -> None:
            before = None if task_id in self.removed else (await self.deck.service.view(task_id)).state
            outcome = await self.deck.ask(task_id, action)
            allowed = before is not None and action in ACTIONS[before]
            if outcome.ok:
                # What "pause all" had paused can be paused for itself.
                assert allowed or (before, action) == (TaskState.PAUSED, Action.PAUSE), (before, action)
                if action is Action.REMOVE:
                    self.removed.add(task_id)
            else:
                assert outcome.error is not None
                code = outcome.error.code
                assert code in (("task.missing",) if before is None else ("task.state", "task.dependency")), outcome
                assert not allowed or code == "task.dependency", (before, action)
            await self.quiet()

        self.do(work())

    @rule(how=st.sampled_from(sorted(ENDS)), data=st.data())
    def end(self, how: str, data: st.DataObject) -> None:
        runs = [
            record
            for record in self.deck.service.board.records.values()
            if record.run is not None and not record.run.frozen  # type: ignore[attr-defined]
        ]
        if not runs:
            return
        record = data.draw(st.sampled_from(sorted(runs, key=lambda record: record.id)))

        async def work() -> None:
            assert isinstance(record.run, PlayedRun)
            record.run.sink.progress(Progress(5, 10))
            record.run.sink.checkpoint({"at": 5})
            record.run.play(ENDS[how])
            await self.quiet()

        self.do(work())

    @rule(seconds=st.sampled_from([1.0, 40.0, 120.0, 4000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

        async def work() -> None:
            for task_id in self.deck.service.engine.timers.due(self.now):
                if record := self.deck.service.board.records.get(task_id):
                    await self.deck.service.control_desk.look(record)
            await self.quiet()

        self.do(work())

    @rule(action=st.sampled_from([Action.PAUSE, Action.RESUME]))
    def everything(self, action: Action) -> None:
        async def work() -> None:
            await self.deck.service.control_all(action, actor=ME)
            await self.quiet()

        self.do(work())

    @rule()
    def restart(self) -> None:
        async def work() -> None:
            before = {i: (await self.deck.service.view(i)).state for i in self.ids if i not in self.removed}
            await self.stack.aclose()
            await self.open()
            await self.quiet()
            for task_id, state in before.items():
                after = (await self.deck.service.view(task_id)).state
                if state in TERMINAL or state is TaskState.PAUSED:
                    assert after is state, (task_id, state, after)
                else:
                    assert after not in TERMINAL, (task_id, state, after)

        self.do(work())

    @invariant()
    def counters_are_true(self) -> None:
        if not hasattr(self, "deck"):
            return

        async def work() -> None:
            views = (await self.deck.service.query(Query(limit=1000))).items
            assert len({view.id for view in views}) == len(views) == len(self.ids) - len(self.removed)
            stats = await self.deck.service.stats()
            assert {k: n for k, n in stats.counts.items() if n} == Counter(view.state.value for view in views)
            stored = await self.deck.service.store.read(
                lambda c: dict(c.execute("SELECT id, state FROM task").fetchall())
            )
            assert stored == {view.id: view.state.value for view in views}
            slots = [view for view in views if view.state is TaskState.RUNNING]
            assert len(slots) <= 2

        self.do(work())

    def teardown(self) -> None:
        async def work() -> None:
            events = await self.deck.service.events(limit=10_000)
            for event in events:
                if "from" in event.data and event.data.get("to"):
                    allowed = TRANSITIONS[Step(event.type)].get(TaskState(event.data["from"]), frozenset())
                    assert event.data["to"] in allowed, event
            await self.stack.aclose()

        self.do(work())
        self.patch.undo()
        self.loop.close()
        shutil.rmtree(self.folder)


TestTaskMachine = TaskMachine.TestCase
TestTaskMachine.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
