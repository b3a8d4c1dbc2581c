"""Files into Telegram: parts sent in parallel, each retried alone, any slice of a file without a temporary copy.

A flood wait costs only the part it hit; a lost connection costs the parts under way; pausing stands between parts.
Parts that the service forgot meanwhile (it keeps them for minutes to hours) are sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from engines.errors import TaskdeckError
from engines.names import display
from tui_app.telegram.editor import new_random_id
from tui_app.telegram.gateway import BIG_FILE, PART_SIZE, Flood, Gateway, PartMissing, Unreachable, Uploaded

PARALLEL: Final = 8
"""Parts under way at once: at 100 ms a part about twice the rate of the library's four."""
PARTS_KEPT: Final = 600.0
"""Seconds after which parts of an interrupted upload are no longer counted on."""
_PATIENCE: Final = 900.0
_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 20.0

Gate = Callable[[], Awaitable[None]]


class Mark(msgspec.Struct, frozen=True):
    """How far an upload is: enough to go on after a restart."""

    file_id: int
    random_id: int
    parts: int
    """Parts that are certainly there, counted from the first."""
    at: float


@dataclass
class Slice:
    """One message's worth of a file: `size` bytes from `offset` on, sent as `name`."""

    fd: int
    name: str
    offset: int
    size: int
    digest: hashlib._Hash | None = None
    """Fed with the content in order, when the slice must be hashed."""


@dataclass
class Sender:
    """Uploads slices.

    Args:
        gateway: Telegram.
        ready: Awaited before every part: stands still while the task is paused.
        progress: Told the bytes of this slice that arrived.
        marked: Told how far the slice is, about once a second.
        parallel: Parts under way at once.
    """

    gateway: Gateway
    ready: Gate
    progress: Callable[[int], None]
    marked: Callable[[Mark], None]
    parallel: int = PARALLEL
    _moved: float = field(default_factory=time.monotonic)

    async def upload(self, piece: Slice, mark: Mark | None = None) -> tuple[Uploaded, Mark]:
        """Put all parts of a slice on the server.

        Args:
            mark: Where an earlier run stopped; when it is too old, only its message is still counted on.

        Raises:
            TaskdeckError: `network` when nothing gets through for a quarter of an hour.
        """
        if mark is None:
            mark = fresh_mark()
        elif time.time() - mark.at > PARTS_KEPT:
            # It may have been sent and only the answer was lost: with the same id it is not sent twice.
            mark = msgspec.structs.replace(fresh_mark(), random_id=mark.random_id)
        run = _Run(self, piece, mark)
        await run.all()
        return run.uploaded(), run.mark()

    async def put(self, piece: Slice, file_id: int, part: int, data: bytes) -> None:
        """Send one part, as often as it takes."""
        delay = _FIRST_DELAY
        big = piece.size > BIG_FILE
        while True:
            await self.ready()
            try:
                await self.gateway.save_part(file_id, part, data, total=count_parts(piece.size), big=big)
                self._moved = time.monotonic()
                return
            except Flood as flood:
                self._moved = time.monotonic()  # it is there, and talks to us
                await asyncio.sleep(flood.seconds + 0.5)
            except Unreachable:
                if time.monotonic() - self._moved > _PATIENCE:
                    raise TaskdeckError(
                        "network", f"cannot send '{display(piece.name)}'", "Telegram does not answer", "retry later"
                    ) from None
                await asyncio.sleep(delay)
                delay = min(_LONGEST_DELAY, delay * 2)

    async def again(self, piece: Slice, mark: Mark, missing: PartMissing) -> Mark:
        """Send a part the service has lost; with it everything after it, for those are rarely lost alone."""
        return msgspec.structs.replace(mark, parts=min(mark.parts, missing.part), at=time.time())


@dataclass
class _Run:
    """One pass over the parts of a slice."""

    sender: Sender
    piece: Slice
    start: Mark
    done: set[int] = field(default_factory=set)
    prefix: int = 0
    sent: int = 0
    marked_at: float = field(default_factory=time.monotonic)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    next_part: int = 0

    def __post_init__(self) -> None:
        self.total = count_parts(self.piece.size)
        self.prefix = min(self.start.parts, self.total)
        self.md5 = hashlib.md5(usedforsecurity=False) if self.piece.size <= BIG_FILE else None
        hashed = self.md5 is not None or self.piece.digest is not None
        self.next_part = 0 if hashed else self.prefix
        self.sent = min(self.prefix * PART_SIZE, self.piece.size)

    async def all(self) -> None:
        """Send every part; the first failure stops the others."""
        self.sender.progress(self.sent)
        workers = [asyncio.create_task(self._work()) for _ in range(min(self.sender.parallel, max(1, self.total)))]
        try:
            await asyncio.gather(*workers)
        except asyncio.CancelledError:
            self.sender.marked(self.mark())
            raise
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            async with self.lock:  # parts are read in order, so that they can be hashed
                part, self.next_part = self.next_part, self.next_part + 1
                if part >= self.total:
                    return
                data = await asyncio.to_thread(self._read, part)
            if part < self.prefix:
                continue
            await self.sender.put(self.piece, self.start.file_id, part, data)
            self._arrived(part, len(data))

    def _read(self, part: int) -> bytes:
        want = min(PART_SIZE, self.piece.size - part * PART_SIZE)
        data = os.pread(self.piece.fd, want, self.piece.offset + part * PART_SIZE)
        if len(data) != want:
            raise TaskdeckError(
                "path.changed", f"cannot send '{display(self.piece.name)}'", "the file became shorter meanwhile"
            )
        for digest in (self.md5, self.piece.digest):
            if digest is not None:
                digest.update(data)
        return data

    def _arrived(self, part: int, size: int) -> None:
        self.done.add(part)
        while self.prefix in self.done:
            self.done.discard(self.prefix)
            self.prefix += 1
        self.sent += size
        self.sender.progress(self.sent)
        if time.monotonic() - self.marked_at >= 1.0:
            self.marked_at = time.monotonic()
            self.sender.marked(self.mark())

    def mark(self) -> Mark:
        """How far it is."""
        return msgspec.structs.replace(self.start, parts=self.prefix, at=time.time())

    def uploaded(self) -> Uploaded:
        """The finished file."""
        return Uploaded(
            self.start.file_id,
            self.total,
            self.piece.name,
            self.md5 is None,
            self.md5.hexdigest() if self.md5 is not None else "",
        )


def count_parts(size: int) -> int:
    """Parts of a file of so many bytes."""
    return -(-size // PART_SIZE)


def fresh_mark() -> Mark:
    """The mark of an upload that has not begun."""
    return Mark(secrets.randbits(62), new_random_id(), 0, time.time())
