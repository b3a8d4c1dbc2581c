"""What the chat shows: cards, the status board with its buttons, results, pages. Pure functions, HTML out."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engines import text
from engines.errors import TaskdeckError
from engines.model import Action, Stats, TaskState, TaskView, guide_status
from engines.names import display
from tui_app.telegram.editor import Board
from tui_app.telegram.gateway import BUTTON_LIMIT, TEXT_LIMIT, Button, Buttons, utf16

CARDS_A_PAGE: Final = 5
_BAR: Final = 18
_TITLE_LIMIT: Final = 120
_NOTE_LIMIT: Final = 300
_STAGE_LIMIT: Final = 60
_WHY_LIMIT: Final = 600
_LOG_LIMIT: Final = 120
_BUTTONS: Final = {Action.PAUSE: "⏸ Pause", Action.RESUME: "▶️ Resume", Action.CANCEL: "✖ Cancel"}
_VERBS: Final = {Action.PAUSE: "p", Action.RESUME: "r", Action.CANCEL: "c", Action.RETRY: "t"}
YES: Final = "y"
NO: Final = "n"
OFFER: Final = "o"
PAGE: Final = "g"
REFRESH: Final = "f"
"""The first letters of the data of other buttons."""
_ACTIONS: Final = {verb: action for action, verb in _VERBS.items()}
_MARKS: Final = {
    TaskState.RUNNING: "🟢",
    TaskState.PAUSED: "⏸",
    TaskState.PAUSING: "⏸",
    TaskState.QUEUED: "🕓",
    TaskState.WAITING: "🕓",
    TaskState.CANCELLING: "✖️",
    TaskState.COMPLETED: "✅",
    TaskState.FAILED: "❌",
    TaskState.CANCELLED: "🚫",
}


def escape(value: object) -> str:
    """A foreign text for HTML: display-safe and without markup."""
    return html.escape(display(str(value)), quote=False)


def card(view: TaskView, number: int | None = None, *, note: bool = True) -> str:
    """One task: name, state, bar, speed, time left, sizes."""
    head = f"{number}. " if number is not None else ""
    state = guide_status(view).capitalize()
    lines = [f"{head}{_MARKS[view.state]} <b>{escape(display(view.title, limit=_TITLE_LIMIT))}</b>"]
    detail = f"{state} · {escape(view.op)} · <code>{escape(view.id)}</code>"
    lines.append(detail)
    if view.fraction is not None and not view.terminal:
        lines.append(f"{bar(view.fraction)} {text.percent(view.fraction, digits=0)}")
    facts = _facts(view)
    if facts:
        lines.append(" · ".join(facts))
    if note and view.note and not view.terminal:
        lines.append(f"<i>{escape(display(view.note, limit=_NOTE_LIMIT))}</i>")
    return "\n".join(lines)


def bar(fraction: float) -> str:
    """The guide's bar: [████████░░░░░░░░░░]."""
    full = int(fraction * _BAR)
    return f"[{'█' * full}{'░' * (_BAR - full)}]"


def _facts(view: TaskView) -> list[str]:
    facts = []
    if view.state is TaskState.RUNNING and view.stage:
        facts.append(escape(display(view.stage[:1].upper() + view.stage[1:], limit=_STAGE_LIMIT)))
    if view.state is TaskState.RUNNING and view.speed:
        facts.append(f"Speed: {text.rate(view.speed, view.unit)}")
    if view.state is TaskState.RUNNING and view.eta is not None:
        facts.append(f"ETA: {text.clock(view.eta)}")
    if view.total and not view.terminal:
        facts.append(f"Size: {text.amount(view.done, view.unit)} / {text.amount(view.total, view.unit)}")
    elif view.done and not view.terminal:
        facts.append(text.amount(view.done, view.unit))
    return facts


@dataclass(frozen=True, slots=True)
class BoardPage:
    """A rendered board and the page it really is (the wished one may be gone)."""

    board: Board
    page: int


def board(views: Sequence[TaskView], *, page: int = 0) -> BoardPage:
    """The status message for open tasks, already in order."""
    if not views:
        return BoardPage(Board("<b>Tasks</b>\nNothing is running.", (_footer(0, 1),)), 0)
    pages = -(-len(views) // CARDS_A_PAGE)
    page = max(0, min(page, pages - 1))
    shown = views[page * CARDS_A_PAGE : (page + 1) * CARDS_A_PAGE]
    numbered = [
        (view, number if len(views) > 1 else None) for number, view in enumerate(shown, page * CARDS_A_PAGE + 1)
    ]
    content = "\n\n".join([_summary(views), *(card(view, number) for view, number in numbered)])
    if utf16(content) > TEXT_LIMIT:  # notes may name long paths
        content = "\n\n".join([_summary(views), *(card(view, number, note=False) for view, number in numbered)])
    rows: list[tuple[Button, ...]] = []
    for view, number in numbered:
        row = tuple(
            Button(f"{label} {number}" if number else label, press_data(action, view.id))
            for action, label in _BUTTONS.items()
            if action in view.actions
        )
        if row:
            rows.append(row)
    rows.append(_footer(page, pages))
    return BoardPage(Board(content, tuple(rows)), page)


def _summary(views: Sequence[TaskView]) -> str:
    running = sum(view.state is TaskState.RUNNING for view in views)
    speed = sum(view.speed for view in views if view.state is TaskState.RUNNING and view.unit == "bytes")
    parts = ["<b>Tasks</b>", f"{running} running", f"{len(views) - running} waiting"]
    if speed:
        parts.append(text.rate(speed))
    return " · ".join(parts)


def _footer(page: int, pages: int) -> tuple[Button, ...]:
    refresh = Button("🔄 Refresh", REFRESH)
    if pages <= 1:
        return (refresh,)
    return (
        Button("‹", f"{PAGE}:{(page - 1) % pages}"),
        Button(f"{page + 1}/{pages}", f"{PAGE}:{page}"),
        Button("›", f"{PAGE}:{(page + 1) % pages}"),
        refresh,
    )


def press_data(action: Action, task_id: str) -> str:
    """The data of a button that acts on a task."""
    data = f"{_VERBS[action]}:{task_id}"
    assert len(data.encode()) <= BUTTON_LIMIT
    return data


def pressed_action(data: str) -> tuple[Action, str] | None:
    """The action and task of a button, None for other buttons."""
    verb, colon, task_id = data.partition(":")
    return (_ACTIONS[verb], task_id) if colon and verb in _ACTIONS and task_id else None


def question(view: TaskView) -> str:
    """Whether a task is really to be cancelled."""
    name = escape(display(view.title, limit=_TITLE_LIMIT))
    return f"✖ Cancel <b>{name}</b> · <code>{escape(view.id)}</code>?\nWhat it has made so far is removed."


def question_buttons(view: TaskView) -> Buttons:
    """The answers to `question`."""
    return ((Button("✖ Yes, cancel", f"{YES}:{view.id}"), Button("↩️ No", f"{NO}:{view.id}")),)


def titled(plain: str) -> str:
    """A plain text with its first line bold."""
    head, _, body = plain.partition("\n")
    return f"<b>{html.escape(head, quote=False)}</b>\n{html.escape(body, quote=False)}".rstrip()


def escape_lines(plain: str) -> str:
    """A plain text of several display-safe lines for HTML."""
    return html.escape(plain, quote=False)


def error(problem: TaskdeckError) -> str:
    """A refusal: one sentence with what, why and what to do."""
    return f"❌ {why(problem.message)}\n<i>{escape(problem.code)}</i>"


def why(message: str) -> str:
    """The message of an error, which may name paths of any length."""
    return escape(display(message, limit=_WHY_LIMIT))


def details(view: TaskView, log: Sequence[str]) -> str:
    """One task with the end of its log."""
    lines = [card(view)]
    if view.error is not None:
        lines.append(f"❌ {why(view.error.message)}")
    if log:
        lines.append("<pre>" + "\n".join(escape(display(line, limit=_LOG_LIMIT)) for line in log) + "</pre>")
    return "\n".join(lines)


def retry(view: TaskView) -> Buttons:
    """The button under a failure."""
    return ((Button("🔁 Retry", press_data(Action.RETRY, view.id)),),) if Action.RETRY in view.actions else ()


def failure(view: TaskView) -> str:
    """How a task ended that did not complete."""
    name = escape(display(view.title, limit=_TITLE_LIMIT))
    if view.state is TaskState.CANCELLED:
        return f"🚫 <b>Cancelled</b>: {name} · <code>{escape(view.id)}</code>"
    reason = why(view.error.message) if view.error else "It failed."
    code = f"\n<i>{escape(view.error.code)}</i>" if view.error else ""
    return f"❌ <b>{escape(view.op)} failed</b>: {name} · <code>{escape(view.id)}</code>\n{reason}{code}"


def statistics(stats: Stats) -> str:
    """The stat panels."""
    host = stats.host
    lines = [
        "📊 <b>Statistics</b>",
        "",
        f"Active tasks: {stats.active_tasks}",
        f"Total speed: {text.rate(stats.total_speed)}",
        f"Downloads: {stats.total_downloads}",
        f"Uploads: {stats.total_uploads}",
        f"Today: {stats.completed_today} completed, {stats.failed_today} failed",
        "",
        f"CPU: {host.cpu:.0f}% · Memory: {host.memory:.0f}% · Disk: {host.disk:.0f}%",
        f"Disk free: {text.size(host.disk_free)}",
        f"Uptime: {text.uptime(host.uptime)}",
    ]
    if stats.paused_all:
        lines.insert(2, "⏸ Everything is paused")
    return "\n".join(lines)


def pages(plain: str, *, limit: int = TEXT_LIMIT) -> list[str]:
    """A long plain text in pieces of at most `limit` UTF-16 units, cut at line ends where possible."""
    found: list[str] = []
    piece = ""
    for line in plain.split("\n"):
        for part in _chopped(line, limit):
            joined = f"{piece}\n{part}" if piece else part
            if utf16(joined) > limit:
                found.append(piece)
                piece = part
            else:
                piece = joined
    if piece:
        found.append(piece)
    return found


def _chopped(line: str, limit: int) -> list[str]:
    if utf16(line) <= limit:
        return [line]
    width = limit // 2  # every character has at most two units
    return [line[start : start + width] for start in range(0, len(line), width)]


def choices(data: Sequence[tuple[str, str]], *, per_row: int = 2) -> Buttons:
    """Buttons from texts and data, so many in a row."""
    buttons = [Button(label, value) for label, value in data]
    return tuple(tuple(buttons[start : start + per_row]) for start in range(0, len(buttons), per_row))
