"""LZMA2 by the program 7zz: the sizes of liblzma for three quarters of its processor time.

Each piece goes through a program of its own, from memory to memory: the program sees no path, no name and no password.
"""

from __future__ import annotations

import re
import threading
from typing import Final

from engines.archive import backends
from engines.archive.create import codecs
from engines.archive.create.memoryfile import MemoryFile
from engines.archive.create.session import Session
from engines.archive.create.space import Buffer
from engines.archive.create.xzblocks import lzma2_chunks
from engines.archive.levels import SevenZipLevel
from engines.errors import TaskdeckError

_WORTH: Final = 256 << 10
"""Bytes of a piece from which the start of a program (10 ms) is worth it."""
_PERCENT: Final = re.compile(rb"(\d+)%")


class Lzma2:
    """Packs pieces, by 7zz where it is there and bytes need not be the same everywhere, else by liblzma; for threads.

    At most as many pieces are packed at once as the job may use threads; whoever waits has its piece ready.

    Attributes:
        block: Bytes a piece should have at most.
        dictionary: Bytes that a reader needs.
    """

    def __init__(self, session: Session, level: SevenZipLevel) -> None:
        self._session = session
        self._level = level
        self._program = "" if session.options.reproducible else backends.probe(session.job.settings.archive).sevenzip
        self._turns = threading.Semaphore(session.options.threads)
        self._telling = threading.Lock()
        self.block = level.block if self._program else level.library.block
        self.dictionary = max(level.dictionary, level.library.dictionary) if self._program else level.library.dictionary
        if self._program:
            session.pipeline.widen()
        else:
            codecs.give_memory_back()

    def pack(self, piece: MemoryFile) -> list[Buffer]:
        """LZMA2 chunks that start from nothing and do not end the stream.

        Raises:
            CancelledError: The session was closed.
        """
        with self._turns:
            if self._program and piece.size >= _WORTH:
                packed = self._run(piece)
                if packed:
                    return packed
            return codecs.lzma2_piece(piece.view(), self._level.library, self._session.step)

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
        argv = [self._program, "a", "-txz", "-an", "-si", "-so", "-bso0", "-bsp2"]
        argv += [f"-mx{self._level.effort}", coder, "-mmt1"]
        piece.rewind()
        try:
            with self._session.tool(argv, stdin=piece.fd) as tool:
                tool.on_errors = follow
                packed = tool.stdout.read()
                status = tool.wait()
                why = tool.errors or f"status {status}"
            if not status:
                return list(lzma2_chunks(packed, piece.size, self.dictionary))
        except (TaskdeckError, ValueError) as error:
            why = str(error)
        self._session.step()  # a program that was ended by a cancel has not failed
        with self._telling:
            if self._program:
                self._session.job.log(f"going on without 7zz: {why}", level="warning")
            self._program = ""
        return []
