"""Ordered parallel work: many threads compress, one thread writes in the order of submission."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

_MOST: Final = 64
"""Tasks that wait for their turn; each may hold a descriptor."""
_BEHIND: Final = 8 << 20
"""Bytes that may be under way behind a task that is not done by the pipeline's threads: they need not wait with it."""
_POLL: Final = 0.02
"""Seconds between looks at `check` while waiting: a cancel must take effect within 100 ms."""


def thread_count(setting: int) -> int:
    """Threads to use: the setting, or one for each core this process may run on."""
    return setting or len(os.sched_getaffinity(0))


class _Task(msgspec.Struct):
    """Something under way, or waiting for its turn (`begin`)."""

    then: Callable[[Any], None]
    weight: int = 0
    future: Future[Any] | None = None
    begin: Callable[[], Future[Any]] | None = None
    pooled: bool = False
    """Whether a thread of the pipeline does it."""

    @property
    def done(self) -> bool:
        """Whether nothing of it is under way."""
        return self.future is None or self.future.done()


class Pipeline:
    """Runs work in threads and hands results to `then` functions in order, in the thread that submits.

    Args:
        threads: Worker threads.
        budget: Bytes of input that may be under way; submitting more first waits for the oldest.
        check: Called at least every 20 ms of waiting; may raise.
        meanwhile: Something to do a little of instead of waiting; False when nothing is left.
    """

    def __init__(
        self, threads: int, budget: int, check: Callable[[], None], meanwhile: Callable[[], bool] = bool
    ) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pack")
        self._least = threads + 1
        self._budget = budget
        self._check = check
        self._meanwhile = meanwhile
        self._queue: deque[_Task] = deque()
        self._weight = 0

    def widen(self) -> None:
        """Take one thread more, before anything is submitted: it gets work ready while programs do that of others."""
        self._pool = ThreadPoolExecutor(self._threads + 1, thread_name_prefix="pack")

    def submit(self, work: Callable[[], T], then: Callable[[T], None], weight: int) -> None:
        """Run `work` in a thread and later `then` with its result here; `weight` is the bytes it holds."""
        self._make_room(weight)
        self._queue.append(_Task(then, weight, self._pool.submit(work), pooled=True))
        self.take_ready()

    def follow(self, begin: Callable[[], Future[T]], then: Callable[[T], None]) -> None:
        """Begin something here once everything submitted before is done, and later run `then` with what came of it."""
        while len(self._queue) >= _MOST:
            self._take()
        self._queue.append(_Task(then, begin=begin))
        self.take_ready()

    def then(self, action: Callable[[], None]) -> None:
        """Run `action` here once everything submitted before is done."""
        if self._queue:
            self._queue.append(_Task(lambda _: action()))
        else:
            action()

    def take_ready(self) -> None:
        """Hand over what is done by now."""
        while self._queue and self._ready():
            self._take()
        self._check()

    def rest(self) -> None:
        """Wait until no thread of the pipeline is at work."""
        for task in self._queue:
            while task.pooled and not task.done:
                self._check()
                _wait(task.future)

    def drain(self, resting: Callable[[], None] | None = None) -> None:
        """Wait for everything submitted; `resting` is called once no thread is at work any more."""
        while self._queue:
            if resting is not None and all(not task.pooled or task.done for task in self._queue):
                resting()
                resting = None
            self._take()

    def close(self, *, wait: bool) -> None:
        """Drop what is left; `wait` for threads at work."""
        self._queue.clear()
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def _make_room(self, weight: int) -> None:
        while len(self._queue) > self._least:
            budget = self._budget if self._queue[0].pooled else max(self._budget, _BEHIND)
            if self._weight + weight <= budget:
                break
            self._take()
        self._weight += weight

    def _ready(self) -> bool:
        """Whether the first in the queue is done; it is begun if it only waited for its turn."""
        first = self._queue[0]
        if first.begin is not None:
            first.future, first.begin = first.begin(), None
        return first.done

    def _take(self) -> None:
        self._check()  # results that are all ready must not be written past a stop
        while not self._ready():
            self._check()
            if not self._meanwhile():
                _wait(self._queue[0].future)
        first = self._queue.popleft()
        self._weight -= first.weight
        first.then(None if first.future is None else first.future.result())


def _wait(future: Future[Any] | None) -> None:
    """Wait a moment; an error in it is told when it is taken."""
    if future is not None:
        with suppress(FutureTimeoutError):
            future.exception(_POLL)
