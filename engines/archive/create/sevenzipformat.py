"""The 7z container: signature header, folders and the database of names (7zFormat.txt of the LZMA SDK)."""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engines.archive.create.codecs import lzma2_piece
from engines.archive.create.space import Buffer
from engines.archive.levels import MIB, LzmaLevel

SIGNATURE_HEADER: Final = 32

_MAGIC: Final = b"7z\xbc\xaf\x27\x1c\x00\x04"
_COPY: Final = b"\x00"
_LZMA2: Final = b"\x21"
_AES: Final = b"\x06\xf1\x07\x01"
_CYCLES: Final = 19
"""2^19 rounds of SHA-256 make the key, as 7-Zip does."""
_EPOCH: Final = 116444736000000000
"""1970 in 100 ns steps since 1601."""
_HEADER_LEVEL: Final = LzmaLevel(6, MIB, MIB)
_ESCAPE_BASE: Final = 0xEF00
"""7-Zip on POSIX writes bytes that are no UTF-8 as U+EF80..U+EFFF, and turns them back into bytes."""


class Stored(msgspec.Struct):
    """A member of the database. `size` 0 with `stream` False: an empty file or a folder."""

    name: bytes
    mode: int
    mtime_ns: int
    size: int = 0
    crc: int = 0
    folder: bool = False


class Solid(msgspec.Struct):
    """A 7z folder: files packed as one stream."""

    members: list[Stored] = msgspec.field(default_factory=list)
    unpacked: int = 0
    packed: int = 0
    """Bytes after LZMA2, before encryption."""
    written: int = 0
    """Bytes in the archive."""
    initial: bytes = b""
    """AES initialisation vector, empty when not encrypted."""


class Key:
    """An AES-256 key made from a password: SHA-256 over 2^19 rounds of salt, password and counter."""

    def __init__(self, password: bytes) -> None:
        self.salt = os.urandom(16)
        unit = self.salt + password.decode("utf-8", "surrogateescape").encode("utf-16-le", "surrogatepass")
        digest = hashlib.sha256()
        for start in range(0, 1 << _CYCLES, 4096):
            digest.update(b"".join([unit + n.to_bytes(8, "little") for n in range(start, start + 4096)]))
        self._key = digest.digest()

    def cipher(self, initial: bytes) -> Any:
        """AES-256-CBC."""
        from Cryptodome.Cipher import AES

        return AES.new(self._key, AES.MODE_CBC, initial)

    def properties(self, initial: bytes) -> bytes:
        """The coder's properties: rounds, salt, initialisation vector."""
        return bytes((0xC0 | _CYCLES, (len(self.salt) - 1) << 4 | (len(initial) - 1))) + self.salt + initial


class Encryption:
    """Encrypts one folder's bytes in order."""

    def __init__(self, key: Key) -> None:
        self.initial = os.urandom(16)
        self._cipher = key.cipher(self.initial)
        self._rest = b""

    def encrypt(self, buffers: Sequence[Buffer]) -> bytes:
        """Whole blocks of what came so far."""
        data = b"".join((self._rest, *buffers))
        cut = len(data) - len(data) % 16
        self._rest = data[cut:]
        return bytes(self._cipher.encrypt(data[:cut]))

    def finish(self) -> bytes:
        """The last block, filled up with zeros."""
        return bytes(self._cipher.encrypt(self._rest.ljust(16, b"\0"))) if self._rest else b""


def number(value: int) -> bytes:
    """7z's variable length number: the first byte's leading ones count the bytes that follow."""
    for more in range(8):
        if value < 1 << (7 * (more + 1)):
            first = ((0xFF00 >> more) & 0xFF) | (value >> (8 * more))
            return bytes([first]) + (value & ((1 << (8 * more)) - 1)).to_bytes(more, "little")
    return b"\xff" + value.to_bytes(8, "little")


def _bits(flags: Sequence[bool]) -> bytes:
    out = bytearray((len(flags) + 7) // 8)
    for at, flag in enumerate(flags):
        if flag:
            out[at >> 3] |= 0x80 >> (at & 7)
    return bytes(out)


def _dictionary(size: int) -> bytes:
    """LZMA2's property byte."""
    for value in range(40):
        if ((2 | (value & 1)) << (value // 2 + 11)) >= size:
            return bytes([value])
    return bytes([40])


def _coders(dictionary: int, key: Key | None, initial: bytes) -> bytes:
    """A folder's coders; `dictionary` 0 stands for stored data."""
    main = b"\x21" + _LZMA2 + b"\x01" + _dictionary(dictionary) if dictionary else b"\x01" + _COPY
    if key is None:
        return b"\x01" + main
    properties = key.properties(initial)
    cipher = b"\x24" + _AES + number(len(properties)) + properties
    return b"\x02" + cipher + main + b"\x01\x00"  # the second coder reads what the first one gives


def _streams(solids: Sequence[Solid], at: int, dictionary: int, key: Key | None, crcs: Sequence[int] = ()) -> bytes:
    """Pack info and unpack info. `at` counts from the end of the signature header."""
    out = b"\x06" + number(at) + number(len(solids)) + b"\x09"
    out += b"".join(number(solid.written) for solid in solids) + b"\x00"
    out += b"\x07\x0b" + number(len(solids)) + b"\x00"
    out += b"".join(_coders(dictionary, key, solid.initial) for solid in solids)
    sizes = [(solid.packed, solid.unpacked) if key else (solid.unpacked,) for solid in solids]
    out += b"\x0c" + b"".join(number(size) for pair in sizes for size in pair)
    if crcs:
        out += b"\x0a\x01" + b"".join(struct.pack("<I", crc) for crc in crcs)
    return out + b"\x00"


def _utf16(name: bytes) -> bytes:
    text = name.decode("utf-8", "surrogateescape")
    if not text.isascii():
        escaped = (chr(ord(c) - 0xDC00 + _ESCAPE_BASE) if "\udc80" <= c <= "\udcff" else c for c in text)
        text = "".join(escaped)
    return text.encode("utf-16-le") + b"\0\0"


def _database(solids: Sequence[Solid], empty: Sequence[Stored], dictionary: int, key: Key | None) -> bytes:
    """The header: streams, then names, times and attributes of every member."""
    members = [member for solid in solids for member in solid.members]
    out = bytearray(b"\x01")
    if solids:
        out += b"\x04" + _streams(solids, 0, dictionary, key)
        out += b"\x08\x0d" + b"".join(number(len(solid.members)) for solid in solids) + b"\x09"
        out += b"".join(number(member.size) for solid in solids for member in solid.members[:-1])
        out += b"\x0a\x01" + b"".join(struct.pack("<I", member.crc) for member in members) + b"\x00\x00"
    everything = [*members, *empty]
    out += b"\x05" + number(len(everything))
    if empty:
        flags = _bits([False] * len(members) + [True] * len(empty))
        out += b"\x0e" + number(len(flags)) + flags
        files = [not member.folder for member in empty]
        if any(files):
            flags = _bits(files)
            out += b"\x0f" + number(len(flags)) + flags
    names = b"".join(_utf16(member.name) for member in everything)
    out += b"\x11" + number(len(names) + 1) + b"\x00" + names
    times = b"".join(struct.pack("<Q", max(0, member.mtime_ns // 100 + _EPOCH)) for member in everything)
    out += b"\x14" + number(len(times) + 2) + b"\x01\x00" + times
    attributes = b"".join(
        struct.pack("<I", (member.mode & 0xFFFF) << 16 | 0x8000 | (0x10 if member.folder else 0x20))
        for member in everything
    )
    out += b"\x15" + number(len(attributes) + 2) + b"\x01\x00" + attributes
    return bytes(out + b"\x00\x00")


def trailer(
    solids: Sequence[Solid], empty: Sequence[Stored], *, dictionary: int, key: Key | None, hide_names: bool
) -> tuple[list[bytes], bytes]:
    """What follows the packed streams, and the signature header that leads to it."""
    base = sum(solid.written for solid in solids)
    database = _database(solids, empty, dictionary, key)
    packed = b"".join(lzma2_piece(database, _HEADER_LEVEL, lambda _: None)) + b"\x00"
    one = Solid(unpacked=len(database), packed=len(packed), written=len(packed))
    cipher_key = key if hide_names else None
    if cipher_key is not None:
        encryption = Encryption(cipher_key)
        packed = encryption.encrypt([packed]) + encryption.finish()
        one.written, one.initial = len(packed), encryption.initial
    encoded = b"\x17" + _streams([one], base, _HEADER_LEVEL.dictionary, cipher_key, [zlib.crc32(database)]) + b"\x00"
    start = struct.pack("<QQI", base + len(packed), len(encoded), zlib.crc32(encoded))
    return [packed, encoded], _MAGIC + struct.pack("<I", zlib.crc32(start)) + start
