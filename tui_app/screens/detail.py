"""Everything about one task in a window of its own, for screens without a details pane."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical

from engines.errors import TaskdeckError
from tui_app.keys import bindings
from tui_app.screens.base import DeckDialog
from widgets.detail_pane import DetailPane


class DetailDialog(DeckDialog[None]):
    """Scrolls by key; escape, enter or q close it."""

    BINDINGS: ClassVar = bindings("detail")

    def __init__(self, task_id: str) -> None:
        super().__init__()
        self._task_id = task_id
        self.pane = DetailPane(id="detail")

    def compose(self) -> ComposeResult:
        """The pane."""
        with Vertical(classes="dialog -big"):
            yield self.pane

    def on_mount(self) -> None:
        """Fetch it."""
        self.pane.glyphs = self.deck.glyphs
        self.set_focus(self.pane)
        self.pane.expect()
        self.run_worker(self._fetch(), group="detail")

    async def _fetch(self) -> None:
        try:
            self.pane.tell(await self.deck.tasks.detail(self._task_id))
        except TaskdeckError as error:
            self.deck.say(error.coded, severity="error")
            self.dismiss(None)

    def action_scroll(self, rows: int) -> None:
        """Scroll by rows."""
        self.pane.scroll_relative(y=rows, animate=False)

    def action_copy(self) -> None:
        """Copy the command."""
        if self.pane.detail is not None:
            self.deck.copy(self.pane.detail.command, "command")
