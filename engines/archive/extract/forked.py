"""Batches of members unpacked by forked processes.

What a small member costs is spent in the interpreter and in short system calls, and threads of one process take turns
at that. So, once it is known what is to be done, the process forks: every child knows the whole plan and holds the
open folders, takes numbers of batches from one pipe, writes the members itself and reports through a pipe of its own
what became of them. The parent counts, saves checkpoints and asks the job whether to stop; ending the children takes
a millisecond, whatever they do.
"""

from __future__ import annotations

import os
import pickle
import select
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from mmap import mmap
from typing import Final, Generic, NoReturn, TypeVar

import msgspec

from engines.archive import forking
from engines.archive.extract.run import Run, Trouble
from engines.archive.limits import Budget
from engines.errors import TaskdeckError
from engines.filecopy import write_all

T = TypeVar("T")

FEWEST: Final = 400
"""Members from which children are worth their start (3 to 5 ms each)."""
_MOST: Final = 16
_TICK: Final = 5  # milliseconds between two looks at whether to stop
_NUMBER: Final = struct.Struct("<I")
_QUEUED: Final = 8192  # bytes: every batch number up to here fits a pipe at once


def possible(members: int) -> bool:
    """Whether it can be done here and is worth it."""
    return members >= FEWEST and forking.possible()


class _Done(msgspec.Struct):
    """What became of one batch."""

    number: int
    files: int
    broken: list[Trouble]
    broken_count: int


class _Told(Budget):
    """A child's own count of bytes, told to its parent through shared memory."""

    def __init__(self, budget: Budget, cells: memoryview, index: int) -> None:
        super().__init__(budget.limits, budget.folder)
        self._cells = cells
        self._index = index

    def spend(self, count: int) -> None:
        super().spend(count)
        self.tell()

    def note(self, count: int) -> None:
        super().note(count)
        self.tell()

    def tell(self) -> None:
        """Say how much it is."""
        self._cells[self._index] = self.written


class _Child:
    """A child as its parent sees it."""

    def __init__(self, pid: int, reports: int) -> None:
        self.pid = pid
        self.reports = reports
        self.buffer = b""

    def read(self) -> list[object]:
        """What it has reported since the last call."""
        with suppress(BlockingIOError):
            while block := os.read(self.reports, 1 << 16):
                self.buffer += block
        found: list[object] = []
        while len(self.buffer) >= _NUMBER.size:
            end = _NUMBER.size + _NUMBER.unpack_from(self.buffer)[0]
            if len(self.buffer) < end:
                break
            found.append(pickle.loads(self.buffer[_NUMBER.size : end]))  # noqa: S301 - written by our own fork
            self.buffer = self.buffer[end:]
        return found


class Forked(Generic[T]):
    """Works on batches in children, in order of start, and knows up to where all are done.

    Args:
        work: Unpacks a batch; runs in the children.
    """

    def __init__(self, run: Run, batches: Sequence[T], work: Callable[[T, threading.Event], None]) -> None:
        self._run = run
        self._batches = batches
        self._work = work
        self._finished: set[int] = set()
        self._prefix = 0
        self._give = -1
        self._given = 0
        self._base = run.budget.written
        self._count = max(1, min(run.threads, len(batches), _MOST))
        self._cells = memoryview(mmap(-1, 8 * self._count)).cast("Q")
        self._children: list[_Child] = []

    def run(self, tick: Callable[[int], None]) -> list[int]:
        """Work until all is done, `tick(committed)` called meanwhile; it may raise to stop.

        Returns:
            The numbers of batches left undone because a child was ended by somebody else (out of memory, say).

        Raises:
            BaseException: Whatever a batch or `tick` raised first.
        """
        taken, self._give = os.pipe()
        os.set_blocking(self._give, False)
        try:
            for index in range(self._count):
                self._children.append(self._fork(index, taken))
        except OSError as error:  # as many processes as this user may have
            if not self._children:
                os.close(taken)
                self._end()
                self._run.job.log(f"unpacking in one process: {error.strerror}", level="warning")
                return list(range(len(self._batches)))
        os.close(taken)
        try:
            with suppress(BrokenPipeError):  # all of them have ended
                self._supervise(tick)
        finally:
            self._end()
        self._collect()
        tick(self._prefix)
        return [at for at in range(self._prefix, len(self._batches)) if at not in self._finished]

    def _supervise(self, tick: Callable[[int], None]) -> None:
        run, poll = self._run, select.poll()
        for child in self._children:
            poll.register(child.reports, 0)  # wakes when the child has ended
        alive = len(self._children)
        while alive:
            self._feed()
            for descriptor, _ in poll.poll(_TICK):
                poll.unregister(descriptor)
                alive -= 1
            self._collect()
            run.budget.spend(0)  # the limit on all bytes is for the children together
            tick(self._prefix)

    def _feed(self) -> None:
        """Put the next numbers into the pipe; it ends behind the last one."""
        if self._give < 0:
            return
        numbers = range(self._given, min(len(self._batches), self._given + _QUEUED // _NUMBER.size))
        with suppress(BlockingIOError):
            self._given += os.write(self._give, b"".join(map(_NUMBER.pack, numbers))) // _NUMBER.size
        if self._given == len(self._batches):
            self._close_queue()

    def _close_queue(self) -> None:
        if self._give >= 0:
            os.close(self._give)
            self._give = -1

    def _collect(self) -> None:
        run = self._run
        failure: BaseException | None = None
        for child in self._children:
            for report in child.read():
                if isinstance(report, _Done):
                    self._take(report)
                elif isinstance(report, BaseException):
                    failure = failure or report
        run.budget.written = self._base + sum(self._cells)
        if failure is not None:
            raise failure

    def _take(self, report: _Done) -> None:
        self._run.wrote(report.files)
        self._run.broken += report.broken
        self._run.broken_count += report.broken_count
        self._finished.add(report.number)
        while self._prefix in self._finished:
            self._finished.discard(self._prefix)
            self._prefix += 1

    def _end(self) -> None:
        self._close_queue()
        forking.end([child.pid for child in self._children])

    def __del__(self) -> None:
        for child in self._children:
            os.close(child.reports)

    def _fork(self, index: int, taken: int) -> _Child:
        reports, report = os.pipe()
        foreign = (self._give, reports, *(child.reports for child in self._children))
        try:
            pid = forking.fork(lambda: self._serve(index, taken, report), foreign)
        except OSError:
            os.close(reports)
            raise
        finally:
            os.close(report)
        os.set_blocking(reports, False)
        return _Child(pid, reports)

    def _serve(self, index: int, taken: int, report: int) -> NoReturn:
        """The life of a child."""
        run, stop = self._run, threading.Event()
        run.budget = budget = _Told(run.budget, self._cells, index)
        while len(number := os.read(taken, _NUMBER.size)) == _NUMBER.size:
            run.files = run.broken_count = 0
            run.broken = []
            at = _NUMBER.unpack(number)[0]
            answer: object
            try:
                self._work(self._batches[at], stop)
                answer = _Done(at, run.files, run.broken, run.broken_count)
            except TaskdeckError as error:
                answer = error
            except BaseException as error:
                answer = RuntimeError(repr(error))
            budget.tell()
            body = pickle.dumps(answer)
            write_all(report, _NUMBER.pack(len(body)) + body)
            if not isinstance(answer, _Done):
                break
        os._exit(0)
