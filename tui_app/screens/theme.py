"""Choosing a theme: the one under the cursor is on show at once; escape brings the old one back."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from tui_app.keys import bindings
from tui_app.screens.base import DeckDialog
from tui_app.themes import NAMES
from widgets.row_list import RowList
from widgets.spans import Row, Span


class ThemeDialog(DeckDialog[None]):
    """Our own themes; enter keeps one, in the settings when they are on this machine."""

    BINDINGS: ClassVar = bindings("dialog.close")

    def compose(self) -> ComposeResult:
        """The names."""
        with Vertical(classes="dialog"):
            yield Static("Theme", markup=False, classes="dialog-title")
            yield RowList(id="themes")
            yield Static(self.deck.hint(("rows.choose", "keeps it"), ("dialog.leave", "brings the old one back")),
                         markup=False, classes="dialog-hint")  # fmt: skip

    def on_mount(self) -> None:
        """The cursor stands on the theme of the moment."""
        self._before = self.deck.theme
        rows = self.query_one(RowList)
        rows.glyphs = self.deck.glyphs
        place = NAMES.index(self._before) if self._before in NAMES else 0
        rows.fill(len(NAMES), self._draw, cursor=place)
        self.set_focus(rows)

    def _draw(self, index: int, _width: int) -> Row:
        return [Span(NAMES[index]), Span("  now" if NAMES[index] == self._before else "", "muted")]

    @on(RowList.Moved)
    def _moved(self, event: RowList.Moved) -> None:
        self.deck.set_theme(NAMES[event.index])

    @on(RowList.Chosen)
    def _chosen(self, event: RowList.Chosen) -> None:
        name = NAMES[event.index]
        self.deck.set_theme(name)
        self.dismiss(None)
        if self.deck.settings_file is not None:
            self.deck.performer.start(self._keep(name))

    async def _keep(self, name: str) -> None:
        from tui_app.config import store_option

        path = self.deck.settings_file
        assert path is not None
        config = await asyncio.to_thread(store_option, path, "tui.theme", name)
        self.deck.settings_changed(config.settings)

    def action_leave(self) -> None:
        """As it was."""
        self.deck.set_theme(self._before)
        self.dismiss(None)
