"""Batches of members worked on at once, in threads or in forked processes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from engines.archive.extract import forked
from engines.archive.extract.run import Run

T = TypeVar("T")

_TICK: Final = 0.02


def work_through(
    run: Run,
    batches: Sequence[T],
    work: Callable[[T, threading.Event], None],
    tick: Callable[[int], None],
    lane: Callable[[T], int],
    *,
    members: int,
) -> None:
    """Work on all batches at once: in forked processes where that is possible and worth it, else in threads.

    Args:
        work: Takes a batch and an event that asks it to stop; faults of members it takes to `Run.spoiled`.
        tick: Called about 50 times a second with the number of batches before the first unfinished one; may raise.
        lane: See `Threads`.
        members: How many there are in all batches together.

    Raises:
        BaseException: Whatever a batch or `tick` raised first.
    """
    left = list(range(len(batches)))
    if forked.possible(members):
        left = forked.Forked(run, batches, work).run(tick)
        if left and len(left) < len(batches):
            run.job.log("a process that unpacked was ended from outside: going on without it", level="warning")
            run.tree.replace = True  # the files it had begun
    if left:
        done = left[0]
        rest = [batches[at] for at in left]
        Threads(rest, work, run.threads, [lane(batch) for batch in rest]).run(lambda count: tick(done + count))


class Threads(Generic[T]):
    """Runs batches of members in threads, in order of start, and knows up to where all are done.

    The calling thread only watches: it calls `tick(committed)` about 50 times a second, which may raise to stop.
    The first error of a batch ends the others at their next step.

    Args:
        lanes: 0 or 1 for each batch. Every second thread prefers the other lane: one that spends its time in
            Python and one that spends it in codecs work side by side, where two of the first kind would only
            wait for each other's GIL (measured: no gain at all from a second thread for small members).
    """

    def __init__(
        self,
        batches: Sequence[T],
        work: Callable[[T, threading.Event], None],
        threads: int,
        lanes: Sequence[int] | None = None,
    ) -> None:
        self._batches = batches
        self._work = work
        self._lock = threading.Lock()
        self._waiting: tuple[deque[int], deque[int]] = (deque(), deque())
        for number in range(len(batches)):
            self._waiting[lanes[number] if lanes else 0].append(number)
        self._prefix = 0
        self._finished: set[int] = set()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = max(1, min(threads, len(batches)))

    def run(self, tick: Callable[[int], None]) -> None:
        """Work until all is done.

        Raises:
            BaseException: Whatever a batch or `tick` raised first.
        """
        pool = [
            threading.Thread(target=self._loop, args=(n % 2,), name=f"unpack-{n}", daemon=True)
            for n in range(self._threads)
        ]
        for thread in pool:
            thread.start()
        try:
            while any(thread.is_alive() for thread in pool):
                self._wake.wait(_TICK)
                self._wake.clear()
                tick(self._prefix)
        except BaseException:
            self._stop.set()
            raise
        finally:
            for thread in pool:
                thread.join()
        if self._errors:
            raise self._errors[0]
        tick(self._prefix)

    def _take(self, lane: int) -> int | None:
        with self._lock:
            for waiting in (self._waiting[lane], self._waiting[1 - lane]):
                if waiting:
                    return waiting.popleft()
        return None

    def _loop(self, lane: int) -> None:
        try:
            while not self._stop.is_set():
                number = self._take(lane)
                if number is None:
                    return
                self._work(self._batches[number], self._stop)
                if not self._stop.is_set():
                    self._done(number)
        except BaseException as error:  # given to the thread that waits
            self._errors.append(error)
            self._stop.set()
        finally:
            self._wake.set()

    def _done(self, number: int) -> None:
        with self._lock:
            self._finished.add(number)
            while self._prefix in self._finished:
                self._finished.discard(self._prefix)
                self._prefix += 1
