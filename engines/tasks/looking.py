"""Answers to looks (`engines.looks`): a job process each, a few at a time, ended when nobody waits any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engines import looks
from engines.errors import TaskdeckError
from engines.model import Json, Progress
from engines.paths import PathPolicy
from engines.settings import Settings
from engines.tasks import ids
from engines.tasks.run import Ending, Work
from engines.tasks.supervisor import Nursery, ProcessRun

_AT_ONCE: Final = 2


class _Nowhere:
    """A `Sink` for runs that only their result matters of; looks write nothing, so claims need no record."""

    def started(self) -> None:
        """See `Sink`."""

    def progress(self, progress: Progress) -> None:
        """See `Sink`."""

    def checkpoint(self, checkpoint: Json) -> None:
        """See `Sink`."""

    def log(self, line: str) -> None:
        """See `Sink`."""

    async def claim(self, path: Path) -> None:
        """See `Sink`."""

    async def release(self, path: Path) -> None:
        """See `Sink`."""


class Looker:
    """Answers looks.

    Args:
        nursery: Gives the processes.
        situation: The settings and the path policy of the moment.
    """

    def __init__(self, nursery: Nursery, situation: Callable[[], tuple[Settings, PathPolicy]]) -> None:
        self._nursery = nursery
        self._situation = situation
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._runs: set[ProcessRun] = set()

    async def look(self, data: Json, base: str | None) -> Json:
        """The answer as JSON; a caller that is cancelled ends the process.

        Raises:
            TaskdeckError: What `looks.prepare` and the function raise; `task.timeout`, `task.crashed`.
        """
        settings, policy = self._situation()
        question = await asyncio.to_thread(looks.prepare, data, policy, settings, base)
        async with self._slots:
            run = ProcessRun(self._nursery.take(), _Nowhere())
            self._runs.add(run)
            try:
                return await self._answer(run, question, settings, policy)
            finally:
                self._runs.discard(run)

    async def _answer(self, run: ProcessRun, question: looks.Question, settings: Settings, policy: PathPolicy) -> Json:
        spec = question.spec
        struct = f"{spec.struct.__module__}:{spec.struct.__name__}"
        work = Work(ids.new_id(), 1, question.json, struct, spec.run, None, question.secrets)
        await run.begin(work, settings, policy.roots)
        try:
            async with asyncio.timeout(spec.seconds):
                end = await run.end()
        except TimeoutError:
            run.kill()
            raise TaskdeckError(
                "task.timeout", f"cannot answer '{spec.name}'", f"it took longer than {spec.seconds:.0f} s"
            ) from None
        except asyncio.CancelledError:
            run.kill()
            raise
        if end.how is Ending.RESULT and end.result is not None:
            return end.result
        if end.error is not None:
            raise TaskdeckError.from_info(end.error)
        raise TaskdeckError("task.crashed", f"cannot answer '{spec.name}'", end.reason or "the engine is stopping")

    def close(self) -> None:
        """End what is under way."""
        for run in self._runs:
            run.kill()
