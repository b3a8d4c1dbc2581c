"""The first line: where the tasks are, the connection, the filter and the clock of the machine."""

from __future__ import annotations

from widgets.line_view import Lines
from widgets.spans import Span, cut, fill, row_width


class Header(Lines):
    """One row: name and place on the left, what needs attention on the right."""

    def tell(self, where: str, *, alert: str = "", notes: tuple[str, ...] = ()) -> None:
        """Show where we are attached; `alert` is for a lost connection, `notes` for filter, sort and marks."""
        width = self.size.width
        right: list[Span] = []
        for note in notes:
            right += [Span(note, "muted"), Span("  ")]
        if alert:
            right = [Span(alert, "failed"), Span("  ")]
        left = [Span(" "), Span("Taskdeck", "heading"), Span("  "), Span(where, "muted")]
        room = width - row_width(left)
        if row_width(right) > room:
            text = "  ".join(span.text.strip() for span in right if span.text.strip())
            right = [Span(cut(text, room - 2, self.glyphs.ellipsis), "failed" if alert else "muted"), Span(" ")]
        self.show([fill(left, right, width)])
