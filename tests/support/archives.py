"""Archives for tests: odd trees, hostile members and a way to compare folders."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import tarfile
import zipfile
from pathlib import Path


def snapshot(folder: Path) -> dict[str, str]:
    """Every path below a folder with what it is: kind, permission bits, content hash or link target."""
    found = {}
    for base, folders, names in os.walk(folder):
        for name in folders + names:
            path = Path(base, name)
            info = path.lstat()
            relative = os.path.relpath(path, folder)
            if stat.S_ISLNK(info.st_mode):
                found[relative] = f"link {os.readlink(path)}"
            elif stat.S_ISDIR(info.st_mode):
                found[relative] = "folder"
            elif stat.S_ISREG(info.st_mode):
                digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
                found[relative] = f"file {info.st_mode & 0o7777:o} {digest}"
            else:
                found[relative] = f"special {stat.S_IFMT(info.st_mode):o}"
    return found


def odd_tree(folder: Path) -> Path:
    """A small tree with everything that is easy to lose: empty files and folders, modes, links, odd names."""
    root = folder / "odd tree"
    (root / "empty folder").mkdir(parents=True)
    (root / "deep" / "er" / "est").mkdir(parents=True)
    (root / "plain.txt").write_text("hello " * 1000)
    (root / "empty").touch()
    (root / "script.sh").write_text("#!/bin/sh\n")
    (root / "script.sh").chmod(0o755)
    (root / "secret").write_text("x")
    (root / "secret").chmod(0o600)
    (root / "naïve 日本 ☃.txt").write_text("unicode")
    (root / "-dash").write_text("dash")
    (root / "quote'\"$(x)").write_text("quote")
    (root / "deep/er/est/random.bin").write_bytes(os.urandom(300_000))
    (root / "deep/er/big.txt").write_text("0123456789abcdef" * 600_000)
    (root / "deep" / ("n" * 200)).write_text("long")
    (root / "link").symlink_to("plain.txt")
    (root / "deep" / "up").symlink_to("../plain.txt")
    os.utime(root / "plain.txt", (1_600_000_000, 1_600_000_000))
    return root


def make_zip(path: Path, members: list[tuple[str, bytes, int]]) -> Path:
    """A ZIP file of (name, content, st_mode)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data, mode in members:
            info = zipfile.ZipInfo(name, (2024, 1, 2, 3, 4, 6))
            info.create_system = 3
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(info, data)
    return path


def make_tar(path: Path, members: list[tuple[str, bytes, str, bytes, int]], mode: str = "w") -> Path:
    """A tar of (name, type, link target, content, permission bits)."""
    with tarfile.open(path, mode) as out:  # type: ignore[call-overload]
        for name, kind, link, data, bits in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode, info.size, info.mtime = kind, link, bits, len(data), 1_700_000_000
            if kind == tarfile.CHRTYPE:
                info.devmajor, info.devminor = 1, 3
            out.addfile(info, io.BytesIO(data))
    return path


def make_cab(
    path: Path, members: dict[str, bytes], at: tuple[int, int, int, int, int, int] = (2025, 1, 1, 0, 0, 0)
) -> Path:
    """A Microsoft cabinet with one folder that is stored ([MS-CAB] 2.1 to 2.4).

    Args:
        at: Year, month, day, hour, minute, second of all members.
    """
    data = b"".join(members.values())
    day = (at[0] - 1980) << 9 | at[1] << 5 | at[2]
    clock = at[3] << 11 | at[4] << 5 | at[5] // 2
    files, offset = b"", 0
    for name, content in members.items():
        files += struct.pack("<IIHHHH", len(content), offset, 0, day, clock, 0x20) + name.encode() + b"\0"
        offset += len(content)
    blocks = [data[at : at + 0x8000] for at in range(0, len(data), 0x8000)]
    packed = b"".join(struct.pack("<IHH", _cab_sum(block), len(block), len(block)) + block for block in blocks)
    start = 36 + 8 + len(files)
    head = struct.pack("<4sIIIIIBBHHHHH", b"MSCF", 0, start + len(packed), 0, 44, 0, 3, 1, 1, len(members), 0, 0, 0)
    path.write_bytes(head + struct.pack("<IHH", start, len(blocks), 0) + files + packed)
    return path


def _cab_sum(block: bytes) -> int:
    """[MS-CAB] 3.1: 32-bit words combined by XOR, the two sizes last; the odd bytes in reverse order."""
    total = 0
    whole = len(block) // 4 * 4
    for at in range(0, whole, 4):
        total ^= int.from_bytes(block[at : at + 4], "little")
    total ^= int.from_bytes(block[whole:], "big")
    return total ^ (len(block) | len(block) << 16)


def make_lha(path: Path, members: dict[bytes, bytes], level: int) -> Path:
    """An LHA archive of stored members with headers of level 0 (backslashes between folders) or 2 (parts apart)."""
    head = _lha_level_0 if level == 0 else _lha_level_2
    path.write_bytes(b"".join(head(name, data) + data for name, data in members.items()) + b"\0")
    return path


def _lha_level_0(name: bytes, data: bytes) -> bytes:
    name = name.replace(b"/", b"\\")
    body = b"-lh0-" + struct.pack("<IIIBBB", len(data), len(data), 0x58A10000, 0x20, 0, len(name)) + name
    body += struct.pack("<H", _crc16(data))
    return bytes([len(body), sum(body) & 255]) + body


def _lha_level_2(name: bytes, data: bytes) -> bytes:
    folder, _, last = name.rpartition(b"/")
    parts = [b"\0\0\0", b"\1" + last, *([b"\2" + folder.replace(b"/", b"\xff") + b"\xff"] if folder else [])]
    extra = b"".join(struct.pack("<H", len(part) + 2) + part for part in parts) + b"\0\0"
    body = b"-lh0-" + struct.pack("<IIIBBH", len(data), len(data), 1_700_000_000, 0x20, 2, _crc16(data)) + b"M"
    head = bytearray(struct.pack("<H", 2 + len(body) + len(extra)) + body + extra)
    struct.pack_into("<H", head, 2 + len(body) + 3, _crc16(bytes(head)))  # the header's own, over zeros in its place
    return bytes(head)


def _crc16(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def make_rpm(path: Path, payload: bytes) -> Path:
    """An RPM package of empty headers before a packed cpio archive."""
    lead = b"\xed\xab\xee\xdb\3\0\0\0\0\1" + b"x".ljust(66, b"\0") + struct.pack(">HH", 1, 5) + bytes(16)
    signature = b"\x8e\xad\xe8\1\0\0\0\0" + struct.pack(">II", 1, 5) + struct.pack(">IIII", 1000, 6, 0, 1) + b"sign\0"
    header = b"\x8e\xad\xe8\1\0\0\0\0" + struct.pack(">II", 1, 3) + struct.pack(">IIII", 1000, 6, 0, 1) + b"it\0"
    path.write_bytes(lead + signature + bytes(-len(signature) % 8) + header + payload)
    return path
