"""A folder as one task: each file in turn, with its own result, one progress, one checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engines.errors import TaskdeckError
from engines.job import Job
from engines.media.info import media_files
from engines.model import Json
from engines.names import display
from engines.paths import PathPolicy, from_uri, to_uri
from engines.process import Tool
from engines.settings import Settings


class FileOutcome(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of one file: its result as JSON, or why it failed."""

    name: str
    result: Json | None = None
    error: str = ""
    code: str = ""


def run(job: Job, folder: Path, work: Callable[[Job, Path], msgspec.Struct]) -> list[FileOutcome]:
    """Do `work` with every media file below a folder; a file that fails does not stop the others.

    Raises:
        TaskdeckError: `path.missing` without any media file; `disk.full` at once; the last error when all failed.
    """
    kept: Json = (job.checkpoint or {}).get("batch") or {}
    # The list is made once: results that appear in the folder meanwhile are no new sources.
    paths = [Path(from_uri(uri)) for uri in kept.get("files", ())] or list(media_files(folder))
    if not paths:
        raise TaskdeckError("path.missing", f"cannot find media in '{display(folder)}'", "no file is named like media")
    outcomes = [msgspec.convert(row, FileOutcome) for row in kept.get("done", ())]
    for number, path in enumerate(paths):
        if number < len(outcomes):
            continue
        job.check()
        inner = FileJob(
            job, number, len(paths), paths, outcomes, kept.get("inner") if number == len(outcomes) else None
        )
        name = display(path.relative_to(folder))
        try:
            outcomes.append(FileOutcome(name=name, result=msgspec.to_builtins(work(inner, path))))
        except TaskdeckError as error:
            if error.code == "disk.full":
                raise
            job.log(error.message, level="error")
            outcomes.append(FileOutcome(name=name, error=error.message, code=error.code))
        kept = {}
        inner.remember(None)
    if all(row.error for row in outcomes):
        raise TaskdeckError(
            outcomes[-1].code or "media.failed",
            f"none of {len(outcomes)} files could be done",
            outcomes[-1].error.rstrip("."),
        )
    return outcomes


class FileJob:
    """The job of one file inside the job of its folder: progress in thousandths of a file, a checkpoint inside one."""

    def __init__(
        self,
        job: Job,
        number: int,
        count: int,
        paths: Sequence[Path],
        outcomes: Sequence[FileOutcome],
        checkpoint: Json | None,
    ) -> None:
        self._job, self._number, self._count = job, number, count
        self._paths, self._outcomes = paths, outcomes
        self.checkpoint = checkpoint

    @property
    def id(self) -> str:
        """The task's id."""
        return self._job.id

    @property
    def attempt(self) -> int:
        """1 for the first run."""
        return self._job.attempt

    @property
    def settings(self) -> Settings:
        """The settings."""
        return self._job.settings

    @property
    def policy(self) -> PathPolicy:
        """Which paths may be touched."""
        return self._job.policy

    @property
    def secrets(self) -> Mapping[str, str]:
        """Secret parameters."""
        return self._job.secrets

    def progress(
        self, done: int, total: int | None = None, *, item: str = "", stage: str = "", unit: str = "bytes"
    ) -> None:
        """Progress of the folder: whole files and the share of this one."""
        share = min(1.0, done / total) if total else 0.0
        stage = f"{stage} {self._number + 1} of {self._count}".strip()
        self._job.progress(
            int((self._number + share) * 1000), self._count * 1000, item=item, stage=stage, unit="thousandths"
        )

    def save(self, checkpoint: Json) -> None:
        """Keep the checkpoint of this file with what is done already."""
        self.remember(checkpoint)

    def remember(self, inner: Json | None) -> None:
        """Save the folder's checkpoint."""
        done: list[Any] = [msgspec.to_builtins(row) for row in self._outcomes]
        files = [to_uri(str(path)) for path in self._paths]
        self._job.save({"batch": {"files": files, "done": done, "inner": inner}})

    def log(self, message: str, *, level: str = "info") -> None:
        """Add a line to the task's log."""
        self._job.log(message, level=level)

    def check(self) -> None:
        """Raise `Stopped` when the job must stop."""
        self._job.check()

    def keep_partial(self) -> bool:
        """Whether partial outputs should stay."""
        return self._job.keep_partial()

    def claim(self, path: Path) -> Path:
        """Record a temporary path."""
        return self._job.claim(path)

    def release(self, path: Path) -> None:
        """Forget a temporary path."""
        self._job.release(path)

    def tool(
        self,
        argv: Sequence[str | bytes],
        *,
        cwd: Path | None = None,
        stdin: bytes | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Tool:
        """Start an external program."""
        return self._job.tool(argv, cwd=cwd, stdin=stdin, pass_fds=pass_fds)
