"""Archives as one run of bytes, however many files they were cut into; and finding all parts from any of them."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from engines.errors import TaskdeckError
from engines.names import display
from engines.paths import unreadable

_NUMBERED: Final = re.compile(r"^(?P<stem>.+\.)(?P<number>\d{3})$")
_PACKED: Final = re.compile(r"\.(7z|zip|rar|tar|t?gz|t?bz2|t?xz|t?zst|iso|wim)\.$", re.IGNORECASE)
_ZIP_PART: Final = re.compile(r"^(?P<stem>.+\.)[zZ](?P<number>\d{2,4})$")
_RAR_PART: Final = re.compile(r"^(?P<stem>.+\.part)(?P<number>\d+)(?P<suffix>\.(?:rar|exe|sfx))$", re.IGNORECASE)
_RAR_OLD: Final = re.compile(r"^(?P<stem>.+\.)(?P<letter>[r-zR-Z])(?P<number>\d{2})$")


_HOLE: Final = -1  # in place of a descriptor


class Volumes:
    """One or more files read as one. Reading is by position, so threads can share it.

    Args:
        missing: Those of the files that are not there. Nothing can be read where one should be; it counts as as long
            as the first one that is there, since all but the last volume of a set are.

    Raises:
        TaskdeckError: `path.missing`, `path.unreadable` when a file cannot be opened.
    """

    def __init__(self, paths: Iterable[str | Path], missing: Collection[Path] = ()) -> None:
        self.paths = tuple(Path(path) for path in paths)
        self._descriptors: list[int] = []
        self.starts: list[int] = []
        """Where each file begins in the whole."""
        identity: list[list[int]] = []
        self.size = 0
        usual = 0
        try:
            for path in self.paths:
                if path in missing:
                    usual = usual or next(os.stat(other).st_size for other in self.paths if other not in missing)
                    self._descriptors.append(_HOLE)
                    self.starts.append(self.size)
                    self.size += usual
                    continue
                self._descriptors.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
                found = os.fstat(self._descriptors[-1])
                self.starts.append(self.size)
                self.size += found.st_size
                identity.append([found.st_size, found.st_mtime_ns, found.st_ino])
        except OSError as error:
            self.close()
            raise unreadable(path, error) from None
        self.identity = identity
        """Sizes, times and numbers of the files: equal means that nobody touched them."""

    def __enter__(self) -> Volumes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._descriptors:
            if descriptor != _HOLE:
                os.close(descriptor)
        self._descriptors.clear()

    @property
    def descriptor(self) -> int | None:
        """The descriptor when there is only one file (for the kernel's own copying), else None."""
        return self._descriptors[0] if len(self._descriptors) == 1 else None

    def pread(self, count: int, offset: int) -> bytes:
        """Up to `count` bytes at `offset`; fewer only at the end and before a file that is missing.

        Raises:
            TaskdeckError: `disk.io` when the disk refuses.
        """
        try:
            if len(self._descriptors) == 1:
                return _pread(self._descriptors[0], count, offset)
            parts = []
            while count > 0 and offset < self.size:
                index = bisect_right(self.starts, offset) - 1
                while index + 1 < len(self.starts) and self.starts[index + 1] == offset:
                    index += 1
                descriptor = self._descriptors[index]
                block = _pread(descriptor, count, offset - self.starts[index]) if descriptor != _HOLE else b""
                if not block:
                    break
                parts.append(block)
                count -= len(block)
                offset += len(block)
            return b"".join(parts)
        except OSError as error:
            raise unreadable(self.paths[0], error) from None


def _pread(descriptor: int, count: int, offset: int) -> bytes:
    block = os.pread(descriptor, count, offset)
    if len(block) == count or not block:
        return block
    parts = [block]
    have = len(block)
    while have < count and (block := os.pread(descriptor, count - have, offset + have)):
        parts.append(block)
        have += len(block)
    return b"".join(parts)


class Window:
    """A binary file object over a range of `Volumes`, for decompressors that want one."""

    def __init__(self, volumes: Volumes, start: int = 0, end: int | None = None) -> None:
        self._volumes = volumes
        self._start = start
        self._end = volumes.size if end is None else min(end, volumes.size)
        self.position = start

    @property
    def size(self) -> int:
        """Bytes of the range."""
        return self._end - self._start

    def cut(self) -> None:
        """Let the range end here: whoever reads it from another thread comes to an end."""
        self._end = 0

    @property
    def end(self) -> int:
        """Where the range ends in the whole."""
        return self._end

    @property
    def ended(self) -> bool:
        """Whether nothing is left to read."""
        return self.position >= self._end

    def read(self, count: int = -1) -> bytes:
        """The next bytes, all of them without a count."""
        left = self._end - self.position
        block = self._volumes.pread(left if count < 0 else min(count, left), self.position) if left > 0 else b""
        self.position += len(block)
        return block

    def readinto(self, buffer: memoryview | bytearray) -> int:
        """Fill a buffer; 0 at the end."""
        block = self.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; positions count from the start of the range."""
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self.position, os.SEEK_END: self._end}[whence]
        self.position = max(self._start, base + offset)
        return self.tell()

    def tell(self) -> int:
        """The position inside the range."""
        return self.position - self._start

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True

    def close(self) -> None:
        """Nothing to do: the volumes stay open."""

    @property
    def closed(self) -> bool:
        """Never closed."""
        return False


def gather(path: Path) -> tuple[Path, ...]:
    """All volumes of the set that this file belongs to, in reading order; the file alone when it is no part.

    Understands name.7z.001, name.zip.001, name.001; name.z01 ... name.zip; name.part1.rar; name.rar, name.r00,
    name.r01 ... name.s00. A set is recognised by the names beside the file.

    Raises:
        TaskdeckError: `archive.volume` when a part between the first and the last is missing, or the first.
    """
    volumes = expected(path)
    for volume in volumes:
        if not os.path.lexists(volume):
            raise missing(path, volume.name)
    return volumes


def expected(path: Path) -> tuple[Path, ...]:
    """The same, with the names of the parts that are missing between others.

    Raises:
        TaskdeckError: `archive.volume` when the part is missing by which the set is known: the first, of a split ZIP
            the last.
    """
    name = path.name
    if match := _NUMBERED.match(name):
        return _run(path, match["stem"], "", match["number"])
    if match := _ZIP_PART.match(name):
        for suffix in ("zip", "ZIP", "zipx"):
            last = path.with_name(match["stem"] + suffix)
            if last.exists():
                return _split_zip(last)
        raise missing(path, match["stem"] + "zip")
    if match := _RAR_PART.match(name):
        return _run(path, match["stem"], match["suffix"], match["number"])
    if match := _RAR_OLD.match(name):
        first = _sibling(path, match["stem"] + "rar")
        if first is None:
            raise missing(path, match["stem"] + "rar")
        return _old_rar(first)
    if name.lower().endswith((".zip", ".zipx")) and _sibling(path, path.stem + ".z01"):
        return _split_zip(path)
    if name.lower().endswith(".rar") and _sibling(path, path.stem + ".r00"):
        return _old_rar(path)
    return (path,)


def _run(path: Path, stem: str, suffix: str, number: str) -> tuple[Path, ...]:
    """Numbered parts from 1 (some tools start at 0), each with the same padding as the one given."""
    width = len(number) if number.startswith("0") or len(number) >= 3 else 1
    present = _numbers(path.parent, stem, suffix)
    if not present:
        return (path,)
    first = 0 if 0 in present else 1
    if first not in present and not suffix and not _PACKED.search(stem):
        return (path,)  # "report.2024.113" is no volume
    names = [present.get(at, f"{stem}{at:0{width}d}{suffix}") for at in range(first, max(present) + 1)]
    if first not in present:
        raise missing(path, names[0])
    return tuple(map(path.with_name, names))


def _numbers(folder: Path, stem: str, suffix: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for name in os.listdir(folder):
        if name.startswith(stem) and name.endswith(suffix) and len(name) > len(stem) + len(suffix):
            middle = name[len(stem) : len(name) - len(suffix)]
            if middle.isascii() and middle.isdigit() and len(middle) <= 5:
                found.setdefault(int(middle), name)
    return found


def _split_zip(last: Path) -> tuple[Path, ...]:
    parts: dict[int, str] = {}
    for name in os.listdir(last.parent):
        match = _ZIP_PART.match(name)
        if match and match["stem"] == last.stem + ".":
            parts[int(match["number"])] = name
    names = (parts.get(at, f"{last.stem}.z{at:02d}") for at in range(1, max(parts, default=0) + 1))
    return (*map(last.with_name, names), last)


def _old_rar(first: Path) -> tuple[Path, ...]:
    parts: dict[int, str] = {}
    for name in os.listdir(first.parent):
        match = _RAR_OLD.match(name)
        if match and match["stem"] == first.stem + ".":
            parts[(ord(match["letter"].lower()) - ord("r")) * 100 + int(match["number"])] = name
    names = (
        parts.get(at, f"{first.stem}.{chr(ord('r') + at // 100)}{at % 100:02d}")
        for at in range(max(parts, default=-1) + 1)
    )
    return (first, *map(first.with_name, names))


def _sibling(path: Path, name: str) -> Path | None:
    """The file of this name beside `path`, whatever the case of its suffix."""
    for candidate in (name, os.path.splitext(name)[0] + os.path.splitext(name)[1].upper()):
        if path.with_name(candidate).exists():
            return path.with_name(candidate)
    return None


def missing(path: Path, name: str) -> TaskdeckError:
    """The error for a set that lacks a volume of this name."""
    return TaskdeckError(
        "archive.volume",
        f"cannot read '{display(path.name)}'",
        f"volume '{display(name)}' of the set is missing",
        "put all volumes into one folder, or use --keep-broken to save what is sound",
    )
