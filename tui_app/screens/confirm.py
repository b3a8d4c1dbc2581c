"""A question before something that cannot be taken back: y, n, escape; the focus stands on No."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Static

from tui_app.keys import bindings
from tui_app.screens.base import DeckDialog


class Confirm(DeckDialog[bool]):
    """Answers True for yes, False or None otherwise.

    Args:
        question: One short question.
        detail: What will happen, a sentence or two.
        yes: The word on the button that goes on.
    """

    BINDINGS: ClassVar = bindings("confirm")

    def __init__(self, question: str, detail: str = "", *, yes: str = "Yes", no: str = "No") -> None:
        super().__init__()
        self._question, self._detail, self._yes, self._no = question, detail, yes, no

    def compose(self) -> ComposeResult:
        """Question, detail, two buttons."""
        with Vertical(classes="dialog"):
            yield Static(self._question, markup=False, classes="dialog-title")
            if self._detail:
                yield Static(self._detail, markup=False, classes="dialog-text")
            with Horizontal(classes="dialog-buttons"):
                yield Button(f"{self._no} ({self.deck.key('confirm.no')})", id="no", compact=True)
                yield Button(f"{self._yes} ({self.deck.key('confirm.yes')})", id="yes", compact=True, variant="error")

    def on_mount(self) -> None:
        """The safe answer first."""
        self.set_focus(self.query_one("#no", Button))

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(event.button.id == "yes")

    def action_answer(self, value: bool) -> None:
        """By key."""
        self.dismiss(value)

    def action_switch(self) -> None:
        """The other button."""
        self.focus_next()
