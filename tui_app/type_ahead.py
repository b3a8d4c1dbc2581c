"""Keys in the order they were typed: the next one is looked at when the one before has had its effect.

Textual 8.2.8 sends a key to the widget that has the keyboard when the key is read, and runs its binding when it has
bubbled up from there. A slow line brings many keys at once: letters behind Enter still went into the line that Enter
was to close, and Tab was done before the letters in front of it. Letters alone need no waiting, so typing stays fast.
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
        """Whether letters went to an input since all was at rest."""

    async def take(self, event: Typed) -> None:
        """Deliver now, or after what came before."""
        if self._work is not None:
            self._waiting.append(event)
        elif self._is_letter(event):
            self._letters = True
            await self._deliver(event)
        else:
            if self._letters:
                self._waiting.append(event)
            else:
                await self._deliver(event)
            self._work = asyncio.create_task(self._catch_up(), name="type-ahead")

    def _is_letter(self, event: Typed) -> bool:
        """Whether it only adds to a line; those keep their order by themselves."""
        return isinstance(self._app.focused, Input) and (isinstance(event, events.Paste) or event.is_printable)

    async def _catch_up(self) -> None:
        try:
            await self._settle()
            while self._waiting:
                event = self._waiting.popleft()
                letter = self._is_letter(event)
                if self._letters and not letter:
                    await self._settle()
                await self._through(self._app, self._deliver, event)
                self._letters = letter
                if not letter:
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
