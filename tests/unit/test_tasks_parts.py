"""The small parts of the task engine: the table of states, ids, speed, the ready queue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import TaskdeckError
from engines.model import TERMINAL, Action, Kind, TaskState
from engines.settings import TasksSettings
from engines.tasks import ids
from engines.tasks.processes import death
from engines.tasks.queue import ReadyQueue, limit
from engines.tasks.record import Record
from engines.tasks.speed import WINDOW, SpeedMeter
from engines.tasks.states import ACTIONS, FIRST, TRANSITIONS, Step, demand, demand_move


def test_every_state_can_be_reached_and_every_live_one_left() -> None:
    reached = set(FIRST) | {
        target for moves in TRANSITIONS.values() for targets in moves.values() for target in targets
    }
    assert reached == set(TaskState)
    for state in set(TaskState) - TERMINAL:
        assert any(targets - {state} for moves in TRANSITIONS.values() if (targets := moves.get(state))), state


def test_ended_tasks_are_left_only_by_a_retry() -> None:
    for step, moves in TRANSITIONS.items():
        for state, targets in moves.items():
            if state in TERMINAL and targets:
                assert step is Step.RETRY


def test_every_live_task_can_be_cancelled_but_one_that_is() -> None:
    for state in set(TaskState) - TERMINAL - {TaskState.CANCELLING}:
        assert Action.CANCEL in ACTIONS[state]
    assert ACTIONS[TaskState.CANCELLING] == ()
    assert set(ACTIONS[TaskState.FAILED]) == {Action.RETRY, Action.REMOVE}


def test_illegal_steps_are_typed_errors_in_words() -> None:
    with pytest.raises(TaskdeckError) as caught:
        demand("abc234", TaskState.COMPLETED, Step.PAUSE)
    assert caught.value.code == "task.state" and "it has completed" in caught.value.message
    with pytest.raises(TaskdeckError):
        demand_move("abc234", TaskState.QUEUED, Step.START, TaskState.COMPLETED)


def test_ids_avoid_letters_that_look_alike() -> None:
    made = {ids.new_id() for _ in range(1000)}
    assert len(made) > 990
    assert not set("".join(made)) & set("0o1li") and all(len(task_id) == 6 for task_id in made)
    assert ids.is_id("abc") and not any(map(ids.is_id, ("", "abc2345", "a-b", "l0l", "ABC")))


def test_speed_is_that_of_the_window_and_sinks_when_nothing_moves() -> None:
    meter = SpeedMeter()
    for second in range(21):
        meter.add(float(second), second * 100)
    assert meter.speed(20.0) == pytest.approx(100)
    assert meter.eta(20.0, 2000, 3000) == pytest.approx(10)
    assert 0 < meter.speed(24.0) < 100
    assert meter.speed(20.0 + WINDOW) == 0 and meter.eta(20.0 + WINDOW, 2000, 3000) is None


def test_paused_time_is_no_part_of_the_speed() -> None:
    meter = SpeedMeter()
    for second in range(10):
        meter.add(float(second), second * 100)
    meter.stop()
    for second in range(1000, 1005):
        meter.add(float(second), 900 + (second - 1000) * 100)
    assert meter.speed(1004.0) == pytest.approx(100)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 10**9)), max_size=50))
def test_speed_is_never_negative_nor_absurd(reports: list[tuple[float, int]]) -> None:
    meter, now = SpeedMeter(), 0.0
    for pause, done in reports:
        now += pause
        meter.add(now, done)
        assert meter.speed(now) >= 0
        assert (meter.eta(now, done, 10**9) or 0) >= 0


def record(number: int, priority: int = 0, kind: Kind = Kind.INFO) -> Record:
    return Record(
        id=f"t{number}", op={}, op_name="act", kind=kind, title="", state=TaskState.QUEUED, created=number, owner="",
        face="", priority=priority, position=number, max_attempts=1, resumable=False, writes=False,
    )  # fmt: skip


def test_queue_orders_by_priority_then_place_and_families_do_not_mix() -> None:
    ready = ReadyQueue()
    members = [record(1), record(2), record(3, priority=1), record(4, kind=Kind.UPLOAD)]
    for member in members:
        ready.put(member)
    assert list(ready.waiting(Kind.INFO)) == ["t3", "t1", "t2"]
    members[0].position = 9
    ready.put(members[0])
    ready.drop("t3")
    ready.drop("t3")
    assert list(ready.waiting(Kind.INFO)) == ["t2", "t1"] and len(ready) == 3


def test_every_family_has_a_limit() -> None:
    assert all(limit(TasksSettings(), kind) >= 1 for kind in Kind)


def test_deaths_are_told_in_words() -> None:
    assert "SIGKILL" in death(-9) and "segmentation" in death(-11) and "status 3" in death(3)
    assert "SIGHUP" in death(-1) and "signal 99" in death(-99)
