"""Speed and time left from progress reports, with paused time excluded."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW: Final = 8.0
"""Seconds the speed is averaged over: long enough to be calm, short enough to follow a change."""
_HISTORY: Final = 300


class SpeedMeter:
    """Windowed speed of one task. Times are seconds of any clock that only moves forward."""

    __slots__ = ("_last_tick", "_samples", "history")

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self.history: deque[float] = deque(maxlen=_HISTORY)
        """One speed a second, oldest first."""
        self._last_tick = 0.0

    def add(self, now: float, done: int) -> None:
        """Note how much was done by now. Work taken back (a restart) begins anew."""
        if self._samples and done < self._samples[-1][1]:
            self._samples.clear()
        self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[1][0] >= WINDOW:
            self._samples.popleft()

    def stop(self) -> None:
        """The task stands still from now on (paused, ended): forget the window, keep the history."""
        self._samples.clear()

    def tick(self, now: float) -> None:
        """Add to the history, at most once a second."""
        if now - self._last_tick >= 1.0:
            self._last_tick = now
            self.history.append(round(self.speed(now), 1))

    def speed(self, now: float) -> float:
        """Units per second over the last `WINDOW` seconds; sinks to 0 when nothing moves."""
        if len(self._samples) < 2:
            return 0.0
        first_at, first = self._samples[0]
        last_at, last = self._samples[-1]
        if now - last_at >= WINDOW:
            return 0.0
        # A job that reports rarely must not look faster than it is, nor stall at its last speed.
        span = max(last_at - first_at, now - first_at if now - last_at > 1.0 else 0.0)
        return (last - first) / span if span > 0 else 0.0

    def eta(self, now: float, done: int, total: int | None) -> float | None:
        """Seconds left, None while unknown."""
        speed = self.speed(now)
        if total is None or speed <= 0:
            return None
        return max(0.0, (total - done) / speed)
