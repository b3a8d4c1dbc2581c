"""A task's result as rows: the guide's layout with labels and values in columns, and an archive's tree. Pure."""

from __future__ import annotations

from typing import Any, Final

from engines.model import Json
from engines.names import display
from engines.text import size
from widgets.glyphs import Glyphs
from widgets.spans import Row, Span, cell_len, cut, fill, wrap

_LONGEST_LABEL: Final = 20
_TREE_ROWS: Final = 300


def reply_rows(reply: str, width: int) -> list[Row]:
    """A reply: its title strong, sections accented, "Label: value" in two columns, everything else wrapped.

    Args:
        reply: `TaskDetail.reply`.
        width: Cells.
    """
    lines = reply.split("\n")
    labels = [len(label) for line in lines if (label := _pair(line)[0])]
    column = min(max(labels, default=0) + 2, _LONGEST_LABEL, max(4, width // 2))
    rows: list[Row] = [[Span(line, "strong")] for line in wrap(display(lines[0]), width)]
    for line in lines[1:]:
        label, value = _pair(line)
        indent = " " * (len(line) - len(line.lstrip()))
        if label:
            rows += _columns(label, display(value), column, width)
        elif line.endswith(":"):
            rows.append([Span(indent), Span(display(line.strip().removesuffix(":")), "accent")])
        else:
            texts = wrap(display(line.strip()), max(8, width - len(indent)))
            rows += [[Span(indent + text)] for text in texts]
    return rows


def _pair(line: str) -> tuple[str, str]:
    """Label and value of a line, ("", "") when it has none; bullets and indents stay with the label."""
    label, colon, value = line.partition(": ")
    return (label, value) if colon and value and cell_len(label) < _LONGEST_LABEL else ("", "")


def _columns(label: str, value: str, column: int, width: int) -> list[Row]:
    """A label and its value beside it, or below it where the label is too long for the column."""
    shown = display(label.replace("- ", "  "))
    lines = wrap(value, max(8, width - column))
    below: list[Row] = [[Span(" " * column + line)] for line in lines]
    if len(shown) >= column:
        return [*([Span(line, "label")] for line in wrap(shown, width)), *below]
    return [[Span(f"{shown:<{column}}", "label"), Span(lines[0])], *below[1:]]


def tree_rows(result: Json, width: int, glyphs: Glyphs) -> list[Row]:
    """The members in a result of `zipinfo` as a tree with sizes, the first of them when they are many."""
    members: list[dict[str, Any]] = result.get("members") or []
    root: dict[str, Any] = {}
    for member in members:
        node = root
        *above, leaf = [part for part in str(member.get("name", "")).split("/") if part not in ("", ".")] or [""]
        for part in above:
            node = node.setdefault(part, {}) if isinstance(node.get(part, {}), dict) else {}
        node.setdefault(leaf, {} if member.get("kind") == "folder" else int(member.get("size", 0)))
    rows: list[Row] = []
    stack = [(name, value, 0) for name, value in _sorted(root)]
    while stack and len(rows) < _TREE_ROWS:
        name, value, depth = stack.pop(0)
        lead = "  " * min(depth, 12)
        if isinstance(value, dict):
            rows.append([Span(lead), Span(cut(f"{display(name)}/", width - len(lead), glyphs.ellipsis), "accent")])
            stack[:0] = [(child, below, depth + 1) for child, below in _sorted(value)]
        else:
            right = f"{size(value):>11}"
            room = max(4, width - len(lead) - len(right) - 1)
            rows.append(fill([Span(lead + cut(display(name), room, glyphs.ellipsis))], [Span(right, "muted")], width))
    if stack or result.get("truncated"):
        rows.append([Span("and more; browsing the archive shows all", "muted")])
    return rows


def _sorted(node: dict[str, Any]) -> list[tuple[str, Any]]:
    """Folders first, by name."""
    return sorted(node.items(), key=lambda item: (not isinstance(item[1], dict), item[0]))
