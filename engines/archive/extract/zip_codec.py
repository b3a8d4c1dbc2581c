"""Decoding one ZIP member: stored, Deflate, Deflate64, BZip2, LZMA, XZ, Zstandard; WinZip AES around any of them.

Output never exceeds the declared size by more than one block, so a member that lies about it is stopped early.
"""

from __future__ import annotations

import bz2
import hashlib
import hmac
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, Protocol, cast

from isal import isal_zlib

from engines.archive.extract.streams import INFLATE_ERROR
from engines.archive.extract.zip_directory import Entry, damaged
from engines.archive.volumes import Volumes
from engines.errors import TaskdeckError
from engines.names import display

CHUNK: Final = 1 << 20

_LOCAL: Final = struct.Struct("<4s2xH18x2H")
_MEMORY: Final = 512 << 20  # bytes an LZMA dictionary may take


class _Decompressor(Protocol):
    """The shape of bz2's and lzma's decompressors."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def label(entry: Entry) -> str:
    """How errors name a member."""
    return f"cannot unpack member '{display(entry.name, limit=200)}'"


def data_range(volumes: Volumes, entry: Entry, span: bytes = b"", at: int = 0) -> tuple[int, int]:
    """Where the member's data lies, after checking that its local header agrees with the directory.

    Args:
        span: Bytes of the file that were read already, with the member's header at `at`.

    Raises:
        TaskdeckError: `archive.damaged` when the two disagree, or members overlap.
    """
    raw = entry.raw
    if not span:
        span = volumes.pread(30 + len(raw), entry.offset)
    if len(span) < at + 30:
        raise damaged(label(entry), "its header is missing")
    mark, flags, name_length, extra_length = _LOCAL.unpack_from(span, at)
    if mark != b"PK\3\4":
        raise damaged(label(entry), "its header is missing")
    start = entry.offset + 30 + name_length + extra_length
    end = start + entry.packed
    if name_length != len(raw) or not span.startswith(raw, at + 30):
        raise damaged(label(entry), "its header gives it another name than the directory does")
    if (flags ^ entry.flags) & 1:
        raise damaged(label(entry), "header and directory disagree on whether it is encrypted")
    if end > entry.ceiling:
        raise damaged(label(entry), "its data runs into what follows, as in a decompression bomb")
    return start, end


def packed_blocks(volumes: Volumes, start: int, end: int, size: int = CHUNK // 2) -> Iterator[bytes]:
    """The bytes from `start` to `end` in blocks.

    Raises:
        TaskdeckError: `archive.damaged` when the file ends first.
    """
    while start < end:
        block = volumes.pread(min(size, end - start), start)
        if not block:
            raise damaged("cannot read the archive", "it is cut off")
        start += len(block)
        yield block


def unpack(entry: Entry, blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The member's content; size and checksum are right, or the last step raises.

    Raises:
        TaskdeckError: `archive.damaged`, `unsupported`.
    """
    count = crc = 0
    for block in _decode(entry, blocks):
        count += len(block)
        if count > entry.size:
            raise damaged(label(entry), f"it is longer than the {entry.size:,} bytes it declares")
        crc = isal_zlib.crc32(block, crc)
        yield block
    if count != entry.size:
        raise damaged(label(entry), f"it ends after {count:,} of {entry.size:,} bytes")
    if crc != entry.crc and not entry.aes & 4:
        raise damaged(label(entry), "its checksum is wrong")


def _decode(entry: Entry, blocks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        match entry.method:
            case 0:
                yield from blocks
            case 8:
                yield from _inflate(blocks)
            case 9:
                yield from _deflate64(blocks)
            case 12:
                yield from _drain(bz2.BZ2Decompressor(), blocks)
            case 14:
                yield from _zip_lzma(blocks)
            case 95:
                yield from _drain(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY), blocks)
            case 93:
                yield from _zstd(blocks)
            case _:
                raise TaskdeckError("unsupported", label(entry), f"compression method {entry.method} is not known")
    except (OSError, EOFError, ValueError, lzma.LZMAError, INFLATE_ERROR, zlib.error) as error:
        raise damaged(label(entry), f"its data cannot be decompressed ({error})") from None


def _inflate(blocks: Iterator[bytes]) -> Iterator[bytes]:
    inflater = isal_zlib.decompressobj(-15)
    for block in blocks:
        while block and not inflater.eof:
            out = inflater.decompress(block, CHUNK)
            if not out and len(inflater.unconsumed_tail) == len(block):
                raise ValueError("no progress")
            block = inflater.unconsumed_tail
            if out:
                yield out
        if inflater.eof:
            return
    while not inflater.eof:  # what the decompressor still holds back
        out = inflater.decompress(b"", CHUNK)
        if not out:
            return
        yield out


def _deflate64(blocks: Iterator[bytes]) -> Iterator[bytes]:
    import inflate64

    inflater: Any = inflate64.Inflater()
    for block in blocks:
        for at in range(0, len(block), 1024):  # no bound on its output: 1 KiB makes at most about 1 MiB
            out = inflater.inflate(block[at : at + 1024])
            if out:
                yield out
            if inflater.eof:
                return


def _drain(decoder: _Decompressor, blocks: Iterator[bytes]) -> Iterator[bytes]:
    for block in blocks:
        out = decoder.decompress(block, CHUNK)
        if out:
            yield out
        while not decoder.eof and not decoder.needs_input:
            out = decoder.decompress(b"", CHUNK)
            if not out:
                break
            yield out
        if decoder.eof:
            return


def _zip_lzma(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """APPNOTE 5.8: two bytes of version, two of length, five of LZMA properties, then a raw stream."""
    head = b""
    for block in blocks:
        head += block
        if len(head) >= 9:
            break
    if len(head) < 9 or head[2:4] != b"\5\0":
        raise ValueError("unknown LZMA properties")
    properties, dictionary = head[4], int.from_bytes(head[5:9], "little")
    if properties >= 9 * 5 * 5 or dictionary > _MEMORY:
        raise ValueError("LZMA properties out of range")
    chain = [
        {
            "id": lzma.FILTER_LZMA1,
            "lc": properties % 9,
            "lp": properties // 9 % 5,
            "pb": properties // 45,
            "dict_size": max(4096, dictionary),
        }
    ]
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain)

    def rest() -> Iterator[bytes]:
        yield head[9:]
        yield from blocks

    yield from _drain(decoder, rest())


def _zstd(blocks: Iterator[bytes]) -> Iterator[bytes]:
    import zstandard

    class Source:
        """What a zstd reader reads from."""

        def read(self, _: int = -1) -> bytes:
            return next(blocks, b"")

    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        cast("BinaryIO", Source()),
        read_across_frames=True,
    )
    try:
        while block := reader.read(CHUNK):
            yield block
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None


class WrongPasswordError(Exception):
    """The password does not open this member."""


AesKeys = tuple[bytes, bytes]
"""Encryption and authentication keys of a member."""


def aes_salt(entry: Entry, volumes: Volumes, start: int, end: int) -> bytes:
    """What keys are made from, with the two bytes that verify them behind it.

    Raises:
        TaskdeckError: `archive.damaged` when there is no room for them.
    """
    size = (entry.aes & 3) * 4 + 4
    if end - start < size + 12:
        raise damaged(label(entry), "its data is too short")
    return volumes.pread(size + 2, start)


def aes_keys(entry: Entry, salt: bytes, password: bytes) -> AesKeys:
    """The keys a password gives (WinZip AE-1/AE-2: PBKDF2-HMAC-SHA1, 1000 rounds): a millisecond of work.

    Args:
        salt: see `aes_salt`.

    Raises:
        WrongPasswordError: The two verification bytes differ.
    """
    salt, verifier = salt[:-2], salt[-2:]
    width = (entry.aes & 3) * 8 + 8
    derived = hashlib.pbkdf2_hmac("sha1", password, salt, 1000, 2 * width + 2)
    if not hmac.compare_digest(derived[2 * width :], verifier):
        raise WrongPasswordError
    return derived[:width], derived[width : 2 * width]


def decrypt_aes(entry: Entry, volumes: Volumes, start: int, end: int, keys: AesKeys) -> Iterator[bytes]:
    """The compressed bytes of an AES member; the authentication code is checked at the end.

    Raises:
        TaskdeckError: `archive.damaged` when the code is wrong.
    """
    from Cryptodome.Cipher import AES
    from Cryptodome.Util import Counter

    key, mac_key = keys
    cipher = AES.new(key, AES.MODE_CTR, counter=Counter.new(128, little_endian=True, initial_value=1))
    code = hmac.new(mac_key, digestmod="sha1")
    for block in packed_blocks(volumes, start + (entry.aes & 3) * 4 + 6, end - 10):
        code.update(block)
        yield cipher.decrypt(block)
    if not hmac.compare_digest(code.digest()[:10], volumes.pread(10, end - 10)):
        raise damaged(label(entry), "its authentication code is wrong")


def zipcrypto_opens(entry: Entry, volumes: Volumes, password: bytes) -> bool:
    """Whether a password passes the check byte of a traditionally encrypted member (APPNOTE 6.1.6)."""
    start, end = data_range(volumes, entry)
    header = volumes.pread(12, start)
    if len(header) < 12 or end - start < 12:
        raise damaged(label(entry), "its encryption header is missing")
    keys = [0x12345678, 0x23456789, 0x34567890]
    for byte in password:
        _zipcrypto_step(keys, byte)
    plain = 0
    for cipher in header:
        mixed = (keys[2] | 2) & 0xFFFF
        plain = cipher ^ (((mixed * (mixed ^ 1)) >> 8) & 0xFF)
        _zipcrypto_step(keys, plain)
    head = volumes.pread(14, entry.offset)
    expected = {entry.crc >> 24, head[11] if entry.flags & 8 else entry.crc >> 24}
    return plain in expected


def _zipcrypto_step(keys: list[int], byte: int) -> None:
    keys[0] = _crc_step(keys[0], byte)
    keys[1] = ((keys[1] + (keys[0] & 0xFF)) * 134775813 + 1) & 0xFFFFFFFF
    keys[2] = _crc_step(keys[2], keys[1] >> 24)


def _crc_step(crc: int, byte: int) -> int:
    # zlib's crc32 inverts before and after; PKWARE's key update does neither
    return zlib.crc32(bytes((byte,)), crc ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


Opener = Callable[[Entry], Iterator[bytes]]
