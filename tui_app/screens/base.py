"""What our screens share: the application by its real type, and dialogs that give the keyboard back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen

if TYPE_CHECKING:
    from tui_app.app import DeckApp

T = TypeVar("T")


class DeckScreen(Screen[None]):
    """A full screen of ours."""

    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - Textual declares it so
        (0, "-tiny"),
        (40, "-narrow"),
        (80, "-normal"),
        (120, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [  # noqa: RUF012
        (0, "-flat"),
        (10, "-short"),
        (20, "-tall"),
        (32, "-high"),
    ]

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "explain", "Help", show=False, id="screen.help", tooltip="What the keys do here.")
    ]

    @property
    def deck(self) -> DeckApp:
        """The application."""
        return cast("DeckApp", self.app)

    def action_explain(self) -> None:
        """Help for what has the keyboard, then for everything."""
        explain(self)


class DeckDialog(ModalScreen[T]):
    """A dialog; escape always leaves it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Close", show=False, id="dialog.leave"),
        Binding("question_mark,f1", "explain", "Help", show=False, id="dialog.help", tooltip="What the keys do here."),
    ]

    @property
    def deck(self) -> DeckApp:
        """The application."""
        return cast("DeckApp", self.app)

    def action_explain(self) -> None:
        """Help for what has the keyboard, then for everything."""
        explain(self)

    def action_leave(self) -> None:
        """Close without an answer."""
        self.dismiss(None)


def explain(screen: Screen[Any]) -> None:
    """Open the help, beginning with the keys of the focused widget and of the screen it stands on."""
    from tui_app.screens.help import HelpScreen

    screen.app.push_screen(HelpScreen(screen))
