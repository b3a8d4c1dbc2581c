"""The history as a file: CSV and JSON as the API gives them, Markdown and HTML for people."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from typing import Final

import msgspec

from engines.model import TaskView

FORMATS: Final = ("csv", "json", "md", "html")
_STYLE: Final = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem}table{border-collapse:collapse}"
    "th,td{padding:.3rem .7rem;border-bottom:1px solid #ccc;text-align:left;vertical-align:top}"
)


def render(views: Sequence[TaskView], form: str) -> bytes:
    """The tasks in one of `FORMATS`."""
    # aiohttp comes along with this module, so it is imported when somebody exports (90 ms).
    from tui_app.web.export import COLUMNS, csv_block, row

    rows = [row(view) for view in views]
    if form == "csv":
        return csv_block([list(COLUMNS), *rows])
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(list(views)), indent=2)
    if form == "md":
        lines = [_line(list(COLUMNS)), _line(["---"] * len(COLUMNS)), *map(_line, rows)]
        return ("# Taskdeck history\n\n" + "\n".join(lines) + "\n").encode()
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in COLUMNS)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>" for cells in rows)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Taskdeck history</title><style>{_STYLE}</style>'
        f"<h1>Taskdeck history</h1><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></html>\n"
    ).encode()


def _line(cells: list[str]) -> str:
    escaped = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def write_new(path: str, data: bytes) -> None:
    """Write a file that must not exist yet (mode 0600: names of files are nobody else's business).

    Raises:
        OSError: it exists, or cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
