"""What the command line prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
import unicodedata
from typing import Any, Final, TextIO

import msgspec

from engines.errors import ErrorInfo
from engines.model import TaskState, TaskView
from engines.text import amount, clock, percent, rate, size

_BAR: Final = 24
_NARROW: Final = 100
_SHORT_BAR: Final = 18
"""Leaves room for all figures in 80 cells."""


def is_fancy(stream: TextIO) -> bool:
    """Whether the stream is a terminal that can go back to the line's start."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def is_interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def out(text: str) -> None:
    """A line of result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def err(text: str) -> None:
    """A line for the reader beside the result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def out_json(value: Any) -> None:
    """One JSON document."""
    out(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def show_error(info: ErrorInfo) -> None:
    """The one form of errors: the sentence, then the code one can look up."""
    err(f"taskdeck: {info.coded}")


def cells(text: str) -> int:
    """Terminal cells a display-safe text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def fit(text: str, width: int) -> str:
    """The text cut to this many cells, with an ellipsis when something is missing."""
    if cells(text) <= width:
        return text
    kept, used = "", 0
    for char in text:
        used += cells(char)
        if used > width - 1:
            break
        kept += char
    return f"{kept}…" if width > 0 else ""


def pad(text: str, width: int) -> str:
    """The text in exactly this many cells."""
    text = fit(text, width)
    return text + " " * (width - cells(text))


def bar(view: TaskView, width: int = _BAR) -> str:
    """A progress bar in ASCII."""
    filled = int((view.fraction or 0.0) * width)
    return "[" + "#" * filled + "." * (width - filled) + "]"


def facts(view: TaskView) -> str:
    """Percent, amounts, speed and time left, as far as they are known."""
    parts: list[str] = []
    if view.fraction is not None:
        parts.append(percent(view.fraction))
    if view.unit == "bytes" and view.total:
        parts.append(f"{size(view.done)} / {size(view.total)}")
    elif view.done:
        parts.append(amount(view.done, view.unit))
    if view.state is TaskState.RUNNING and view.speed:
        parts.append(rate(view.speed, view.unit))
    if view.state is TaskState.RUNNING and view.eta is not None:
        parts.append(f"ETA {clock(view.eta)}")
    return "  ".join(parts)


def task_line(view: TaskView, *, width: int = 0, whole: bool = False) -> str:
    """A task as one plain line, cut to `width` cells unless that is 0; `whole` leaves a long title as it is."""
    if view.error is not None and view.state is TaskState.FAILED:
        told = view.error.message
    elif view.terminal:
        told = view.output if view.state is TaskState.COMPLETED else ""
    else:
        told = "  ".join(part for part in (facts(view), view.note) if part)
    title = pad(view.title, max(28, cells(view.title)) if whole else 28)
    line = f"{view.id:<8} {view.state:<10} {view.op:<9} {title}  {told}".rstrip()
    return fit(line, width) if width else line


class Meter:
    """The progress line of a command that waits: rewritten on a terminal, a line a change of state elsewhere."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._fancy = is_fancy(self._stream)
        self._shown = ""
        self._last: tuple[TaskState, str] | None = None

    def show(self, view: TaskView) -> None:
        """Draw the task as it is now."""
        if not self._fancy:
            self._plain(view)
            return
        import shutil

        width = shutil.get_terminal_size((80, 24)).columns - 1
        told = facts(view)
        # An empty bar alone would look as if it hung.
        word = "" if told and view.state is TaskState.RUNNING else f"{view.state}"
        tail = view.note or view.item or view.stage
        drawn = bar(view, _BAR if width >= _NARROW else _SHORT_BAR)
        line = fit(f"{drawn} " + "  ".join(part for part in (word, told, tail) if part), width)
        if line != self._shown:
            self._shown = line
            self._stream.write(f"\r{line}\x1b[K")
            self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = ""

    def _plain(self, view: TaskView) -> None:
        now = (view.state, view.note)
        if now != self._last and not view.terminal:
            self._last = now
            note = f", {view.note}" if view.note else ""
            self._stream.write(f"{view.id} {view.op} {view.title}: {view.state}{note}\n")
            self._stream.flush()
