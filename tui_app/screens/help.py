"""Help: what the keys do, from the action table, and what can be typed, from the operations table."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import Static

from engines.commandline import usage
from engines.operations import OPERATIONS
from tui_app.actions import ACTIONS, key_words, keys_of
from tui_app.screens.base import DeckDialog
from widgets.line_view import Lines
from widgets.spans import Row, Span, wrap

_KEYS = 14
_HEADINGS = {"RowList": "List", "DetailPane": "Details", "TaskList": "Tasks"}

FILTER_HELP = (
    ("status:running,paused", "by state; also active, ended, open"),
    ("kind:zip", "by operation or family"),
    ("since:1d  before:2026-01-30", "by age or date"),
    ("!word  -kind:zip", "not this"),
    ('"two words"', "in title, output or error"),
)


class HelpText(Lines, can_focus=True):
    """The scrolling text."""

    DEFAULT_CSS = "HelpText { height: 1fr; overflow-y: auto; }"
    BINDINGS: ClassVar = [
        Binding("j,down", "scroll_down", "Down", show=False),
        Binding("k,up", "scroll_up", "Up", show=False),
        Binding("g,home", "scroll_home", "Top", show=False),
        Binding("G,end", "scroll_end", "Bottom", show=False),
        Binding("pagedown,space,ctrl+f", "page_down", "Page down", show=False),
        Binding("pageup,ctrl+b", "page_up", "Page up", show=False),
    ]

    def __init__(self, keymap: dict[str, str], here: list[tuple[str, list[tuple[str, str]]]]) -> None:
        super().__init__(id="help-text")
        self._keymap = keymap
        self._here = here

    def on_resize(self) -> None:
        """Wrap anew."""
        super().on_resize()
        width = self.scrollable_content_region.width
        if width:
            self.show(help_rows(width, self._keymap, self._here))


def keys_here(screen: Screen[Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Headings with keys and what they do: of the focused widget, then of the screen. None for the tasks screen."""
    found: list[tuple[str, list[tuple[str, str]]]] = []
    nodes: list[DOMNode] = [screen] if screen.focused is None else [screen.focused, screen]
    for node in nodes:
        lines = [
            (" ".join(key_words(binding.key)), binding.tooltip or f"{binding.description}.")
            for entry in vars(type(node)).get("BINDINGS", [])
            if (binding := entry if isinstance(entry, Binding) else Binding(*entry)).description
            and not binding.action.startswith("act(")
        ]
        if lines:
            found.append((_HEADINGS.get(type(node).__name__, "Keys of this screen"), lines))
    return found


def help_rows(width: int, keymap: dict[str, str], here: list[tuple[str, list[tuple[str, str]]]] = []) -> list[Row]:  # noqa: B006
    """The text of the help screen; `here` comes first."""
    rows: list[Row] = []
    for heading, lines in here:
        rows += [
            [Span(heading, "heading")],
            *(row for keys, text in lines for row in _row(keys, text, _KEYS, width)),
            [],
        ]
    groups: dict[str, list[tuple[str, str]]] = {}
    for spec in ACTIONS.values():
        keys = " ".join(key_words(keys_of(spec.id, keymap)))
        groups.setdefault(spec.group, []).append((keys, spec.tooltip))
    for group, lines in groups.items():
        rows += [[Span(group, "heading")], *(row for keys, text in lines for row in _row(keys, text, _KEYS, width)), []]
    rows.append([Span("Command line ( : )", "heading")])
    for spec_ in OPERATIONS.values():
        rows += _row(usage(spec_.name), spec_.summary, 36, width)
    rows += [[], [Span("Filter ( / )", "heading")]]
    for form, text in FILTER_HELP:
        rows += _row(form, text, 30, width)
    return rows


def _row(keys: str, text: str, column: int, width: int) -> list[Row]:
    column = min(column, width // 2)
    lines = wrap(text, max(10, width - column - 2))
    lead = f"  {keys:<{column - 1}} " if len(keys) < column else f"  {keys}"
    if len(keys) >= column:
        return [[Span(lead, "key")], *([Span(" " * (column + 2) + line)] for line in lines)]
    return [[Span(lead, "key"), Span(lines[0])], *([Span(" " * (column + 2) + line)] for line in lines[1:])]


class HelpScreen(DeckDialog[None]):
    """Closed by escape, q or ?.

    Args:
        of: The screen it explains first.
    """

    BINDINGS: ClassVar = [Binding("q,question_mark,f1", "leave", "Close", show=False, id="help.close")]

    def __init__(self, of: Screen[Any]) -> None:
        super().__init__()
        self._here = keys_here(of)

    def compose(self) -> ComposeResult:
        """Title and text."""
        with Vertical(classes="dialog -big"):
            yield Static("Help   (esc closes)", markup=False, classes="dialog-title")
            yield HelpText(self.deck.settings.tui.keymap, self._here)

    def on_mount(self) -> None:
        """The text scrolls by key."""
        self.set_focus(self.query_one(HelpText))
