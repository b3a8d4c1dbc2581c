"""The TUI's line to the task engine: connects after the first frame, watches a window, comes back by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from engines.errors import TaskdeckError
from engines.tasks.api import Tasks, Update, Watch, Watcher

Connect = Callable[[], Awaitable[Tasks]]

FIRST_DELAY: Final = 0.25
LONGEST_DELAY: Final = 5.0


class LinkState(msgspec.Struct, frozen=True):
    """Whether we are attached; `reason` says why not."""

    up: bool = False
    reason: str = ""
    tried: int = 0


class Link:
    """Keeps one subscription alive.

    Args:
        connect: Gives the engine; called anew after every loss.
        on_update: Called with every update; `fresh` marks the first, complete one of a subscription.
        on_state: Called when the connection comes up or is lost.
    """

    def __init__(
        self,
        connect: Connect,
        on_update: Callable[[Update, bool], None],
        on_state: Callable[[LinkState], None],
        *,
        first_delay: float = FIRST_DELAY,
    ) -> None:
        self._connect = connect
        self._on_update = on_update
        self._on_state = on_state
        self._first_delay = first_delay
        self._tasks: Tasks | None = None
        self._watcher: Watcher | None = None
        self._hurry = asyncio.Event()
        self.watch = Watch()
        self.state = LinkState()

    @property
    def tasks(self) -> Tasks:
        """The engine.

        Raises:
            TaskdeckError: `daemon.absent` while the connection is down.
        """
        if self._tasks is None:
            raise TaskdeckError(
                "daemon.absent",
                "cannot reach the task engine",
                self.state.reason or "the connection is not up yet",
                "it is tried again by itself",
            )
        return self._tasks

    def change(self, watch: Watch) -> Awaitable[None]:
        """Watch another window, now and after every reconnection; what is returned tells the engine when awaited."""
        self.watch = watch
        return self._tell(watch)

    async def _tell(self, watch: Watch) -> None:
        if self._watcher is not None and watch == self.watch:  # else another one is wanted by now
            await self._watcher.change(watch)

    async def run(self) -> None:
        """Attach and stay attached until cancelled."""
        delay, tried = self._first_delay, 0
        while True:
            reason = "the connection was closed"
            try:
                tasks = await self._connect()
                sent = self.watch
                watcher = await tasks.watch(sent)
                self._tasks, self._watcher = tasks, watcher
                delay, tried = self._first_delay, 0
                self._set(LinkState(up=True))
                if sent != self.watch:
                    await watcher.change(self.watch)
                fresh = True
                async for update in watcher:
                    self._on_update(update, fresh)
                    fresh = False
            except TaskdeckError as error:
                reason = error.message.removesuffix(".")
            except (OSError, EOFError, asyncio.IncompleteReadError) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            finally:
                self._tasks, watcher_left = None, self._watcher
                self._watcher = None
            if watcher_left is not None:
                await _close(watcher_left)
            tried += 1
            self._set(LinkState(up=False, reason=reason, tried=tried))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._hurry.wait()
            self._hurry.clear()
            delay = min(delay * 2, LONGEST_DELAY)

    def hurry(self) -> None:
        """Try again now instead of after the pause."""
        if not self.state.up:
            self._hurry.set()

    async def close(self) -> None:
        """End the subscription."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            await _close(watcher)

    def _set(self, state: LinkState) -> None:
        self.state = state
        self._on_state(state)


async def _close(watcher: Watcher) -> None:
    try:
        await watcher.close()
    except (TaskdeckError, OSError):
        return
