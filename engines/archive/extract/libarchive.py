"""Unpacking through libarchive: iso, cab, cpio, deb, rpm, ar, lha, xar, warc; rar and 7z as fallback.

libarchive only decodes; every byte is written by `containment`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from typing import Final, NamedTuple, Protocol

import msgspec

from engines.archive.containment import Parts, escape, file_mode, finish
from engines.archive.encodings import SAMPLE, Decoder
from engines.archive.extract import rpm
from engines.archive.extract.chain import CANNOT
from engines.archive.extract.libarchive_reader import Archive
from engines.archive.extract.run import Keeping, Run, member_errors
from engines.archive.extract.streams import Stream, bzip2_behind, open_stream
from engines.archive.member import Listing, Member, MemberKind
from engines.archive.volumes import Volumes, Window
from engines.errors import TaskdeckError
from engines.filecopy import write_all

_OF_DOS: Final = ("lha", "cab", "zip", "rar")
"""Formats whose names are in the code page of whoever made them, not whatever bytes a Unix system had."""


class Packed(Protocol):
    """The archive as libarchive reads it."""

    @property
    def position(self) -> int:
        """Packed bytes taken so far."""

    def read(self, count: int = -1, /) -> bytes:
        """The next bytes."""


class _Unwrapped:
    """What lies in a compression: ours reads more of them than libarchive does."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def position(self) -> int:
        return self._stream.packed

    def read(self, count: int = -1, /) -> bytes:
        return next(self._stream, b"")


class Opened(NamedTuple):
    """An open archive and how far it is read."""

    archive: Archive
    packed: Packed
    total: int


@contextmanager
def opened(run: Run) -> Iterator[Opened]:
    """The run's archive, open."""
    with Volumes(run.found.volumes) as volumes, ExitStack() as stack:
        packed: Packed = Window(volumes)
        stream = _stream(run, volumes)
        if stream is not None:
            packed = _Unwrapped(stream)
            stack.callback(stream.close)
        archive = Archive(packed, what=run.what, passwords=run.passwords)
        stack.callback(archive.close)
        yield Opened(archive, packed, volumes.size)


def _stream(run: Run, volumes: Volumes) -> Stream | None:
    """The archive's content where it is not libarchive that decompresses it."""
    if run.found.codec:
        return open_stream(volumes, run.found.codec, threads=run.threads, check=run.job.check, start=run.job.tool)
    if run.found.format == "rpm":
        start = rpm.payload(volumes)
        if volumes.pread(3, start) == b"BZh":
            return bzip2_behind(volumes, start, run.job.check)
    return None


def members(run: Run, source: Opened) -> Iterator[Member]:
    """The archive's members, one after the other, their names decoded."""
    archive = source.archive
    decoder = Decoder(run.op.encoding, exact=run.found.format not in _OF_DOS)
    while archive.next():
        run.job.check()
        if decoder.asks(archive.raw_name):
            decoder.learn(_raw_names(run))
            if decoder.guessed:
                run.warn(decoder.hint)
        run.encoding = decoder.chosen
        yield archive.member(decoder)


def _raw_names(run: Run) -> list[bytes]:
    """Names with letters beyond ASCII, as many as matter: read ahead, since one alone does not tell its code page."""
    names: list[bytes] = []
    left = SAMPLE
    with opened(run) as (archive, _, _), suppress(TaskdeckError):  # what is damaged is met again
        while left > 0 and archive.next():
            run.job.check()
            if not (raw := archive.raw_name).isascii():
                names.append(raw)
                left -= len(raw)
    return names


def extract(run: Run) -> None:
    """Unpack into the run's tree.

    Raises:
        TaskdeckError: One of `CANNOT` where another program may do better; else see
            `engines.archive.extract.job.run`.
    """
    with _keeping_the_rest(run), opened(run) as source:
        unpacking = _Unpacking(run, source)
        try:
            for member in members(run, source):
                run.budget.entry()
                run.progress(min(source.packed.position, source.total), source.total, member.name)
                with Keeping(run, member.name):
                    unpacking.place(member)
            unpacking.fetch()
        except TaskdeckError:
            unpacking.drop_promised()
            raise


@contextmanager
def _keeping_the_rest(run: Run) -> Iterator[None]:
    """A fault between members ends the archive, not what was saved of it before."""
    try:
        yield
    except TaskdeckError as error:
        if error.code in CANNOT:
            raise
        run.spoiled(run.found.path.name, error)


class _Unpacking:
    """Writes members in the order they come.

    cpio (and so RPM) keeps the content of a file with several names once, mostly with the last of them: each name
    is a hard link of the first one, and whatever content comes belongs to the file they share.
    """

    def __init__(self, run: Run, source: Opened) -> None:
        self._run = run
        self._source = source
        self._unchosen: dict[Parts, bool] = {}
        """Files that the user did not choose, and whether they had content."""
        self._instead: dict[Parts, Parts] = {}
        """Which file is written instead of an unchosen one that chosen names are links to."""
        self._names: dict[Parts, list[Parts]] = {}
        """All names of files that have several."""
        self._unmet: dict[Parts, list[tuple[Parts, Member]]] = {}
        """Chosen hard links by the file they lead to, which was not chosen and had the content."""
        self._promised: set[Parts] = set()
        """Empty files with more names to come, and perhaps their content with those."""

    def fetch(self) -> None:
        """Chosen hard links of files that were not chosen: read again for the content, which came before them."""
        if not self._unmet:
            return
        run = self._run
        with opened(run) as self._source:
            for member in members(run, self._source):
                with suppress(TaskdeckError):  # no link leads to a name that is refused
                    links = self._unmet.pop(run.parts(member.name), [])
                if not links:
                    continue
                first, link = links[0]
                with Keeping(run, link.name), member_errors(link.name):
                    self._file(member, first, self._blocks(member))
                    for parts, _ in links[1:]:
                        run.tree.hardlink(first, parts)
                    run.wrote(len(links))

    def drop_promised(self) -> None:
        """The archive ended too early: remove files whose content did not come."""
        for first in list(self._promised):
            self._drop(first)

    def place(self, member: Member) -> None:
        """Write the member, or note why not."""
        run, name = self._run, member.name
        parts = run.parts(name)
        if member.kind is MemberKind.SPECIAL:
            run.leave_out(name, "it is a device, pipe or socket")
        elif not parts:
            return
        elif not run.select.wants(parts):
            self._pass(member, parts)
        elif member.kind is MemberKind.FOLDER:
            run.tree.folder(parts, mode=member.mode, mtime_ns=member.mtime_ns)
            run.folders += 1
        elif (given := run.names.give(parts, name)) is None:
            run.leave_out(name, "the archive holds the name twice")
        else:
            if given in run.names.replaced:
                run.tree.unlink(given)
            self._write(member, given)

    def _write(self, member: Member, parts: Parts) -> None:
        run, name = self._run, member.name
        if member.kind is MemberKind.SYMLINK:
            if run.tree.symlink(parts, member.link, member.mtime_ns):
                run.links += 1
            else:
                run.leave_out(name, "it is a link that leads outside")
        elif member.kind is MemberKind.HARDLINK:
            self._hardlink(member, parts)
        else:
            with member_errors(name):
                self._file(member, parts, self._blocks(member))
            run.wrote()
            if not member.size and self._source.archive.names > 1:
                self._promised.add(parts)

    def _pass(self, member: Member, parts: Parts) -> None:
        """A member that was not chosen, unless a chosen one shares its content."""
        if member.kind is MemberKind.FILE:
            self._unchosen[parts] = member.size > 0
        elif member.kind is MemberKind.HARDLINK and member.size:
            first = self._source_of(member)
            first = self._instead.get(first, first)
            if first in self._run.names:
                self._refill(member, first)

    def _source_of(self, member: Member) -> Parts:
        source = self._run.parts(member.link.removeprefix("./"))
        if not source:
            raise escape(member.name, "it is a hard link to a folder")
        return source

    def _hardlink(self, member: Member, parts: Parts) -> None:
        run = self._run
        source = self._source_of(member)
        first = self._instead.get(source, source)
        if first in run.tree.links:  # a second name of a link is a link of the same target
            self._write(msgspec.structs.replace(member, kind=MemberKind.SYMLINK, link=run.tree.links[first]), parts)
            return
        if first not in self._unchosen:
            run.tree.hardlink(first, parts)
            self._names.setdefault(first, [first]).append(parts)
        elif self._unchosen[first] and not member.size:
            self._unmet.setdefault(source, []).append((parts, member))
            return
        else:
            os.close(run.tree.create(parts, file_mode(member.mode)))
            first = self._instead[source] = parts
        run.wrote()
        if member.size:
            self._refill(member, first)

    def _refill(self, member: Member, first: Parts) -> None:
        """Make the file anew from the content that comes with one of its later names, and its names again."""
        blocks = self._blocks(member)
        try:
            start = next(blocks, None)
        except TaskdeckError:
            self._drop(first)
            raise
        if start is None:
            return  # a format that keeps the content with the first name alone
        names = self._drop(first)
        with member_errors(member.name):
            self._file(member, first, chain((start,), blocks))
        for parts in names[1:]:
            self._run.tree.hardlink(first, parts)
        self._run.wrote(len(names))
        self._names[first] = names

    def _drop(self, first: Parts) -> list[Parts]:
        """Remove a file under all its names, and tell them."""
        names = self._names.pop(first, [first])
        self._promised.discard(first)
        self._run.wrote(-sum(self._run.tree.unlink(parts) for parts in names))
        return names

    def _file(self, member: Member, parts: Parts, blocks: Iterable[bytes]) -> None:
        tree = self._run.tree
        descriptor = tree.create(parts, file_mode(member.mode))
        whole = False
        try:
            for block in blocks:
                write_all(descriptor, block)
            finish(descriptor, member.mode, member.mtime_ns)
            whole = True
        finally:
            os.close(descriptor)
            if not whole:
                tree.unlink(parts)

    def _blocks(self, member: Member) -> Iterator[bytes]:
        """The member's content, held against the limits."""
        run, packed = self._run, self._source.packed
        began = packed.position
        written = 0
        for block in self._source.archive.data():
            run.job.check()
            run.budget.spend(len(block))
            written += len(block)
            run.budget.ratio(member.name, written, max(packed.position - began, 1 << 16))
            yield block


def listing(run: Run) -> Listing:
    """All members.

    Raises:
        TaskdeckError: see `extract`.
    """
    found = Listing(run.found.format, [], len(run.found.volumes))
    with opened(run) as source:
        for member in members(run, source):
            run.budget.entry()
            if member.name != ".":  # the folder that was packed: it has no name of its own
                found.members.append(member)
    return found


def test(run: Run) -> None:
    """Read every member to its end.

    Raises:
        TaskdeckError: see `extract`.
    """
    with _keeping_the_rest(run), opened(run) as source:
        for member in members(run, source):
            with Keeping(run, member.name):
                for block in source.archive.data():
                    run.job.check()
                    run.budget.written += len(block)
                run.files += member.kind is not MemberKind.FOLDER
