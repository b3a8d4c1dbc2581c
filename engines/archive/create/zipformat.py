"""The zip records: local headers, central directory, zip64 and end records (PKWARE APPNOTE 6.3.9)."""

from __future__ import annotations

import stat
import struct
import time
from functools import lru_cache
from typing import Final

from engines.archive.create.space import Buffer

STORED: Final = 0
DEFLATED: Final = 8
WINZIP_AES: Final = 99
UTF8: Final = 0x800
ENCRYPTED: Final = 0x1
SPLIT_SIGNATURE: Final = b"PK\x07\x08"
"""Begins the first volume of a split archive (APPNOTE 8.5.4)."""
SINGLE_SIGNATURE: Final = b"PK00"
"""Takes its place when everything fitted one volume."""
NAME_MAX: Final = 65535

_LOCAL: Final = struct.Struct("<4s5HIIIHH")
_CENTRAL: Final = struct.Struct("<4s6HIIIHHHHHII")
_END: Final = struct.Struct("<4s4HIIH")
_END64: Final = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR: Final = struct.Struct("<4sIQI")
_TIMESTAMP: Final = struct.Struct("<HHBi")
_COMMON: Final = struct.Struct("<HHHIIIIHH")
"""What local header and central record share: version to date and time, CRC, sizes, lengths."""
_FRONT: Final = struct.Struct("<4sH")
_BACK: Final = struct.Struct("<6xI4x")
"""No comment, volume 0; attributes; offset 0."""
_LENGTHS: Final = struct.Struct("<HH")
_UNIX: Final = 3 << 8
_MAX32: Final = 0xFFFFFFFF
_MAX16: Final = 0xFFFF


@lru_cache(4096)
def dos_time(seconds: int, *, utc: bool = False) -> int:
    """MS-DOS date and time in two-second steps, local time (1980 to 2107)."""
    moment = time.gmtime(seconds) if utc else time.localtime(seconds)
    if moment.tm_year < 1980:
        return 33 << 16
    if moment.tm_year > 2107:
        return 0xFF9FBF7D
    date = (moment.tm_year - 1980) << 9 | moment.tm_mon << 5 | moment.tm_mday
    return date << 16 | moment.tm_hour << 11 | moment.tm_min << 5 | min(moment.tm_sec, 59) // 2


class Member:
    """What the headers of one member say. Sizes in bytes; `method` is the one of the data itself."""

    __slots__ = ("crc", "encrypted", "method", "mode", "mtime", "name", "owner", "packed", "size", "utc")

    def __init__(self, name: bytes, mode: int, mtime: int, *, utc: bool = False) -> None:
        self.name = name
        self.mode = mode
        self.mtime = mtime
        self.utc = utc
        self.owner: tuple[int, int] | None = None
        self.method = STORED
        self.crc = 0
        self.size = 0
        self.packed = 0
        self.encrypted = False

    def _flags(self) -> int:
        flags = ENCRYPTED if self.encrypted else 0
        if not self.name.isascii():
            try:
                self.name.decode()
                flags |= UTF8
            except UnicodeDecodeError:
                pass  # bytes as they are: no reader is told a charset that is not true
        return flags

    def _extras(self) -> bytes:
        """Timestamp 0x5455, owner 0x7875, WinZip AES 0x9901."""
        if self.owner is None and not self.encrypted:  # the usual case, once a member and header
            return _TIMESTAMP.pack(0x5455, 5, 1, self.mtime) if -(2**31) <= self.mtime < 2**31 else b""
        extra = b""
        if -(2**31) <= self.mtime < 2**31:
            extra = _TIMESTAMP.pack(0x5455, 5, 1, self.mtime)
        if self.owner is not None:
            extra += struct.pack("<HHBBIBI", 0x7875, 11, 1, 4, self.owner[0] & _MAX32, 4, self.owner[1] & _MAX32)
        if self.encrypted:  # AE-2: the CRC is left out, so that it tells nothing of the content
            extra += struct.pack("<HHH2sBH", 0x9901, 7, 2, b"AE", 3, self.method)
        return extra

    def _version(self, zip64: bool) -> int:
        return 51 if self.encrypted else 45 if zip64 else 20

    def records(self) -> tuple[bytes, bytes]:
        """Local header and central record (see `placed`) of a member below 4 GiB, at once because that is quicker."""
        flags, extra, name = self._flags(), self._extras(), self.name
        version = 51 if self.encrypted else 20
        moment = dos_time(self.mtime, utc=self.utc)
        mode = self.mode
        common = _COMMON.pack(
            version,
            flags,
            WINZIP_AES if self.encrypted else self.method,
            moment,
            0 if self.encrypted else self.crc,
            self.packed,
            self.size,
            len(name),
            len(extra),
        )
        external = (mode & _MAX16) << 16 | (0x10 if mode & 0o170000 == stat.S_IFDIR else 0)
        return (
            b"PK\3\4" + common + name + extra,
            _FRONT.pack(b"PK\1\2", _UNIX | version) + common + _BACK.pack(external) + name + extra,
        )

    def local(self, *, zip64: bool = False) -> bytes:
        """The local header; `zip64` keeps room for sizes of 4 GiB and more."""
        extra = self._extras()
        packed, size = self.packed, self.size
        if zip64:
            extra = struct.pack("<HHQQ", 1, 16, size, packed) + extra
            packed = size = _MAX32
        moment = dos_time(self.mtime, utc=self.utc)
        return (
            _LOCAL.pack(
                b"PK\3\4",
                self._version(zip64),
                self._flags(),
                WINZIP_AES if self.encrypted else self.method,
                moment & _MAX16,
                moment >> 16,
                0 if self.encrypted else self.crc,
                packed,
                size,
                len(self.name),
                len(extra),
            )
            + self.name
            + extra
        )

    def central(self, volume: int, offset: int) -> bytes:
        """The central directory record, for a local header at `offset` of `volume`."""
        wide = []
        packed, size, disk = self.packed, self.size, volume
        if size >= _MAX32 or packed >= _MAX32:
            wide += [size, packed]
            packed = size = _MAX32
        if offset >= _MAX32:
            wide.append(offset)
            offset = _MAX32
        extra = self._extras()
        if wide:
            extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) + extra
        moment = dos_time(self.mtime, utc=self.utc)
        external = (self.mode & _MAX16) << 16 | (0x10 if stat.S_ISDIR(self.mode) else 0)
        version = self._version(bool(wide))
        return (
            _CENTRAL.pack(
                b"PK\1\2",
                _UNIX | version,
                version,
                self._flags(),
                WINZIP_AES if self.encrypted else self.method,
                moment & _MAX16,
                moment >> 16,
                0 if self.encrypted else self.crc,
                packed,
                size,
                len(self.name),
                len(extra),
                0,
                disk,
                0,
                external,
                offset,
            )
            + self.name
            + extra
        )


def placed(record: bytes, volume: int, offset: int) -> bytes:
    """A central record for volume 0 and offset 0 with its true place; for members below 4 GiB."""
    if not volume and offset < _MAX32:
        return record[:42] + offset.to_bytes(4, "little") + record[46:]
    if offset < _MAX32:
        return record[:34] + struct.pack("<H", volume) + record[36:42] + struct.pack("<I", offset) + record[46:]
    made, needed = struct.unpack_from("<HH", record, 4)
    name, extra = struct.unpack_from("<HH", record, 28)
    front = bytearray(record[:46])
    struct.pack_into("<HH", front, 4, max(made, _UNIX | 45), max(needed, 45))
    struct.pack_into("<H", front, 30, extra + 12)
    struct.pack_into("<H", front, 34, volume)
    struct.pack_into("<I", front, 42, _MAX32)
    return bytes(front) + record[46 : 46 + name] + struct.pack("<HHQ", 1, 8, offset) + record[46 + name :]


def head_length(data: Buffer, at: int) -> int:
    """Bytes of the local header at a position."""
    name, extra = _LENGTHS.unpack_from(data, at + 26)
    return int(_LOCAL.size + name + extra)


def end_records(
    count: int, *, last_count: int, length: int, start: tuple[int, int], end64: tuple[int, int], volumes: int
) -> list[bytes]:
    """The records after the central directory; zip64 ones only where needed.

    Args:
        count: Members in all volumes.
        last_count: Central records that begin in the last volume.
        length: Bytes of the central directory.
        start: Volume and offset of the central directory.
        end64: Volume and offset at which these records are written.
        volumes: Number of volumes.
    """
    disk = volumes - 1
    records = []
    if count >= _MAX16 or length >= _MAX32 or start[1] >= _MAX32 or disk >= _MAX16:
        records.append(_END64.pack(b"PK\6\6", 44, _UNIX | 45, 45, disk, start[0], last_count, count, length, start[1]))
        records.append(_LOCATOR.pack(b"PK\6\7", end64[0], end64[1], volumes))
    records.append(
        _END.pack(
            b"PK\5\6",
            min(disk, _MAX16),
            min(start[0], _MAX16),
            min(last_count, _MAX16),
            min(count, _MAX16),
            min(length, _MAX32),
            min(start[1], _MAX32),
            0,
        )
    )
    return records
