"""The stat panels: one tile a number, label above value."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal

from engines.model import Stats
from engines.text import rate
from widgets.line_view import Lines
from widgets.spans import Span

TILES = (
    ("active", "ACTIVE"),
    ("speed", "SPEED"),
    ("downloads", "DOWNLOADS"),
    ("uploads", "UPLOADS"),
    ("completed", "DONE TODAY"),
    ("failed", "FAILED TODAY"),
)


class StatTile(Lines):
    """A label and a value."""

    def set(self, label: str, value: str, style: str = "value") -> None:
        """Show a value."""
        self.show([[Span(label, "label")], [Span(value, style)]])


class StatTiles(Horizontal):
    """Active tasks, total speed, downloads, uploads, and what was done and failed today."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.tiles = [StatTile(id=f"tile-{key}", classes="tile") for key, _ in TILES]

    def compose(self) -> ComposeResult:
        """One tile a number."""
        for tile, (_, label) in zip(self.tiles, TILES, strict=True):
            tile.set(label, "-", "muted")
            yield tile

    def tell(self, stats: Stats) -> None:
        """Show the numbers; tiles whose text stays the same are not painted."""
        waiting = stats.counts.get("queued", 0) + stats.counts.get("waiting", 0)
        active = f"{stats.active_tasks:,}" + (f" +{waiting:,} queued" if waiting and self.size.width >= 110 else "")
        if stats.paused_all:
            active = f"{stats.active_tasks:,} all paused"
        values = {
            "active": (active, "running" if stats.active_tasks else "value"),
            "speed": (rate(stats.total_speed), "value"),
            "downloads": (f"{stats.total_downloads:,}", "value"),
            "uploads": (f"{stats.total_uploads:,}", "value"),
            "completed": (f"{stats.completed_today:,}", "completed" if stats.completed_today else "value"),
            "failed": (f"{stats.failed_today:,}", "failed" if stats.failed_today else "value"),
        }
        for tile, (key, label) in zip(self.tiles, TILES, strict=True):
            tile.set(label, *values[key])
