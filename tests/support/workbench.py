"""A task service for tests: a state folder, a root to work in, and ways to wait with a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from engines.model import Action, Actor, Outcome, TaskState, TaskView
from engines.settings import Settings, TasksSettings
from engines.tasks.service import TaskService
from tests.support.operations import added_operations

ME = Actor("tester", "test")
DEADLINE = 90.0
"""Seconds after which what has not happened counts as a fault, also on a machine with far too much to do."""


class Deck:
    """A running service."""

    def __init__(self, service: TaskService, root: Path) -> None:
        self.service = service
        self.root = root

    async def act(self, what: str, **more: Any) -> TaskView:
        """Submit an `act` task."""
        options = more.pop("options", None)
        extra = {"options": options} if options else {}
        return await self.service.submit({"op": "act", "path": what, **more}, actor=ME, **extra)

    async def steps(self, name: str = "out", **more: Any) -> TaskView:
        """Submit a `steps` task."""
        options = more.pop("options", None)
        extra = {"options": options} if options else {}
        op = {"op": "steps", "path": str(self.root / name), **more}
        return await self.service.submit(op, actor=ME, **extra)

    async def ask(self, task_id: str, action: Action, **more: Any) -> Outcome:
        """Control one task."""
        return (await self.service.control([task_id], action, actor=ME, **more))[0]

    async def until(self, task_id: str, *states: TaskState) -> TaskView:
        """The task once it is in one of these states."""
        return await self.when(task_id, lambda view: view.state in states, f"{states}")

    async def when(self, task_id: str, true: Callable[[TaskView], bool], what: str = "") -> TaskView:
        """The task once a condition holds."""
        deadline = time.monotonic() + DEADLINE
        while True:
            view = await self.service.view(task_id)
            if true(view):
                return view
            if time.monotonic() > deadline:
                _, log = await self.service.log(task_id)
                raise AssertionError(f"waited in vain for {what}: {view}\n" + "\n".join(log))
            await asyncio.sleep(0.005)

    async def ended(self, task_id: str) -> TaskView:
        """The task once it has ended."""
        return await asyncio.wait_for(self.service.wait(task_id), DEADLINE)


def tasks_settings(**changes: Any) -> TasksSettings:
    """Settings that suit tests: no spare process, quick retries, several at once."""
    base: dict[str, Any] = {
        "warm_workers": 0,
        "retry_first": 0.01,
        "retry_cap": 0.05,
        "parallel_info": 4,
        "parallel_compress": 4,
        "disk_floor": 0,
        "nice": 0,
    }
    return TasksSettings(**{**base, **changes})


@asynccontextmanager
async def running(folder: Path, *, clock: Callable[[], float] = time.time, **changes: Any) -> AsyncIterator[Deck]:
    """A started service over `folder/state` with the root `folder/root`."""
    root = folder / "root"
    root.mkdir(exist_ok=True)
    settings = Settings(roots=(str(root),), tasks=tasks_settings(**changes))
    with added_operations():
        service = TaskService(folder / "state", settings, clock=clock)
        await service.start()
        try:
            yield Deck(service, root)
        finally:
            await service.stop()
