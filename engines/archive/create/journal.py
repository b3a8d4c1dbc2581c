"""What has been packed, durably, beside the archive: a later attempt goes on where the last commit stands.

The journal is a side file of frames (length, CRC-32, msgpack list of members). The checkpoint given to the task
engine stays small: how long archive and journal are, and where a large member was interrupted.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from engines.archive.create.output import Output
from engines.job import Job
from engines.model import Json

INTERVAL = 1.0
"""Seconds between checkpoints ..."""
AMOUNT: Final = 64 << 20
"""... or bytes of archive."""
VERSION: Final = 1
NOTHING: Final[Json] = {"v": 0}
"""The checkpoint of an attempt that starts anew."""

_FRAME: Final = struct.Struct("<II")


class Packed(msgspec.Struct, array_like=True, gc=False):
    """A member that is whole in the archive.

    `record` is what the format needs again at the end (zip: the central directory record).
    """

    name: bytes
    size: int
    mtime_ns: int
    ino: int
    kind: str = "f"
    """f file, d folder, l symbolic link, h hard link."""
    sha256: bytes = b""
    record: bytes = b""


def read_journal(path: Path, length: int) -> Iterator[Packed]:
    """The members of a journal's first `length` bytes.

    Raises:
        OSError: The file is missing.
        ValueError: The file is shorter or damaged.
    """
    with open(path, "rb") as file:
        while file.tell() < length:
            head = file.read(_FRAME.size)
            if len(head) < _FRAME.size:
                raise ValueError("the journal is shorter than its checkpoint")
            size, crc = _FRAME.unpack(head)
            body = file.read(size)
            if len(body) < size or zlib.crc32(body) != crc:
                raise ValueError("the journal is damaged")
            yield from msgspec.msgpack.decode(body, type=list[Packed])


class Journal:
    """Commits what is packed, at most once a second or every 64 MiB, without holding up the packing.

    Args:
        job: Takes the checkpoints.
        path: The claimed side file.
        output: The archive, made durable before each checkpoint.
        length: Bytes of an earlier attempt's journal to keep.
        base: Constant part of every checkpoint.
    """

    def __init__(self, job: Job, path: Path, output: Output, *, length: int = 0, base: Json) -> None:
        self._job = job
        self._path = path
        self._output = output
        self._base = base
        self._length = length
        self._fd = -1
        self._due = time.monotonic() + INTERVAL
        self._mark = output.position
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commit")
        self._running: Future[None] | None = None
        self._dropped = False
        self.committed = length > 0
        """Whether a later attempt has something to go on from."""
        self.fresh: list[Packed] = []
        """Members packed since the last commit."""

    def offer(self, state: Callable[[], Json]) -> None:
        """Commit if it is time: everything written so far belongs to `fresh` members or to `state`.

        Raises:
            OSError: The last commit failed.
        """
        if time.monotonic() < self._due and self._output.position - self._mark < AMOUNT:
            return
        if self._running is not None:
            if not self._running.done():
                return
            self._running.result()
        members, self.fresh = self.fresh, []
        self._due = time.monotonic() + INTERVAL
        self._mark = self._output.position
        checkpoint = {**self._base, "offset": self._mark, "volumes": self._output.state(), "state": state()}
        self._running = self._thread.submit(self._commit, members, checkpoint)

    def _commit(self, members: list[Packed], checkpoint: Json) -> None:
        self._append(members)
        self._output.sync()
        if self._dropped:
            return
        self._job.save({**checkpoint, "journal": self._length})
        self.committed = True

    def _append(self, members: list[Packed]) -> None:
        body = msgspec.msgpack.encode(members)
        if self._fd < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | (0 if self._length else os.O_TRUNC)
            self._fd = os.open(self._path, flags, 0o600)
            os.ftruncate(self._fd, self._length)
        frame = memoryview(_FRAME.pack(len(body), zlib.crc32(body)) + body)
        while frame:
            written = os.pwrite(self._fd, frame, self._length)
            self._length += written
            frame = frame[written:]
        os.fdatasync(self._fd)

    def finish(self, *, whole: bool) -> int:
        """Wait for a commit under way; nothing is committed afterwards.

        Args:
            whole: Let the journal hold all members, durably.

        Returns:
            Its length if it does, else 0.

        Raises:
            OSError: It failed.
        """
        if self._running is not None:
            self._running.result()
        if not whole:
            return 0
        self._running = self._thread.submit(self._append, self.fresh)
        self._running.result()
        return self._length

    def close(self, *, wait: bool) -> None:
        """Stop; errors are of no interest any more.

        Args:
            wait: For a commit under way: a slow disk takes its time. Otherwise it ends by itself and is not saved.
        """
        self._dropped = not wait
        if self._running is not None:
            self._thread.submit(self._close_file)
        self._thread.shutdown(wait=wait)

    def _close_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def resumable(checkpoint: Json | None, key: Json) -> bool:
    """Whether a checkpoint is one of ours, for the same work."""
    if not checkpoint or checkpoint.get("v") != VERSION:
        return False
    return all(checkpoint.get(name) == value for name, value in key.items())


def load(path: Path, checkpoint: Json, staged: list[Path]) -> list[Packed]:
    """The committed members of an earlier attempt, after a check that its files are as long as they must be.

    Raises:
        ValueError: They are not; the work starts anew.
    """
    starts: list[int] = checkpoint["volumes"]
    ends = [*starts[1:], checkpoint["offset"]]
    try:
        for volume, (start, end) in enumerate(zip(starts, ends, strict=True)):
            if os.stat(staged[volume], follow_symlinks=False).st_size < end - start:
                raise ValueError("the unfinished archive is shorter than its checkpoint")
        return list(read_journal(path, checkpoint["journal"]))
    except OSError as error:
        raise ValueError(f"the unfinished archive cannot be read: {error.strerror}") from None
