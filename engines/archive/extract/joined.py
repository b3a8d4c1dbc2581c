"""A set that lacks volumes as one file with gaps, for a program that reads no further than to the first gap."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from engines import files
from engines.archive.detect import Family, Found
from engines.archive.volumes import Volumes, expected
from engines.filecopy import write_all
from engines.job import Job

_BLOCK: Final = 4 << 20


@contextmanager
def without_gaps(job: Job, found: Found, staging: Path) -> Iterator[Found]:
    """The archive as it is, but a 7z that lacks volumes joined into a file beside the staging folder meanwhile.

    A 7z has its directory in the last volume, so nothing of it is found otherwise; with zeros in place of what is
    missing the members around are as good as ever. A RAR tells in each volume what is in it.

    Raises:
        TaskdeckError: `disk.full`, `path.unreadable`.
        Stopped: see `Job.check`.
    """
    if not found.missing or found.family is not Family.SEVENZIP:
        yield found
        return
    path = job.claim(staging.with_name(f"{staging.name}.joined"))
    try:
        with Volumes(expected(found.path), found.missing) as source:
            _join(job, source, found, path)
        yield msgspec.structs.replace(found, volumes=(path,))
    finally:
        files.remove(path)
        job.release(path)


def _join(job: Job, source: Volumes, found: Found, path: Path) -> None:
    parts = zip(source.paths, source.starts, strict=True)
    there = [(volume, start) for volume, start in parts if volume not in found.missing]
    files.require_space(path.parent, sum(volume.stat().st_size for volume, _ in there), what="join the volumes")
    files.remove(path)  # of an attempt that was killed
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, source.size)
        for volume, start in there:
            at, end = start, start + volume.stat().st_size
            os.lseek(descriptor, at, os.SEEK_SET)
            while at < end and (block := source.pread(min(_BLOCK, end - at), at)):
                job.check()
                write_all(descriptor, block)
                at += len(block)
    finally:
        os.close(descriptor)
