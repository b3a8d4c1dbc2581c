"""What happens by the clock: starts that were put off, pauses that end, frozen jobs that give their memory back."""

from __future__ import annotations

import heapq

from engines.text import clock as clock_words


def until_words(seconds: float) -> str:
    """ "in 45 s", "in 00:12:00"."""
    return f"in {max(1, round(seconds))} s" if seconds < 100 else f"in {clock_words(seconds)}"


class Timers:
    """Moments at which tasks want to be looked at; asking costs nothing while none is due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []

    def add(self, moment: float, task_id: str) -> None:
        """Look at the task then; looking twice does no harm."""
        heapq.heappush(self._heap, (moment, task_id))

    def due(self, now: float) -> list[str]:
        """Tasks whose moment has come."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            found.append(heapq.heappop(self._heap)[1])
        return found
