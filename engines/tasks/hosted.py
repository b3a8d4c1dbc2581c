"""Jobs inside the daemon: work that needs a live connection it owns, behind the same task interface.

A hosted function is `async run(op, job) -> Struct`. It awaits `job.ready()` between its steps: that is where
it stands still while the task is paused. A cancelled task's coroutine is cancelled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from engines.errors import TaskdeckError
from engines.job import PROGRESS_EVERY, Stop, Stopped
from engines.model import Json, Progress
from engines.names import display
from engines.operations import contain, convert, spec_of
from engines.paths import PathPolicy
from engines.settings import Settings
from engines.tasks.run import End, Ending, Sink, Work

HostedFunction = Callable[[Any, "HostedJob"], Awaitable[Any]]


class HostedJob:
    """The context of a hosted job: as `engines.job.Job`, with awaitable `ready`, `claim` and `release`."""

    def __init__(self, work: Work, settings: Settings, roots: tuple[str, ...], sink: Sink) -> None:
        self.id = work.id
        self.attempt = work.attempt
        self.checkpoint = work.checkpoint
        self.settings = settings
        self.policy = PathPolicy(roots)
        self.secrets: Mapping[str, str] = work.secrets
        self.stop: Stop | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self._sink = sink
        self._sent = 0.0

    def progress(
        self, done: int, total: int | None = None, *, item: str = "", stage: str = "", unit: str = "bytes"
    ) -> None:
        """See `Job.progress`."""
        now = time.monotonic()
        if now - self._sent >= PROGRESS_EVERY or done == total:
            self._sent = now
            self._sink.progress(Progress(done, total, unit, display(item), stage))

    def save(self, checkpoint: Json) -> None:
        """See `Job.save`."""
        self._sink.checkpoint(checkpoint)

    def log(self, message: str, *, level: str = "info") -> None:
        """See `Job.log`."""
        line = display(message, limit=2000)
        self._sink.log(line if level == "info" else f"{level}: {line}")

    def check(self) -> None:
        """See `Job.check`."""
        if self.stop is not None:
            raise Stopped(self.stop)

    def keep_partial(self) -> bool:
        """See `Job.keep_partial`."""
        return self.stop is Stop.SUSPEND

    async def ready(self) -> None:
        """Stand still while the task is paused; raise `Stopped` when it must stop."""
        await self.gate.wait()
        self.check()

    async def claim(self, path: Path) -> Path:
        """See `Job.claim`."""
        self.policy.contain(path)
        await self._sink.claim(path)
        return path

    async def release(self, path: Path) -> None:
        """See `Job.release`."""
        await self._sink.release(path)


class HostedRun:
    """A `Run` inside the daemon."""

    def __init__(self, function: HostedFunction, sink: Sink) -> None:
        self._function = function
        self._sink = sink
        self._job: HostedJob | None = None
        self._task: asyncio.Task[End] | None = None

    @property
    def pid(self) -> int | None:
        """None: it has no process of its own."""
        return None

    async def begin(self, work: Work, settings: Settings, roots: tuple[str, ...]) -> None:
        """Start the coroutine."""
        self._job = HostedJob(work, settings, roots, self._sink)
        self._task = asyncio.create_task(self._run(work, self._job), name=f"hosted {work.id}")

    async def freeze(self) -> None:
        """Close the gate: the job stands still at its next step."""
        if self._job is not None:
            self._job.gate.clear()

    def thaw(self) -> None:
        """Open the gate."""
        if self._job is not None:
            self._job.gate.set()

    def stop(self, why: Stop) -> None:
        """Cancel the coroutine."""
        if self._job is not None:
            self._job.stop = why
            self._job.gate.set()
        if self._task is not None:
            self._task.cancel()

    def kill(self) -> None:
        """A coroutine cannot be killed; it is cancelled (again)."""
        if self._task is not None and not self._task.done():
            self.stop((self._job.stop if self._job else None) or Stop.SUSPEND)

    async def end(self) -> End:
        """See `Run.end`."""
        assert self._task is not None
        await asyncio.wait((self._task,))
        if self._task.cancelled():  # before its first step
            return End(Ending.STOPPED, stop=(self._job.stop if self._job else None) or Stop.SUSPEND)
        return self._task.result()

    async def _run(self, work: Work, job: HostedJob) -> End:
        try:
            op = convert(work.op, spec_of(str(work.op.get("op"))).struct)
            contain(op, job.policy)
            self._sink.started()
            result = await self._function(op, job)
            return End(Ending.RESULT, result=msgspec.to_builtins(result) if result is not None else {})
        except (Stopped, asyncio.CancelledError):
            return End(Ending.STOPPED, stop=job.stop or Stop.SUSPEND)
        except TaskdeckError as error:
            done = msgspec.to_builtins(error.result) if error.result is not None else None
            return End(Ending.ERROR, result=done, error=error.info)
        except Exception as error:  # the last wall between a face's code and the engine
            self._sink.log(f"error: {type(error).__name__}: {display(str(error))}")
            return End(
                Ending.ERROR,
                error=TaskdeckError("internal", "cannot finish the task", f"{type(error).__name__}: {error}").info,
            )
