"""What a tar stream is cut into on its way: pieces, the chunks they make, and what became of those."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from engines.archive.create.reading import Done, OpenFile
from engines.archive.create.source import Entry
from engines.archive.create.space import Buffer, Space


class Range(msgspec.Struct):
    """A stretch of a large file. `hole` zeros lie before it in the file, not in the archive."""

    file: OpenFile
    at: int
    length: int
    hole: int = 0
    last: bool = False
    """Whether the member's data ends here; padding follows."""
    pad: int = 0


class Failed(msgspec.Struct):
    """An entry that could not be opened."""

    entry: Entry
    error: OSError


Piece = Entry | bytes | Range | Failed


class Chunk(msgspec.Struct):
    """Pieces that become one stretch of the tar stream."""

    pieces: list[Piece] = msgspec.field(default_factory=list)
    weight: int = 0
    first: int = -1
    """Number of the first entry when all pieces are entries that follow one another and link to none."""


class Outcome(msgspec.Struct):
    """A chunk's bytes and what became of its pieces, in order."""

    data: Sequence[Buffer] = ()
    raw: int = 0
    crc: int = 0
    members: list[tuple[Entry, Done]] = msgspec.field(default_factory=list)
    listed: Sequence[Entry] = ()
    """Members that are as they were listed; then there are no others."""
    bytes_read: int = 0
    """Bytes of large files."""
    short: list[OpenFile] = msgspec.field(default_factory=list)
    open: Range | None = None
    """The last stretch of a file that goes on in the next chunk."""
    ended: dict[int, OpenFile] = msgspec.field(default_factory=dict)
    """Large files that are whole now, by the identity of their entry."""
    space: Space | None = None
    """Memory that `data` lies in."""

    def taken(self, piece: Range, *, whole: bool) -> None:
        """Note that a stretch of a large file is in the archive; not `whole` when zeros take the place of its end."""
        file = piece.file
        if not whole:
            self.short.append(file)
        self.bytes_read += piece.length + piece.hole
        self.open = piece
        if piece.last:
            self.ended[id(file.entry)] = file
            self.members.append((file.entry, Done("f")))
            self.open = None
