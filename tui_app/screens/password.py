"""Asks for a password: what is typed is hidden and goes nowhere but to the task."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from tui_app.screens.base import DeckDialog


class PasswordDialog(DeckDialog[str]):
    """Gives the password, or None."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def compose(self) -> ComposeResult:
        """A hidden input."""
        with Vertical(classes="dialog"):
            yield Static(f"Password for '{self._title}'", markup=False, classes="dialog-title")
            yield Input(password=True, id="password", compact=True)
            # Enter is the input's own key, which is not remapped.
            hint = f"enter gives it to the task  {self.deck.key('dialog.leave')} leaves it waiting"
            yield Static(hint, markup=False, classes="dialog-hint")

    def on_mount(self) -> None:
        """Typing starts at once."""
        self.set_focus(self.query_one(Input))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value or None)
