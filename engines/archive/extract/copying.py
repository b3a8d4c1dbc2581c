"""Large members of a bare tar: the kernel copies them from file to file, in a thread beside the one that reads on.

Only those: handing small files to another thread was tried and cost more than it gained (15,000 files of 4 KB:
half as much again of system time, because the two wait for the interpreter's lock between any two system calls).
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from engines.archive.containment import Parts, cannot_make, finish
from engines.errors import TaskdeckError
from engines.filecopy import copied

_AT_ONCE: Final = 32  # files under way, each with an open descriptor
_PATIENCE: Final = 0.04  # seconds between two calls of `check` while it is the copier's turn


class Copy(msgspec.Struct, gc=False):
    """A file made and begun already: what is left of its data, and what it gets when it is whole."""

    member: int
    """The member's number in the archive."""
    name: str
    parts: Parts
    descriptor: int
    """Open for writing at the place where the rest belongs; the copier closes it."""
    source: int
    position: int
    count: int
    mode: int
    mtime_ns: int
    error: TaskdeckError | None = None
    """Why it is not whole, afterwards."""


class Copier:
    """Copies in a thread of its own, in the order given; the thread begins with the first file.

    Args:
        check: Called while too many files are under way; may raise to stop.
    """

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._slots = threading.Semaphore(_AT_ONCE)
        self._queue: queue.SimpleQueue[Copy | None] = queue.SimpleQueue()
        self._under_way: deque[int] = deque()
        self._failed: deque[Copy] = deque()
        self._halt = False
        self._thread: threading.Thread | None = None
        self._given = self._copied = 0  # bytes; each is counted by one thread only

    def add(self, copy: Copy) -> None:
        """Take over a file and its descriptor."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="copy", daemon=True)
            self._thread.start()
        self._under_way.append(copy.member)
        self._given += copy.count
        self._queue.put(copy)
        while not self._slots.acquire(timeout=_PATIENCE):
            self._check()

    @property
    def left(self) -> int:
        """Bytes that are still to be copied."""
        return self._given - self._copied

    def whole(self, reached: int) -> int:
        """How many of the members before number `reached` are whole, without a gap."""
        with_gaps = list(self._under_way)
        return min(reached, *with_gaps) if with_gaps else reached

    def failed(self) -> list[Copy]:
        """The files that could not be copied since the last call."""
        return [self._failed.popleft() for _ in range(len(self._failed))]

    def wait(self, tick: Callable[[], None]) -> None:
        """Wait until everything is copied; `tick` is called meanwhile and may raise to stop."""
        if self._thread is not None:
            self._queue.put(None)
            while self._thread.is_alive():
                self._thread.join(_PATIENCE)
                tick()

    def close(self) -> None:
        """End the thread; files that are under way stay as they are."""
        self._halt = True
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (copy := self._queue.get()) is not None:
            try:
                if not self._halt:
                    self._copy(copy)
                if not self._halt:
                    finish(copy.descriptor, copy.mode, copy.mtime_ns)
            except OSError as error:
                copy.error = cannot_make(copy.parts, error)
            except TaskdeckError as error:
                copy.error = error
            finally:
                os.close(copy.descriptor)
            if copy.error is not None:
                self._failed.append(copy)
            if not self._halt:
                self._under_way.popleft()
            self._slots.release()

    def _copy(self, copy: Copy) -> None:
        left = copy.count
        for step in copied(copy.source, copy.descriptor, copy.position, copy.count):
            left -= step
            self._copied += step
            if self._halt:
                return
        if left:
            raise TaskdeckError(
                "archive.damaged",
                "cannot unpack the archive",
                "it became shorter while it was read",
                "get it again",
            )
