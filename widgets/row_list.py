"""A list of rows with a cursor and marks: file picker, history, settings and keys are made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from widgets.keys import ROW_KEYS, bindings
from widgets.line_view import LineView
from widgets.spans import Row, Span


class RowList(LineView, can_focus=True):
    """Rows are drawn when they are seen, by `draw(index, width)`."""

    DEFAULT_CSS = """
    RowList { height: 1fr; overflow-y: auto; scrollbar-gutter: stable; }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings(ROW_KEYS)
    cursor = reactive(0, init=False)

    @dataclass
    class Chosen(Message):
        """A row was chosen by Enter or a second click."""

        index: int

    @dataclass
    class Moved(Message):
        """The cursor stands on another row."""

        index: int

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.count = 0
        self.marks: set[int] = set()
        self.draw: Callable[[int, int], Row] = lambda _index, _width: []
        self.empty = "Nothing here."

    def fill(self, count: int, draw: Callable[[int, int], Row], *, cursor: int = 0) -> None:
        """Show other rows."""
        self.count, self.draw = count, draw
        self.marks = set()
        self.virtual_size = Size(0, count)
        self.cursor = max(0, min(cursor, count - 1))
        self._show_cursor()
        self.refresh()

    def toggle_mark(self) -> None:
        """Mark or unmark the row under the cursor and go on to the next."""
        if self.count:
            self.marks ^= {self.cursor}
            self.refresh()
            self.action_move(1)

    def render_line(self, y: int) -> Strip:
        """One row."""
        width = self.scrollable_content_region.width
        index = y + int(self.scroll_offset.y)
        if not self.count and y == 0:
            return self.paint([Span(f"   {self.empty}", "muted")], width)
        if index >= self.count:
            return Strip.blank(self.size.width, self.style_of(""))
        here = index == self.cursor
        mark = f"{self.glyphs.mark} " if index in self.marks else "  "
        lead = [Span(self.glyphs.cursor if here else " ", "accent"), Span(mark, "mark")]
        return self.paint([*lead, *self.draw(index, max(0, width - 3))], width, cursor=here)

    def watch_cursor(self, before: int, after: int) -> None:
        """Repaint both rows and keep the cursor in sight."""
        top = int(self.scroll_offset.y)
        self.refresh(*(Region(0, row - top, self.size.width, 1) for row in {before, after}))
        self._show_cursor()
        self.post_message(self.Moved(after))

    def _show_cursor(self) -> None:
        top, height = int(self.scroll_offset.y), self.size.height
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif height and self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False)

    def action_move(self, step: int) -> None:
        """Move the cursor."""
        self.cursor = max(0, min(self.count - 1, self.cursor + step))

    def action_page(self, pages: int) -> None:
        """Move the cursor by pages."""
        self.action_move(pages * max(1, self.size.height - 1))

    def action_to(self, index: int) -> None:
        """Move the cursor to a row; -1 is the last."""
        self.cursor = max(0, self.count - 1 if index < 0 else min(index, self.count - 1))

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        if self.count:
            self.post_message(self.Chosen(self.cursor))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor; a second click chooses."""
        index = event.y + int(self.scroll_offset.y)
        if index < self.count:
            self.cursor = index
            if event.chain == 2:
                self.action_choose()
