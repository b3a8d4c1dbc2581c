"""tar headers: POSIX ustar, with pax records (POSIX.1-2008) only where ustar cannot say it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

BLOCK: Final = 512
REGULAR: Final = b"0"
HARDLINK: Final = b"1"
SYMLINK: Final = b"2"
FOLDER: Final = b"5"
_PAX: Final = b"x"
_SPARSE: Final = b"S"
END: Final = bytes(2 * BLOCK)

Record = tuple[bytes, bytes]
"""A pax key and value."""

_HEADER: Final = struct.Struct("100s24s32sc100s88s155s12x")
"""Name; mode, owner and group; size, time and check sum; kind; link; the rest but the prefix; prefix."""
_MAX8: Final = 8**7
"""Numbers an 8-byte field can hold in octal are below this ..."""
_MAX12: Final = 8**11
"""... and those of a 12-byte field below this."""


def padding(size: int) -> bytes:
    """The zeros that fill up the last block of a member."""
    return bytes(-size % BLOCK)


class Frame(NamedTuple):
    """What the headers of members of one kind, mode and owner share, for `Frame.header`."""

    front: bytes
    tail: bytes
    total: int
    """The sum of its bytes, blanks in place of the check sum included."""

    def header(self, name: bytes, size: int, mtime: int) -> bytes:
        """The header block of a member whose name is ASCII of at most 100 bytes and whose numbers fit."""
        numbers = b"%011o\0%011o\0" % (size, mtime)
        total = self.total + (zlib.adler32(name) & 0xFFFF) + (zlib.adler32(numbers) & 0xFFFF) - 2
        return b"%b%b%b%06o\0 %b" % (name.ljust(100, b"\0"), self.front, numbers, total, self.tail)


def frame(kind: bytes, mode: int, owner: tuple[int, int], names: tuple[bytes, bytes]) -> Frame | None:
    """The frame of such members; None when a number is too large for it."""
    if max(owner) >= _MAX8:
        return None
    front, back = _frame(mode, owner, names)
    tail = kind + bytes(100) + back + bytes(167)
    return Frame(front, tail, sum(front) + sum(tail) + 8 * ord(" "))


def plain(name: bytes, size: int, mtime: int) -> bool:
    """Whether `Frame.header` can say this."""
    return len(name) <= 100 and name.isascii() and size < _MAX12 and 0 <= mtime < _MAX12


def header(
    name: bytes,
    kind: bytes,
    *,
    mode: int,
    owner: tuple[int, int],
    names: tuple[bytes, bytes] = (b"", b""),
    size: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    records: Sequence[Record] = (),
) -> bytes:
    """The header block of a member, with a pax header in front where something does not fit.

    Args:
        names: User and group name.
        records: More pax records.
    """
    pax: list[Record] = []
    short, prefix = name, b""
    if len(name) > 100:
        short, prefix = _split(name)
        if not short:
            pax.append((b"path", name))
            short = name[:100]
    if name and not name.isascii() and _is_utf8(name) and not pax:
        pax.append((b"path", name))
    if len(link) > 100 or (link and not link.isascii() and _is_utf8(link)):
        pax.append((b"linkpath", link))
    if size >= _MAX12:
        pax.append((b"size", b"%d" % size))
    if not 0 <= mtime < _MAX12:
        pax.append((b"mtime", b"%d" % mtime))
    for key, number in ((b"uid", owner[0]), (b"gid", owner[1])):
        if number >= _MAX8:
            pax.append((key, b"%d" % number))
    pax += records
    main = _block(short, prefix, kind, mode, owner, names, size, mtime, link)
    if not pax:
        return main
    return _extended(pax, short, mtime) + main


def _extended(pax: list[Record], name: bytes, mtime: int) -> bytes:
    """A pax header for the member that follows."""
    if any(not _is_utf8(value) for key, value in pax if key in (b"path", b"linkpath")):
        pax.insert(0, (b"hdrcharset", b"BINARY"))
    body = b"".join(_record(key, value) for key, value in pax)
    label = b"PaxHeaders/" + name[-80:].lstrip(b"/")
    head = _block(label, b"", _PAX, 0o644, (0, 0), (b"", b""), len(body), max(0, min(mtime, _MAX12 - 1)), b"")
    return head + body + padding(len(body))


def _block(
    name: bytes,
    prefix: bytes,
    kind: bytes,
    mode: int,
    owner: tuple[int, int],
    names: tuple[bytes, bytes],
    size: int,
    mtime: int,
    link: bytes,
) -> bytes:
    front, back = _frame(mode, owner, names)
    block = _HEADER.pack(
        name,
        front,
        b"%011o\0%011o\0        " % (size if size < _MAX12 else 0, mtime if 0 <= mtime < _MAX12 else 0),
        kind,
        link[:100],
        back,
        prefix,
    )
    return block[:148] + b"%06o\0 " % _sum(block) + block[156:]


@lru_cache(256)
def _frame(mode: int, owner: tuple[int, int], names: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """What most members of a tree share: mode, owner and group; magic, their names and device numbers."""
    front = b"%07o\0%07o\0%07o\0" % (mode & 0o7777, *(number if number < _MAX8 else 0 for number in owner))
    return front, struct.pack("8s32s32s8s8s", b"ustar\x0000", names[0][:31], names[1][:31], b"0000000\0", b"0000000\0")


def _sum(block: bytes) -> int:
    """The sum of a header's bytes. Up to 256 of them the low half of adler32 is 1 + their sum; `sum` takes 3 us."""
    return (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Name and prefix of a long path; an empty name when it cannot be cut at a slash."""
    cut = name.rfind(b"/", 0, min(156, len(name) - 1))
    if cut > 0 and 0 < len(name) - cut - 1 <= 100:
        return name[cut + 1 :], name[:cut]
    return b"", b""


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _record(key: bytes, value: bytes) -> bytes:
    """A pax record: its own length in decimal, key and value."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + len(str(len(body)))
    length = len(body) + len(str(length))
    return b"%d" % length + body


def sparse_header(
    name: bytes,
    segments: Sequence[tuple[int, int]],
    *,
    realsize: int,
    mode: int,
    owner: tuple[int, int],
    names: tuple[bytes, bytes] = (b"", b""),
    mtime: int = 0,
    records: Sequence[Record] = (),
) -> bytes:
    """The headers of a sparse file in GNU tar's own format (type S), which more readers know than the pax one.

    Args:
        segments: Offset and length of each stretch of data; they are stored one after another.
        realsize: Size of the file with its holes.
    """
    size = sum(length for _, length in segments)
    pieces = [*segments, (realsize, 0)]
    pax: list[Record] = []
    if len(name) > 100 or (not name.isascii() and _is_utf8(name)):
        pax.append((b"path", name))
    pax += records
    block = bytearray(_block(name[:100], b"", _SPARSE, mode, owner, names, size, mtime, b""))
    block[257:265] = b"ustar  \0"
    block[345:512] = bytes(167)
    block[386:482] = b"".join(_number(a) + _number(b) for a, b in pieces[:4]).ljust(96, b"\0")
    block[482] = len(pieces) > 4
    block[483:495] = _number(realsize)
    if size >= _MAX12:
        block[124:136] = _number(size)
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % _sum(bytes(block))
    more = bytearray()
    for start in range(4, len(pieces), 21):
        part = b"".join(_number(a) + _number(b) for a, b in pieces[start : start + 21]).ljust(504, b"\0")
        more += part + (b"\1" if start + 21 < len(pieces) else b"\0") + bytes(7)
    return (_extended(pax, name, mtime) if pax else b"") + bytes(block) + bytes(more)


def _number(value: int) -> bytes:
    """A 12-byte number: octal, or base 256 where that is too short."""
    return b"%011o\0" % value if value < _MAX12 else b"\x80" + value.to_bytes(11, "big")


@lru_cache(1024)
def owner_names(uid: int, gid: int) -> tuple[bytes, bytes]:
    """User and group names, empty when unknown."""
    import grp
    import pwd

    try:
        user = pwd.getpwuid(uid).pw_name.encode("utf-8", "surrogateescape")
    except KeyError:
        user = b""
    try:
        group = grp.getgrgid(gid).gr_name.encode("utf-8", "surrogateescape")
    except KeyError:
        group = b""
    return user, group
