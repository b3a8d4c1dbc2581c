"""The temporary files of one archive: their names, their claims, their end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from engines import files
from engines.archive.create.publishing import volume_suffix
from engines.archive.manifest import SUFFIX
from engines.job import Job
from engines.operations import ArchiveFormat


class Staging:
    """Claims the files beside the archive that is made, each before it exists.

    Args:
        split: Whether the archive has volumes.
    """

    def __init__(self, job: Job, target: Path, form: ArchiveFormat, *, split: bool) -> None:
        self._job = job
        self._target = target
        self._form = form
        self._split = split
        self._claimed: dict[tuple[Path, str], Path] = {}
        self.journal = self._claim(target, "journal")
        self.worth_keeping = False
        """Whether a later attempt can go on from what is there."""

    def _claim(self, target: Path, kind: str) -> Path:
        if (target, kind) not in self._claimed:  # once: each claim waits for the disk
            self._claimed[target, kind] = files.staged_path(self._job, target, kind=kind)
        return self._claimed[target, kind]

    def part(self, number: int = 0) -> Path:
        """The archive, or its volume `number` from 0, while it is written."""
        return self._claim(self._target, "part" + volume_suffix(self._form, number) if self._split else "part")

    def manifest(self) -> Path:
        """The manifest."""
        return self._claim(self._target.with_name(files.fit_name(self._target.name, after=SUFFIX)), "part")

    def expect(self, count: int) -> list[Path]:
        """Claim all names that the parts of an archive may have; those under which it can be read once it is whole."""
        names = [self.part(number) for number in range(count)]
        if self._split and self._form is ArchiveFormat.ZIP:
            names[-1] = self._claim(self._target, "part" + volume_suffix(self._form, count - 1, last=True))
        return names

    def finish(self, parts: Sequence[Path]) -> list[Path]:
        """Give the parts of a whole archive the names under which it can be read, and return them."""
        names = self.expect(len(parts))
        for path, name in zip(parts, names, strict=True):
            if path != name:
                os.replace(path, name)
        return names

    def holds(self, path: Path) -> bool:
        """Whether a path is one of the temporary ones."""
        return path in self._claimed.values()

    def commit(self) -> None:
        """Make a checkpoint given before durable, as every claim does."""
        self._job.claim(self.journal)

    def discard(self) -> None:
        """Remove whatever is still there."""
        for path in self._claimed.values():
            with suppress(OSError):
                files.remove(path)
            self._job.release(path)
