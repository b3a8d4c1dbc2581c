"""Reading a source file that others may be writing: what was read is always consistent, or known not to be."""

from __future__ import annotations

import errno
import os
import stat
import threading
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from hashlib import _Hash

from engines.archive.create.source import Entry

_ATTEMPTS: Final = 3


@dataclass(slots=True)
class Content:
    """A whole file. `changed`: somebody wrote to it while it was read, every time it was tried."""

    data: bytes
    changed: bool = False


def read_whole(entry: Entry) -> Content:
    """Read a small file to its end; the entry takes size and times of what was read.

    A file that differs from its listing is read again, so that content and times belong together.

    Raises:
        OSError: It cannot be opened or read.
    """
    fd = entry.open_file(judged=False)
    try:
        data = _read(fd, entry.size)
        info = os.fstat(fd)
        if entry.same(info) and len(data) == info.st_size:  # the inode that was listed as a regular file
            return Content(data)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.ESTALE, "it is no regular file any more")
        for _ in range(_ATTEMPTS):
            before = info
            os.lseek(fd, 0, os.SEEK_SET)
            data = _read(fd, before.st_size)
            info = os.fstat(fd)
            entry.refresh(info)
            entry.size = len(data)
            if (before.st_size, before.st_mtime_ns) == (info.st_size, info.st_mtime_ns) and len(data) == info.st_size:
                return Content(data)
        return Content(data, changed=True)
    finally:
        os.close(fd)


def _read(fd: int, expected: int) -> bytes:
    """To the end of the file, at most a little beyond what is expected (a file may grow for ever)."""
    data = os.read(fd, expected + 1)
    if len(data) == expected or not data:
        return data
    parts = [data]
    total = len(data)
    while total <= expected and (more := os.read(fd, expected + 1 - total)):
        parts.append(more)
        total += len(more)
    return b"".join(parts)[:expected]


class OpenFile:
    """A large file being read in blocks by several threads; closes with its last user.

    Attributes:
        size: Bytes it had when it was opened: what will be read at most.
        digest: Running SHA-256, when asked for.
    """

    def __init__(self, entry: Entry, *, hashed: bool) -> None:
        self.fd = entry.open_file()
        info = os.fstat(self.fd)
        entry.refresh(info)
        self.entry = entry
        self.size = info.st_size
        self.digest = Digest() if hashed else None

    def read(self, at: int, length: int) -> bytes:
        """Up to `length` bytes; fewer at the end of a file that has shrunk."""
        data = os.pread(self.fd, length, at)
        if len(data) == length or not data:
            return data
        parts = [data]
        while (total := sum(map(len, parts))) < length and (more := os.pread(self.fd, length - total, at + total)):
            parts.append(more)
        return b"".join(parts)

    def changed(self) -> bool:
        """Whether somebody wrote to it since it was opened."""
        return not self.entry.same(os.fstat(self.fd))

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


@dataclass
class Digest:
    """A SHA-256 that several threads feed in order of position."""

    at: int = 0
    hash: _Hash = field(default_factory=sha256)
    turn: threading.Condition = field(default_factory=threading.Condition)

    def update(self, at: int, data: bytes | memoryview) -> None:
        """Add the bytes at a position once everything before them was added.

        Work starts in order of position, so whoever is waited for is already at it.
        """
        with self.turn:
            self.turn.wait_for(lambda: self.at < 0 or self.at >= at)
            if self.at < 0:
                return
        self.hash.update(data)
        with self.turn:
            self.at = at + len(data)
            self.turn.notify_all()

    def skip(self) -> None:
        """Give up: a block could not be read."""
        with self.turn:
            self.at = -1
            self.turn.notify_all()
