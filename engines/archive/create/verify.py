"""Reading a finished archive back before it is published."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, cast

from engines.archive.create.journal import Packed
from engines.archive.formats import TAR_FAMILY
from engines.errors import TaskdeckError
from engines.job import Job
from engines.operations import ArchiveFormat, ZipTest

_BLOCK = 1 << 20


def verify(
    paths: Sequence[Path],
    form: ArchiveFormat,
    members: Sequence[Packed],
    job: Job,
    *,
    password_file: str | None,
) -> None:
    """Read every member back. zip and 7z carry checksums of what was read from the source; a tar does not, and is
    compared with the SHA-256 sums taken while packing.

    Raises:
        TaskdeckError: `archive.damaged`.
    """
    if form in TAR_FAMILY:
        _verify_tar(paths, form, members, job)
        return
    from engines.archive.inspect import run_test

    found = run_test(ZipTest(path=str(paths[-1 if form is ArchiveFormat.ZIP else 0]), password_file=password_file), job)
    expected = sum(member.kind != "d" for member in members)
    if found.files != expected:
        raise _damaged(f"it holds {found.files} files instead of {expected}")


def _verify_tar(paths: Sequence[Path], form: ArchiveFormat, members: Sequence[Packed], job: Job) -> None:
    expected = {member.name: member for member in members}
    total = sum(os.stat(path).st_size for path in paths)
    raw = _Volumes(paths, lambda done: job.progress(done, total, stage="testing"))
    try:
        with (
            _decoder(cast("IO[bytes]", io.BufferedReader(raw, _BLOCK)), form) as stream,
            tarfile.open(
                fileobj=stream, mode="r|", bufsize=_BLOCK, encoding="utf-8", errors="surrogateescape"
            ) as archive,
        ):
            for info in archive:
                job.check()
                member = expected.pop(os.fsencode(info.name), None)
                if member is None:
                    raise _damaged(f"'{info.name}' was not packed")
                if member.sha256 and info.isreg():
                    _compare(cast("IO[bytes]", archive.extractfile(info)), member, job.check)
    except (tarfile.TarError, EOFError, OSError, ValueError, lzma.LZMAError) as error:
        raise _damaged(str(error)) from error
    if expected:
        raise _damaged(f"{len(expected)} members are missing")


def _compare(content: IO[bytes], member: Packed, check: Callable[[], None]) -> None:
    digest = sha256()
    while block := content.read(_BLOCK):
        check()
        digest.update(block)
    if digest.digest() != member.sha256:
        raise _damaged(f"the content of '{os.fsdecode(member.name)}' differs from its source")


def _decoder(raw: IO[bytes], form: ArchiveFormat) -> Any:
    match form:
        case ArchiveFormat.TAR_GZ:
            return gzip.GzipFile(fileobj=raw)
        case ArchiveFormat.TAR_BZ2:
            return bz2.BZ2File(raw)
        case ArchiveFormat.TAR_XZ:
            return lzma.LZMAFile(raw)
        case ArchiveFormat.TAR_ZST:
            import zstandard

            return zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
    return raw


class _Volumes(io.RawIOBase):
    """Files read as one."""

    def __init__(self, paths: Sequence[Path], told: Callable[[int], None]) -> None:
        self._files = [open(path, "rb", buffering=0) for path in paths]  # noqa: SIM115 - closed in close()
        self._at = 0
        self._done = 0
        self._told = told

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._at < len(self._files):
            count = self._files[self._at].readinto(buffer)
            if count:
                self._done += count
                self._told(self._done)
                return count
            self._at += 1
        return 0

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()


def _damaged(why: str) -> TaskdeckError:
    return TaskdeckError(
        "archive.damaged",
        "the new archive did not pass its test",
        why,
        "nothing was removed; try again, check the disk",
    )
