"""What our screens share: the application by its real type, and dialogs that give the keyboard back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar, Final, TypeVar, cast

from textual.binding import BindingType
from textual.screen import ModalScreen, Screen

from tui_app.deck import Deck
from tui_app.keys import KEYS, bindings
from widgets.footer import Hint
from widgets.line_view import LineView

T = TypeVar("T")


_WIDTHS: Final = [(0, "-tiny"), (40, "-narrow"), (80, "-normal"), (120, "-wide")]
_HEIGHTS: Final = [(0, "-flat"), (10, "-short"), (20, "-tall"), (32, "-high")]


class DeckScreen(Screen[None]):
    """A full screen of ours."""

    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS

    BINDINGS: ClassVar[list[BindingType]] = [replace(KEYS["app.help"], action="explain").binding()]

    @property
    def deck(self) -> Deck:
        """The application."""
        return cast("Deck", self.app)

    def dress(self) -> None:
        """Give every view the glyphs that the terminal can show; once mounted."""
        for view in self.query(LineView):
            view.glyphs = self.deck.glyphs

    def action_explain(self) -> None:
        """Help for what has the keyboard, then for everything."""
        self.deck.explain(self)

    def hints(self, rows: Iterable[tuple[str, str, str]]) -> tuple[Hint, ...]:
        """A footer from rows of the key table, words and actions."""
        return tuple(Hint(self.deck.key(name), word, action) for name, word, action in rows)


class DeckDialog(ModalScreen[T]):
    """A dialog; escape always leaves it."""

    HORIZONTAL_BREAKPOINTS = _WIDTHS
    VERTICAL_BREAKPOINTS = _HEIGHTS

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("dialog.leave"), *DeckScreen.BINDINGS]

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
