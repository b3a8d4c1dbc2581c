"""kill -9 of the daemon and of job processes: acknowledged tasks end, content is exact, nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path

import pytest

from engines.model import Action, TaskState
from tests.support.hosted_deck import HostedDeck, assert_no_orphans, marked_processes
from tests.support.operations import content
from tests.support.station import until
from tests.support.workbench import running

KILLS = 20


@pytest.mark.slow
def test_daemon_killed_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    moments = random.Random(20)
    acknowledged: list[str] = []
    count = 60
    for number in range(KILLS):
        deck = HostedDeck(tmp_path)
        if number % 2 == 0:
            op = {"op": "steps", "path": str(deck.root / f"out{number}"), "count": count, "pause": 0.02}
            acknowledged.append(deck.submit(**op))
        time.sleep(moments.uniform(0.0, 0.6))
        deck.kill()
        assert_no_orphans(tmp_path)
    deck = HostedDeck(tmp_path)
    for task_id in acknowledged:
        deck.until(task_id, "completed")
    deck.close()
    assert_no_orphans(tmp_path)
    names = {f"out{number}" for number in range(0, KILLS, 2)}
    assert {path.name for path in deck.root.iterdir()} == names
    for name in names:
        assert (deck.root / name).read_bytes() == content(count, 1000)


@pytest.mark.slow
async def test_job_killed_at_random_moments_finishes_with_the_same_bytes(tmp_path: Path) -> None:
    moments = random.Random(21)
    async with running(tmp_path, max_attempts=KILLS + 1) as deck:
        task = await deck.steps(count=150, pause=0.01)
        for number in range(KILLS):
            await deck.when(task.id, lambda view, n=number: view.attempt > n and view.state is TaskState.RUNNING)  # type: ignore[misc]
            run = deck.service.board.records[task.id].run
            assert run is not None and run.pid is not None
            await asyncio.sleep(moments.uniform(0, 0.08))
            if (await deck.service.view(task.id)).terminal:
                break
            os.kill(run.pid, signal.SIGKILL)
            await deck.when(task.id, lambda view: view.state is not TaskState.RUNNING)
        view = await deck.ended(task.id)
        assert view.state is TaskState.COMPLETED and view.attempt > 1, "no kill met work"
        assert (deck.root / "out").read_bytes() == content(150, 1000)
        assert [path.name for path in deck.root.iterdir()] == ["out"]


def test_pause_survives_a_killed_daemon(tmp_path: Path) -> None:
    deck = HostedDeck(tmp_path)
    task = deck.submit(op="steps", path=str(deck.root / "out"), count=120)
    deck.until(task, "running")
    until(lambda: deck.look(task)["done"] > 0)
    assert deck.control(task, "pause")["view"]["state"] == "paused"
    deck.kill()
    assert_no_orphans(tmp_path)
    part = next(deck.root.glob(".out.*"))
    deck = HostedDeck(tmp_path)
    assert deck.until(task, "paused")["done"] > 0
    assert part.exists(), "the partial output that the checkpoint needs was removed"
    deck.control(task, "resume")
    deck.until(task, "completed")
    deck.close()
    assert (deck.root / "out").read_bytes() == content(120, 1000)
    assert [path.name for path in deck.root.iterdir()] == ["out"]


def test_external_tool_dies_with_a_killed_daemon(tmp_path: Path) -> None:
    deck = HostedDeck(tmp_path)
    task = deck.submit(op="act", path="tool")
    deck.until(task, "running")
    until(lambda: len(marked_processes(tmp_path)) >= 2)
    deck.kill()
    assert_no_orphans(tmp_path)


def test_left_over_process_that_left_its_group_is_found_at_the_next_start(tmp_path: Path) -> None:
    deck = HostedDeck(tmp_path)
    task = deck.submit(op="act", path="escape")
    deck.until(task, "running")
    until(lambda: len(marked_processes(tmp_path)) >= 2)
    deck.kill()
    time.sleep(0.2)  # what dies with the daemon has died
    left = marked_processes(tmp_path)
    assert left, "nothing escaped: the test shows nothing"
    deck = HostedDeck(tmp_path)
    assert all(state_of(pid) in ("", "Z") for pid in left)
    deck.control(task, "cancel")
    deck.until(task, "cancelled")
    deck.close()


def test_cancelled_but_not_cleaned_task_is_cleaned_at_the_next_start(tmp_path: Path) -> None:
    deck = HostedDeck(tmp_path)
    left = deck.root / "left"
    task = deck.submit(op="act", path="deaf", text=str(left))
    deck.until(task, "running")
    until((left / "inside").exists)
    deck.kill()
    deck = HostedDeck(tmp_path)  # no checkpoint: what it left is no use and goes before it runs again
    deck.control(task, "cancel")
    deck.until(task, "cancelled")
    deck.close()
    assert not left.exists()


async def test_cancel_reaches_external_tools_and_deaf_jobs_in_time(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        left = deck.root / "left"
        tool, deaf = await deck.act("tool"), await deck.act("deaf", text=str(left))
        view = await deck.when(tool.id, lambda view: view.item != "")
        await deck.until(deaf.id, TaskState.RUNNING)
        pids = [int(view.item)]
        for task in (tool, deaf):
            run = deck.service.board.records[task.id].run
            assert run is not None and run.pid is not None
            pids.append(run.pid)
            await deck.ask(task.id, Action.CANCEL)
            assert (await deck.ended(task.id)).state is TaskState.CANCELLED
        assert not left.exists()
        assert all(state_of(pid) in ("", "Z") for pid in pids)


async def test_frozen_task_stops_its_external_tool_too(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("tool")
        view = await deck.when(task.id, lambda view: view.item != "")
        await deck.ask(task.id, Action.PAUSE)
        assert state_of(int(view.item)) == "T"
        await deck.ask(task.id, Action.RESUME)
        assert state_of(int(view.item)) != "T"
        await deck.ask(task.id, Action.PAUSE)
        await deck.ask(task.id, Action.CANCEL)
        assert (await deck.ended(task.id)).state is TaskState.CANCELLED
        assert state_of(int(view.item)) in ("", "Z")


def state_of(pid: int) -> str:
    """The kernel's letter for a process, "" when there is none."""
    if not os.path.exists(f"/proc/{pid}"):
        return ""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
