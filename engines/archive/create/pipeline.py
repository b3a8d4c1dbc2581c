"""Ordered parallel work: many threads compress, one thread writes in the order of submission."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final, TypeVar

T = TypeVar("T")

_POLL: Final = 0.02
"""Seconds between looks at `check` while waiting: a cancel must take effect within 100 ms."""


def thread_count(setting: int) -> int:
    """Threads to use: the setting, or one for each core this process may run on."""
    return setting or len(os.sched_getaffinity(0))


class Pipeline:
    """Runs work in threads and hands results to `then` functions in order, in the thread that submits.

    Args:
        threads: Worker threads.
        budget: Bytes of input that may be under way; submitting more first waits for the oldest.
        check: Called at least every 20 ms of waiting; may raise.
    """

    def __init__(self, threads: int, budget: int, check: Callable[[], None]) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pack")
        self._least = threads + 1
        self._budget = budget
        self._check = check
        self._queue: deque[tuple[Future[Any] | None, Callable[[Any], None], int]] = deque()
        self._weight = 0

    def widen(self) -> None:
        """Take one thread more, before anything is submitted: it gets work ready while programs do that of others."""
        self._pool = ThreadPoolExecutor(self._threads + 1, thread_name_prefix="pack")

    def submit(self, work: Callable[[], T], then: Callable[[T], None], weight: int) -> None:
        """Run `work` in a thread and later `then` with its result here; `weight` is the bytes it holds."""
        while len(self._queue) > self._least and self._weight + weight > self._budget:
            self._take()
        self._queue.append((self._pool.submit(work), then, weight))
        self._weight += weight
        while self._queue and self._ready():
            self._take()
        self._check()

    def then(self, action: Callable[[], None]) -> None:
        """Run `action` here once everything submitted before is done."""
        if not self._queue:
            action()
        else:
            self._queue.append((None, lambda _: action(), 0))

    def drain(self) -> None:
        """Wait for everything submitted."""
        while self._queue:
            self._take()

    def close(self, *, wait: bool) -> None:
        """Drop what is left; `wait` for threads at work."""
        self._queue.clear()
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def _ready(self) -> bool:
        future = self._queue[0][0]
        return future is None or future.done()

    def _take(self) -> None:
        self._check()  # results that are all ready must not be written past a stop
        future, then, weight = self._queue[0]
        result = None
        if future is not None:
            while not future.done():
                self._check()
                try:
                    future.exception(_POLL)
                except FutureTimeoutError:
                    continue
            result = future.result()
        self._queue.popleft()
        self._weight -= weight
        then(result)
