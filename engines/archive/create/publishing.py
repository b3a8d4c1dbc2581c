"""Final names for archives of one file or several volumes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from engines import files
from engines.job import Job
from engines.operations import ArchiveFormat, Conflict


def volume_suffix(form: ArchiveFormat, number: int, *, last: bool = False) -> str:
    """What is put behind (zip: in place of the suffix of) an archive's name for volume `number`, from 0."""
    if form is ArchiveFormat.ZIP:
        return ".zip" if last else f".z{number + 1:02d}"
    return f".{number + 1:03d}"


def volume_paths(target: Path, form: ArchiveFormat, count: int) -> list[Path]:
    """The final paths of an archive's volumes, in order; a zip's last one is the target itself."""
    if form is ArchiveFormat.ZIP:
        stem = target.name.removesuffix(target.suffix)
        first = [target.with_name(stem + volume_suffix(form, number)) for number in range(count - 1)]
        return [*first, target]
    return [target.with_name(target.name + volume_suffix(form, number)) for number in range(count)]


def publish_volumes(
    job: Job, staged: Sequence[Path], target: Path, form: ArchiveFormat, conflict: Conflict
) -> list[Path] | None:
    """Give volumes their final names, all or none; None when the policy is `skip` and one exists.

    Raises:
        TaskdeckError: `path.exists` under the policy `fail`.
    """
    for number in range(1, 10_000):
        finals = volume_paths(target.with_name(files.numbered(target.name, number)), form, len(staged))
        if conflict is Conflict.OVERWRITE or not any(map(os.path.lexists, finals)):
            break
        if conflict is Conflict.FAIL:
            raise files.exists(target)
        if conflict is Conflict.SKIP:
            return None
    policy = Conflict.OVERWRITE if conflict is Conflict.OVERWRITE else Conflict.FAIL
    placed: list[Path] = []
    try:
        for path, final in zip(staged, finals, strict=True):
            files.publish(job, path, final, policy)
            placed.append(final)
    except BaseException:
        if policy is Conflict.FAIL:
            for final in placed:
                with suppress(OSError):
                    files.remove(final)
        raise
    return placed
