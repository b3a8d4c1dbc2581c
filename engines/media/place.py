"""Where outputs of the media engine go, and how they are staged, checked and published."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engines import files
from engines.errors import TaskdeckError
from engines.job import Job
from engines.media.tools import Tools, find
from engines.names import display
from engines.operations import Conflict


def tools_of(job: Job) -> Tools:
    """The programs the task's settings lead to."""
    return find(job.settings.media)


def beside(source: Path, output: str | None, suffix: str, extension: str) -> Path:
    """The output that was asked for, or "name.suffix.ext" beside the source; a folder takes it under that name."""
    name = files.fit_name(source.stem, after=f"{suffix}.{extension}")
    if output is None:
        return source.with_name(name)
    target = Path(output)
    return target / name if target.is_dir() else target


def early_refusal(target: Path, conflict: Conflict) -> bool:
    """Whether the policy leaves an existing target alone (skip).

    Raises:
        TaskdeckError: `path.exists` under `fail`, `path.missing` when the folder to write into is not there.
    """
    if not target.parent.is_dir():
        raise TaskdeckError(
            "path.missing", f"cannot write into '{display(target.parent)}'", "the folder does not exist", "create it"
        )
    if conflict is Conflict.FAIL and target.exists():
        raise files.exists(target)
    return conflict is Conflict.SKIP and target.exists()


@contextmanager
def staged(job: Job, target: Path) -> Iterator[Path]:
    """A claimed temporary path beside a target; whatever is left there is removed at the end."""
    path = files.staged_path(job, target)
    try:
        yield path
    finally:
        with suppress(OSError):
            files.remove(path)
        job.release(path)


@contextmanager
def scratch(job: Job, target: Path, kind: str = "work") -> Iterator[Path]:
    """A claimed temporary folder beside a target, removed at the end."""
    path = files.staged_path(job, target, kind=kind)
    files.remove(path)
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        with suppress(OSError):
            files.remove(path)
        job.release(path)
