"""The life of tasks in a service: run, pause, resume, cancel, retry, recover."""

from __future__ import annotations

from pathlib import Path

from engines.model import Action, Actor, TaskState, WaitReason
from tests.support.operations import content
from tests.support.workbench import running


async def test_task_runs_to_its_result(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.steps(count=3, pause=0)
        view = await deck.ended(task.id)
        assert view.state is TaskState.COMPLETED, view
        assert view.output == str(deck.root / "out")
        assert (deck.root / "out").read_bytes() == content(3, 1000)
        assert list(deck.root.iterdir()) == [deck.root / "out"]
        detail = await deck.service.detail(task.id[:4])
        assert detail.result == {"output": str(deck.root / "out"), "bytes": 3000, "attempt": 1}
        assert [event.type for event in detail.events] == ["submit", "start", "complete"]
        assert detail.events[0].actor == "tester" and detail.events[0].face == "test"


async def test_paused_task_stands_still_and_goes_on_in_the_same_process(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.steps(count=60)
        await deck.when(task.id, lambda view: view.done > 2000)
        outcome = await deck.ask(task.id, Action.PAUSE)
        assert outcome.view is not None and outcome.view.state is TaskState.PAUSED
        assert outcome.view.reason is WaitReason.USER
        part = next(deck.root.glob(".out.*"))
        size = part.stat().st_size
        outcome = await deck.ask(task.id, Action.RESUME)
        assert outcome.view is not None and outcome.view.state is TaskState.RUNNING
        view = await deck.ended(task.id)
        assert view.state is TaskState.COMPLETED and view.attempt == 1
        assert size < 60_000
        assert (deck.root / "out").read_bytes() == content(60, 1000)


async def test_cancelled_task_leaves_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.steps(count=1000)
        await deck.when(task.id, lambda view: view.done > 1000)
        outcome = await deck.ask(task.id, Action.CANCEL)
        assert outcome.view is not None and outcome.view.state is TaskState.CANCELLED
        assert list(deck.root.iterdir()) == []


async def test_task_ends_although_a_thread_of_it_is_stuck(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        view = await deck.ended((await deck.act("stuck")).id)
        assert view.state is TaskState.COMPLETED, view
        _, lines = await deck.service.log(view.id)
        assert any("printed last" in line for line in lines)


async def test_tasks_go_on_from_their_checkpoint_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        runs = await deck.steps("runs", count=200)
        rests = await deck.steps("rests", count=60)
        await deck.when(runs.id, lambda view: view.done > 3000)
        await deck.when(rests.id, lambda view: view.done > 3000)
        await deck.ask(rests.id, Action.PAUSE)
    async with running(tmp_path) as deck:
        view = await deck.service.view(rests.id)
        assert view.state is TaskState.PAUSED
        assert (await deck.service.view(runs.id)).done >= 3000
        await deck.ask(rests.id, Action.RESUME)
        for task, count in ((runs, 200), (rests, 60)):
            view = await deck.ended(task.id)
            assert view.state is TaskState.COMPLETED and view.attempt == 2, view
            assert (deck.root / view.title).read_bytes() == content(count, 1000)
        assert sorted(path.name for path in deck.root.iterdir()) == ["rests", "runs"]


async def test_crashed_job_is_tried_again_and_then_failed_with_its_reason(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        once, ever = await deck.act("once"), await deck.act("segfault")
        assert (await deck.ended(once.id)).state is TaskState.COMPLETED
        view = await deck.ended(ever.id)
        assert view.state is TaskState.FAILED and view.attempt == 3
        assert view.error is not None and view.error.code == "task.crashed"
        assert "segmentation fault" in view.error.message


async def test_failed_task_can_be_retried(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("error", text="value")
        view = await deck.ended(task.id)
        assert view.state is TaskState.FAILED and Action.RETRY in view.actions
        outcome = await deck.ask(task.id, Action.RETRY)
        assert outcome.ok, outcome
        assert (await deck.ended(task.id)).attempt == 2


async def test_failed_task_keeps_what_it_did_all_the_same(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("half")
        assert (await deck.ended(task.id)).state is TaskState.FAILED
        assert (await deck.service.detail(task.id)).result == {"did": "one half"}


async def test_a_repeated_task_works_on_the_same_bytes_however_they_look(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        name = "line\nbreak \x1b[31m"
        first = await deck.steps(name, count=1)
        assert (await deck.ended(first.id)).state is TaskState.COMPLETED
        (deck.root / name).unlink()
        again = await deck.service.repeat(first.id, actor=Actor("bob", "web"))
        assert (again.owner, again.face) == ("bob", "web")
        assert (await deck.ended(again.id)).state is TaskState.COMPLETED
        assert (deck.root / name).exists()
        assert (await deck.service.view(first.id)).state is TaskState.COMPLETED
