"""The `zipinfo` and `ziptest` tasks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from engines import text
from engines.archive import passwords
from engines.archive.containment import Tree
from engines.archive.detect import Found, detect
from engines.archive.extract import readers
from engines.archive.extract.run import SHOWN, Run, Trouble
from engines.archive.limits import Budget, Limits
from engines.archive.member import SECOND, Member, MemberKind
from engines.errors import TaskdeckError
from engines.job import Job
from engines.names import display
from engines.operations import Unzip, ZipInfo, ZipTest

MEMBERS_SHOWN: Final = 2000
"""Members in a result at most; `engines.archive.pages` gives the others."""


class MemberRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A member as faces show it: display-safe."""

    name: str
    kind: MemberKind = MemberKind.FILE
    size: int = 0
    packed: int | None = None
    mtime: float | None = None
    """Seconds since the epoch."""
    mode: int | None = None
    link: str = ""
    encrypted: bool = False
    method: str = ""


class ArchiveInfo(msgspec.Struct, kw_only=True):
    """The result of `zipinfo`: totals of the whole archive and its first members."""

    archive: str
    location: str
    format: str
    files: int
    folders: int
    size: int
    """Bytes once unpacked, as the archive declares."""
    packed: int
    """Bytes of the archive, all volumes together."""
    ratio: float
    """Percent saved."""
    encrypted: bool
    volumes: int
    comment: str = ""
    encoding: str = ""
    solid: bool = False
    show: str = ""
    """"tree" or "files" when the user asked for it."""
    members: list[MemberRow] = []
    total_members: int = 0
    truncated: bool = False
    """Whether there are more members than `members`."""
    warnings: list[str] = []


class Tested(msgspec.Struct, kw_only=True):
    """The result of `ziptest` for a sound archive; one that is not fails with `archive.damaged`."""

    archive: str
    format: str
    files: int
    size: int
    seconds: float
    volumes: int = 1


def row(member: Member) -> MemberRow:
    """A member in its display-safe form."""
    return MemberRow(
        display(member.name, limit=1000),
        member.kind,
        member.size,
        member.packed,
        None if member.mtime_ns is None else member.mtime_ns / SECOND,
        member.mode,
        display(member.link, limit=1000),
        member.encrypted,
        member.method,
    )


@contextmanager
def reading(op: ZipInfo | ZipTest, job: Job, found: Found, *, keep_broken: bool = False) -> Iterator[Run]:
    """A run that never writes: its tree is the archive's folder, which no reader touches here."""
    folder = os.open(found.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with Tree(folder) as tree:
            yield Run(
                job,
                Unzip(path=op.path, encoding=getattr(op, "encoding", None), keep_broken=keep_broken),
                found,
                tree,
                Budget(Limits.of(job.settings.archive), folder),
                passwords=passwords.candidates(job, op.password_file),
                verb="list" if isinstance(op, ZipInfo) else "test",
            )
    finally:
        os.close(folder)


def run_info(op: ZipInfo, job: Job) -> ArchiveInfo:
    """List an archive.

    Raises:
        TaskdeckError: `archive.not_archive`, `archive.damaged`, `archive.limit`, `archive.volume`,
            `password.needed`, `password.wrong` (archives with hidden names), `tool.missing`.
    """
    found = detect(Path(op.path), job.policy)
    with reading(op, job, found) as run:
        listing = readers.listing(run)
        packed = sum(os.stat(path).st_size for path in found.volumes)
        size = listing.size
        return ArchiveInfo(
            archive=display(found.path.name),
            location=display(found.path),
            format=listing.format,
            files=listing.files,
            folders=len(listing.members) - listing.files,
            size=size,
            packed=packed,
            ratio=text.saved(size, packed),
            encrypted=listing.encrypted,
            volumes=len(found.volumes),
            comment=display(listing.comment, limit=2000),
            encoding="" if run.encoding in ("utf-8", "") else run.encoding,
            solid=listing.solid,
            show="tree" if op.tree else "files" if op.files else "",
            members=[row(member) for member in listing.members[:MEMBERS_SHOWN]],
            total_members=len(listing.members),
            truncated=len(listing.members) > MEMBERS_SHOWN,
            warnings=[*listing.warnings, *run.warnings][:SHOWN],
        )


def run_test(op: ZipTest, job: Job) -> Tested:
    """Verify every checksum without writing.

    Raises:
        TaskdeckError: `archive.damaged` with the failed members as its detail; else as `run_info`.
    """
    started = time.monotonic()
    found = detect(Path(op.path), job.policy)
    with reading(op, job, found, keep_broken=True) as run:
        readers.test(run)
        if run.broken_count:
            raise _failed(found, run.broken, run.broken_count)
        return Tested(
            archive=display(found.path.name),
            format=found.format,
            files=run.files,
            size=run.budget.written,
            seconds=time.monotonic() - started,
            volumes=len(found.volumes),
        )


def _failed(found: Found, broken: list[Trouble], count: int) -> TaskdeckError:
    first = broken[0]
    why = f"'{first.name}' is damaged ({first.why})"
    if first.name == display(found.path.name, limit=300):  # no member to blame
        why = first.why
    elif count > 1:
        why = f"{text.plural(count, 'member')} failed, the first is '{first.name}' ({first.why})"
    return TaskdeckError(
        "archive.damaged",
        f"'{display(found.path.name)}' did not pass the test",
        why,
        "get it again, or use `unzip --keep-broken` to save what is sound",
        detail="\n".join(f"{item.name}: {item.why}" for item in broken[:50]),
    )
