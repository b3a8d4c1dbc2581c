"""The dashboard and the bot: whether they are on, where, a one-time login link with its QR code, the switch."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from engines.errors import TaskdeckError
from engines.names import display
from tui_app.faces import Faces, FacesState
from tui_app.keys import bindings
from tui_app.qr import qr_rows
from tui_app.screens.base import DeckDialog
from widgets.glyphs import ASCII


class FacesDialog(DeckDialog[None]):
    """Shows and switches.

    Args:
        faces: The faces of the daemon.
    """

    BINDINGS: ClassVar = bindings("faces", "dialog.close")

    def __init__(self, faces: Faces) -> None:
        super().__init__()
        self._faces = faces
        self._state: FacesState | None = None
        self._link = ""

    def compose(self) -> ComposeResult:
        """State, link, code, keys."""
        with Vertical(classes="dialog -tall -fit"):
            yield Static("Dashboard and Telegram", markup=False, classes="dialog-title")
            yield Static("Looking ...", id="faces-state", markup=False)
            yield Static("", id="faces-link", markup=False)
            yield Static("", id="faces-code", markup=False)
            yield Static("", id="faces-hint", markup=False, classes="dialog-hint")

    def on_mount(self) -> None:
        """Ask the daemon."""
        self.action_look()

    def action_look(self) -> None:
        """Ask the daemon again."""
        self.run_worker(self._look(), group="faces", exclusive=True)

    async def _look(self) -> None:
        try:
            self._tell(await self._faces.look())
        except TaskdeckError as error:
            self.deck.say(error.message, severity="error")

    def _tell(self, state: FacesState) -> None:
        self._state = state
        if not state.url:
            self._show_link("")
        dashboard = f"on, {state.url}/dashboard" if state.url else "off"
        lines = [f"Dashboard   {dashboard}", f"Telegram    {display(state.chat, limit=200)}"]
        if state.chat == "off":
            lines.append(f"            its credentials belong in the settings ({self.deck.key('view.settings')})")
        self.query_one("#faces-state", Static).update("\n".join(lines))
        keys = [("faces.link", "makes a login link")] if state.url else []
        if self._faces.can_switch:
            keys.append(("faces.switch", f"switches the dashboard {'off' if state.url else 'on'}"))
        line = self.deck.hint(*keys, ("faces.look", "looks again"), ("dialog.leave", "closes"))
        self.query_one("#faces-hint", Static).update(line)

    def action_switch(self) -> None:
        """The dashboard on or off."""
        if self._state is None:
            return
        if not self._faces.can_switch:
            self.deck.say("The settings are on another machine; change them there.", severity="warning")
            return
        self.run_worker(self._switch(not self._state.url), group="faces", exclusive=True)

    async def _switch(self, on: bool) -> None:
        try:
            self._tell(await self._faces.switch(on))
        except TaskdeckError as error:
            self.deck.say(error.message, severity="error", seconds=10)

    def action_link(self) -> None:
        """A new one-time link."""
        if self._state is not None and self._state.url:
            self.run_worker(self._make_link(), group="faces", exclusive=True)
        else:
            self.deck.say("Switch the dashboard on first.", severity="warning")

    async def _make_link(self) -> None:
        try:
            self._show_link(await self._faces.link())
        except TaskdeckError as error:
            self.deck.say(error.message, severity="error")

    def _show_link(self, link: str) -> None:
        self._link = link
        self.query_one("#faces-link", Static).update(
            f"\nSigns one browser in, once, within five minutes ({self.deck.key('faces.copy')} copies):\n{link}\n"
            if link
            else ""
        )
        code = ""
        if link and self.deck.glyphs is not ASCII:
            code = "\n".join(qr_rows(link))
        self.query_one("#faces-code", Static).update(code)

    def action_copy(self) -> None:
        """Copy the link."""
        if self._link:
            self.deck.copy(self._link, "login link")
