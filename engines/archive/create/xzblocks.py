"""The LZMA2 chunks inside an .xz stream (The .xz File Format, https://tukaani.org/xz/xz-file-format.txt)."""

from __future__ import annotations

import struct
import zlib
from typing import Final

_HEADER: Final = 12
_FOOTER: Final = 12
_MAGIC: Final = b"\xfd7zXZ\0"
_END_MAGIC: Final = b"YZ"
_CHECK_BYTES: Final = {0: 0, 1: 4, 4: 8, 10: 32}
"""Bytes of a block's checksum by the stream's kind of check."""
_LZMA2: Final = 0x21
_END: Final = 0
_RESET: Final = 1
_RESET_PACKED: Final = 0xE0
"""Control bytes: the end of all chunks; chunks that begin with an empty dictionary, stored or packed (from here)."""


def lzma2_chunks(stream: bytes, size: int, dictionary: int) -> list[memoryview]:
    """The chunks of all blocks without their end marks: LZMA2 data that starts from nothing, and more can follow.

    Args:
        stream: One .xz stream.
        size: Bytes it must unpack to.
        dictionary: Bytes its dictionary may have at most.

    Raises:
        ValueError: It is something else.
    """
    view = memoryview(stream)
    if len(stream) < _HEADER + _FOOTER or not (stream.startswith(_MAGIC) and stream.endswith(_END_MAGIC)):
        raise ValueError("it is no .xz stream")
    check = _CHECK_BYTES.get(view[7])
    index_size = (struct.unpack("<I", view[-8:-4])[0] + 1) * 4
    start = len(view) - _FOOTER - index_size
    if check is None or start < _HEADER or zlib.crc32(view[start:-16]) != struct.unpack("<I", view[-16:-12])[0]:
        raise ValueError("its index is damaged")
    index = _Numbers(view[start:-16], 1)
    chunks = []
    at, unpacked = _HEADER, 0
    for _ in range(index.next()):
        length, total = index.next(), index.next()
        chunks.append(_chunks(view[at : at + length - check], dictionary))
        at += (length + 3) & ~3
        unpacked += total
    if at != start or unpacked != size:
        raise ValueError("it does not hold what was packed")
    return chunks


def _chunks(block: memoryview, dictionary: int) -> memoryview:
    """A block without its header and end mark."""
    header = (block[0] + 1) * 4 if len(block) else 0
    if not 0 < header < len(block):
        raise ValueError("a block has no header")
    flags = block[1]
    numbers = _Numbers(block[:header], 2)
    for bit in (0x40, 0x80):  # sizes, told again in the index
        if flags & bit:
            numbers.next()
    if flags & 3 or (numbers.next(), numbers.next()) != (_LZMA2, 1):
        raise ValueError("it has other filters than LZMA2")
    bits = numbers.next()
    chunks = block[header:]
    if (2 | bits & 1) << (bits // 2 + 11) > dictionary:
        raise ValueError("its dictionary is too large")
    if chunks[-1] != _END or not (chunks[0] == _RESET or chunks[0] >= _RESET_PACKED):
        raise ValueError("its chunks need what came before them")
    return chunks[:-1]


class _Numbers:
    """Variable length numbers, seven bits a byte, the lowest first.

    Args:
        at: Where the first one begins.
    """

    def __init__(self, data: memoryview, at: int) -> None:
        self._data = data
        self._at = at

    def next(self) -> int:
        """The next one.

        Raises:
            ValueError: The data ends.
        """
        value = shift = 0
        for byte in self._data[self._at :]:
            self._at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
        raise ValueError("it is cut off")
