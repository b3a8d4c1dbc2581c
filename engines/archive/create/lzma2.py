"""LZMA2 by the program 7zz: the sizes of liblzma for three quarters of its processor time.

Each piece goes through a program of its own, from memory to memory: the program sees no path, no name and no password.
"""

from __future__ import annotations

import re
from typing import Final

from engines.archive import backends
from engines.archive.create import codecs
from engines.archive.create.memoryfile import MemoryFile
from engines.archive.create.program import Program
from engines.archive.create.session import Session
from engines.archive.create.space import Buffer
from engines.archive.create.xzblocks import lzma2_chunks
from engines.archive.levels import SevenZipLevel

_WORTH: Final = 256 << 10
"""Bytes of a piece from which the start of a program (10 ms) is worth it."""
_PERCENT: Final = re.compile(rb"(\d+)%")


class Lzma2:
    """Packs pieces, by 7zz where it is there and bytes need not be the same everywhere, else by liblzma; for threads.

    Attributes:
        block: Bytes a piece should have at most.
        dictionary: Bytes that a reader needs.
    """

    def __init__(self, session: Session, level: SevenZipLevel) -> None:
        self._session = session
        self._level = level
        self._path = "" if session.options.reproducible else backends.probe(session.job.settings.archive).sevenzip
        self._program = Program(session, "7zz")
        self.block = level.block if self._path else level.library.block
        self.dictionary = max(level.dictionary, level.library.dictionary) if self._path else level.library.dictionary
        if self._path:
            session.pipeline.widen()
        else:
            codecs.give_memory_back()

    def pack(self, piece: MemoryFile) -> list[Buffer]:
        """LZMA2 chunks that start from nothing and do not end the stream.

        Raises:
            CancelledError: The session was closed.
        """
        with self._program.turns:
            packed = self._run(piece) if self._path and piece.size >= _WORTH else []
            return packed or codecs.lzma2_piece(piece.view(), self._level.library, self._session.step)

    def _run(self, piece: MemoryFile) -> list[Buffer]:
        """What the program makes of a piece; nothing when it failed."""
        told = 0

        def follow(block: bytes) -> None:
            nonlocal told
            for percent in _PERCENT.findall(block):
                reached = piece.size * min(int(percent), 100) // 100
                self._session.feed(max(0, reached - told))
                told = max(told, reached)

        coder = f"-m0=LZMA2:d{self._level.dictionary}b:fb{self._level.word}"
        argv = [self._path, "a", "-txz", "-an", "-si", "-so", "-bso0", "-bsp2"]
        argv += [f"-mx{self._level.effort}", coder, "-mmt1"]
        return self._program.run(
            argv, piece, lambda stream: list(lzma2_chunks(stream, piece.size, self.dictionary)), follow
        )
