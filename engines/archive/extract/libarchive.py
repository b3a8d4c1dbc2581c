"""Unpacking through libarchive: iso, cab, cpio, deb, rpm, ar, lha, xar, warc; rar and 7z as fallback.

libarchive only decodes; every byte is written by `containment`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from engines.archive.containment import escape, file_mode, finish
from engines.archive.encodings import Decoder
from engines.archive.extract.chain import CANNOT
from engines.archive.extract.copying import write_all
from engines.archive.extract.libarchive_reader import Archive
from engines.archive.extract.run import Keeping, Run, member_errors
from engines.archive.member import Listing, Member, MemberKind
from engines.archive.volumes import Volumes, Window
from engines.errors import TaskdeckError


@contextmanager
def opened(run: Run) -> Iterator[tuple[Archive, Decoder, Window]]:
    """The run's archive, open."""
    decoder = Decoder(run.op.encoding)
    with Volumes(run.found.volumes) as volumes:
        window = Window(volumes)
        archive = Archive(window, passwords=run.passwords)
        try:
            yield archive, decoder, window
        finally:
            archive.close()


def extract(run: Run) -> None:
    """Unpack into the run's tree.

    Raises:
        TaskdeckError: One of `CANNOT` where another program may do better; else see
            `engines.archive.extract.job.run`.
    """
    with _keeping_the_rest(run), opened(run) as (archive, decoder, window):
        while archive.next():
            member = archive.member(decoder)
            run.budget.entry()
            run.job.check()
            run.progress(min(window.tell(), window.size), window.size, member.name)
            with Keeping(run, member.name):
                _place(run, archive, member, window)


@contextmanager
def _keeping_the_rest(run: Run) -> Iterator[None]:
    """A fault between members ends the archive, not what was saved of it before."""
    try:
        yield
    except TaskdeckError as error:
        if error.code in CANNOT:
            raise
        run.spoiled(run.found.path.name, error)


def _place(run: Run, archive: Archive, member: Member, window: Window) -> None:
    name = member.name
    parts = run.parts(name)
    if member.kind is MemberKind.SPECIAL:
        run.leave_out(name, "it is a device, pipe or socket")
        return
    if not parts or not run.select.wants(parts):
        return
    if member.kind is MemberKind.FOLDER:
        run.tree.folder(parts, mode=member.mode, mtime=member.mtime)
        run.folders += 1
        return
    given = run.names.give(parts, name)
    if given is None:
        run.leave_out(name, "the archive holds the name twice")
        return
    if given in run.names.replaced:
        run.tree.unlink(given)
    if member.kind is MemberKind.SYMLINK:
        if run.tree.symlink(given, member.link):
            run.links += 1
        else:
            run.leave_out(name, "it is a link that leads outside")
        return
    if member.kind is MemberKind.HARDLINK:
        source = run.parts(member.link.removeprefix("./"))
        if not source:
            raise escape(name, "it is a hard link to a folder")
        run.tree.hardlink(source, given)
        run.wrote()
        return
    with member_errors(name):
        _file(run, archive, member, given, window)


def _file(run: Run, archive: Archive, member: Member, parts: tuple[str, ...], window: Window) -> None:
    descriptor = run.tree.create(parts, file_mode(member.mode))
    whole = False
    written = 0
    began = window.position
    try:
        for block in archive.data():
            run.job.check()
            run.budget.spend(len(block))
            written += len(block)
            run.budget.ratio(member.name, written, max(window.position - began, 1 << 16))
            write_all(descriptor, block)
        finish(descriptor, member.mode, member.mtime)
        whole = True
    finally:
        os.close(descriptor)
        if not whole:
            run.tree.unlink(parts)
    run.wrote()


def listing(run: Run) -> Listing:
    """All members.

    Raises:
        TaskdeckError: see `extract`.
    """
    members = []
    with opened(run) as (archive, decoder, _):
        while archive.next():
            run.job.check()
            run.budget.entry()
            member = archive.member(decoder)
            if member.name != ".":  # the folder that was packed: it has no name of its own
                members.append(member)
    return Listing(run.found.format, members, len(run.found.volumes))


def test(run: Run) -> None:
    """Read every member to its end.

    Raises:
        TaskdeckError: see `extract`.
    """
    with _keeping_the_rest(run), opened(run) as (archive, decoder, _):
        while archive.next():
            member = archive.member(decoder)
            with Keeping(run, member.name):
                for block in archive.data():
                    run.job.check()
                    run.budget.written += len(block)
                run.files += member.kind is not MemberKind.FOLDER
