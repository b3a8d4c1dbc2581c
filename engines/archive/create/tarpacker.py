"""Chunks of a tar stream made into bytes: laid out and packed, in threads and in helper processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, cast

import msgspec

from engines.archive.create.reading import Done, failed
from engines.archive.create.session import Session
from engines.archive.create.source import Entry
from engines.archive.create.space import Buffer, Space, Spaces
from engines.archive.create.tarchunks import Chunk, Outcome, Piece, Range
from engines.archive.create.tarmembers import TarMembers
from engines.archive.levels import MIB
from engines.operations import ArchiveFormat

if TYPE_CHECKING:
    from engines.archive.create.bzip2 import Bzip2Program
    from engines.archive.create.gzipmember import GzipMember, Link

SMALL: Final = 256 << 10
"""Files up to this size are read whole by one thread."""
_ROOM: Final = SMALL + 128 * 1024
"""Bytes by which the last member and what is not counted (padding, long names) may exceed a chunk."""
_ZEROS: Final = bytes(MIB)


class TarPacker:
    """Packs the chunks of one tar stream.

    Attributes:
        block: Bytes of tar stream in the next chunk.
        stretch: Most bytes of a file in one piece.
        share: Bytes that a byte of a chunk takes while it is under way: the packed ones too.
        gzip: The only member of a tar.gz that is to have one.
        helpless: Whether helpers are still to be asked for, see `get_help`.
        members: Lays them out.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.block = MIB
        self.share = 1.0
        self.gzip: GzipMember | None = None
        self._codec: Callable[[Buffer], Sequence[Buffer]] | None = None
        self._xz: Callable[[list[Buffer]], Sequence[Buffer]] | None = None
        self._program: Bzip2Program | None = None
        if session.options.format is not ArchiveFormat.TAR:
            self._prepare(session.options.format, session.options.level)
        self.members = TarMembers(session.options)
        self.stretch = self.block if self._xz is None else MIB
        self._spaces = Spaces(self.stretch + _ROOM)
        self.helpless = not (self.gzip or self._xz or self._program)  # they could not tell how far a slow packer is

    def _prepare(self, form: ArchiveFormat, level: int) -> None:
        """Get ready to pack; modules that other formats do without are loaded here."""
        from engines.archive.create import tarcodecs

        session = self._session
        self.share = 2.0
        if form is ArchiveFormat.TAR_XZ:
            self.block, self._xz = tarcodecs.xz(level, session.step)
            return
        self.block, self._codec = tarcodecs.codec(form, level)
        if form is ArchiveFormat.TAR_GZ and session.options.single_member:
            from engines.archive.create.gzipmember import GzipMember

            self.gzip = GzipMember(level, fresh=session.options.reproducible)
        elif form is ArchiveFormat.TAR_BZ2:
            from engines.archive.create import bzip2

            if bzip2.worthwhile(session):
                self._program = bzip2.Bzip2Program(session)
                session.pipeline.widen()
                self._left = session.listing.size
                self.share = 0.5  # most of them wait packed for a slower one before them
                self.block, self._codec = self._program.segment(self._left), self._program.pack

    def cut(self, weight: int) -> None:
        """A chunk of so many bytes is given to be packed; the last ones may be smaller."""
        if self._program is not None:
            self._left -= weight
            self.block = self._program.segment(self._left)

    def pack(self, chunk: Chunk, link: Link | None) -> Outcome:
        """Pack a chunk; for threads. `link` is its place in the one gzip member."""
        session = self._session
        if chunk.first >= 0 and session.lanes is not None:
            answer = session.lanes.run(chunk.first, chunk.first + len(chunk.pieces))
            if answer is not None:
                space, body = answer
                entries = cast("list[Entry]", chunk.pieces)
                done = msgspec.msgpack.decode(body, type=list[Done])
                if not done:
                    return Outcome([space.data], listed=entries, space=space)
                return Outcome([space.data], members=list(zip(entries, done, strict=True)), space=space)
        outcome = Outcome()
        space = self._spaces.take()
        pieces: list[Buffer] = []
        try:
            session.step()
            for piece in chunk.pieces:
                self._assemble(piece, space, outcome)
                if self._xz is not None and space.length >= MIB:
                    pieces.append(bytes(space.data))
                    space.length = 0
            if link is not None:
                link.give(space.data)
        except BaseException:  # nobody may wait for this chunk in vain
            if link is not None:
                link.give(memoryview(b""))
            for piece in chunk.pieces:
                if isinstance(piece, Range) and piece.file.digest is not None:
                    piece.file.digest.skip()
            raise
        outcome.raw = space.length
        if self.gzip is not None and link is not None:
            outcome.data, outcome.crc = self.gzip.pack(space.data, link)
        elif self._xz is not None:
            pieces.append(bytes(space.data))
            outcome.data = self._xz(pieces)
        elif self._codec is not None:
            outcome.data = self._codec(space.data)
        else:
            outcome.data = [space.data]
        if any(isinstance(part, memoryview) for part in outcome.data):
            outcome.space = space  # stored bytes lie in it until they are written
        else:
            self._spaces.give(space)
        return outcome

    def get_help(self) -> None:
        """Have helpers pack what is small from now on."""
        self.helpless = False
        self._session.open_lanes(self.block + _ROOM, self._pack_in_lane)

    def _pack_in_lane(self, first: int, last: int, space: Space) -> bytes:
        """In a helper process: a chunk of small members."""
        entries = self._session.entries[first:last]
        if self._codec is None:
            done = self.members.lay_out(entries, space)
        else:
            plain = self._spaces.take()
            done = self.members.lay_out(entries, plain)
            for part in self._codec(plain.data):
                space.put(part)
            self._spaces.give(plain)
        return msgspec.msgpack.encode(done)

    def _assemble(self, piece: Piece, space: Space, outcome: Outcome) -> None:
        if isinstance(piece, Entry):
            before = space.length
            try:
                done = self.members.member(piece, space)
            except OSError as error:
                space.length = before
                done = failed(error)
                if piece.twin is not None and not piece.twin.packed.done() and piece.twin.name == piece.name:
                    piece.twin.packed.set_result(False)
            outcome.members.append((piece, done))
        elif isinstance(piece, bytes):
            space.put(piece)
        elif isinstance(piece, Range):
            self._read_range(piece, space, outcome)
        else:
            outcome.members.append((piece.entry, failed(piece.error)))

    def _read_range(self, piece: Range, space: Space, outcome: Outcome) -> None:
        file, length = piece.file, piece.length
        space.reserve(length + piece.pad)
        at = space.length
        room = space.view[at : at + length]
        try:
            count = file.read_into(room, piece.at) if length else 0
        except OSError:
            count = 0
        if count < length:  # promised in the header: the rest is zeros, and reported
            room[count:] = bytes(length - count)
        space.length = at + length
        if piece.pad:
            space.put(bytes(piece.pad))
        if file.digest is not None:
            for start in range(piece.at - piece.hole, piece.at, len(_ZEROS)):
                file.digest.update(start, _ZEROS[: piece.at - start])
            file.digest.update(piece.at, room)
        outcome.taken(piece, whole=count == length)

    def release(self, outcome: Outcome) -> None:
        """Let a chunk's memory be used again."""
        space, outcome.space, outcome.data = outcome.space, None, ()
        lanes = self._session.lanes
        if space is not None and (lanes is None or not lanes.release(space)):
            self._spaces.give(space)
