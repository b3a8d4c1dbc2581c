"""Asks for a password: what is typed is hidden and goes nowhere but to what it opens."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Static

from tui_app.screens.base import DeckDialog


class PasswordDialog(DeckDialog[str]):
    """Gives the password, or None.

    Args:
        title: What it opens.
        given: What enter does.
        left: What leaving does.
    """

    def __init__(self, title: str, given: str, left: str) -> None:
        super().__init__()
        self._title = title
        self._given = given
        self._left = left

    def compose(self) -> ComposeResult:
        """A hidden input."""
        with Vertical(classes="dialog"):
            yield Static(f"Password for '{self._title}'", markup=False, classes="dialog-title")
            yield Input(password=True, id="password", compact=True)
            # Enter is the input's own key, which is not remapped.
            hint = f"enter {self._given}  {self.deck.key('dialog.leave')} {self._left}"
            yield Static(hint, markup=False, classes="dialog-hint")

    def on_mount(self) -> None:
        """Typing starts at once."""
        self.set_focus(self.query_one(Input))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value or None)
