"""Rows of styled text measured in terminal cells: what every line of our own widgets is built from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

__all__ = ["Row", "Span", "cell_len", "cut", "fill", "row_text", "row_width", "wrap"]


class Span(NamedTuple):
    """A piece of text in one style; `style` is a name of `LineView.STYLES`, "" for the plain one."""

    text: str
    style: str = ""


Row = Sequence[Span]


def row_width(row: Row) -> int:
    """Cells a row takes."""
    return sum(cell_len(span.text) for span in row)


def row_text(row: Row) -> str:
    """The text of a row."""
    return "".join(span.text for span in row)


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """At most `width` cells of a text, its end replaced by an ellipsis when it is longer."""
    if cell_len(text) <= width:
        return text
    if width <= 0:
        return ""
    return set_cell_size(text, width - 1).rstrip() + ellipsis


def cut_middle(text: str, width: int, ellipsis: str = "…") -> str:
    """At most `width` cells of a text, head and tail kept: for paths."""
    if cell_len(text) <= width:
        return text
    if width < 8:
        return cut(text, width, ellipsis)
    tail_room = (width - 1) * 2 // 3
    tail = text
    while cell_len(tail) > tail_room:
        tail = tail[1:]
    return set_cell_size(text, width - 1 - cell_len(tail)) + ellipsis + tail


def fill(left: Iterable[Span], right: Iterable[Span], width: int, *, pad: Span | None = None) -> list[Span]:
    """Left and right parts with the gap between them filled up to `width` cells."""
    left, right = list(left), list(right)
    gap = width - row_width(left) - row_width(right)
    if gap > 0:
        char, style = pad or Span(" ")
        left.append(Span(char * gap, style))
    return left + right


def wrap(text: str, width: int) -> list[str]:
    """A text broken into lines of at most `width` cells, at spaces where possible; never empty."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            candidate = f"{line} {word}" if line else word
            if cell_len(candidate) <= width:
                line = candidate
                continue
            if line:
                lines.append(line)
            while cell_len(word) > width > 0:
                head = set_cell_size(word, width).rstrip(" ")
                lines.append(head)
                word = word[len(head) :]
            line = word
        lines.append(line)
    return lines
