"""The pane beside or over the list: everything about the task under the cursor."""

from __future__ import annotations

import msgspec

from engines.model import TaskDetail, TaskView
from widgets.detail_rows import detail_rows
from widgets.glyphs import Glyphs
from widgets.line_view import Lines
from widgets.spans import Row, Span


class DetailPane(Lines, can_focus=True):
    """Shows a `TaskDetail`; scrolls when it is longer than the pane."""

    DEFAULT_CSS = """
    DetailPane { height: 1fr; overflow-y: auto; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.detail: TaskDetail | None = None
        self._picture: list[Row] = []
        self._nothing = "No task is chosen."

    def expect(self) -> None:
        """Details are on their way, which may take its time: nothing else is shown meanwhile that would be wrong."""
        if self.detail is None:
            self._nothing = "Reading ..."
            self._draw()

    def tell(self, detail: TaskDetail | None) -> None:
        """Show a task, or nothing."""
        if detail is None or self.detail is None or detail.view.id != self.detail.view.id:
            self.scroll_to(y=0, animate=False)
            self._picture = []
        self.detail, self._nothing = detail, "No task is chosen."
        self._draw()

    def show_picture(self, task_id: str, rows: list[Row]) -> None:
        """Show a preview under the facts of this task, unless another one is shown by now."""
        if self.detail is not None and self.detail.view.id == task_id:
            self._picture = rows
            self._draw()

    def follow(self, view: TaskView) -> None:
        """Lay the live view of the shown task over its details."""
        if self.detail is not None and self.detail.view.id == view.id and self.size.height:
            self.detail = msgspec.structs.replace(self.detail, view=view)
            self._draw()

    def dress(self, glyphs: Glyphs) -> None:
        """Draw with other glyphs."""
        super().dress(glyphs)
        self._draw()

    def on_resize(self) -> None:
        """Wrap anew."""
        super().on_resize()
        self._draw()

    def _draw(self) -> None:
        width = self.scrollable_content_region.width
        if not width:
            return
        if self.detail is None:
            self.show([[Span(self._nothing, "muted")]])
        else:
            self.show(detail_rows(self.detail, width, self.glyphs, picture=self._picture))
