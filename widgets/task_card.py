"""A task as rows of spans: three rows a card, one when there is little room. Pure: no widget, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engines.model import Action, TaskState, TaskView
from engines.text import amount, clock, elapsed, percent, rate
from widgets.glyphs import UNICODE, Glyphs, bar
from widgets.spans import Row, Span, cell_len, cut, cut_middle, fill, row_width

FULL_ROWS: Final = 3
GUTTER: Final = 3
_STATE_WIDTH: Final = 10
STATE_STYLES: Final[dict[TaskState, str]] = {
    TaskState.WAITING: "queued",
    TaskState.QUEUED: "queued",
    TaskState.RUNNING: "running",
    TaskState.PAUSING: "paused",
    TaskState.PAUSED: "paused",
    TaskState.CANCELLING: "failed",
    TaskState.COMPLETED: "completed",
    TaskState.FAILED: "failed",
    TaskState.CANCELLED: "cancelled",
}
_BAR_STYLES: Final[dict[TaskState, str]] = {TaskState.RUNNING: "bar", TaskState.COMPLETED: "completed"}


@dataclass(frozen=True, slots=True)
class Look:
    """How a card is drawn.

    Attributes:
        width: Cells.
        compact: One row instead of three.
        cursor: Whether the cursor stands on it.
        marked: Whether it is marked.
        pending: A word in place of the state while something is about to happen ("undo 4 s").
        hints: (key, word, action id) of the actions shown on the cursor's card.
        group: Name of the group that starts here, "" for none.
    """

    width: int
    glyphs: Glyphs = UNICODE
    compact: bool = False
    cursor: bool = False
    marked: bool = False
    pending: str = ""
    hints: tuple[tuple[str, str, str], ...] = ()
    group: str = ""


def card(view: TaskView, look: Look) -> list[Row]:
    """The rows of a card."""
    if look.compact:
        return [_one_row(view, look)]
    return [_first_row(view, look), _second_row(view, look), _third_row(view, look)]


def state_span(view: TaskView, look: Look) -> Span:
    """The state as a word, right aligned."""
    if look.pending:
        return Span(look.pending.rjust(_STATE_WIDTH), "failed")
    return Span(view.state.value.rjust(_STATE_WIDTH), STATE_STYLES[view.state])


def _gutter(look: Look, *, first: bool) -> list[Span]:
    cursor = Span(look.glyphs.cursor if look.cursor else " ", "accent")
    mark = Span(f"{look.glyphs.mark} " if first and look.marked else "  ", "mark")
    return [cursor, mark]


def _first_row(view: TaskView, look: Look) -> Row:
    right = [Span(f"  {view.op}", "muted"), Span("  "), state_span(view, look), Span(" ")]
    gutter = _gutter(look, first=True)
    room = look.width - GUTTER - row_width(right)
    title = Span(cut(view.title, room, look.glyphs.ellipsis), "strong")
    pad = None
    if look.group:
        spare = room - cell_len(title.text)
        if spare > len(look.group) + 6:
            caption = f" {look.group} "
            lead = spare - len(caption) - 3
            rule = look.glyphs.rule
            return [*gutter, title, Span(f" {rule * lead}{caption}{rule * 2}", "faint"), *right]
    return fill([*gutter, title], right, look.width, pad=pad)


def _second_row(view: TaskView, look: Look) -> Row:
    numbers = _numbers(view, look)
    room = look.width - GUTTER - row_width(numbers) - 1
    fraction = view.fraction
    if view.state in (TaskState.QUEUED, TaskState.WAITING) and not view.done:
        fraction = 0.0
    filled, rest = bar(fraction, room, look.glyphs)
    style = _BAR_STYLES.get(view.state, STATE_STYLES[view.state])
    return [*_gutter(look, first=False), Span(filled, style), Span(rest, "rest"), *numbers, Span(" ")]


def _numbers(view: TaskView, look: Look) -> list[Span]:
    """Share, speed and time left, in fixed columns so that they stand still."""
    share = "" if view.fraction is None else percent(view.fraction)
    if view.state in (TaskState.QUEUED, TaskState.WAITING) and not view.done:
        share = ""
    speed = rate(view.speed, view.unit) if view.state is TaskState.RUNNING and view.speed else ""
    if view.state is TaskState.RUNNING:
        left = clock(view.eta) if view.eta is not None else "--:--:--"
    elif view.terminal and view.started is not None and view.finished is not None:
        left = _took(view.finished - view.started)
    else:
        left = ""
    columns = f"{share:>8}"
    if look.width >= 56:
        columns += f" {speed:>12}"
    return [Span(f"{columns}{left:>11}", "muted" if view.state is not TaskState.RUNNING else "")]


def _took(seconds: float) -> str:
    return elapsed(seconds) if seconds < 60 else clock(seconds)


def _third_row(view: TaskView, look: Look) -> Row:
    gutter = _gutter(look, first=False)
    hints = hint_spans(look)
    room = look.width - GUTTER - row_width(hints) - 2
    text, style = third_text(view, look.glyphs, room)
    return fill([*gutter, Span(text, style)], hints, look.width)


def hint_spans(look: Look) -> list[Span]:
    """The clickable actions of the cursor's card; empty on every other."""
    if not look.cursor or not look.hints or look.width < 60:
        return []
    spans: list[Span] = []
    for key, word, _ in look.hints:
        spans += [Span(key, "key"), Span(f" {word}  ", "muted")]
    spans[-1] = Span(spans[-1].text[:-1], "muted")
    return spans


def hint_at(look: Look, column: int) -> str | None:
    """The action id of the hint under a column of the third row."""
    spans = hint_spans(look)
    left = look.width - row_width(spans)
    for number, (_, _, action) in enumerate(look.hints if spans else ()):
        width = row_width(spans[2 * number : 2 * number + 2])
        if left <= column < left + width:
            return action
        left += width
    return None


def third_text(view: TaskView, glyphs: Glyphs, room: int) -> tuple[str, str]:
    """What the last row says and its style: sizes and member while running, cause or place afterwards."""
    if view.error is not None and view.state is not TaskState.COMPLETED:
        return cut(view.error.message, room, glyphs.ellipsis), "failed"
    if view.state is TaskState.COMPLETED:
        size = amount(view.total if view.total is not None else view.done, view.unit)
        if not view.output:
            size = size if view.total or view.done else ""
            return cut(size, room, glyphs.ellipsis), "muted"
        lead = f"{size}  "
        return lead + cut_middle(view.output, room - cell_len(lead), glyphs.ellipsis), "muted"
    if view.note and view.state is not TaskState.RUNNING:
        return cut(view.note, room, glyphs.ellipsis), "muted"
    if view.state is TaskState.QUEUED and not view.done:
        rank = f", priority {view.priority:+d}" if view.priority else ""
        return cut(f"waits for its turn{rank}", room, glyphs.ellipsis), "muted"
    sizes = amount(view.done, view.unit)
    if view.total is not None:
        sizes = f"{sizes} of {amount(view.total, view.unit)}"
    tail = "  ".join(part for part in (view.stage, view.item) if part)
    if not tail:
        return cut(sizes, room, glyphs.ellipsis), "muted"
    sizes = f"{sizes:<22} "
    return sizes + cut_middle(tail, max(0, room - len(sizes)), glyphs.ellipsis), "muted"


def _one_row(view: TaskView, look: Look) -> Row:
    share = percent(view.fraction) if view.fraction is not None and (view.done or view.terminal) else ""
    right: list[Span] = [Span(f"{share:>7} ")]
    if look.width >= 64:
        speed = rate(view.speed, view.unit) if view.state is TaskState.RUNNING and view.speed else ""
        left = clock(view.eta) if view.state is TaskState.RUNNING and view.eta is not None else ""
        right.append(Span(f"{speed:>11}{left:>10} ", "muted"))
    if look.width >= 48:
        filled, rest = bar(view.fraction if view.done or view.terminal else 0.0, 10, look.glyphs)
        style = _BAR_STYLES.get(view.state, STATE_STYLES[view.state])
        right = [Span("  "), Span(filled, style), Span(rest, "rest"), *right]
    right += [state_span(view, look), Span(" ")]
    room = look.width - GUTTER - row_width(right)
    title = Span(cut(view.title, room, look.glyphs.ellipsis), "strong" if look.cursor else "")
    return fill([*_gutter(look, first=True), title], right, look.width)


def allowed(view: TaskView, action: Action) -> bool:
    """Whether the task may be asked this now."""
    return action in view.actions
