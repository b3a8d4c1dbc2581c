"""Requests that meet: two of the same kind at once, one that meets an end, one that meets a disk that refuses."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from engines.errors import TaskdeckError
from engines.model import Action, SubmitOptions, TaskState
from engines.tasks.store import Statement, Store
from tests.support.modes import bound_by_modes
from tests.support.workbench import DEADLINE, ME, Deck, running


class Disk:
    """Stands between a service and its store: refuses writes as a full disk does, or lets one wait."""

    def __init__(self, deck: Deck) -> None:
        self._write = deck.service.store.write
        deck.service.store.write = self.write  # type: ignore[method-assign]
        self.full: Callable[[Sequence[Statement]], bool] = lambda _: False
        self.refused = 0
        self.held: Callable[[Sequence[Statement]], bool] = lambda _: False
        self.waiting = asyncio.Event()
        self.go_on = asyncio.Event()

    async def write(self, statements: Sequence[Statement]) -> None:
        if self.full(statements):
            self.refused += 1
            raise TaskdeckError("disk.full", "cannot record the change", "the disk of the state folder is full")
        if self.held(statements):
            self.waiting.set()
            await self.go_on.wait()
        await self._write(statements)


def event(kind: str) -> Callable[[Sequence[Statement]], bool]:
    """Whether statements record an event of this kind."""
    return lambda statements: any(
        sql.startswith("INSERT INTO event") and values[3] == kind for sql, values in statements
    )


async def happened(condition: Callable[[], object]) -> None:
    """Return once a condition holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def counts_are_true(deck: Deck) -> None:
    """The counters say what the store says."""
    shown = (await deck.service.stats()).counts
    stored = await deck.service.store.read(
        lambda c: dict(c.execute("SELECT state, count(*) FROM task GROUP BY state").fetchall())
    )
    assert {state: number for state, number in shown.items() if number} == stored


async def test_two_retries_at_once_make_one_run(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("error", text="value")
        await deck.ended(task.id)
        outcomes = await deck.service.control([task.id, task.id], Action.RETRY, actor=ME)
        assert sorted(outcome.ok for outcome in outcomes) == [False, True]
        assert (await deck.ended(task.id)).attempt == 2
        await counts_are_true(deck)


async def test_two_removals_at_once_count_once(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("nothing")
        await deck.ended(task.id)
        outcomes = await deck.service.control([task.id, task.id], Action.REMOVE, actor=ME)
        assert sorted(outcome.ok for outcome in outcomes) == [False, True]
        await counts_are_true(deck)


async def test_retry_and_removal_at_once_leave_a_task_or_none(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        for _ in range(5):
            task = await deck.act("error", text="value")
            await deck.ended(task.id)
            await asyncio.gather(deck.ask(task.id, Action.RETRY), deck.ask(task.id, Action.REMOVE))
            if task.id in deck.service.board.records:
                await deck.ended(task.id)
            await counts_are_true(deck)


@pytest.mark.parametrize(("what", "action"), [("error", Action.RETRY), ("nothing", Action.REMOVE)])
async def test_request_that_meets_the_end_is_done_on_the_ended_task(tmp_path: Path, what: str, action: Action) -> None:
    async with running(tmp_path) as deck:
        disk = Disk(deck)
        disk.held = event("fail" if what == "error" else "complete")
        task = await deck.act(what, text="value")
        await disk.waiting.wait()
        asked = asyncio.create_task(deck.ask(task.id, action))
        await asyncio.sleep(0)
        disk.go_on.set()
        outcome = await asked
        assert outcome.ok, outcome
        if action is Action.RETRY:
            assert (await deck.ended(task.id)).attempt == 2
        await counts_are_true(deck)


async def test_failed_task_begins_anew_however_late_its_last_checkpoint_came(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("save and fail")
        await deck.ended(task.id)
        stored = await deck.service.store.read(
            lambda c: c.execute("SELECT checkpoint FROM body WHERE task=?", (task.id,)).fetchone()
        )
        assert stored == (None,)


@pytest.mark.parametrize("refused", ["pause", "paused"])
async def test_task_that_could_not_be_paused_goes_on(tmp_path: Path, refused: str) -> None:
    async with running(tmp_path) as deck:
        disk = Disk(deck)
        task = await deck.steps(count=100)
        await deck.until(task.id, TaskState.RUNNING)
        times = 0

        def once(statements: Sequence[Statement]) -> bool:
            nonlocal times
            times += event(refused)(statements)
            return times == 1 and event(refused)(statements)

        disk.full = once
        outcome = await deck.ask(task.id, Action.PAUSE)
        assert disk.refused == 1
        if not outcome.ok:
            assert outcome.error is not None and outcome.error.code == "disk.full"
        else:
            assert (await deck.service.view(task.id)).state is TaskState.PAUSED
            await deck.ask(task.id, Action.RESUME)
        assert (await deck.ended(task.id)).state is TaskState.COMPLETED


async def test_moment_that_comes_while_the_disk_is_full_is_not_missed(tmp_path: Path) -> None:
    now = 5_000_000.0
    async with running(tmp_path, clock=lambda: now) as deck:
        disk = Disk(deck)
        put_off = await deck.act("nothing", options=SubmitOptions(not_before=now + 600))
        paused = await deck.act("nothing", options=SubmitOptions(paused=True))
        await deck.ask(paused.id, Action.PAUSE, until=now + 600)
        disk.full = lambda s: event("ready")(s) or event("resume")(s)
        now += 601
        await happened(lambda: disk.refused >= 2)
        disk.full = lambda _: False
        assert (await deck.ended(put_off.id)).state is TaskState.COMPLETED
        assert (await deck.ended(paused.id)).state is TaskState.COMPLETED


async def test_dependency_that_ends_while_the_disk_is_full_is_not_missed(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        disk = Disk(deck)
        first = await deck.act("sleep", number=0.1)
        second = await deck.act("nothing", options=SubmitOptions(after=(first.id,)))
        disk.full = event("ready")
        await deck.ended(first.id)
        await happened(lambda: disk.refused)
        disk.full = lambda _: False
        assert (await deck.ended(second.id)).state is TaskState.COMPLETED


async def test_dependency_that_ends_while_its_follower_is_recorded_is_heard(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        disk = Disk(deck)
        first = await deck.act("sleep", number=0.1)
        disk.held = event("submit")
        submitting = asyncio.create_task(deck.act("nothing", options=SubmitOptions(after=(first.id,))))
        await disk.waiting.wait()
        await deck.ended(first.id)
        await happened(lambda: not deck.service.engine.dependents)  # those it knew of have been told
        disk.go_on.set()
        second = await submitting
        assert (await deck.ended(second.id)).state is TaskState.COMPLETED


async def test_dependency_that_ends_while_its_follower_is_retried_is_heard(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        disk = Disk(deck)
        first = await deck.act("sleep")
        second = await deck.act("nothing", options=SubmitOptions(after=(first.id,)))
        await deck.ask(second.id, Action.CANCEL)
        disk.held = event("retry")
        retrying = asyncio.create_task(deck.ask(second.id, Action.RETRY))
        await disk.waiting.wait()
        await deck.ask(first.id, Action.CANCEL)
        disk.go_on.set()
        await retrying
        view = await deck.ended(second.id)
        assert view.error is not None and view.error.code == "task.dependency"


async def test_end_of_a_pause_is_kept_from_its_first_moment(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        disk = Disk(deck)
        task = await deck.steps(count=1000)
        await deck.until(task.id, TaskState.RUNNING)
        disk.held = event("paused")
        until = deck.service.board.records[task.id].created + 1e6
        pausing = asyncio.create_task(deck.ask(task.id, Action.PAUSE, until=until))
        await disk.waiting.wait()
        stored = await deck.service.store.read(
            lambda c: c.execute("SELECT state, resume_at FROM task WHERE id=?", (task.id,)).fetchone()
        )
        assert stored == ("pausing", until), "a daemon killed now would leave it paused for ever"
        disk.go_on.set()
        await pausing


async def test_daemon_stops_although_its_disk_is_full(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        disk = Disk(deck)
        task = await deck.steps(count=1000)
        await deck.until(task.id, TaskState.RUNNING)
        disk.full = lambda _: True
        await asyncio.wait_for(deck.service.stop(), 15)
    async with running(tmp_path) as deck:
        assert (await deck.service.view(task.id)).state in (TaskState.QUEUED, TaskState.RUNNING)


async def test_need_that_was_met_and_removed_stays_met(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        first = await deck.act("nothing")
        second = await deck.act("error", text="value", options=SubmitOptions(after=(first.id,)))
        third = await deck.act("nothing", options=SubmitOptions(after=(first.id,), paused=True))
        await deck.ended(second.id)
        assert (await deck.ask(first.id, Action.REMOVE)).ok
        outcome = await deck.ask(second.id, Action.RETRY)
        assert outcome.ok, outcome.error
        await deck.ended(second.id)
    async with running(tmp_path) as deck:
        assert (await deck.service.view(third.id)).state is TaskState.PAUSED


async def test_follower_of_a_log_misses_no_line_while_the_disk_is_slow(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        disk = Disk(deck)
        task = await deck.act("sleep")
        await deck.until(task.id, TaskState.RUNNING)
        record = deck.service.board.records[task.id]
        disk.held = lambda statements: any("INTO log" in sql for sql, _ in statements)
        deck.service.engine.log(record, "one")
        await disk.waiting.wait()
        deck.service.engine.log(record, "two")
        seen, lines = await deck.service.log(task.id)
        disk.go_on.set()
        disk.held = lambda _: False
        await happened(lambda: not record.log_pending)
        _, more = await deck.service.log(task.id, after=seen)
        assert lines + more == ["one", "two"]
        await deck.ask(task.id, Action.CANCEL)


async def test_heartbeat_outlives_a_measurement_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("sleep")
        await deck.until(task.id, TaskState.RUNNING)
        failed = asyncio.Event()

        def fails() -> None:
            failed.set()
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(deck.service.gauges, "sample", fails)
        monkeypatch.setattr(deck.service.gauges, "_due", 0.0)
        deck.service._watchers = 1
        await failed.wait()
        monkeypatch.undo()
        deck.service._watchers = 0
        deck.service.engine.log(deck.service.board.records[task.id], "still here")
        await happened(lambda: not deck.service.board.records[task.id].log_pending)


async def test_details_of_a_task_that_is_being_removed_are_missing_not_a_fault(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("nothing")
        await deck.ended(task.id)
        write = deck.service.store.write

        async def look_then(statements: Sequence[Statement]) -> None:
            await write(statements)
            if event("remove")(statements):
                with pytest.raises(TaskdeckError) as caught:
                    await deck.service.reader.detail(task.id, 10)
                assert caught.value.code == "task.missing"

        deck.service.store.write = look_then  # type: ignore[method-assign]
        assert (await deck.ask(task.id, Action.REMOVE)).ok


async def test_reordering_a_task_that_is_being_cancelled_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, parallel_info=1) as deck:
        await deck.act("sleep")
        task = await deck.act("nothing")
        disk = Disk(deck)
        disk.held = event("cancel")
        cancelling = asyncio.create_task(deck.ask(task.id, Action.CANCEL))
        await disk.waiting.wait()
        asked = asyncio.create_task(deck.service.reorder(task.id, actor=ME, priority=4, move=1))
        await asyncio.sleep(0)
        disk.go_on.set()
        await cancelling
        with pytest.raises(TaskdeckError) as caught:
            await asked
        assert caught.value.code == "task.state"


def test_database_that_may_not_be_opened_is_not_called_damaged(tmp_path: Path) -> None:
    Store(tmp_path / "tasks.db").close()
    (tmp_path / "tasks.db").chmod(0)  # as one that root made
    code = "import pathlib, sys; from engines.tasks.store import Store; Store(pathlib.Path(sys.argv[1]))"
    argv = [sys.executable, "-c", code, str(tmp_path / "tasks.db")]
    done = subprocess.run(bound_by_modes(argv), capture_output=True, text=True, timeout=60, check=False)
    assert "unable to open" in done.stderr
    assert [path.name for path in tmp_path.glob("*damaged*")] == []


async def test_numbers_of_events_never_come_again(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("nothing")
        await deck.ended(task.id)
        last = (await deck.service.events())[-1].seq
        await deck.service.store.write([("DELETE FROM event", ())])
    async with running(tmp_path) as deck:
        await deck.act("nothing")
        assert (await deck.service.events())[0].seq > last


async def test_end_that_is_seen_to_after_a_retry_does_not_take_the_task_out_of_the_queue(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("error", text="value")
        ended = deck.service.board.records[task.id]
        await deck.ended(task.id)
        await deck.service.control_all(Action.PAUSE, actor=ME)
        await deck.ask(task.id, Action.RETRY)
        deck.service.engine.settle(ended)  # as the follower of the first run does, when it comes late
        await deck.service.control_all(Action.RESUME, actor=ME)
        assert (await deck.ended(task.id)).attempt == 2
