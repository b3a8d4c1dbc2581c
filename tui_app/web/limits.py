"""How often, how long, how many: attempts to sign in, and connections whose other side stopped reading."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from engines.errors import TaskdeckError

ATTEMPTS: Final = 5
"""Failed attempts from one address before it has to wait."""
ATTEMPTS_OF_ALL: Final = 60
"""Failed attempts from everywhere before everybody has to wait."""
WINDOW: Final = 60.0
_ADDRESSES: Final = 4096


class Attempts:
    """Counts failed attempts in a sliding window, for each address and for all together."""

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque(maxlen=ATTEMPTS_OF_ALL)

    def wait(self, address: str) -> float:
        """Seconds this address has to wait; 0 when it may try."""
        own = self._by_address.get(address)
        waits = [self._left(own, ATTEMPTS) if own else 0.0, self._left(self._all, ATTEMPTS_OF_ALL)]
        return max(waits)

    def failed(self, address: str) -> None:
        """Count a failure."""
        now = self._now()
        self._by_address.setdefault(address, deque(maxlen=ATTEMPTS)).append(now)
        self._by_address.move_to_end(address)
        if len(self._by_address) > _ADDRESSES:
            self._by_address.popitem(last=False)
        self._all.append(now)

    def _left(self, times: deque[float], most: int) -> float:
        if len(times) < most:
            return 0.0
        return max(0.0, times[0] + WINDOW - self._now())


class RateLimitError(TaskdeckError):
    """`access.rate`, with the seconds after which to try again."""

    def __init__(self, what: str, wait: float) -> None:
        self.retry_after = max(1, round(wait + 0.5))
        super().__init__("access.rate", what, "there were too many attempts", f"try again in {self.retry_after} s")


class Flights:
    """Which credential each open connection was used with last: revoking it cuts what it has open.

    An answer is written, and a live connection stands, long after its handler's middleware is through; so the
    note stays until the connection is closed.
    """

    def __init__(self) -> None:
        self._last: dict[asyncio.Transport, str] = {}

    def note(self, credential: str, transport: asyncio.Transport | None) -> None:
        """A request with this credential came over this connection."""
        if transport is not None:
            self._last[transport] = credential

    def release(self, transport: asyncio.Transport | None) -> None:
        """This connection is not cut: it carries the answer about the end of its own credential."""
        if transport is not None:
            self._last.pop(transport, None)

    def transports(self) -> list[asyncio.Transport]:
        """All open connections of somebody who is signed in."""
        return [transport for transport in self._last if not transport.is_closing()]

    def sweep(self) -> None:
        """Forget closed connections."""
        self._last = {key: value for key, value in self._last.items() if not key.is_closing()}

    def cut(self, credential: str) -> None:
        """Close every connection that was used with this credential last, at once."""
        for transport in [key for key, value in self._last.items() if value == credential]:
            del self._last[transport]
            transport.abort()


class StuckWatch:
    """Finds connections that have something to send and whose other side takes nothing.

    aiohttp waits for ever for such a client when it answers an ordinary request; only `abort` frees the
    connection (`close` waits for the flush).
    """

    def __init__(self, seconds: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._since: dict[asyncio.Transport, tuple[int, float]] = {}

    def look(self, transports: list[asyncio.Transport]) -> int:
        """Look at all open connections once; how many were cut."""
        now, cut = self._now(), 0
        seen: dict[asyncio.Transport, tuple[int, float]] = {}
        for transport in transports:
            waiting = transport.get_write_buffer_size()
            if not waiting:
                continue
            before, since = self._since.get(transport, (0, now))
            if before != waiting:
                since = now
            if now - since > self._seconds:
                transport.abort()
                cut += 1
            else:
                seen[transport] = (waiting, since)
        self._since = seen
        return cut
