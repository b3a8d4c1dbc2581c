"""What an archive is, by its content and never by its name (Brotli alone has no mark and is taken by its suffix)."""

from __future__ import annotations

import os
import stat
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from engines.archive.extract.streams import open_stream
from engines.archive.volumes import Volumes, expected, gather
from engines.archive.volumes import missing as volume_missing
from engines.errors import TaskdeckError
from engines.names import display
from engines.paths import PathPolicy, unreadable


class Family(StrEnum):
    """Which part of the engine reads a format."""

    ZIP = "zip"
    TAR = "tar"
    STREAM = "stream"
    """One compressed file."""
    SEVENZIP = "7z"
    RAR = "rar"
    LIBARCHIVE = "libarchive"
    """Read by libarchive, by 7zz when that fails."""
    FOREIGN = "foreign"
    """Read by 7zz, by libarchive when that fails."""


class Found(msgspec.Struct, frozen=True):
    """An archive as it was recognised."""

    path: Path
    family: Family
    format: str
    """For people: "zip", "tar.gz", "rar5", "iso"."""
    codec: str = ""
    """Compression of a tar or of a single file: gz, bz2, xz, zst, lz4, br, lzma, lz, lzo, Z or ""."""
    volumes: tuple[Path, ...] = ()
    missing: tuple[Path, ...] = ()
    """Those of the volumes that are not there."""
    offset: int = 0
    """Where the archive begins in its file (self-extracting programs)."""


_CODECS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x1f\x8b", "gz"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"LZIP", "lz"),
    (b"\x89LZO\0\r\n\x1a\n", "lzo"),
    (b"\x1f\x9d", "Z"),
)
_MARKS: Final[tuple[tuple[int, bytes, Family, str], ...]] = (
    (0, b"PK\3\4", Family.ZIP, "zip"),
    (0, b"PK\5\6", Family.ZIP, "zip"),
    (0, b"PK\7\x08PK\3\4", Family.ZIP, "zip"),
    (0, b"PK00PK\3\4", Family.ZIP, "zip"),
    (0, b"7z\xbc\xaf\x27\x1c", Family.SEVENZIP, "7z"),
    (0, b"Rar!\x1a\x07\x00", Family.RAR, "rar"),
    (0, b"Rar!\x1a\x07\x01\x00", Family.RAR, "rar5"),
    (0, b"RE~^", Family.RAR, "rar"),
    (0, b"!<arch>\ndebian-binary", Family.LIBARCHIVE, "deb"),
    (0, b"!<arch>\n", Family.LIBARCHIVE, "ar"),
    (0, b"070701", Family.LIBARCHIVE, "cpio"),
    (0, b"070702", Family.LIBARCHIVE, "cpio"),
    (0, b"070707", Family.LIBARCHIVE, "cpio"),
    (0, b"\xc7\x71", Family.LIBARCHIVE, "cpio"),
    (0, b"\x71\xc7", Family.LIBARCHIVE, "cpio"),
    (0, b"\xed\xab\xee\xdb", Family.LIBARCHIVE, "rpm"),
    (0, b"MSCF\0\0\0\0", Family.LIBARCHIVE, "cab"),
    (0, b"xar!", Family.LIBARCHIVE, "xar"),
    (0, b"WARC/", Family.LIBARCHIVE, "warc"),
    (0, b"MSWIM\0\0\0", Family.FOREIGN, "wim"),
    (0, b"hsqs", Family.FOREIGN, "squashfs"),
    (0, b"sqsh", Family.FOREIGN, "squashfs"),
    (0, b"\x60\xea", Family.FOREIGN, "arj"),
    (0, b"ITSF", Family.FOREIGN, "chm"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Family.FOREIGN, "compound"),
    (0, b"\x45\x3d\xcd\x28", Family.FOREIGN, "cramfs"),
    (0, b"conectix", Family.FOREIGN, "vhd"),
    (0, b"vhdxfile", Family.FOREIGN, "vhdx"),
    (0, b"QFI\xfb", Family.FOREIGN, "qcow"),
    (0, b"KDMV", Family.FOREIGN, "vmdk"),
    (2, b"-lh", Family.LIBARCHIVE, "lha"),
    (2, b"-lz", Family.LIBARCHIVE, "lha"),
    (2, b"-pm", Family.FOREIGN, "lha"),
    (32769, b"CD001", Family.LIBARCHIVE, "iso"),
    (34817, b"CD001", Family.LIBARCHIVE, "iso"),
    (32769, b"BEA01", Family.FOREIGN, "udf"),
    (1080, b"\x53\xef", Family.FOREIGN, "ext"),
    (1024, b"H+\0\4", Family.FOREIGN, "hfs"),
)
_GAPS: Final = 1000  # volumes; a lone "x.99999" is no set that lacks the others
_READ_HERE: Final = frozenset((Family.ZIP, Family.TAR, Family.STREAM))
_SECTOR: Final = 2048
_HEAD: Final = 32 * _SECTOR
"""Enough for all volume descriptors of an optical disc, which begin at sector 16 (ECMA-119 6.2.1, ECMA-167 2/8.3)."""
_PROGRAMS: Final = (b"MZ", b"\x7fELF", b"#!")
_SUFFIXES: Final = {"gz": "tgz", "bz2": "tbz2", "xz": "txz", "zst": "tzst"}


def detect(path: Path, policy: PathPolicy | None = None, *, gaps: bool = False) -> Found:
    """Recognise an archive from any of its volumes.

    Args:
        policy: Where all its volumes must lie, links followed; not asked when None.
        gaps: Whether volumes may be missing.

    Raises:
        TaskdeckError: `path.missing`, `path.kind` (a folder), `path.unreadable`, `archive.not_archive`,
            `archive.volume`, `path.outside_roots`.
    """
    try:
        kind = os.stat(path).st_mode
    except OSError as error:
        raise unreadable(path, error) from None
    if not stat.S_ISREG(kind):
        what = "a folder" if stat.S_ISDIR(kind) else "no regular file"
        raise TaskdeckError("path.kind", f"cannot read '{display(path)}' as an archive", f"it is {what}")
    volumes = expected(path) if gaps else gather(path)
    if policy is not None:
        for volume in volumes:
            policy.contain(volume)
    missing = tuple(volume for volume in volumes if not os.path.lexists(volume))
    if len(missing) > _GAPS:
        raise volume_missing(path, missing[0].name)
    with Volumes(volumes, missing) as source:
        found = _recognise(source, volumes)
    if found is None:
        empty = os.stat(path).st_size == 0
        raise TaskdeckError(
            "archive.not_archive",
            f"cannot read '{display(path.name)}'",
            "the file is empty" if empty else "it is not an archive of a known format",
        )
    if found.family not in _READ_HERE:  # other programs look for volumes themselves
        volumes = tuple(volume for volume in volumes if volume not in missing)
    return msgspec.structs.replace(found, path=path, volumes=volumes, missing=missing)


def _recognise(source: Volumes, paths: tuple[Path, ...]) -> Found | None:
    head = source.pread(_HEAD, 0)
    path = paths[0]
    if is_tar(head[:512]):
        return Found(path, Family.TAR, "tar")
    for at, mark, family, name in _MARKS:
        if head.startswith(mark, at) and not (name == "lha" and head[6:7] != b"-"):
            if name == "iso" and _names_only_in_udf(source, head):
                return Found(path, Family.FOREIGN, "udf")
            return Found(path, family, name)
    for mark, codec in _CODECS:
        if head.startswith(mark):
            return _compressed(source, path, codec)
    if head[:1] and head[0] & 0xF0 == 0x50 and head[1:4] == b"\x2a\x4d\x18":  # a skippable frame comes first
        return _compressed(source, path, "zst")
    if _is_lzma(head):
        return _compressed(source, path, "lzma")
    if ".tar" in path.name.lower() and len(head) >= 1024 and not any(head[:1024]):
        return Found(path, Family.TAR, "tar")  # nothing but the end mark
    if path.name.lower().endswith((".br", ".tbr")):
        return _compressed(source, path, "br")
    return _at_the_end(source, path, head)


def _names_only_in_udf(source: Volumes, head: bytes) -> bool:
    """Whether a disc has UDF beside an ISO 9660 part that holds short names or nothing, as Windows' discs do.

    Joliet (a supplementary descriptor with a UCS-2 escape) and Rock Ridge ("SP" in the first record of the root
    folder) give whole names, and Rock Ridge modes and links too: then ISO 9660 is the better half.
    """
    sectors = [head[at : at + _SECTOR] for at in range(16 * _SECTOR, len(head), _SECTOR)]
    if not any(sector[1:6] in (b"NSR02", b"NSR03") for sector in sectors):
        return False
    if any(sector[:6] == b"\2CD001" and sector[88:91] in (b"%/@", b"%/C", b"%/E") for sector in sectors):
        return False
    root = int.from_bytes(sectors[0][158:162], "little")  # ECMA-119 8.4.18: the record of the root folder
    return b"SP\7\1\xbe\xef" not in source.pread(256, root * _SECTOR)


def _at_the_end(source: Volumes, path: Path, head: bytes) -> Found | None:
    """Formats known by their tail: ZIP behind a program, Apple disk images."""
    tail = source.pread(65557 + 22, max(0, source.size - 65557 - 22))
    if b"PK\5\6" in tail:
        return Found(path, Family.ZIP, "zip")
    if tail[-512:-508] == b"koly":
        return Found(path, Family.FOREIGN, "dmg")
    if head.startswith(_PROGRAMS):
        window = source.pread(2 << 20, 0)
        for mark, family, name in (
            (b"7z\xbc\xaf\x27\x1c", Family.SEVENZIP, "7z"),
            (b"Rar!\x1a\x07", Family.RAR, "rar"),
        ):
            at = window.find(mark)
            if at > 0:
                return Found(path, family, name, offset=at)
    return None


def _compressed(source: Volumes, path: Path, codec: str) -> Found:
    """Whether a tar is inside the compression: its first block is unpacked to see."""
    first = b""
    try:
        for block in open_stream(source, codec, helper=False):
            first += block
            if len(first) >= 512:
                break
    except TaskdeckError:
        tar_name = path.name.lower().endswith((f".tar.{codec}", "." + _SUFFIXES.get(codec, "\0")))
        return Found(path, Family.TAR if tar_name else Family.STREAM, f"tar.{codec}" if tar_name else codec, codec)
    if is_tar(first[:512]) or (len(first) >= 512 and not any(first[:512]) and ".tar" in path.name.lower()):
        return Found(path, Family.TAR, f"tar.{codec}", codec)
    if first.startswith((b"070701", b"070702", b"070707")):
        return Found(path, Family.LIBARCHIVE, f"cpio.{codec}", codec)
    return Found(path, Family.STREAM, codec, codec)


def is_tar(block: bytes) -> bool:
    """Whether 512 bytes are a tar header: the checksum is right (old tars have no other mark)."""
    if len(block) < 512 or not block[0]:
        return False
    try:
        stored = int(block[148:156].strip(b"\0 ") or b"x", 8)
    except ValueError:
        return False
    total = sum(block) - sum(block[148:156]) + 256
    if total == stored:
        return True
    signed = total - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
    return signed == stored  # some old tars summed signed characters


def _is_lzma(head: bytes) -> bool:
    """The old .lzma container has no mark: usual properties, a dictionary that is a power of two, a sane size."""
    if len(head) < 18 or head[0] != 0x5D or head[13] != 0:
        return False
    dictionary = int.from_bytes(head[1:5], "little")
    size = int.from_bytes(head[5:13], "little")
    return (dictionary & (dictionary - 1) == 0 or dictionary == 0xFFFFFFFF) and (size >> 40 == 0 or size == 2**64 - 1)
