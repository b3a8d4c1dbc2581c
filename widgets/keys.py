"""Keys as rows of tables: what can be pressed, what it does, and the name under which users change it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from textual.binding import Binding, BindingType


@dataclass(frozen=True, slots=True)
class KeySpec:
    """One row.

    Attributes:
        id: Stable name, the key of `tui.keymap`.
        keys: Default keys in Textual's spelling, comma separated.
        label: One or two words for the palette and the footer.
        tooltip: One sentence for help and docs.
        group: Heading in help and docs: where the key works.
        action: What Textual runs; without one, the action `act` with the id.
        shown: How a key is written for people when Textual's name is no help.
        priority: Whether the key is taken before the focused widget sees it.
    """

    id: str
    keys: str
    label: str
    tooltip: str
    group: str
    _: KW_ONLY
    action: str = ""
    shown: str = ""
    priority: bool = False

    def binding(self) -> Binding:
        """As Textual wants it."""
        from textual.binding import Binding  # the command line reads these tables without Textual

        return Binding(
            self.keys,
            self.action or f"act('{self.id}')",
            self.label,
            show=False,
            key_display=self.shown or None,
            priority=self.priority,
            tooltip=self.tooltip,
            id=self.id,
        )


def bindings(specs: Iterable[KeySpec]) -> list[BindingType]:
    """The bindings of a class."""
    return [spec.binding() for spec in specs]


_ROWS, _LINE = "Rows of any list", "Command line and filter"

# fmt: off
ROW_KEYS: Final = (
    KeySpec("rows.down", "j,down", "down", "Next row.", _ROWS, action="move(1)"),
    KeySpec("rows.up", "k,up", "up", "Previous row.", _ROWS, action="move(-1)"),
    KeySpec("rows.page_down", "ctrl+f,pagedown", "page down", "One page down.", _ROWS, action="page(1)"),
    KeySpec("rows.page_up", "ctrl+b,pageup", "page up", "One page up.", _ROWS, action="page(-1)"),
    KeySpec("rows.top", "g,home", "top", "First row.", _ROWS, action="to(0)"),
    KeySpec("rows.bottom", "G,end", "bottom", "Last row.", _ROWS, action="to(-1)"),
    KeySpec("rows.choose", "enter", "choose", "Open, take or change the row.", _ROWS, action="choose"),
)
PROMPT_KEYS: Final = (
    KeySpec("prompt.enter", "ctrl+j", "do it", "Do the line. A terminal sends it for Enter while a program starts.",
            _LINE, action="submit"),
    KeySpec("prompt.leave", "escape", "close", "Close the line; a filter is as it was before.", _LINE,
            action="leave", priority=True),
    KeySpec("prompt.take", "tab", "complete", "Take the suggestion.", _LINE, action="take", priority=True),
    KeySpec("prompt.back", "shift+tab", "suggestion before", "The suggestion before.", _LINE, action="choose(-1)",
            priority=True),
    KeySpec("prompt.previous", "up", "up", "The suggestion before, or the line typed before.", _LINE,
            action="choose(-1)"),
    KeySpec("prompt.next", "down", "down", "The next suggestion, or the line typed after.", _LINE,
            action="choose(1)"),
    KeySpec("prompt.older", "ctrl+p", "older line", "The line typed before.", _LINE, action="walk(-1)", priority=True),
    KeySpec("prompt.newer", "ctrl+n", "newer line", "The line typed after.", _LINE, action="walk(1)", priority=True),
)
# fmt: on
