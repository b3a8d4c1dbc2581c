"""The central directory of a ZIP file (PKWARE APPNOTE.TXT 6.3.10, sections 4.3 and 4.4), read in one go.

Not `zipfile`: this reader knows split archives, decodes names by evidence, checks for overlapping members and
takes about 400 bytes a member.
"""

from __future__ import annotations

import stat
import struct
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Final

import msgspec

from engines.archive.encodings import Decoder
from engines.archive.member import SECOND, Listing, Member, MemberKind, from_ticks
from engines.archive.volumes import Volumes
from engines.errors import TaskdeckError
from engines.names import display

_EOCD: Final = struct.Struct("<4s4H2LH")
_EOCD64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64: Final = struct.Struct("<4sLQL")
_CENTRAL: Final = struct.Struct("<4s4B4HL2L5H2L")
_LOCAL_SIZE: Final = 30
_INFO_ZIP: Final = b"UT\x05\x00\x03"
"""How Info-ZIP and its kin begin each member's extra field: a time, then ("ux") the owner."""
_STEP: Final = 1000  # members between two looks at whether to stop
NATIVE: Final = frozenset({0, 8, 9, 12, 14, 93, 95})
"""Methods decoded by `zip_codec`; the others are left to 7zz."""
_UNIX_HOSTS: Final = frozenset({3, 19})
_DOS_HOSTS: Final = frozenset({0, 6, 10, 11, 14})
METHODS: Final = {
    0: "Store",
    1: "Shrink",
    6: "Implode",
    8: "Deflate",
    9: "Deflate64",
    12: "BZip2",
    14: "LZMA",
    93: "Zstandard",
    95: "XZ",
    97: "WavPack",
    98: "PPMd",
    99: "AES",
}
_TOO_MANY: Final = 1 << 31  # bytes of central directory: 20 million members


class Entry(msgspec.Struct, gc=False):
    """A member of a ZIP file with what is needed to decode it."""

    name: str
    foreign: bytes
    """The name as it stands in the file, empty when that is what `name` says in ASCII."""
    kind: MemberKind
    size: int
    packed: int
    crc: int
    method: int
    """Compression method, the real one for AES members."""
    flags: int
    offset: int
    """Of the local header in the whole file."""
    ceiling: int
    """Where the next thing in the file begins: the data must end before it."""
    mode: int | None
    mtime_ns: int | None
    link: str = ""
    """Target of a link once it was read: it is the member's content."""
    aes: int = 0
    """0, or key strength 1-3 with 4 added for AE-2 (whose CRC is not kept)."""

    @property
    def raw(self) -> bytes:
        """The name as it stands in the file."""
        return self.foreign or self.name.encode("ascii")

    @property
    def encrypted(self) -> bool:
        """Whether a password is needed."""
        return bool(self.flags & 1)

    def member(self) -> Member:
        """The entry in the common form."""
        method = METHODS.get(self.method, f"method {self.method}")
        if self.encrypted:
            method = f"AES-{(self.aes & 3) * 64 + 64} {method}" if self.aes else f"ZipCrypto {method}"
        return Member(
            self.name,
            self.kind,
            self.size,
            self.packed,
            self.mtime_ns,
            self.mode,
            self.link,
            encrypted=self.encrypted,
            crc=None if self.aes & 4 else self.crc,
            method=method,
        )


class Directory(msgspec.Struct):
    """All entries in the order of their data, and the archive's comment."""

    entries: list[Entry]
    comment: str
    encoding: str
    overlapping: bool

    def listing(self, volumes: int) -> Listing:
        """The archive in the common form."""
        return Listing(
            "zip",
            [entry.member() for entry in self.entries],
            volumes,
            any(entry.encrypted for entry in self.entries),
            comment=self.comment,
        )


def damaged(what: str, why: str) -> TaskdeckError:
    """The error for a broken archive."""
    return TaskdeckError(
        "archive.damaged", what, why, "get the archive again, or use --keep-broken to save what is sound"
    )


def read_directory(
    volumes: Volumes, decoder: Decoder, *, max_entries: int = 0, check: Callable[[], None] = lambda: None
) -> Directory:
    """Read the central directory.

    Args:
        check: Called every now and then; may raise to stop.

    Raises:
        TaskdeckError: `archive.damaged` (truncated or inconsistent), `archive.limit`, `archive.volume`.
    """
    label = f"cannot read '{display(volumes.paths[-1].name)}'"
    count, size, start, shift, disks, comment = _locate(volumes, label)
    if size > _TOO_MANY or (max_entries and count > max_entries):
        raise TaskdeckError(
            "archive.limit",
            label,
            f"it holds {count:,} members and the limit is {max_entries:,}",
            "raise archive.max_entries in the settings if you trust the archive",
        )
    data = volumes.pread(size, start)
    if len(data) < size:
        raise damaged(label, "its directory is cut off")
    entries = _entries(data, count, volumes, shift, disks, decoder, label, check)
    entries.sort(key=lambda entry: entry.offset)
    overlapping = bool(entries) and entries[-1].offset >= start
    for entry, following in pairwise(entries):
        entry.ceiling = following.offset
        overlapping |= entry.offset + _LOCAL_SIZE + len(entry.raw) + entry.packed > following.offset
    if entries:
        entries[-1].ceiling = start
    return Directory(entries, decoder.decode(comment), decoder.chosen, overlapping)


def _locate(volumes: Volumes, label: str) -> tuple[int, int, int, int, bool, bytes]:
    """(members, directory size, directory start, shift of all offsets, whether offsets count per disk, comment)."""
    tail_start = max(0, volumes.size - 65557 - 22)
    tail = volumes.pread(volumes.size - tail_start, tail_start)
    position = len(tail)
    while True:
        position = tail.rfind(b"PK\5\6", 0, position)
        if position < 0:
            raise damaged(label, "its end is missing, so it was probably cut off while it was copied")
        if position + _EOCD.size <= len(tail):
            fields = _EOCD.unpack_from(tail, position)
            if position + _EOCD.size + fields[7] <= len(tail):
                break
    _, disk, cd_disk, _, count, size, offset, _ = fields
    comment = tail[position + _EOCD.size :][: fields[7]]
    eocd = tail_start + position
    end = eocd
    if 0xFFFF in (count, disk, cd_disk) or 0xFFFFFFFF in (size, offset):
        found = _locate64(volumes, eocd)
        if found is not None:
            disk, cd_disk, count, size, offset, end = found
    split = len(volumes.paths) > 1 and disk == len(volumes.paths) - 1 and disk > 0
    if disk and not split:
        raise TaskdeckError(
            "archive.volume",
            label,
            f"it is the last of {disk + 1} volumes and the others are not beside it",
            "put all volumes into one folder",
        )
    if split:
        return count, size, _global(volumes, cd_disk, offset, label), 0, True, comment
    shift = end - size - offset  # data put before the archive (self-extracting ones) moves everything
    if shift < 0 or offset + size > end:
        raise damaged(label, "its directory is not where it should be")
    return count, size, offset + shift, shift, False, comment


def _locate64(volumes: Volumes, eocd: int) -> tuple[int, int, int, int, int, int] | None:
    raw = volumes.pread(_LOCATOR64.size, max(0, eocd - _LOCATOR64.size))
    if len(raw) < _LOCATOR64.size or raw[:4] != b"PK\6\7":
        return None
    _, disk64, offset64, _ = _LOCATOR64.unpack(raw)
    places = [eocd - _LOCATOR64.size - _EOCD64.size, offset64]
    if disk64 < len(volumes.starts):
        places.append(volumes.starts[disk64] + offset64)
    for place in places:
        raw = volumes.pread(_EOCD64.size, place) if 0 <= place < volumes.size else b""
        if len(raw) == _EOCD64.size and raw[:4] == b"PK\6\6":
            _, _, _, _, disk, cd_disk, _, count, size, offset = _EOCD64.unpack(raw)
            return disk, cd_disk, count, size, offset, place
    return None


def _global(volumes: Volumes, disk: int, offset: int, label: str) -> int:
    if disk >= len(volumes.starts):
        raise damaged(label, "it names a volume that does not exist")
    return volumes.starts[disk] + offset


def _entries(
    data: bytes,
    count: int,
    volumes: Volumes,
    shift: int,
    disks: bool,
    decoder: Decoder,
    label: str,
    check: Callable[[], None],
) -> list[Entry]:
    raws: list[tuple[tuple[int, ...], bytes, bytes]] = []
    position = 0
    unpack, step = _CENTRAL.unpack_from, _CENTRAL.size
    while position + step <= len(data) and data[position : position + 4] == b"PK\1\2":
        fields = unpack(data, position)
        name_length, extra_length, comment_length = fields[12], fields[13], fields[14]
        middle = position + step + name_length
        end = middle + extra_length
        if end + comment_length > len(data):
            raise damaged(label, "its directory is cut off")
        raws.append((fields[1:], data[position + step : middle], data[middle:end]))
        position = end + comment_length
    if len(raws) & 0xFFFF != count & 0xFFFF or (count > 0xFFFF and len(raws) != count):
        raise damaged(label, f"its directory should hold {count:,} members and holds {len(raws):,}")
    decoder.learn([raw for _, raw, _ in raws if not raw.isascii()])
    times: dict[int, int] = {}
    entries: list[Entry] = []
    raws.reverse()
    while raws:  # they take twice the memory of what is made of them: both are never there at once
        check()
        entries += [_entry(*item, volumes, shift, disks, decoder, times, label) for item in reversed(raws[-_STEP:])]
        del raws[-_STEP:]
    return entries


def _entry(
    fields: tuple[int, ...],
    raw: bytes,
    extra: bytes,
    volumes: Volumes,
    shift: int,
    disks: bool,
    decoder: Decoder,
    times: dict[int, int],
    label: str,
) -> Entry:
    (_, host, _, _, flags, method, dos_time, dos_date, crc, packed, size) = fields[:11]
    disk, external, offset = fields[14], fields[16], fields[17]
    stamp = dos_date << 16 | dos_time
    mtime_ns = times.get(stamp)
    if mtime_ns is None:
        mtime_ns = times[stamp] = _dos_time(dos_date, dos_time)
    aes = 0
    if extra:
        size, packed, offset, disk, mtime_ns, method, aes = _extra(extra, size, packed, offset, disk, mtime_ns, method)
    name = decoder.decode(raw, extra)
    foreign = b"" if raw.isascii() else raw
    if host in _DOS_HOSTS and "\\" in name and "/" not in name:
        name, foreign = name.replace("\\", "/"), raw
    mode = external >> 16 if host in _UNIX_HOSTS or external >> 28 in (4, 8, 10) else 0
    kind = MemberKind.FILE
    if mode & 0o170000 != stat.S_IFREG or name[-1:] == "/":
        kind = _kind(name, mode, external, size)
    start = _global(volumes, disk, offset, label) if disks else offset + shift
    bits = mode & 0o7777 if mode else None
    return Entry(name, foreign, kind, size, packed, crc, method, flags, start, 0, bits, mtime_ns, "", aes)


def _kind(name: str, mode: int, external: int, size: int) -> MemberKind:
    """What a member is that does not look like a regular file at once."""
    if name.endswith("/") or stat.S_ISDIR(mode) or (not mode and external & 0x10 and not size):
        return MemberKind.FOLDER
    if stat.S_ISLNK(mode):
        return MemberKind.SYMLINK
    return MemberKind.FILE if stat.S_IFMT(mode) in (0, stat.S_IFREG) else MemberKind.SPECIAL


def _extra(
    extra: bytes, size: int, packed: int, offset: int, disk: int, mtime_ns: int, method: int
) -> tuple[int, int, int, int, int, int, int]:
    """What the extra fields change: zip64 (4.5.3), times (0x5455, 0x000a), AES (0x9901)."""
    position = aes = 0
    end = len(extra)
    if end == 24 and extra[:5] == _INFO_ZIP and extra[9:13] == b"ux\x0b\x00":  # most members there are
        return size, packed, offset, disk, int.from_bytes(extra[5:9], "little", signed=True) * SECOND, method, 0
    unix = ticks = None
    while position + 4 <= end:
        tag = extra[position] | extra[position + 1] << 8
        length = extra[position + 2] | extra[position + 3] << 8
        body = extra[position + 4 : position + 4 + length]
        position += 4 + length
        if tag == 0x5455 and length >= 5 and len(body) >= 5 and body[0] & 1:
            unix = int.from_bytes(body[1:5], "little", signed=True) * SECOND
        elif tag == 0x0001:
            size, packed, offset, disk = _zip64(body, size, packed, offset, disk)
        elif tag == 0x000A and len(body) >= 16 and body[4:8] == b"\x01\x00\x18\x00":
            ticks = int.from_bytes(body[8:16], "little")
        elif tag == 0x9901 and len(body) >= 7 and method == 99 and 1 <= body[4] <= 3:
            aes = body[4] | (4 if body[0] == 2 else 0)
            method = int.from_bytes(body[5:7], "little")
    if unix is not None:
        mtime_ns = unix
    if ticks and (unix is None or from_ticks(ticks) // SECOND * SECOND == unix):
        mtime_ns = from_ticks(ticks)  # of two that agree the one with more digits
    return size, packed, offset, disk, mtime_ns, method, aes


def _zip64(body: bytes, size: int, packed: int, offset: int, disk: int) -> tuple[int, int, int, int]:
    values = [int.from_bytes(body[i : i + 8], "little") for i in range(0, len(body) - 7, 8)]
    wide = iter(values)
    if size == 0xFFFFFFFF:
        size = next(wide, size)
    if packed == 0xFFFFFFFF:
        packed = next(wide, packed)
    if offset == 0xFFFFFFFF:
        offset = next(wide, offset)
    if disk == 0xFFFF and len(body) % 8 == 4:
        disk = int.from_bytes(body[-4:], "little")
    return size, packed, offset, disk


def _dos_time(date: int, clock: int) -> int:
    """MS-DOS date and time (local time, two-second steps)."""
    try:
        seconds = time.mktime(
            (
                (date >> 9) + 1980,
                max(1, date >> 5 & 15),
                max(1, date & 31),
                clock >> 11,
                clock >> 5 & 63,
                (clock & 31) * 2,
                0,
                0,
                -1,
            )
        )
    except (OverflowError, ValueError):
        return 315_532_800 * SECOND
    return int(seconds) * SECOND


def needs_tool(entry: Entry) -> bool:
    """Whether 7zz has to unpack this: traditional encryption (25 times as fast there) and rare methods."""
    return (entry.encrypted and not entry.aes) or entry.method not in NATIVE
