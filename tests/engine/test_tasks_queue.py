"""What starts when: limits, priorities, order, dependencies, times, back-off, and pausing everything."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from engines.errors import TaskdeckError
from engines.model import Action, SubmitOptions, TaskState, WaitReason
from tests.support.workbench import DEADLINE, ME, Deck, running


async def started_order(deck: Deck, ids: list[str]) -> list[str]:
    """The ids in the order in which they were started."""
    events = await deck.service.events()
    return [event.task for event in events if event.type == "start" and event.task in ids]


async def test_each_family_keeps_its_limit(tmp_path: Path) -> None:
    async with running(tmp_path, parallel_info=2, parallel_compress=1) as deck:
        tasks = [await deck.act("sleep", number=0.3) for _ in range(5)]
        other = await deck.steps(count=2)
        most = 0
        while not all([(await deck.service.view(task.id)).terminal for task in tasks]):
            states = [(await deck.service.view(task.id)).state for task in tasks]
            most = max(most, states.count(TaskState.RUNNING))
            await asyncio.sleep(0.01)
        assert most == 2
        assert (await deck.ended(other.id)).state is TaskState.COMPLETED


async def test_higher_priority_and_earlier_place_start_first(tmp_path: Path) -> None:
    async with running(tmp_path, parallel_info=1) as deck:
        first = await deck.act("sleep", number=0.5)
        low = await deck.act("nothing", options=SubmitOptions(priority=-1))
        a, b, c = [await deck.act("nothing") for _ in range(3)]
        high = await deck.act("nothing", options=SubmitOptions(priority=5))
        await deck.service.reorder(c.id, actor=ME, move=-2)
        await deck.service.reorder(low.id, actor=ME, priority=9)
        wanted = [first.id, low.id, high.id, c.id, a.id, b.id]
        for task_id in wanted:
            await deck.ended(task_id)
        assert await started_order(deck, wanted) == wanted
        with pytest.raises(TaskdeckError) as caught:
            await deck.service.reorder(first.id, actor=ME, move=1)
        assert caught.value.code == "task.state"


async def test_dependent_task_waits_and_fails_with_what_it_needs(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        good, bad = await deck.act("sleep", number=0.2), await deck.act("error", text="value")
        after_good = await deck.act("nothing", options=SubmitOptions(after=(good.id[:5],)))
        assert after_good.reason is WaitReason.DEPENDENCY and good.id in after_good.note
        gone = await deck.act("sleep")
        after_gone = await deck.act("nothing", options=SubmitOptions(after=(gone.id,)))
        chained = await deck.act("nothing", options=SubmitOptions(after=(after_gone.id, good.id)))
        assert (await deck.ended(after_good.id)).state is TaskState.COMPLETED
        await deck.ask(gone.id, Action.CANCEL)
        for task in (after_gone, chained):
            view = await deck.ended(task.id)
            assert view.error is not None and view.error.code == "task.dependency"
        await deck.ended(bad.id)
        with pytest.raises(TaskdeckError) as caught:
            await deck.act("nothing", options=SubmitOptions(after=(bad.id,)))
        assert caught.value.code == "task.dependency"


async def test_dependencies_hold_over_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        first = await deck.steps(count=100)
        second = await deck.act("nothing", options=SubmitOptions(after=(first.id,)))
        await deck.until(first.id, TaskState.RUNNING)
    async with running(tmp_path) as deck:
        assert (await deck.service.view(second.id)).reason is WaitReason.DEPENDENCY
        await deck.ended(second.id)
        assert await started_order(deck, [second.id, first.id]) == [first.id, first.id, second.id]


async def test_put_off_task_and_timed_pause_follow_the_clock(tmp_path: Path) -> None:
    now = 5_000_000.0
    async with running(tmp_path, clock=lambda: now) as deck:
        later = await deck.act("nothing", options=SubmitOptions(not_before=now + 600))
        assert (later.state, later.reason, later.note) == (
            TaskState.WAITING,
            WaitReason.SCHEDULE,
            "Starts in 00:10:00.",
        )
        paused = await deck.act("nothing", options=SubmitOptions(paused=True))
        timed = await deck.act("nothing", options=SubmitOptions(not_before=now + 600))
        outcome = await deck.ask(timed.id, Action.PAUSE, until=now + 900)
        assert outcome.view is not None and outcome.view.note == "Resumes in 00:15:00."
        now += 601
        await deck.ended(later.id)
        assert (await deck.service.view(timed.id)).state is TaskState.PAUSED
        now += 300
        await deck.ended(timed.id)
        assert (await deck.service.view(paused.id)).state is TaskState.PAUSED


async def test_a_paused_task_takes_another_time_and_loses_it_again(tmp_path: Path) -> None:
    now = 5_000_000.0
    async with running(tmp_path, clock=lambda: now) as deck:
        first, second = [await deck.act("nothing", options=SubmitOptions(paused=True)) for _ in range(2)]
        assert not (await deck.ask(first.id, Action.PAUSE)).ok, "it is paused already"
        for task in (first, second):
            outcome = await deck.ask(task.id, Action.PAUSE, until=now + 900)
            assert outcome.view is not None and outcome.view.note == "Resumes in 00:15:00."
        assert not (await deck.ask(first.id, Action.PAUSE, until=now - 1)).ok
        assert (await deck.ask(second.id, Action.PAUSE)).ok, "now it stays paused"
        now += 901
        await deck.ended(first.id)
        assert (await deck.service.view(second.id)).state is TaskState.PAUSED


async def test_a_task_paused_with_all_others_can_be_paused_for_itself(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        mine, other = await deck.act("sleep", number=0.3), await deck.act("sleep", number=0.3)
        for task in (mine, other):
            await deck.when(task.id, lambda view: view.state is TaskState.RUNNING)
        await deck.service.control_all(Action.PAUSE, actor=ME)
        assert (await deck.ask(mine.id, Action.PAUSE)).ok
        await deck.service.control_all(Action.RESUME, actor=ME)
        await deck.ended(other.id)
        view = await deck.service.view(mine.id)
        assert (view.state, view.reason) == (TaskState.PAUSED, WaitReason.USER)


async def test_waits_between_tries_double_up_to_the_cap(tmp_path: Path) -> None:
    now = 7_000_000.0
    async with running(tmp_path, clock=lambda: now, retry_first=100, retry_cap=250, max_attempts=5) as deck:
        task = await deck.act("kill")
        for number, wanted in enumerate((100, 200, 250, 250), 1):
            view = await deck.when(
                task.id,
                lambda view, n=number: view.state is TaskState.WAITING and view.attempt == n,  # type: ignore[misc]
            )
            assert view.reason is WaitReason.RETRY and "SIGKILL" in view.note
            due = deck.service.board.records[task.id].not_before
            assert due is not None and due - now == pytest.approx(wanted, rel=0.11)
            now = due + 1
        view = await deck.ended(task.id)
        assert view.error is not None and "(5 tries)" in view.error.message


async def test_passing_fault_is_tried_again(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        view = await deck.ended((await deck.act("error", text="network")).id)
        assert view.attempt == 3 and view.error is not None and view.error.code == "network"


async def test_pausing_everything_freezes_and_starts_nothing_until_resumed(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        runs = await deck.steps(count=60)
        by_hand = await deck.steps("hand", count=60)
        for task in (runs, by_hand):
            await deck.until(task.id, TaskState.RUNNING)
        await deck.ask(by_hand.id, Action.PAUSE)
        stats = await deck.service.control_all(Action.PAUSE, actor=ME)
        assert stats.paused_all and stats.active_tasks == 0
        assert (await deck.service.view(runs.id)).reason is WaitReason.ALL_PAUSED
        queued = await deck.act("nothing")
        await asyncio.sleep(0.1)
        assert (await deck.service.view(queued.id)).state is TaskState.QUEUED
    async with running(tmp_path) as deck:
        assert (await deck.service.stats()).paused_all
        assert (await deck.service.view(queued.id)).state is TaskState.QUEUED
        await deck.service.control_all(Action.RESUME, actor=ME)
        await deck.ended(queued.id)
        assert (await deck.ended(runs.id)).state is TaskState.COMPLETED
        assert (await deck.service.view(by_hand.id)).state is TaskState.PAUSED


async def test_finishing_what_runs_starts_nothing_more(tmp_path: Path) -> None:
    async with running(tmp_path, parallel_info=1) as deck:
        runs, next_one = await deck.act("sleep", number=0.3), await deck.act("nothing")
        await deck.until(runs.id, TaskState.RUNNING)
        await deck.service.control_all(Action.PAUSE, actor=ME, finish_current=True)
        assert (await deck.ended(runs.id)).state is TaskState.COMPLETED
        await asyncio.sleep(0.1)
        assert (await deck.service.view(next_one.id)).state is TaskState.QUEUED


async def test_resumed_task_waits_for_its_turn_without_losing_its_process(tmp_path: Path) -> None:
    async with running(tmp_path, parallel_compress=1) as deck:
        first = await deck.steps("first", count=40)
        await deck.when(first.id, lambda view: view.done > 0)
        await deck.ask(first.id, Action.PAUSE)
        second = await deck.steps("second", count=20)
        await deck.until(second.id, TaskState.RUNNING)
        outcome = await deck.ask(first.id, Action.RESUME)
        assert outcome.view is not None and outcome.view.state is TaskState.QUEUED
        await deck.ended(second.id)
        view = await deck.ended(first.id)
        assert view.state is TaskState.COMPLETED and view.attempt == 1


async def test_idempotency_key_gives_the_same_task(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        options = SubmitOptions(key="k1")
        many = await asyncio.gather(*(deck.act("nothing", options=options) for _ in range(5)))
        assert len({task.id for task in many}) == 1
        with pytest.raises(TaskdeckError) as caught:
            await deck.act("sleep", options=options)
        assert caught.value.code == "task.key_reused"
        await deck.ended(many[0].id)
        assert (await deck.act("nothing", options=options)).state is TaskState.COMPLETED


async def test_ids_can_be_shortened_while_they_are_clear(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        tasks = [await deck.act("nothing") for _ in range(40)]
        assert (await deck.service.view(tasks[0].id.upper())).id == tasks[0].id
        with pytest.raises(TaskdeckError) as caught:
            await deck.service.view("zzzzz")
        assert caught.value.code == "task.missing"
        letters = [task.id[0] for task in tasks]
        common = next(letter for letter in letters if letters.count(letter) > 1)
        outcome = await deck.ask(common, Action.REMOVE)
        assert outcome.error is not None and outcome.error.code == "task.ambiguous"
        for bad in ("", "../x", "a%", "0o1l"):
            assert not (await deck.ask(bad, Action.PAUSE)).ok


async def test_removed_task_is_gone_from_lists_and_counts(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("nothing")
        await deck.ended(task.id)
        assert (await deck.ask(task.id, Action.REMOVE)).ok
        stats = await deck.service.stats()
        assert stats.counts["completed"] == 0
        with pytest.raises(TaskdeckError):
            await deck.service.view(task.id)
        assert [event.type for event in await deck.service.events()][-1] == "remove"


async def test_retention_removes_the_oldest(tmp_path: Path) -> None:
    async with running(tmp_path, keep_tasks=3) as deck:
        tasks = [await deck.act("nothing") for _ in range(6)]
        for task in tasks:
            await deck.ended(task.id)
        await deck.service.house.clean()
        assert (await deck.service.stats()).counts["completed"] == 3


async def test_retention_forgets_who_did_what_to_tasks_that_are_long_gone(tmp_path: Path) -> None:
    now = [1_800_000_000.0]
    async with running(tmp_path, keep_tasks=1, clock=lambda: now[0]) as deck:
        tasks = [await deck.act("nothing") for _ in range(3)]
        for task in tasks:
            await deck.ended(task.id)
        await deck.service.house.clean()
        known = {event.task for event in await deck.service.events()}
        assert known == {task.id for task in tasks}, "a removal of today can still be looked up"
        now[0] += 31 * 86400
        await deck.service.house.clean()
        left = {event.task for event in await deck.service.events()}
        assert len(left) == 1, "the task that is kept keeps its events"
        assert (await deck.service.detail(left.pop())).events


async def test_refused_requests_leave_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        for op, code in (
            ({"op": "nope"}, "usage"),
            ({"op": "steps", "path": "/etc/x"}, "path.outside_roots"),
            ({"op": "steps", "path": str(deck.root / "x"), "count": "many"}, "value"),
            ({"op": "steps"}, "value"),
            ({}, "usage"),
        ):
            with pytest.raises(TaskdeckError) as caught:
                await deck.service.submit(op, actor=ME)
            assert caught.value.code == code
        with pytest.raises(TaskdeckError):
            await deck.act("nothing", options=SubmitOptions(priority=10**9))
        assert sum((await deck.service.stats()).counts.values()) == 0


async def test_pause_and_cancel_answer_quickly(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("sleep")
        await deck.until(task.id, TaskState.RUNNING)
        begun = time.monotonic()
        view = (await deck.ask(task.id, Action.PAUSE)).view
        assert view is not None and view.state is TaskState.PAUSED
        view = (await deck.ask(task.id, Action.CANCEL)).view
        assert view is not None and view.state is TaskState.CANCELLED
        assert time.monotonic() - begun < DEADLINE  # a deadline, not a measurement: see benchmarks/engine.py
