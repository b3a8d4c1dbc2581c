"""Unpacking tar archives in any compression: a helper thread decompresses while this one parses and writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from engines.archive.containment import Parts, cannot_make, escape, file_mode, finish, folded
from engines.archive.encodings import SAMPLE, Decoder
from engines.archive.extract.blocks import Blocks, TruncatedError
from engines.archive.extract.copying import Copier, Copy
from engines.archive.extract.run import Run
from engines.archive.extract.streams import Stream, cut_off, open_stream
from engines.archive.extract.tar_headers import Header, MalformedError, Reader, malformed
from engines.archive.extract.writers import Writers
from engines.archive.member import Member, MemberKind
from engines.archive.volumes import Volumes
from engines.errors import TaskdeckError
from engines.filecopy import write_all
from engines.names import display
from engines.operations import Conflict

_CHECK_BYTES = 4 << 20  # between two looks at whether to stop
_CHECK_MEMBERS = 64
_KERNEL_BYTES = 1 << 20  # smaller members are in memory already


class Opened:
    """An open tar: its members, and how far the packed file was read."""

    def __init__(self, stream: Stream, blocks: Blocks, reader: Reader, volumes: Volumes) -> None:
        self.stream = stream
        self.blocks = blocks
        self.reader = reader
        self.total = volumes.size
        self.descriptor = volumes.descriptor if stream.plain else None
        """The file, where the kernel can copy from it by itself."""


@contextmanager
def opened(run: Run, *, read_all: bool = False) -> Iterator[Opened]:
    """Open the archive; faults of the format come out as `archive.damaged`.

    Args:
        read_all: Read what is passed over too, so that a disk's faults are met.
    """
    name = display(run.found.path.name)
    decoder = Decoder(run.op.encoding, exact=True)
    with Volumes(run.found.volumes, run.found.missing) as volumes:
        stream = open_stream(volumes, run.found.codec, threads=run.threads, check=run.job.check, start=run.job.tool)
        blocks = Blocks(stream, None if read_all else stream.plain)
        reader = Reader(blocks, decoder, lambda: _raw_names(run, volumes))
        try:
            yield Opened(stream, blocks, reader, volumes)
        except TruncatedError:
            raise cut_off(name) from None
        except MalformedError as error:
            raise malformed(name, str(error)) from None
        finally:
            stream.close()
            run.encoding = decoder.chosen
            if decoder.guessed and decoder.hint not in run.warnings:
                run.warn(decoder.hint)


def _raw_names(run: Run, volumes: Volumes) -> list[bytes]:
    """Names with letters beyond ASCII, as many as matter: read ahead, since one alone does not tell its code page."""
    names: list[bytes] = []
    left = SAMPLE
    stream = open_stream(volumes, run.found.codec, threads=run.threads, check=run.job.check, start=run.job.tool)
    try:
        blocks = Blocks(stream, stream.plain)
        for number, header in enumerate(Reader(blocks, Decoder("utf-8"))):
            if number % _CHECK_MEMBERS == 0:
                run.job.check()
            if not header.name.isascii():
                names.append(os.fsencode(header.name))
                left -= len(names[-1])
            if left <= 0:
                break
            blocks.skip(header.size + -header.size % 512)
    except (TruncatedError, MalformedError, TaskdeckError):
        pass  # it is met again
    finally:
        stream.close()
    return names


def extract(run: Run) -> None:
    """Unpack a tar archive into the run's tree.

    Raises:
        TaskdeckError: see `engines.archive.extract.job.run`.
    """
    with Writers(run) as writers:  # before the threads begin
        unpacking = _Unpacking(run, writers)
        try:
            with opened(run) as archive, unpacking:
                for index, header in enumerate(archive.reader):
                    unpacking.member(archive, index, header)
                unpacking.end(archive)
                unpacking.fetch()
        except TaskdeckError as error:
            run.spoiled(run.found.path.name, error)
    run.committed(unpacking.count)


class _Unpacking:
    """Takes members in the order they come; large ones of a bare tar are left to a `Copier`."""

    def __init__(self, run: Run, writers: Writers) -> None:
        self.run = run
        self.count = 0
        self._writers = writers
        self._copier = Copier(run.job.check)
        self._seen: set[Parts] = set()
        self._unmet: dict[Parts, list[tuple[Parts, Header]]] = {}
        """Chosen hard links by the file they lead to, which was not chosen."""
        self._folded: set[str] = set()
        self._next_check = 0
        self._since = 0
        self._item = ""
        self._folder: Parts = ()
        self._archive: Opened | None = None

    def member(self, archive: Opened, index: int, header: Header) -> None:
        """Take one member off the stream, whatever becomes of it."""
        run = self.run
        self._archive = archive
        run.budget.entry()
        self._item = header.name
        self._since += 1
        if self._since >= _CHECK_MEMBERS or archive.blocks.position >= self._next_check:
            self._look()
        data = archive.blocks.position
        try:
            self._place(archive, header, index < run.skip)
        except TaskdeckError as error:
            run.spoiled(header.name, error)
        left = data + header.size + -header.size % 512 - archive.blocks.position
        if left:
            archive.blocks.skip(left)
        self.count = index + 1

    def end(self, archive: Opened) -> None:
        """Read what follows the end mark: a compressed stream carries its checksum there."""
        for _ in archive.blocks.drain():
            self._look()
        if not archive.reader.ended and self.count == 0:
            raise MalformedError("it holds nothing")

    def fetch(self) -> None:
        """Chosen hard links of files that were not chosen: read again for the content, which came before them."""
        if not self._unmet:
            return
        with opened(self.run) as archive:
            archive.descriptor = None  # it is closed before the `Copier` has done
            for header in archive.reader:
                end = archive.blocks.position + header.size + -header.size % 512
                if header.kind in (MemberKind.FILE, MemberKind.SYMLINK):
                    self._instead(archive, header)
                self._archive, self._item = archive, header.name
                if archive.blocks.position >= self._next_check:
                    self._look()
                archive.blocks.skip(end - archive.blocks.position)
        for links in self._unmet.values():
            for _, header in links:
                shown = display(header.link, limit=200)
                self.run.leave_out(header.name, f"it is a hard link to '{shown}', which was not chosen")

    def _instead(self, archive: Opened, header: Header) -> None:
        """Write a file that was not chosen under the names that were."""
        run = self.run
        try:
            links = self._unmet.pop(run.parts(header.name), None)
        except TaskdeckError:
            return  # no link leads to such a name
        if links is None:
            return
        first, link = links[0]
        try:
            if header.kind is MemberKind.SYMLINK:
                header.name = link.name
                self._symlink(first, header)
            else:
                self._file(archive, first, header, done=False)
            for parts, link in links[1:]:
                self._hardlink(parts, msgspec.structs.replace(link, link="/".join(first)), done=False)
        except TaskdeckError as error:
            run.spoiled(link.name, error)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        """Wait until everything is written, unless it is thrown away anyway."""
        try:
            if kind is None or (self.run.op.keep_broken and issubclass(kind, Exception)):
                self._writers.settle()
                self._copier.wait(self._look)
                self._failures()
        finally:
            self._copier.close()

    def _failures(self) -> None:
        for copy in self._copier.failed():
            self.run.files -= 1
            self.run.tree.unlink(copy.parts)
            assert copy.error is not None
            self.run.spoiled(copy.name, copy.error)

    def _look(self) -> None:
        run, archive = self.run, self._archive
        run.job.check()
        self._since = 0
        if archive is not None:
            self._next_check = archive.blocks.position + _CHECK_BYTES
            run.budget.ratio(self._item, archive.blocks.position, archive.stream.packed)
            run.progress(min(archive.stream.packed, archive.total) - self._copier.left, archive.total, self._item)
        self._failures()
        run.committed(self._writers.whole(self._copier.whole(self.count)))

    def _place(self, archive: Opened, header: Header, done: bool) -> None:
        run = self.run
        parts = run.parts(header.name)
        kind = header.kind
        if kind is MemberKind.SPECIAL:
            run.leave_out(header.name, "it is a device, pipe or socket")
            return
        if not parts or (run.select and not run.select.wants(parts)):
            return
        if kind is MemberKind.FOLDER:
            self._wait_above(parts)
            run.tree.folder(parts, mode=header.mode, mtime_ns=header.mtime_ns)
            run.folders += 1
            return
        again = self._again(parts, header, done)
        if again is None:
            return
        if kind is MemberKind.FILE:
            self._file(archive, again, header, done)
        elif kind is MemberKind.HARDLINK:
            self._hardlink(again, header, done)
        else:
            self._symlink(again, header)

    def _symlink(self, parts: Parts, header: Header) -> None:
        if self.run.tree.symlink(parts, header.link, header.mtime_ns):
            self.run.links += 1
        else:
            self.run.leave_out(header.name, "it is a link that leads outside")

    def _again(self, parts: Parts, header: Header, done: bool) -> Parts | None:
        """Settle a name that came before: in a tar the later member replaces the earlier one."""
        run = self.run
        if parts not in self._seen:
            self._seen.add(parts)
            key = folded(parts)
            run.names.collisions += key in self._folded
            self._folded.add(key)
            return parts
        if run.op.on_conflict is Conflict.SKIP:
            run.leave_out(header.name, "the archive holds the name twice")
            return None
        if run.op.on_conflict is Conflict.FAIL:
            raise TaskdeckError(
                "path.exists",
                f"cannot unpack member '{display(header.name, limit=200)}'",
                "the archive holds it twice",
            )
        self._writers.wait_for(parts)
        if not done:
            run.tree.unlink(parts)
        return parts

    def _hardlink(self, parts: Parts, header: Header, done: bool) -> None:
        run = self.run
        source = run.parts(header.link)
        if not source:
            raise escape(header.name, "it is a hard link to a folder")
        if source == parts:
            return
        if source in run.tree.links:  # a second name of a link is a link of the same target
            self._symlink(parts, msgspec.structs.replace(header, link=run.tree.links[source]))
            return
        if run.select and source not in self._seen:
            self._unmet.setdefault(source, []).append((parts, header))
            return
        self._writers.wait_for(source)
        if not done:
            run.tree.hardlink(source, parts)
        run.wrote()

    def _file(self, archive: Opened, parts: Parts, header: Header, done: bool) -> None:
        run = self.run
        if done:
            run.budget.spend(header.size)
            run.wrote()
            return
        folder = parts[:-1]
        if folder != self._folder:
            self._wait_above(folder)
            run.tree.folder(folder)
            self._folder = folder
        if header.pieces is None and self._writers.take(header.size, header.name):
            run.budget.spend(header.size)
            archive.blocks.fill(self._writers.room(self.count, header.size))
            self._writers.add(parts, header.mode, header.mtime_ns, header.size)
            return
        descriptor = run.tree.create(parts, file_mode(header.mode))
        whole = taken_over = False
        try:
            if header.pieces is not None:
                self._sparse(archive, descriptor, header)
            elif archive.descriptor is not None and header.size > _KERNEL_BYTES:
                copy = self._begin_copy(archive, descriptor, header, parts)
                taken_over = True
                self._copier.add(copy)
            else:
                self._data(archive, descriptor, header.size)
            if not taken_over:
                finish(descriptor, header.mode, header.mtime_ns)
            whole = True
        except OSError as error:
            raise cannot_make(parts, error) from None
        finally:
            if not taken_over:
                os.close(descriptor)
            if not whole:
                run.tree.unlink(parts)
        run.files += 1  # one thread only

    def _wait_above(self, folder: Parts) -> None:
        """See that a file on the way to a folder is met as it would be if all were written in order."""
        for end in range(1, len(folder) + 1):
            if folder[:end] in self._seen:
                self._writers.wait_for(folder[:end])

    def _data(self, archive: Opened, descriptor: int, size: int) -> None:
        piece = archive.blocks.piece(size)
        if piece is not None:  # most small files: one write, no loop
            self.run.budget.spend(size)
            if size:
                write_all(descriptor, piece)
            return
        for view in archive.blocks.views(size):
            self.run.budget.spend(len(view))
            write_all(descriptor, view)
            if archive.blocks.position >= self._next_check:
                self._look()

    def _begin_copy(self, archive: Opened, descriptor: int, header: Header, parts: Parts) -> Copy:
        """What is in memory already is written here, the rest is passed over: the kernel copies it."""
        assert archive.descriptor is not None
        blocks = archive.blocks
        self.run.budget.spend(header.size)
        start = blocks.buffered()
        write_all(descriptor, start)
        position, count = blocks.position, header.size - len(start)
        blocks.skip(count)  # raises when the archive ends before
        return Copy(
            self.count,
            header.name,
            parts,
            descriptor,
            archive.descriptor,
            position,
            count,
            header.mode,
            header.mtime_ns,
        )

    def _sparse(self, archive: Opened, descriptor: int, header: Header) -> None:
        os.ftruncate(descriptor, header.real_size)
        for offset, length in header.pieces or ():
            os.lseek(descriptor, offset, os.SEEK_SET)
            self._data(archive, descriptor, length)


def members(run: Run, *, read_all: bool = False) -> Iterator[Member]:
    """The members of a tar, its data passed over (a compressed one has to be decompressed for that)."""
    with opened(run, read_all=read_all) as archive:
        for number, header in enumerate(archive.reader):
            if number % _CHECK_MEMBERS == 0:
                run.job.check()
                run.progress(min(archive.stream.packed, archive.total), archive.total, header.name)
            run.budget.entry()
            yield Member(
                header.name,
                header.kind,
                header.real_size,
                None if run.found.codec else header.size,
                header.mtime_ns,
                header.mode,
                header.link,
            )
            left = header.size + -header.size % 512
            while left:
                step = min(left, _CHECK_BYTES)
                archive.blocks.skip(step)
                left -= step
                if left:
                    run.job.check()
        for _ in archive.blocks.drain():
            run.job.check()


def test(run: Run) -> None:
    """Read every member to its end; the compression's own checksums are verified on the way."""
    try:
        for member in members(run, read_all=True):
            if member.kind is not MemberKind.FOLDER:
                run.wrote()
                run.budget.written += member.size
    except TaskdeckError as error:
        run.spoiled(run.found.path.name, error)
