"""The base of our line-API widgets: rows of spans become strips, only changed cells are painted.

Textual repaints whole segments inside a dirty region (8.2.8), so bytes follow the size of those regions: that is
why every widget here compares rows and refreshes the differing stretch alone.
"""

from __future__ import annotations

from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from widgets.glyphs import UNICODE, Glyphs
from widgets.spans import Row, cell_len

NAMES: Final = (
    "muted",
    "faint",
    "strong",
    "accent",
    "running",
    "paused",
    "queued",
    "failed",
    "completed",
    "cancelled",
    "bar",
    "rest",
    "key",
    "mark",
    "label",
    "value",
    "heading",
)


_MOST_STYLES: Final = 4096
"""Pictures have many colours; those of other tasks are forgotten."""


class LineView(ScrollView, inherit_bindings=False):
    """A widget made of rows of spans; its keys are those of the screen it stands on.

    Attributes:
        glyphs: The glyph set; set by the screen that owns the widget.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"line--{name}" for name in NAMES} | {"line--cursor", "line--stale"}
    DEFAULT_CSS = """
    LineView {
        width: 1fr; height: 1; overflow: hidden hidden;
        & > .line--muted { color: $muted; }
        & > .line--faint { color: $faint; }
        & > .line--strong { text-style: bold; }
        & > .line--accent { color: $accent; }
        & > .line--running { color: $text-primary; }
        & > .line--paused { color: $text-warning; }
        & > .line--queued { color: $muted; }
        & > .line--failed { color: $text-error; }
        & > .line--completed { color: $text-success; }
        & > .line--cancelled { color: $muted; }
        & > .line--bar { color: $primary; }
        & > .line--rest { color: $rest; }
        & > .line--key { color: $accent; text-style: bold; }
        & > .line--mark { color: $accent; text-style: bold; }
        & > .line--label { color: $muted; }
        & > .line--value { text-style: bold; }
        & > .line--heading { color: $accent; text-style: bold; }
        & > .line--cursor { background: $cursor; }
        & > .line--stale { text-style: dim; }
    }
    """

    glyphs: Glyphs = UNICODE

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._painted: dict[tuple[str, bool, bool], Style] = {}
        self.stale = False

    def style_of(self, name: str, *, cursor: bool = False) -> Style:
        """The full style of a span name, or of colours as "#112233 on #445566", over this widget's background."""
        key = (name, cursor, self.stale)
        if len(self._painted) > _MOST_STYLES:
            self._painted.clear()
        style = self._painted.get(key)
        if style is None:
            style = self.rich_style
            if cursor:
                style += self.get_component_rich_style("line--cursor", partial=True)
            if name.startswith("#"):
                style += Style.parse(name)
            elif name:
                style += self.get_component_rich_style(f"line--{name}", partial=True)
            if self.stale:
                style += self.get_component_rich_style("line--stale", partial=True)
            self._painted[key] = style
        return style

    def paint(self, row: Row, width: int, *, cursor: bool = False) -> Strip:
        """A row as a strip of exactly `width` cells."""
        segments = [Segment(text, self.style_of(name, cursor=cursor)) for text, name in row if text]
        return Strip(segments).adjust_cell_length(width, self.style_of("", cursor=cursor))

    def set_stale(self, stale: bool) -> None:
        """Dim the picture, or show it as usual."""
        if self.stale != stale:
            self.stale = stale
            self.forget()
            self.refresh()

    def forget(self) -> None:
        """Drop what is remembered of the last painting; called when styles or sizes change."""

    def dress(self, glyphs: Glyphs) -> None:
        """Draw with other glyphs from now on."""
        self.glyphs = glyphs
        self.forget()
        self.refresh()

    def notify_style_update(self) -> None:
        """Textual's hook: styles changed."""
        super().notify_style_update()
        self._painted.clear()
        self.forget()


class Lines(LineView):
    """Rows set from outside, compared with the last ones on every change."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._rows: list[Row] = []
        self._strips: list[Strip] = []

    @property
    def rows(self) -> list[Row]:
        """What is shown."""
        return self._rows

    def show(self, rows: list[Row]) -> None:
        """Show these rows, repainting what differs."""
        if rows == self._rows:
            return
        old, width = self._strips, self.scrollable_content_region.width
        self._rows = list(rows)
        if len(old) != len(rows) or not width or any(strip.cell_length != width for strip in old):
            self._strips = []
            self.virtual_size = Size(width, len(rows))
            self.refresh()
            return
        self._strips = [self.paint(row, width) for row in rows]
        top = int(self.scroll_offset.y)
        regions = [
            Region(start, y - top, end - start, 1)
            for y, (before, after) in enumerate(zip(old, self._strips, strict=True))
            if (span := changed_cells(before, after)) is not None
            for start, end in (span,)
        ]
        visible = [region for region in regions if 0 <= region.y < self.size.height]
        if visible:
            self.refresh(*visible)

    def forget(self) -> None:
        """Drop the strips."""
        self._strips = []

    def on_resize(self) -> None:
        """Paint anew at the new width."""
        self.forget()
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._rows))

    def render_line(self, y: int) -> Strip:
        """One line of the view."""
        width = self.scrollable_content_region.width
        if len(self._strips) != len(self._rows):
            self._strips = [self.paint(row, width) for row in self._rows]
        row = y + int(self.scroll_offset.y)
        if row < len(self._strips):
            return self._strips[row]
        return Strip.blank(self.size.width, self.style_of(""))


def changed_cells(before: Strip, after: Strip) -> tuple[int, int] | None:
    """The stretch of cells that differs between two strips of one width, by whole segments; None for none."""
    old, new = list(before), list(after)
    if old == new:
        return None
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    left = sum(cell_len(segment.text) for segment in new[:start])
    right = sum(cell_len(segment.text) for segment in new[len(new) - end :])
    return (left, after.cell_length - right) if left < after.cell_length - right else (0, after.cell_length)
