"""A 7z, or a ZIP that only 7zz decodes, read as one stream: 7zz decompresses into a pipe, the members are cut out here.

That is safer than to let it write, since every member goes through `containment.Tree`, and quicker, since it
decompresses on one core while this process writes on another; it is started before the list of members is read.
Sizes and checksums of the list tell whether the stream is what it should be. When it is not (damage, a password, a
kind of member that does not come in order), nothing is kept of it, and 7zz unpacks into the folder as ever: that way
says what is wrong with which member.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from isal import isal_zlib

from engines.archive.containment import Parts, cannot_make, file_mode, finish
from engines.archive.extract import piped, sevenzip_names
from engines.archive.extract.blocks import Blocks, TruncatedError
from engines.archive.extract.run import Run
from engines.archive.extract.sevenzip_run import decoding
from engines.archive.member import Listing, Member, MemberKind
from engines.archive.volumes import Volumes
from engines.filecopy import write_all
from engines.process import Tool

_LONGEST_LINK: Final = 4096
_LOOK: Final = 64  # members between two looks at whether to stop


class _OtherwiseError(Exception):
    """The stream is not what the list promises."""


class Stream:
    """What 7zz decompresses; it begins before anybody knows whether that serves."""

    def __init__(self, tool: Tool) -> None:
        self._tool = tool
        self._lead = piped.Lead(tool)

    def blocks(self, check: Callable[[], None]) -> Iterator[bytes]:
        """Its bytes to their end; `check` may raise to stop."""
        yield from self._lead.end()
        yield from piped.blocks(self._tool, check)

    def sound(self) -> bool:
        """Whether 7zz ended well, once its output has ended."""
        return self._tool.wait() == 0

    def close(self) -> None:
        """End it."""
        self._lead.end()
        self._tool.kill()


def begin(run: Run, *, selected: bool = False) -> Stream | None:
    """Start 7zz on an archive that may be read as a stream.

    With several threads it unpacks whole pieces before it writes the first byte of them, 60 MB in 0.4 s, even where
    there is but one; with one thread it writes as it goes.

    Args:
        selected: Start also when only some members are wanted: then the others are decompressed for nothing.
    """
    found = run.found
    if found.format != "7z" or found.offset or run.passwords or run.op.encoding or (run.select and not selected):
        return None
    with Volumes(found.volumes) as volumes:
        threads = ["-mmt1"] if sevenzip_names.is_chain(volumes) else []
    return Stream(decoding(run, *threads))


def write(run: Run, stream: Stream, found: Listing, wanted: Sequence[Member]) -> bool:
    """Write all members; False when the stream does not serve, and then the tree is as empty as before."""
    if not found.exact or found.encrypted:
        return False
    return _cut(run, stream, found, wanted)


def unpack_zip(run: Run, found: Listing, wanted: Sequence[Member]) -> bool:
    """Write the members of a ZIP that only 7zz decodes, under the names of the ZIP's own directory as it was read here.

    7zz keeps the bytes of names in old code pages and cannot be told such names.

    Returns:
        False when the stream does not serve, and then the tree is as empty as before.
    """
    stream = Stream(decoding(run, password=run.passwords[0] if run.passwords else ""))
    try:
        return _cut(run, stream, found, wanted)
    finally:
        stream.close()


def _cut(run: Run, stream: Stream, found: Listing, wanted: Sequence[Member]) -> bool:
    if run.broken_count or not all(_plain(member) for member in found.members):
        return False
    run.empty()  # an interrupted attempt may have left files: 7zz starts from the beginning
    try:
        _members(run, Blocks(stream.blocks(run.job.check)), found.members, wanted)
        if not stream.sound():
            raise _OtherwiseError
    except (_OtherwiseError, TruncatedError):
        run.start_over()
        return False
    return True


def _plain(member: Member) -> bool:
    if member.kind is MemberKind.SYMLINK:
        return member.size <= _LONGEST_LINK
    return member.kind is MemberKind.FILE or (member.kind is MemberKind.FOLDER and not member.size)


def _members(run: Run, blocks: Blocks, members: Sequence[Member], wanted: Sequence[Member]) -> None:
    total = sum(member.size for member in wanted)
    chosen = {id(member) for member in wanted} if len(wanted) < len(members) else None
    for member in wanted:
        if member.kind is MemberKind.SYMLINK:
            run.tree.reserve(run.parts(member.name))
    for number, member in enumerate(members):
        if number % _LOOK == 0:
            run.job.check()
            run.progress(run.budget.written, total, member.name)
        if chosen is not None and id(member) not in chosen:
            blocks.skip(member.size)
            continue
        parts = run.parts(member.name)
        if member.kind is MemberKind.FOLDER:
            run.tree.folder(parts, mode=member.mode, mtime_ns=member.mtime_ns)
            run.folders += 1
            continue
        given = run.names.give(parts, member.name)
        if given is None:
            run.leave_out(member.name, "the archive holds the name twice")
            blocks.skip(member.size)
        elif member.kind is MemberKind.SYMLINK:
            _link(run, blocks, member, given)
        else:
            _file(run, blocks, member, given, total)
    if any(True for _ in blocks.drain()):
        raise _OtherwiseError


def _link(run: Run, blocks: Blocks, member: Member, parts: Parts) -> None:
    target = blocks.take(member.size)
    _verify(member, isal_zlib.crc32(target))
    if run.tree.symlink(parts, os.fsdecode(target), member.mtime_ns):
        run.links += 1
    else:
        run.leave_out(member.name, "it is a link that leads outside")


def _file(run: Run, blocks: Blocks, member: Member, parts: Parts, total: int) -> None:
    if parts in run.names.replaced:
        run.tree.unlink(parts)
    run.budget.entry()
    descriptor = run.tree.create(parts, file_mode(member.mode))
    try:
        checksum = 0
        for view in blocks.views(member.size):
            checksum = isal_zlib.crc32(view, checksum)
            run.budget.spend(len(view))
            write_all(descriptor, view)
            if member.size > len(view):  # a large one
                run.job.check()
                run.progress(run.budget.written, total, member.name)
        _verify(member, checksum)
        finish(descriptor, member.mode, member.mtime_ns)
    except OSError as error:
        raise cannot_make(parts, error) from None
    finally:
        os.close(descriptor)
    run.wrote()


def _verify(member: Member, checksum: int) -> None:
    if member.crc is not None and member.size and checksum != member.crc:
        raise _OtherwiseError
