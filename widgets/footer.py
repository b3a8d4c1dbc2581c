"""The last line: what the keys do here, painted only when that changes."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.message import Message

from widgets.line_view import Lines
from widgets.spans import Span, cell_len


@dataclass(frozen=True, slots=True)
class Hint:
    """A key, a word, and the action to run when it is clicked; `off` greys it out."""

    key: str
    word: str
    action: str
    off: bool = False


class KeyBar(Lines):
    """Hints in order of importance; what does not fit is left out."""

    @dataclass
    class Clicked(Message):
        """A hint was clicked."""

        action: str

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._hints: tuple[Hint, ...] = ()
        self._places: list[tuple[int, int, str]] = []

    def tell(self, hints: tuple[Hint, ...]) -> None:
        """Show these."""
        self._hints = hints
        self._draw()

    def on_resize(self) -> None:
        """Draw at the new width."""
        super().on_resize()
        self._draw()

    def _draw(self) -> None:
        spans, used = [Span(" ")], 1
        self._places = []
        for hint in self._hints:
            width = cell_len(hint.key) + cell_len(hint.word) + 3
            if used + width > self.size.width:
                break
            style = "faint" if hint.off else ""
            spans += [Span(hint.key, style or "key"), Span(f" {hint.word}  ", style or "muted")]
            self._places.append((used, used + width - 2, hint.action))
            used += width
        self.show([spans])

    def on_click(self, event: events.Click) -> None:
        """Run what is under the pointer."""
        for start, end, action in self._places:
            if start <= event.x < end:
                self.post_message(self.Clicked(action))
