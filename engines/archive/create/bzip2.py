"""bzip2 by the program lbzip2: the same blocks as libbz2's for two thirds of its processor time.

Each segment of a few blocks goes through a program of its own and comes back as a complete stream, so that a job goes
on after any of them as it does after those of libbz2.
"""

from __future__ import annotations

from typing import Final

from engines.archive import backends, levels
from engines.archive.create import codecs
from engines.archive.create.memoryfile import MemoryFile
from engines.archive.create.program import Program
from engines.archive.create.session import Session
from engines.archive.create.space import Buffer

_SEGMENT: Final = 3_440_000
"""Bytes of input for one program, whose start costs 1 % of them: with padding four blocks of level 9."""
_LEAST: Final = 900_000
"""Bytes of the last segments: so that all cores end together."""
_WORTH: Final = 4 * _SEGMENT
"""Bytes of input from which programs are worth it."""


def worthwhile(session: Session) -> bool:
    """Whether the program is there and there is enough to do; reproducible archives depend on no program."""
    if session.options.reproducible or not backends.lbzip2():
        return False
    return session.listing.finish().size >= _WORTH


class Bzip2Program:
    """Packs segments; for threads."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._block = levels.BZIP2[session.options.level]
        self._program = Program(session, "lbzip2")

    def segment(self, left: int) -> int:
        """Bytes for the next program when so many are left."""
        return max(_LEAST, min(_SEGMENT, left // (2 * self._session.options.threads)))

    def pack(self, data: Buffer) -> list[Buffer]:
        """A complete stream of a segment; libbz2 makes it when the program fails.

        Raises:
            CancelledError: The session was closed.
        """
        segment = MemoryFile("segment")
        segment.write(data)
        argv = [backends.lbzip2(), "-n1", f"-{self._block}", "-c"]
        with self._program.turns:
            packed = self._program.run(argv, segment, lambda stream: [stream] if stream else [])
            return packed or codecs.bzip2_stream(data, self._session.options.level)
