"""Help: what the keys do, from the action table, and what can be typed, from the operations table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import Static

from engines.commandline import usage
from engines.operations import OPERATIONS
from tui_app.actions import ACTIONS
from tui_app.keymap import first_key, keys_of
from tui_app.keys import KEYS, bindings, by_group, key_words
from tui_app.screens.base import DeckDialog
from widgets.keys import KeySpec
from widgets.line_view import Lines
from widgets.spans import Row, Span, wrap

_KEYS = 14
Group = tuple[str, list[tuple[str, str]]]
"""A heading, and keys with what they do."""

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
    BINDINGS: ClassVar = bindings("text")

    def __init__(self, keymap: dict[str, str], here: Sequence[Group]) -> None:
        super().__init__(id="help-text")
        self._keymap = keymap
        self._here = here

    def on_resize(self) -> None:
        """Wrap anew."""
        super().on_resize()
        width = self.scrollable_content_region.width
        if width:
            self.show(help_rows(width, self._keymap, self._here))


def keys_here(screen: Screen[Any], keymap: dict[str, str]) -> list[Group]:
    """Headings with keys and what they do: of the focused widget, then of the screen. None for the tasks screen."""
    found: list[Group] = []
    nodes: list[DOMNode] = [screen] if screen.focused is None else [screen.focused, screen]
    for node in nodes:
        own = [entry.id for entry in vars(type(node)).get("BINDINGS", []) if isinstance(entry, Binding)]
        specs = [KEYS[name] for name in own if name in KEYS and name not in ACTIONS]
        for heading in dict.fromkeys(spec.group for spec in specs):
            found.append((heading, [_line(spec, keymap) for spec in specs if spec.group == heading]))
    return found


def _line(spec: KeySpec, keymap: dict[str, str]) -> tuple[str, str]:
    return " ".join(key_words(keys_of(spec.id, keymap))), spec.tooltip


def help_rows(width: int, keymap: dict[str, str], here: Sequence[Group] = ()) -> list[Row]:
    """The text of the help screen; `here` comes first, keys of other screens are told there."""
    rows: list[Row] = []
    main = [(group, [_line(spec, keymap) for spec in specs])
            for group, specs in by_group().items() if any(spec.id in ACTIONS for spec in specs)]  # fmt: skip
    for heading, lines in [*here, *main]:
        rows += [
            [Span(heading, "heading")],
            *(row for keys, text in lines for row in _row(keys, text, _KEYS, width)),
            [],
        ]
    rows.append([Span(f"Command line ( {first_key('view.command', keymap)} )", "heading")])
    for spec_ in OPERATIONS.values():
        rows += _row(usage(spec_.name), spec_.summary, 36, width)
    rows += [[], [Span(f"Filter ( {first_key('view.filter', keymap)} )", "heading")]]
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

    BINDINGS: ClassVar = bindings("dialog.close")

    def __init__(self, of: Screen[Any]) -> None:
        super().__init__()
        self._of = of

    def compose(self) -> ComposeResult:
        """Title and text."""
        with Vertical(classes="dialog -big"):
            yield Static(f"Help   ({self.deck.key('dialog.leave')} closes)", markup=False, classes="dialog-title")
            keymap = self.deck.user_keys
            yield HelpText(keymap, keys_here(self._of, keymap))

    def on_mount(self) -> None:
        """The text scrolls by key."""
        self.set_focus(self.query_one(HelpText))

    def action_explain(self) -> None:
        """The key that opened it closes it."""
        self.action_leave()
