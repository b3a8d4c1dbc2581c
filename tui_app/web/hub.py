"""One watch for all browsers that look at the same window: each change is computed and encoded once.

A thousand pages with the same view cost one look at the tasks and one encoding a tick, plus one write each. A
client whose connection is full is skipped; when it has room again it gets the whole window as it is then, and
what ended meanwhile. Nothing here ever waits for a client to read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from engines.errors import TaskdeckError
from engines.model import Stats, TaskView
from engines.tasks.api import Tasks, Update, Watch, Watcher
from tui_app import wire
from tui_app.web.guide_feed import BUSY

_LOG = logging.getLogger(__name__)
_ENCODER: Final = msgspec.json.Encoder()
_YIELD_EVERY: Final = 50
_LOOK_AGAIN: Final = 0.05
_ENDED_LIMIT: Final = 100

Send = Callable[[bytes], Awaitable[None]]


class Hub:
    """All shared watches of a server. `stuck_after`: seconds a full connection may stand still."""

    def __init__(self, tasks: Tasks, stuck_after: float) -> None:
        self._tasks = tasks
        self.stuck_after = stuck_after
        self._shared: dict[Watch, SharedWatch] = {}

    async def join(self, watch: Watch, number: int, send: Send, transport: asyncio.Transport) -> Line:
        """Subscribe a client; its first message is the complete window.

        Raises:
            TaskdeckError: as `Tasks.watch`.
        """
        line = Line(self, number, send, transport)
        await line.change(watch)
        return line

    async def shared(self, watch: Watch) -> SharedWatch:
        """The watch everybody with this view shares."""
        while watch not in self._shared:
            watcher = await self._tasks.watch(watch)
            if watch not in self._shared:
                self._shared[watch] = SharedWatch(self, watch, watcher)
            else:  # another client came first while we waited
                await watcher.close()
        return self._shared[watch]

    def forget(self, watch: Watch, shared: SharedWatch) -> None:
        """Nobody looks at this view any more; another watch of the same view stays."""
        if self._shared.get(watch) is shared:
            del self._shared[watch]

    async def close(self) -> None:
        """End all watches."""
        for shared in list(self._shared.values()):
            await shared.close()


class Line:
    """One client's subscription."""

    __slots__ = ("_hub", "ended", "left", "missed", "number", "send", "shared", "since", "transport")

    def __init__(self, hub: Hub, number: int, send: Send, transport: asyncio.Transport) -> None:
        self._hub = hub
        self.number = number
        self.send = send
        self.transport = transport
        self.shared: SharedWatch | None = None
        self.missed = False
        self.ended: list[TaskView] = []
        self.left = 0
        self.since = 0.0

    async def change(self, watch: Watch) -> None:
        """Look at another window."""
        shared = await self._hub.shared(watch)
        before, self.shared = self.shared, shared
        shared.add(self)  # first: whoever has no reader ends, and the window asked for may be the one looked at
        if before is not None and before is not shared:
            await before.drop(self)

    async def close(self) -> None:
        """End the subscription."""
        shared, self.shared = self.shared, None
        if shared is not None:
            await shared.drop(self)

    def is_full(self, now: float) -> bool:
        """Whether the connection has no room; one that stands still for too long is cut."""
        left = self.transport.get_write_buffer_size()
        if left <= BUSY:
            return False
        if not self.missed or left < self.left:
            self.since = now
        elif now - self.since > self._hub.stuck_after:
            _LOG.warning("a live client stopped reading; its connection is cut")
            self.transport.abort()
        self.left = left
        return True


class SharedWatch:
    """One window on the tasks, and everybody who looks through it."""

    def __init__(self, hub: Hub, watch: Watch, watcher: Watcher) -> None:
        self._hub = hub
        self._watch = watch
        self._watcher = watcher
        self._lines: dict[Line, None] = {}
        self._views: dict[str, TaskView] = {}
        self._ids: list[str] = []
        self._rev = self._total = self._offset = 0
        self._stats: Stats | None = None
        self._primed = False
        self._whole: bytes | None = None
        self._catching_up: asyncio.Task[None] | None = None
        self._pump = asyncio.create_task(self._run(), name="shared-watch")

    def add(self, line: Line) -> None:
        """Take a client in."""
        self._lines[line] = None
        if self._primed:
            line.missed = True
            self._catch_up_soon(at_once=True)

    async def drop(self, line: Line) -> None:
        """Let a client go; the last one ends the watch."""
        self._lines.pop(line, None)
        if not self._lines:
            await self.close()

    async def close(self) -> None:
        """End the watch."""
        self._hub.forget(self._watch, self)
        for task in (self._pump, self._catching_up):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        await self._watcher.close()

    async def _run(self) -> None:
        try:
            async for update in self._watcher:
                self._apply(update)
                self._primed = True
                await self._publish(update)
        except TaskdeckError as error:
            for line in list(self._lines):
                await self._send(line, _ENCODER.encode(wire.WatchFailed(line.number, error.info)))
        except Exception:
            _LOG.exception("a shared watch failed")
            for line in list(self._lines):
                line.transport.abort()
        finally:
            self._hub.forget(self._watch, self)

    def _apply(self, update: Update) -> None:
        self._rev, self._total, self._offset = update.rev, update.total, update.offset
        views = self._views
        for row in update.rows:
            views[row.id] = row
        for tick in update.ticks:
            if tick.id in views:
                views[tick.id] = tick.over(views[tick.id])
        if update.ids is not None:
            self._ids = update.ids
            self._views = {key: views[key] for key in update.ids if key in views}
        self._stats = update.stats or self._stats
        self._whole = None

    async def _publish(self, update: Update) -> None:
        raw = _ENCODER.encode(update)
        now = time.monotonic()
        for count, line in enumerate(list(self._lines), 1):
            if line.missed or line.is_full(now):
                line.missed = True
                line.ended = [*line.ended, *update.ended][-_ENDED_LIMIT:]
            else:
                await self._send(line, _frame(line.number, raw))
            if count % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        if any(line.missed for line in self._lines):
            self._catch_up_soon()

    def _catch_up_soon(self, *, at_once: bool = False) -> None:
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._catch_up(at_once), name="shared-watch-catch-up")

    async def _catch_up(self, at_once: bool) -> None:
        """Give clients that were skipped, or came late, the window as it is now, once they have room."""
        while True:
            if not at_once:
                await asyncio.sleep(_LOOK_AGAIN)
            at_once = False
            now = time.monotonic()
            behind = [line for line in self._lines if line.missed]
            if not behind:
                return
            for count, line in enumerate(behind, 1):
                if line.transport.is_closing():
                    self._lines.pop(line, None)
                elif not line.is_full(now):
                    ended, line.ended, line.missed = line.ended, [], False
                    raw = self._snapshot() if not ended else self._encoded(ended)
                    await self._send(line, _frame(line.number, raw))
                if count % _YIELD_EVERY == 0:
                    await asyncio.sleep(0)

    def _snapshot(self) -> bytes:
        if self._whole is None:
            self._whole = self._encoded([])
        return self._whole

    def _encoded(self, ended: list[TaskView]) -> bytes:
        rows = [self._views[key] for key in self._ids if key in self._views]
        return _ENCODER.encode(Update(self._rev, self._total, self._offset, self._ids, rows, [], self._stats, ended))

    async def _send(self, line: Line, frame: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await line.send(frame)


def _frame(number: int, update: bytes) -> bytes:
    """An `Updated` message round an update that is encoded already."""
    return b'{"type":"update","id":%d,"update":%b}' % (number, update)
