"""Reading a source file that others may be writing: what was read is always consistent, or known not to be."""

from __future__ import annotations

import errno
import os
import stat
import threading
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from hashlib import _Hash

from engines.archive.create.source import Entry, Facts

_ATTEMPTS: Final = 3


class Done(msgspec.Struct, array_like=True, gc=False):
    """What became of an entry that a worker took, in a form that passes between processes."""

    kind: str = "f"
    """f file, d folder, l symbolic link, h hard link; empty when it could not be read."""
    length: int = 0
    """Bytes it takes in the batch."""
    record: bytes = b""
    """What the format says of it later (zip: its central record)."""
    changed: bool = False
    sha256: bytes = b""
    errno: int = 0
    error: str = ""
    fresh: Facts | None = None
    """What a stat said of it when that was not what was listed."""

    @property
    def failure(self) -> OSError:
        """Why it could not be read."""
        return OSError(self.errno, self.error)


def failed(error: OSError) -> Done:
    """The entry could not be read."""
    return Done(kind="", errno=error.errno or errno.EIO, error=error.strerror or str(error))


def read_into(entry: Entry, room: memoryview) -> bool:
    """Read a small file into room of its size and one byte; False when it is not what was listed any more.

    Raises:
        OSError: It cannot be opened or read.
    """
    fd = entry.open_file(judged=False)
    try:
        # the same inode: it was listed as a regular file
        return os.readv(fd, (room,)) == entry.size and entry.same(os.fstat(fd))
    finally:
        os.close(fd)


class Content(msgspec.Struct):
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

    def read_into(self, room: memoryview, at: int) -> int:
        """Fill `room` from a position; bytes read, fewer at the end of a file that has shrunk."""
        total = 0
        while total < len(room) and (more := os.preadv(self.fd, (room[total:],), at + total)):
            total += more
        return total

    def changed(self) -> bool:
        """Whether somebody wrote to it since it was opened."""
        return not self.entry.same(os.fstat(self.fd))

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


def _sha256() -> _Hash:
    from hashlib import sha256  # 3 ms that most jobs need not spend

    return sha256()


class Digest(msgspec.Struct):
    """A SHA-256 that several threads feed in order of position."""

    at: int = 0
    hash: _Hash = msgspec.field(default_factory=_sha256)
    turn: threading.Condition = msgspec.field(default_factory=threading.Condition)

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
