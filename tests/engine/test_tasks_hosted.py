"""Jobs inside the daemon share the task interface: states, progress, pause, cancel, checkpoint, claims."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from engines.errors import TaskdeckError
from engines.model import Action, Kind, TaskState
from engines.operations import OperationSpec
from engines.tasks.hosted import HostedJob
from tests.support.operations import Act, ActResult, added_operations
from tests.support.workbench import Deck, running

HOSTED = OperationSpec(Act, Kind.DOWNLOAD, run="", reply="", resumable=True, hosted=True)


@asynccontextmanager
async def hosting(folder: Path) -> AsyncIterator[Deck]:
    async with running(folder) as deck:
        with added_operations(HOSTED):
            yield deck


async def count(op: Act, job: HostedJob) -> ActResult:
    start = int((job.checkpoint or {}).get("n", 0))
    for number in range(start, 100):
        await job.ready()
        if op.path == "claims" and number == start:
            (await job.claim(Path(op.text))).write_text("half")
        if op.path == "fails" and number == 3:
            raise TaskdeckError("network", "cannot fetch", "the line is dead")
        if op.path == "breaks" and number == 3:
            raise ValueError("oops")
        job.progress(number + 1, 100)
        job.save({"n": number + 1})
        await asyncio.sleep(0.01)
    return ActResult(f"from {start}")


async def test_hosted_task_waits_for_its_host_then_runs_pauses_and_completes(tmp_path: Path) -> None:
    async with hosting(tmp_path) as deck:
        task = await deck.act("counts")
        await asyncio.sleep(0.1)
        assert (await deck.service.view(task.id)).state is TaskState.QUEUED
        deck.service.host("act", count)
        await deck.when(task.id, lambda view: view.done > 20)
        assert (await deck.ask(task.id, Action.PAUSE)).view.state is TaskState.PAUSED  # type: ignore[union-attr]
        await asyncio.sleep(0.05)
        before = (await deck.service.view(task.id)).done
        await asyncio.sleep(0.3)
        assert (await deck.service.view(task.id)).done == before
        await deck.ask(task.id, Action.RESUME)
        assert (await deck.ended(task.id)).state is TaskState.COMPLETED
        assert (await deck.service.stats()).total_downloads == 1


async def test_cancelled_hosted_task_leaves_nothing(tmp_path: Path) -> None:
    async with hosting(tmp_path) as deck:
        deck.service.host("act", count)
        left = deck.root / "half"
        task = await deck.act("claims", text=str(left))
        await deck.when(task.id, lambda view: view.done > 0)
        assert left.exists()
        await deck.ask(task.id, Action.CANCEL)
        assert (await deck.ended(task.id)).state is TaskState.CANCELLED
        assert not left.exists()


async def test_hosted_faults_are_judged_like_those_of_processes(tmp_path: Path) -> None:
    async with hosting(tmp_path) as deck:
        deck.service.host("act", count)
        view = await deck.ended((await deck.act("fails")).id)
        assert view.error is not None and view.error.code == "network" and view.attempt == 3
        view = await deck.ended((await deck.act("breaks")).id)
        assert view.error is not None and view.error.code == "internal"


async def test_hosted_task_goes_on_from_its_checkpoint_after_a_restart(tmp_path: Path) -> None:
    async with hosting(tmp_path) as deck:
        deck.service.host("act", count)
        task = await deck.act("counts")
        await deck.when(task.id, lambda view: view.done > 20)
        await deck.service.stop()
    async with hosting(tmp_path) as deck:
        deck.service.host("act", count)
        await deck.ended(task.id)
        detail = await deck.service.detail(task.id)
        assert detail.result is not None and int(detail.result["did"].split()[1]) > 20
