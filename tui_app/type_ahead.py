"""Keys in the order they were typed: what follows a key that may pass the keyboard on waits until it has done so.

Textual 8.2.8 sends a key to the widget that has the keyboard when the key is read, and runs its binding when it has
bubbled up from there. A slow line brings many keys at once: letters behind Enter still went into the line that Enter
was to close, and Tab was done before the letters in front of it. Letters in a line, and keys of lists, need no waiting:
they stay fast, and a list is painted once for all of a burst.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from textual import events
from textual.widgets import Input

if TYPE_CHECKING:
    from textual.app import App
    from textual.message_pump import MessagePump

Typed = events.Key | events.Paste
_ROUNDS: Final = 4
"""Key, message of the widget, message of what is made of widgets, another screen or focus."""
_PATIENCE: Final = 1.0
"""Seconds that a key waits at most for the one before."""


class TypeAhead:
    """Holds back what is typed while a key is at work.

    Args:
        app: The application.
        deliver: Gives a key or a pasted text to whatever has the keyboard.
    """

    def __init__(self, app: App[Any], deliver: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app = app
        self._deliver = deliver
        self._waiting: deque[Typed] = deque()
        self._work: asyncio.Task[None] | None = None
        self._letters = False
        """Whether letters are on their way into a line."""

    async def take(self, event: Typed) -> None:
        """Deliver now, or after what came before."""
        if self._work is not None:
            self._waiting.append(event)
        elif not self._passes_on(event):
            self._letters = isinstance(self._app.focused, Input)
            await self._deliver(event)
        else:
            if self._letters:
                self._waiting.append(event)
            else:
                await self._deliver(event)
            self._work = asyncio.create_task(self._catch_up(), name="type-ahead")

    def _passes_on(self, event: Typed) -> bool:
        """Whether another widget may have the keyboard afterwards, and what was typed so far is for this one."""
        if isinstance(event, events.Paste):
            return False
        return event.key == "enter" or (isinstance(self._app.focused, Input) and not event.is_printable)

    async def _catch_up(self) -> None:
        try:
            await self._settle()
            while self._waiting:
                event = self._waiting.popleft()
                passes_on = self._passes_on(event)
                if self._letters and passes_on:
                    await self._settle()
                self._letters = not passes_on and isinstance(self._app.focused, Input)
                await self._through(self._app, self._deliver, event)
                if passes_on:
                    await self._settle()
        finally:
            self._work = None

    async def _settle(self) -> None:
        """Wait until everything that keys go through has done its work, some rounds of it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                for _ in range(_ROUNDS):
                    for node in (self._app.focused or self._app.screen).ancestors_with_self:
                        await self._through(node)

    async def _through(self, node: MessagePump, call: Callable[..., Awaitable[None]] | None = None, *args: Any) -> None:
        """Wait until a node has handled what was sent to it, and then run something there."""
        handled = asyncio.Event()

        async def run() -> None:
            try:
                if call is not None:
                    await call(*args)
            finally:
                handled.set()

        if node.call_later(run):
            await handled.wait()
