"""What our screens share: the application by its real type, and dialogs that give the keyboard back."""

from __future__ import annotations

from typing import ClassVar, Final, TypeVar, cast

from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen

from tui_app.deck import Deck

T = TypeVar("T")


_WIDTHS: Final = [(0, "-tiny"), (40, "-narrow"), (80, "-normal"), (120, "-wide")]
_HEIGHTS: Final = [(0, "-flat"), (10, "-short"), (20, "-tall"), (32, "-high")]


class DeckScreen(Screen[None]):
    """A full screen of ours."""

    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "explain", "Help", show=False, id="screen.help", tooltip="What the keys do here.")
    ]

    @property
    def deck(self) -> Deck:
        """The application."""
        return cast("Deck", self.app)

    def action_explain(self) -> None:
        """Help for what has the keyboard, then for everything."""
        self.deck.explain(self)


class DeckDialog(ModalScreen[T]):
    """A dialog; escape always leaves it."""

    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Close", show=False, id="dialog.leave"),
        Binding("question_mark,f1", "explain", "Help", show=False, id="dialog.help", tooltip="What the keys do here."),
    ]

    @property
    def deck(self) -> Deck:
        """The application."""
        return cast("Deck", self.app)

    def action_explain(self) -> None:
        """Help for what has the keyboard, then for everything."""
        self.deck.explain(self)

    def action_leave(self) -> None:
        """Close without an answer."""
        self.dismiss(None)
