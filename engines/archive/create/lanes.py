"""Helper processes that pack batches of small files.

What a small file costs is spent in the interpreter, and threads of one process take turns there: two of them were no
faster than one, and slower with every system call that hands the lock over. So the process is forked once the tree is
listed. A helper knows the listing and the open folders; it is told which entries to pack, lays them out in memory it
shares with its parent, and answers with what became of each. It does nothing else, and it ends with its parent.

A helper that dies (out of memory) costs nothing but time: its batch is packed by a thread.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from concurrent.futures import CancelledError
from mmap import mmap
from queue import Empty, LifoQueue, SimpleQueue
from typing import Final, NoReturn

from engines.archive import forking
from engines.archive.create.space import NoRoomError, Space
from engines.filecopy import write_all

FEWEST = 400
"""Entries from which helpers are worth their start (about 3 ms each)."""
MOST: Final = 16
"""Helpers, however many cores there are."""

_WAITING: Final = 7
"""Batches that may wait to be written. Most often it is one; memory for others is not touched before it is needed."""

_REQUEST: Final = struct.Struct("<III")
_REPLY: Final = struct.Struct("<II")
_FULL: Final = 0xFFFFFFFF

Work = Callable[[int, int, Space], bytes]
"""Packs the entries from a number up to another into a space; what became of them, encoded."""


def possible(entries: int) -> bool:
    """Whether helpers can be forked here and are worth it."""
    return entries >= FEWEST and forking.possible()


class _Lane:
    """One helper, from its parent's side."""

    def __init__(self, pid: int, requests: int, replies: int) -> None:
        self.pid = pid
        self.requests = requests
        self.replies = replies

    def ask(self, first: int, last: int, slot: int) -> tuple[int, bytes] | None:
        """Have a batch packed; bytes in the slot and the answer, None when it does not fit or the helper is gone."""
        try:
            os.write(self.requests, _REQUEST.pack(first, last, slot))
            head = self._read(_REPLY.size)
            length, size = _REPLY.unpack(head)
            return None if length == _FULL else (length, self._read(size))
        except (OSError, EOFError):
            return None

    def _read(self, size: int) -> bytes:
        parts = []
        while size:
            part = os.read(self.replies, size)
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def __del__(self) -> None:
        os.close(self.requests)
        os.close(self.replies)


class Lanes:
    """Helper processes and the memory they share with this one.

    Args:
        count: Helpers.
        size: Bytes that a packed batch may take.
        work: What they do; runs in the helpers.
    """

    def __init__(self, count: int, size: int, work: Work) -> None:
        count = min(count, MOST)
        slots = 2 * count + _WAITING
        self._work = work
        self._spaces = [Space(mmap(-1, size), fixed=True) for _ in range(slots)]
        self._free: LifoQueue[int | None] = LifoQueue()
        for slot in range(slots):
            self._free.put(slot)
        self._idle: SimpleQueue[_Lane] = SimpleQueue()
        self._lanes: list[_Lane] = []
        for _ in range(count):
            lane = self._start()
            self._lanes.append(lane)
            self._idle.put(lane)

    def run(self, first: int, last: int) -> tuple[Space, bytes] | None:
        """Have a batch packed by a helper; None when it must be done here. For threads.

        Raises:
            CancelledError: The helpers were closed.
        """
        try:
            lane = self._idle.get_nowait()
        except Empty:
            return None
        slot = self._free.get()
        if slot is None:
            raise CancelledError
        space = self._spaces[slot]
        answer = lane.ask(first, last, slot)
        if answer is None:
            self._free.put(slot)
            return None  # a helper that failed once is not asked again
        self._idle.put(lane)
        space.length, body = answer
        return space, body

    def release(self, space: Space) -> bool:
        """Let a space be used again; False when it is none of these."""
        for slot, mine in enumerate(self._spaces):
            if mine is space:
                self._free.put(slot)
                return True
        return False

    def dismiss(self) -> None:
        """End the helpers without waiting for it: no batch will come any more, and all are packed."""
        forking.kill([lane.pid for lane in self._lanes])

    def close(self) -> None:
        """End the helpers; threads that wait for one go on."""
        forking.end([lane.pid for lane in self._lanes])
        for _ in self._lanes:
            self._free.put(None)
        self._lanes.clear()

    def _start(self) -> _Lane:
        requests, ask = os.pipe()
        answer, replies = os.pipe()
        foreign = (ask, answer, *(fd for lane in self._lanes for fd in (lane.requests, lane.replies)))
        pid = forking.fork(lambda: self._serve(requests, replies), foreign)
        os.close(requests)
        os.close(replies)
        return _Lane(pid, ask, answer)

    def _serve(self, requests: int, replies: int) -> NoReturn:
        """The life of a helper."""
        while True:
            request = os.read(requests, _REQUEST.size)
            if len(request) < _REQUEST.size:
                os._exit(0)
            first, last, slot = _REQUEST.unpack(request)
            space = self._spaces[slot]
            space.length = 0
            try:
                body = self._work(first, last, space)
                answer = _REPLY.pack(space.length, len(body)) + body
            except NoRoomError:
                answer = _REPLY.pack(_FULL, 0)
            write_all(replies, answer)
