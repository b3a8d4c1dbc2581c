"""The names in a 7z as they are, and where its data begins (7zFormat.txt of the LZMA SDK).

7zz prints a name that holds a line break as another one, and its list cannot be told apart where a name holds what
ends a line on a terminal. So names are read from the archive's own header; whatever is not understood there (a header
that is encrypted, say) leaves them as 7zz prints them.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from typing import Any, Final

from engines.archive.volumes import Volumes

_MAGIC: Final = b"7z\xbc\xaf\x27\x1c"
_START: Final = struct.Struct("<6s2xI2QI")
"""Magic, checksum of what follows; place, size and checksum of the header."""
_LARGEST: Final = 256 << 20  # bytes of header: millions of names
_RAW_BYTES: Final = {0xEF00 + byte: 0xDC00 + byte for byte in range(0x80, 0x100)}
"""7-Zip on POSIX keeps bytes that are no UTF-8 as U+EF80 to U+EFFF; Python as lone surrogates."""

END, HEADER, PROPERTIES, ADDED_STREAMS, STREAMS, FILES = range(6)
PACK, UNPACK, SUBSTREAMS, SIZES, CRCS, FOLDERS, CODER_SIZES, COUNTS = range(6, 14)
NAMES: Final = 0x11
ENCODED: Final = 0x17

_LZMA2: Final = b"\x21"
_RESET, _PACKED, _NEW_PROPERTIES, _RESET_PACKED = 1, 0x80, 0xC0, 0xE0
"""Control bytes of LZMA2 chunks; the last three are the first ones of ranges."""
_FILTERS: Final = frozenset(bytes([first]) for first in range(3, 12))
_BRANCHES: Final = b"\x03\x03"
_BCJ2: Final = b"\x03\x03\x01\x1b"
_MOST_CHUNKS: Final = 4096


class _UnknownError(Exception):
    """Something that is not read here."""


_UNREADABLE: Final = (
    _UnknownError,
    ValueError,
    IndexError,
    struct.error,
    lzma.LZMAError,
    EOFError,
    OverflowError,
)


def names(volumes: Volumes) -> list[str] | None:
    """All names in the order of the archive; None where they cannot be read here."""
    try:
        return _Header(_header(volumes)).names()
    except _UNREADABLE:
        return None


def whole_size(volumes: Volumes) -> int | None:
    """Bytes that the archive says it has, None where its beginning does not say."""
    start = volumes.pread(_START.size, 0)
    if len(start) < _START.size:
        return None
    magic, crc, offset, size, _ = _START.unpack(start)
    if magic != _MAGIC or zlib.crc32(start[12:]) != crc:
        return None
    return int(_START.size + offset + size)


def is_chain(volumes: Volumes) -> bool:
    """Whether the (first) data is LZMA2 of one piece: all builds on what precedes, several threads cannot unpack it."""
    try:
        found = _Header(_header(volumes)).lzma2()
        return found is not None and _of_one_piece(volumes, *found)
    except _UNREADABLE:
        return False


def _of_one_piece(volumes: Volumes, at: int, end: int) -> bool:
    """Whether only the first chunk begins with an empty dictionary (for chunks see lzma2_decoder.c of XZ Utils)."""
    first = at
    for _ in range(_MOST_CHUNKS):
        control, *sizes = volumes.pread(5, at)
        if not control or at >= end:
            break
        if at > first and (control == _RESET or control >= _RESET_PACKED):
            return False
        if control < _PACKED:
            at += 4 + int.from_bytes(sizes[:2], "big")
        else:
            at += (7 if control >= _NEW_PROPERTIES else 6) + int.from_bytes(sizes[2:], "big")
    return True


def _header(volumes: Volumes) -> bytes:
    start = _START.size
    magic, _, offset, size, crc = _START.unpack(volumes.pread(start, 0))
    if magic != _MAGIC or not 0 < size <= _LARGEST:
        raise _UnknownError
    raw = volumes.pread(size, start + offset)
    if zlib.crc32(raw) != crc:
        raise _UnknownError
    if raw[0] != ENCODED:
        return raw
    packed = _Header(raw)
    packed.at = 1
    return packed.decode(volumes)


class _Header:
    """Reads a header from front to back; only what leads to the names is kept."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self._position = 0
        self._packed: list[int] = []
        self._coders: list[list[tuple[bytes, bytes, int]]] = []
        """Method, properties and number of output streams of each coder of each folder."""
        self._sizes: list[int] = []
        self._counted: list[bool] = []

    def names(self) -> list[str]:
        """All names."""
        kind = self._front()
        if kind == STREAMS:
            self._streams()
            kind = self._byte()
        if kind != FILES:
            raise _UnknownError
        count = self._number()
        while kind := self._number():
            size = self._number()
            if kind == NAMES:
                return self._names(count, size)
            self._skip(size)
        raise _UnknownError

    def lzma2(self) -> tuple[int, int] | None:
        """Where the first folder's data begins and ends if it is LZMA2, with or without a filter such as BCJ."""
        if self._front() != STREAMS or self._byte() != PACK:
            return None
        self._pack()
        if self._byte() != UNPACK:
            return None
        self._unpack()
        others = [method for method, _, _ in self._coders[0] if method != _LZMA2]
        if len(others) != len(self._coders[0]) - 1 or not all(_is_filter(method) for method in others):
            return None
        start = _START.size + self._position
        return start, start + self._packed[0]

    def _front(self) -> int:
        """Pass over what precedes the streams; what comes then."""
        self._expect(HEADER)
        kind = self._byte()
        if kind == PROPERTIES:
            while self._number():
                self._skip(self._number())
            kind = self._byte()
        return kind

    def decode(self, volumes: Volumes) -> bytes:
        """The header that this one describes: packed with one LZMA coder."""
        self._streams()
        if len(self._coders) != 1 or len(self._coders[0]) != 1 or len(self._packed) != 1 or self._sizes[0] > _LARGEST:
            raise _UnknownError
        method, properties, _ = self._coders[0][0]
        raw = volumes.pread(self._packed[0], _START.size + self._position)
        if method == b"\x03\x01\x01":
            decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_lzma1(properties)])
            return decoder.decompress(raw, self._sizes[0])
        if method == _LZMA2:
            filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 26}]
            return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters).decompress(raw, self._sizes[0])
        raise _UnknownError

    def _names(self, count: int, size: int) -> list[str]:
        if self._byte():
            raise _UnknownError  # kept elsewhere
        text = self._take(size - 1).decode("utf-16-le", "surrogatepass").translate(_RAW_BYTES)
        found = text.split("\0")
        if len(found) != count + 1 or found.pop():
            raise _UnknownError
        return found

    def _streams(self) -> None:
        while kind := self._byte():
            if kind == PACK:
                self._pack()
            elif kind == UNPACK:
                self._unpack()
            elif kind == SUBSTREAMS:
                self._substreams()
            else:
                raise _UnknownError

    def _pack(self) -> None:
        self._position, count = self._number(), self._number()
        while kind := self._byte():
            if kind == SIZES:
                self._packed = [self._number() for _ in range(self._sane(count))]
            elif kind == CRCS:
                self._checksums(count)
            else:
                raise _UnknownError

    def _unpack(self) -> None:
        self._expect(FOLDERS)
        count = self._sane(self._number())
        if self._byte():
            raise _UnknownError
        self._coders = [self._folder() for _ in range(count)]
        self._expect(CODER_SIZES)
        self._sizes = [self._number() for coders in self._coders for coder in coders for _ in range(coder[2])]
        self._counted = [False] * count
        while kind := self._byte():
            if kind != CRCS:
                raise _UnknownError
            self._counted = self._checksums(count)

    def _folder(self) -> list[tuple[bytes, bytes, int]]:
        coders = []
        inputs = outputs = 0
        for _ in range(self._sane(self._number())):
            flags = self._byte()
            method = self._take(flags & 15)
            taken, given = (self._number(), self._number()) if flags & 0x10 else (1, 1)
            properties = self._take(self._number()) if flags & 0x20 else b""
            coders.append((method, properties, self._sane(given)))
            inputs, outputs = inputs + self._sane(taken), outputs + given
        for _ in range(2 * (outputs - 1)):
            self._number()
        if inputs - outputs + 1 > 1:
            for _ in range(inputs - outputs + 1):
                self._number()
        return coders

    def _substreams(self) -> None:
        counts = [1] * len(self._coders)
        kind = self._byte()
        if kind == COUNTS:
            counts = [self._sane(self._number()) for _ in counts]
            kind = self._byte()
        if kind == SIZES:
            for count in counts:
                for _ in range(count - 1):
                    self._number()
            kind = self._byte()
        if kind == CRCS:
            known = zip(counts, self._counted, strict=True)
            self._checksums(sum(count for count, counted in known if not (counted and count == 1)))
            kind = self._byte()
        if kind:
            raise _UnknownError

    def _checksums(self, count: int) -> list[bool]:
        """Skip checksums; which of so many things have one."""
        if self._byte():
            defined = [True] * self._sane(count)
        else:
            bits = self._take((self._sane(count) + 7) // 8)
            defined = [bool(bits[at >> 3] & 0x80 >> (at & 7)) for at in range(count)]
        self._skip(4 * sum(defined))
        return defined

    def _sane(self, count: int) -> int:
        """A count of things that take a byte each at least: no more than there are bytes."""
        if count > len(self.data) * 8:
            raise _UnknownError
        return count

    def _expect(self, kind: int) -> None:
        if self._byte() != kind:
            raise _UnknownError

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _take(self, count: int) -> bytes:
        end = self.at + count
        if count < 0 or end > len(self.data):
            raise _UnknownError
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def _skip(self, count: int) -> None:
        self._take(count)

    def _number(self) -> int:
        """The first byte's leading ones count the bytes that follow."""
        first = self._byte()
        more = next((count for count in range(8) if not first & 0x80 >> count), 8)
        high = first & (0x7F >> more) if more < 8 else 0
        return int.from_bytes(self._take(more), "little") | high << (8 * more)


def _is_filter(method: bytes) -> bool:
    """Whether it turns one stream into another of the same length: Delta, BCJ and their kin, but not BCJ2."""
    return method in _FILTERS or (method.startswith(_BRANCHES) and method != _BCJ2)


def _lzma1(properties: bytes) -> dict[str, Any]:
    first, dictionary = struct.unpack("<BI", properties)
    return {
        "id": lzma.FILTER_LZMA1,
        "lc": first % 9,
        "lp": first // 9 % 5,
        "pb": first // 45,
        "dict_size": max(4096, min(dictionary, _LARGEST)),
    }
