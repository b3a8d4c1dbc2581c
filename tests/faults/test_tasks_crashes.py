"""Every way a job process can go wrong becomes a failed task with its reason, and nothing else notices."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from engines.model import Action, TaskState, WaitReason
from engines.tasks.supervisor import ProcessRun, Worker
from tests.support.workbench import running


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("segfault", "segmentation fault"),
        ("kill", "SIGKILL"),
        ("exit", "status 0 and without a result"),
        ("memory", "more memory than it may use"),
    ],
)
async def test_death_of_a_job_is_told_in_plain_words(tmp_path: Path, what: str, words: str) -> None:
    async with running(tmp_path, max_attempts=1, memory_limit=512 << 20) as deck:
        view = await deck.ended((await deck.act(what, number=1 << 40)).id)
        assert view.state is TaskState.FAILED
        assert view.error is not None and view.error.code == "task.crashed"
        assert words in view.error.message
        assert (await deck.ended((await deck.act("nothing")).id)).state is TaskState.COMPLETED


async def test_segfault_leaves_its_traceback_in_the_log(tmp_path: Path) -> None:
    async with running(tmp_path, max_attempts=1) as deck:
        task = await deck.act("segfault")
        await deck.ended(task.id)
        _, log = await deck.service.log(task.id)
        assert any("run_act" in line for line in log), log


async def test_fault_of_ours_is_internal_with_its_traceback_in_the_log(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        view = await deck.ended((await deck.act("raise", text="\x1b[31m\n")).id)
        assert view.state is TaskState.FAILED and view.attempt == 1
        assert view.error is not None and view.error.code == "internal"
        assert "\x1b" not in view.error.message
        _, log = await deck.service.log(view.id)
        assert any("RuntimeError" in line for line in log)


async def test_garbage_among_the_events_is_told_and_survived(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        view = await deck.ended((await deck.act("garbage", number=2)).id)
        assert view.state is TaskState.COMPLETED
        _, log = await deck.service.log(view.id)
        assert any("not an event" in line for line in log)


async def test_job_that_speaks_only_garbage_is_ended(tmp_path: Path) -> None:
    async with running(tmp_path, max_attempts=1) as deck:
        view = await deck.ended((await deck.act("garbage", number=5000)).id)
        assert view.error is not None and view.error.code == "task.crashed"


async def test_flood_of_events_neither_blocks_the_service_nor_the_store(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        before = deck.service.store.commits
        begun = time.monotonic()
        task = await deck.act("flood", number=30_000)
        other = await deck.act("nothing")
        assert (await deck.ended(other.id)).state is TaskState.COMPLETED
        await deck.ended(task.id)
        spent = time.monotonic() - begun
        assert (await deck.service.view(task.id)).state is TaskState.COMPLETED
        commits = deck.service.store.commits - before
        assert commits <= 2 * spent + 8, f"{commits} commits in {spent:.1f} s"


async def test_log_keeps_the_last_lines_and_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path, log_lines=50) as deck:
        task = await deck.act("log", number=500)
        await deck.ended(task.id)
        number, log = await deck.service.log(task.id)
        assert log == [f"line {number}" for number in range(450, 500)]
        assert await deck.service.log(task.id, after=number) == (number, [])
    async with running(tmp_path, log_lines=50) as deck:
        assert (await deck.service.log(task.id))[1] == log
        assert (await deck.service.log(task.id, after=number - 2))[1] == log[-2:]


async def test_job_without_a_sign_of_life_is_ended(tmp_path: Path) -> None:
    async with running(tmp_path, stall_timeout=0.3, max_attempts=1) as deck:
        left = deck.root / "left"
        view = await deck.ended((await deck.act("deaf", text=str(left))).id)
        assert view.error is not None and view.error.code == "task.timeout"
        assert not left.exists()


async def test_long_pause_gives_the_memory_back_and_costs_no_attempt(tmp_path: Path) -> None:
    now = 1_000_000.0
    async with running(tmp_path, clock=lambda: now, max_attempts=1) as deck:
        task = await deck.steps(count=60)
        await deck.when(task.id, lambda view: view.done > 3000)
        await deck.ask(task.id, Action.PAUSE)
        record = deck.service.board.records[task.id]
        assert record.run is not None
        now += 3601
        await deck.when(task.id, lambda view: record.run is None)
        assert (await deck.service.view(task.id)).state is TaskState.PAUSED
        await deck.ask(task.id, Action.RESUME)
        view = await deck.ended(task.id)
        assert view.state is TaskState.COMPLETED and view.attempt == 2


async def test_full_disk_pauses_the_task_and_space_lets_it_go_on(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("error", text="disk.full")
        view = await deck.until(task.id, TaskState.PAUSED)
        assert view.reason is WaitReason.DISK and "space returns" in view.note
        record = deck.service.board.records[task.id]
        record.writes = True
        await deck.service.house.guard_disks()
        assert (await deck.service.view(task.id)).state is TaskState.PAUSED  # nothing has grown
        record.disk_free -= 1 << 30
        await deck.service.house.guard_disks()
        await deck.when(task.id, lambda view: view.attempt == 2, "its second try")


async def test_disk_guard_freezes_writers_below_the_floor(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.steps(count=100)
        await deck.until(task.id, TaskState.RUNNING)
        settings = deck.service.settings
        low = msgspec.structs.replace(settings, tasks=msgspec.structs.replace(settings.tasks, disk_floor=1 << 60))
        deck.service.reload(low)
        await deck.service.house.guard_disks()
        view = await deck.until(task.id, TaskState.PAUSED)
        assert view.reason is WaitReason.DISK and view.attempt == 1
        later = await deck.steps("later", count=1)
        assert (await deck.until(later.id, TaskState.WAITING)).reason is WaitReason.DISK
        deck.service.reload(settings)
        await deck.service.house.guard_disks()
        for each in (task, later):
            assert (await deck.ended(each.id)).state is TaskState.COMPLETED


async def test_numbers_beyond_all_measure_harm_nobody(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        for _ in range(2):  # twice: also their sum is
            view = await deck.ended((await deck.act("boast")).id)
            assert view.state is TaskState.COMPLETED and view.total == (1 << 63) - 1
        assert (await deck.service.totals()).bytes > 1 << 63
        assert (await deck.ended((await deck.act("nothing")).id)).state is TaskState.COMPLETED


@pytest.mark.parametrize("method", ["_restrain", "begin"])
async def test_task_that_cannot_be_started_fails_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    tried = 0

    def broken(*_: object) -> None:
        nonlocal tried
        tried += 1
        raise OverflowError("too large")

    async with running(tmp_path) as deck:
        with monkeypatch.context() as patch:
            patch.setattr(Worker if method == "_restrain" else ProcessRun, method, broken)
            view = await deck.ended((await deck.act("nothing")).id)
        assert view.error is not None and view.error.code == "internal" and "too large" in view.error.message
        assert tried == 1
        assert (await deck.ended((await deck.act("nothing")).id)).state is TaskState.COMPLETED
