"""A tar.gz of one gzip member: blocks that continue each other, packed by several threads (RFC 1952)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Final

from engines.archive.create import codecs
from engines.archive.create.space import Buffer
from engines.archive.levels import DEFLATE
from engines.model import Json


class Link:
    """A block's place between its neighbours: each refers to the last bytes of input of the one before."""

    def __init__(self, before: Link | None) -> None:
        self._before = before
        self._tail: Future[bytes] = Future()

    def give(self, data: memoryview) -> None:
        """Let the next block have the end of this one's input; nothing when it could not be read."""
        self._tail.set_result(bytes(data[-codecs.DICTIONARY :]))

    def before(self) -> Link | None:
        """The block before, let go of: no chain of them stays in memory."""
        before, self._before = self._before, None
        return before

    def tail(self) -> bytes:
        """What the next block may refer to; waits until it is there."""
        return self._tail.result()


class GzipMember:
    """The one member of an archive.

    Args:
        fresh: Let the bytes depend on the input alone.
    """

    header: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"

    def __init__(self, level: int, *, fresh: bool) -> None:
        self._level = level
        self._fresh = fresh
        self._last: Link | None = None
        self._crc = 0
        self._length = 0

    def link(self) -> Link:
        """The place of the next block."""
        self._last = Link(self._last)
        return self._last

    def pack(self, data: memoryview, link: Link) -> tuple[Sequence[Buffer], int]:
        """A block and the CRC of its input; for threads."""
        before = link.before()
        if not self._level or codecs.incompressible(data):
            return codecs.stored_blocks(data), codecs.crc32(data, 0)
        tail = before.tail() if before is not None else b""
        packed, crc = codecs.deflate_block(data, tail, DEFLATE[self._level].block, fresh=self._fresh)
        return [packed], crc

    def add(self, crc: int, length: int) -> None:
        """Count a block, in order: CRC and bytes of its input."""
        self._crc = codecs.crc32_combine(self._crc, crc, length) if self._length else crc
        self._length += length

    def end(self) -> bytes:
        """What ends the member."""
        return codecs.DEFLATE_END + struct.pack("<II", self._crc, self._length & 0xFFFFFFFF)

    @property
    def state(self) -> Json:
        """For a checkpoint."""
        return {"crc": self._crc, "raw": self._length}

    def restore(self, state: Json) -> None:
        """Go on from a checkpoint."""
        self._crc, self._length = state["crc"], state["raw"]
