"""The other faces as the TUI sees them: whether the dashboard and the bot are on, login links, the switch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from engines.errors import TaskdeckError

if TYPE_CHECKING:
    from tui_app.client.remote import TaskClient

_PATIENCE: Final = 5.0
_LOOK_AGAIN: Final = 0.1


class FacesState(msgspec.Struct, frozen=True):
    """What the daemon says; `url` is empty while the dashboard is off, `chat` is the state of the bot in words."""

    url: str = ""
    chat: str = "off"


class Faces(Protocol):
    """Dashboard and bot of the daemon attached to. Every method raises TaskdeckError for what a user can mend."""

    can_switch: bool
    """Whether the settings are on this machine."""

    async def look(self) -> FacesState:
        """How they are."""

    async def link(self) -> str:
        """A link that signs one browser in, once, within five minutes."""

    async def switch(self, on: bool) -> FacesState:
        """Switch the dashboard on or off in the settings, and wait until the daemon has followed."""


class DaemonFaces:
    """`Faces` of a daemon.

    Args:
        client: The client of the moment; raises TaskdeckError while there is none.
        settings_file: Where the daemon's settings are; None when they are on another machine.
    """

    def __init__(self, client: Callable[[], TaskClient], settings_file: Path | None) -> None:
        self._client = client
        self._settings_file = settings_file
        self.can_switch = settings_file is not None

    async def look(self) -> FacesState:
        """How they are."""
        hello = await self._client().hello()
        return FacesState(hello.url, hello.chat)

    async def link(self) -> str:
        """A link that signs one browser in, once."""
        return await self._client().login_link()

    async def switch(self, on: bool) -> FacesState:
        """Write `web.enabled`, have the daemon read it, wait for the address to come or go."""
        from tui_app.config import store_option

        if self._settings_file is None:
            raise TaskdeckError("usage", "cannot switch the dashboard", "its settings are on another machine")
        await asyncio.to_thread(store_option, self._settings_file, "web.enabled", on)
        await self._client().reload()
        try:
            async with asyncio.timeout(_PATIENCE):
                while bool((state := await self.look()).url) is not on:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            word = "on" if on else "off"
            raise TaskdeckError(
                "settings.invalid",
                f"cannot switch the dashboard {word}",
                "the daemon did not follow",
                "see `taskdeck config` for what overrides it, and the daemon's log",
            ) from None
        return state


class SoloFaces(DaemonFaces):
    """`Faces` of an engine in this very process: the switch lasts as long as the process.

    Args:
        client: A client of its socket.
        listen: Opens or closes its TCP side.
    """

    def __init__(self, client: Callable[[], TaskClient], listen: Callable[[bool], Awaitable[None]]) -> None:
        super().__init__(client, None)
        self._listen = listen
        self.can_switch = True

    async def switch(self, on: bool) -> FacesState:
        """Open or close the TCP side."""
        await self._listen(on)
        return await self.look()
