"""What a job sees of the world: its operation, this context, and nothing of the daemon.

A worker function is `run(op, job) -> result`: `op` its Struct of `engines.operations`, `job` a `Job`, the
result a msgspec Struct (stored as JSON). It runs in a process of its own, in the foreground of a command, or
later on another machine; the same code everywhere.

Rules for worker functions:

* Call `job.check()` at least every 50 ms of work: it raises `Stopped` when the task is cancelled or must
  stop. Let `Stopped` pass; tidy up partial outputs in `except BaseException`/`finally` unless
  `job.keep_partial()` says that the task will go on from its checkpoint.
* Claim every temporary file or folder with `job.claim(path)` BEFORE it exists: after `kill -9` the daemon
  removes claimed paths of tasks that will not go on. `job.release(path)` after it was renamed or removed.
* A checkpoint given to `job.save()` must be true even if the machine stops right after: fsync first. At most
  one a second or one every 64 MiB. A later attempt finds it in `job.checkpoint`, and must accept that the
  file has grown past it (truncate back). An attempt that starts anew in spite of one saves another first and makes
  that durable by a claim: the old one would be taken for the state of what it makes.
* Pausing is the supervisor's business (the process group is frozen); after a long pause or a reboot the job
  starts again from its checkpoint.
* An error ends the task as failed. One that comes after part of the work was done (some files of many) carries
  what was done as its `result`, which is kept and shown beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

from engines.model import Json
from engines.paths import PathPolicy
from engines.process import Tool
from engines.settings import Settings

PROGRESS_EVERY: Final = 0.2
"""Seconds between two reports of progress that leave a job."""


class Stop(StrEnum):
    """Why a job is asked to stop."""

    CANCEL = "cancel"
    """The user wants it gone: remove partial outputs."""
    SUSPEND = "suspend"
    """It will go on later from its checkpoint: keep partial outputs that the checkpoint needs."""


class Stopped(BaseException):
    """Raised by `Job.check()`; passes through `except Exception`."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop)
        self.stop = stop


class Job(Protocol):
    """The context of one run of one task. Thread-safe but for `check`, which belongs to the main thread."""

    @property
    def id(self) -> str:
        """The task's id; part of the names of temporary files."""

    @property
    def attempt(self) -> int:
        """1 for the first run."""

    @property
    def checkpoint(self) -> Json | None:
        """What the last `save` of an earlier run gave."""

    @property
    def settings(self) -> Settings:
        """The settings as they were when the run began."""

    @property
    def policy(self) -> PathPolicy:
        """Which paths may be touched."""

    @property
    def secrets(self) -> Mapping[str, str]:
        """Secret parameters by field name (`password`); never stored, logged or put on a command line."""

    def progress(
        self, done: int, total: int | None = None, *, item: str = "", stage: str = "", unit: str = "bytes"
    ) -> None:
        """Say how far the job is; cheap, sent at most five times a second. `item` may be a raw name."""

    def save(self, checkpoint: Json) -> None:
        """Give a durable checkpoint (see the rules above)."""

    def log(self, message: str, *, level: str = "info") -> None:
        """Add a line to the task's log; level is info, warning or error."""

    def check(self) -> None:
        """Raise `Stopped` when the job must stop."""

    def keep_partial(self) -> bool:
        """Whether partial outputs should stay for a later attempt (stopped to be resumed, or still running)."""

    def claim(self, path: Path) -> Path:
        """Record a temporary path durably before it is made, and return it.

        A checkpoint given before is durable too when this returns.

        Raises:
            TaskdeckError: `path.outside_roots` when its folder leads outside by now.
        """

    def release(self, path: Path) -> None:
        """Forget a claimed path that was published or removed."""

    def tool(
        self,
        argv: Sequence[str | bytes],
        *,
        cwd: Path | None = None,
        stdin: bytes | int | None = None,
        pass_fds: Sequence[int] = (),
        env: dict[str, str] | None = None,
    ) -> Tool:
        """Start an external program that dies with this job (see `engines.process`); `check` while it runs."""


class Progressing(Protocol):
    """The shape of `Job.progress`."""

    def __call__(
        self, done: int, total: int | None = None, *, item: str = "", stage: str = "", unit: str = "bytes"
    ) -> None: ...


class Part:
    """A job as one part of its work sees it: everything is relayed, but the part has a checkpoint of its own.

    Args:
        checkpoint: What an earlier run of this part saved.
        save: Takes the part's checkpoints; without it nothing can be resumed, and partial outputs go.
        progress: Takes the part's progress, with the parameters of `Job.progress`; the job's own by default.
        check: Raises `Stopped`; the job's own by default, which only its main thread may call.
        label: Sets the part's temporary files apart from those of parts at work at the same time.
    """

    def __init__(
        self,
        job: Job,
        *,
        checkpoint: Json | None = None,
        save: Callable[[Json], None] | None = None,
        progress: Progressing | None = None,
        check: Callable[[], None] | None = None,
        label: str = "",
    ) -> None:
        self._job, self._save = job, save
        self._progress: Progressing = progress or job.progress
        self._check = check or job.check
        self.checkpoint = checkpoint
        self.id = f"{job.id}-{label}" if label else job.id

    @property
    def attempt(self) -> int:
        """The job's."""
        return self._job.attempt

    @property
    def settings(self) -> Settings:
        """The job's."""
        return self._job.settings

    @property
    def policy(self) -> PathPolicy:
        """The job's."""
        return self._job.policy

    @property
    def secrets(self) -> Mapping[str, str]:
        """The job's."""
        return self._job.secrets

    def progress(
        self, done: int, total: int | None = None, *, item: str = "", stage: str = "", unit: str = "bytes"
    ) -> None:
        """Progress of the part, for whoever adds it up."""
        self._progress(done, total, item=item, stage=stage, unit=unit)

    def save(self, checkpoint: Json) -> None:
        """Keep the part's checkpoint, if the whole can go on from it."""
        if self._save is not None:
            self.checkpoint = checkpoint
            self._save(checkpoint)

    def log(self, message: str, *, level: str = "info") -> None:
        """Add a line to the task's log."""
        self._job.log(message, level=level)

    def check(self) -> None:
        """Raise `Stopped` when the part must stop."""
        self._check()

    def keep_partial(self) -> bool:
        """Whether partial outputs should stay: never when no checkpoint is kept."""
        return self._save is not None and self._job.keep_partial()

    def claim(self, path: Path) -> Path:
        """Record a temporary path durably before it is made."""
        return self._job.claim(path)

    def release(self, path: Path) -> None:
        """Forget a claimed path."""
        self._job.release(path)

    def tool(
        self,
        argv: Sequence[str | bytes],
        *,
        cwd: Path | None = None,
        stdin: bytes | int | None = None,
        pass_fds: Sequence[int] = (),
        env: dict[str, str] | None = None,
    ) -> Tool:
        """Start an external program."""
        return self._job.tool(argv, cwd=cwd, stdin=stdin, pass_fds=pass_fds, env=env)
