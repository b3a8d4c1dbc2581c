"""The filter language of every face: `status:failed kind:zip since:1d holiday`, parsed once, matched on views.

Terms are joined by "and"; several values of one key by "or"; "!" or "-" before a term negates it; words in
double quotes keep their spaces. Keys: status (or state), kind (operation or family), owner, face, since, before,
id; any other word is searched in title, output and error, ignoring case.
"""

from __future__ import annotations

import shlex
import time
from enum import StrEnum
from typing import Final

import msgspec

from engines.errors import TaskdeckError
from engines.model import ACTIVE, TERMINAL, Kind, TaskState, TaskView
from engines.names import display
from engines.text import parse_duration

MAX_LIMIT: Final = 500
"""Tasks in one page at most."""
KEYS: Final = ("status", "kind", "owner", "face", "since", "before", "id")


class Sort(StrEnum):
    """Orders of a task list. `STATE` shows what moves first, then what waits, then what has ended."""

    STATE = "state"
    CREATED = "created"
    NAME = "name"
    KIND = "kind"
    PROGRESS = "progress"
    SPEED = "speed"
    ETA = "eta"
    SIZE = "size"
    FINISHED = "finished"


class Filter(msgspec.Struct, frozen=True):
    """A parsed filter. Empty fields match everything."""

    states: frozenset[TaskState] = frozenset()
    not_states: frozenset[TaskState] = frozenset()
    kinds: frozenset[str] = frozenset()
    """Operation names or families."""
    not_kinds: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()
    """In the form of `plain`."""
    not_owners: frozenset[str] = frozenset()
    faces: frozenset[str] = frozenset()
    not_faces: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    """Beginnings of ids."""
    not_ids: frozenset[str] = frozenset()
    since: float | None = None
    """Created at or after."""
    before: float | None = None
    words: tuple[str, ...] = ()
    not_words: tuple[str, ...] = ()

    def matches(self, view: TaskView) -> bool:
        """Whether the task passes."""
        if (self.states and view.state not in self.states) or view.state in self.not_states:
            return False
        names = {view.op, view.kind.value}
        if (self.kinds and not names & self.kinds) or names & self.not_kinds:
            return False
        owner = plain(view.owner)
        if (self.owners and owner not in self.owners) or owner in self.not_owners:
            return False
        if (self.faces and view.face not in self.faces) or view.face in self.not_faces:
            return False
        if self.ids and not view.id.startswith(tuple(self.ids)):
            return False
        if view.id.startswith(tuple(self.not_ids)):
            return False
        if self.since is not None and view.created < self.since:
            return False
        if self.before is not None and view.created >= self.before:
            return False
        if self.words or self.not_words:
            text = f"{view.title}\n{view.output}\n{view.error.message if view.error else ''}".casefold()
            return all(word in text for word in self.words) and not any(word in text for word in self.not_words)
        return True


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A window on the list of tasks."""

    filter: str = ""
    sort: Sort = Sort.STATE
    reverse: bool = False
    offset: int = 0
    limit: int = 50
    cursor: str = ""
    """Go on behind the page whose `next_cursor` this was, whatever came or went meanwhile. Instead of an offset."""


class Page(msgspec.Struct, frozen=True):
    """A window's content: `items` are the tasks at `offset` of `total` that match."""

    items: list[TaskView]
    total: int
    offset: int
    """0 when asked for by cursor."""
    rev: int
    next_cursor: str | None = None
    """Opaque; asks for the tasks behind these. None at the end of the list."""


_STATE_WORDS: Final[dict[str, frozenset[TaskState]]] = {
    **{state.value: frozenset({state}) for state in TaskState},
    "error": frozenset({TaskState.FAILED}),
    "done": frozenset({TaskState.COMPLETED}),
    "active": ACTIVE,
    "ended": TERMINAL,
    "open": frozenset(TaskState) - TERMINAL,
}


def plain(name: str) -> str:
    """A name without regard to the case of ASCII letters: as SQLite compares under NOCASE."""
    return name.encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")


def _terms(text: str) -> list[str]:
    """Words, those in double quotes as one; apostrophes and backslashes are letters like others."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.commenters, lexer.quotes, lexer.escape = True, "", '"', ""
    try:
        return list(lexer)
    except ValueError:  # an open quote while typing
        return text.replace('"', " ").split()


def parse_filter(text: str, *, now: float | None = None) -> Filter:
    """The filter a user typed.

    Raises:
        TaskdeckError: `value` for an unknown status, or a time that is not understood.
    """
    sets: dict[str, set[str]] = {
        name + key: set() for key in ("kinds", "owners", "faces", "ids") for name in ("", "not_")
    }
    states: set[TaskState] = set()
    not_states: set[TaskState] = set()
    words: list[str] = []
    not_words: list[str] = []
    since = before = None
    for term in _terms(text):
        negated = len(term) > 1 and term[0] in "!-"
        body = term[1:] if negated else term
        key, colon, value = body.partition(":")
        key = {"state": "status", "type": "kind", "op": "kind"}.get(key.casefold(), key.casefold())
        if not colon or key not in KEYS:
            (not_words if negated else words).append(body.casefold())
            continue
        values = [item for item in (plain(value) if key == "owner" else value.casefold()).split(",") if item]
        if key == "status":
            for item in values:
                (not_states if negated else states).update(_states(item))
        elif key in ("since", "before"):
            if value:
                moment = _moment(value, time.time() if now is None else now)
                since, before = (moment, before) if (key == "since") is not negated else (since, moment)
        else:
            sets[f"{'not_' if negated else ''}{key}s"].update(values)
    return Filter(
        states=frozenset(states),
        not_states=frozenset(not_states),
        **{name: frozenset(found) for name, found in sets.items()},
        since=since,
        before=before,
        words=tuple(words),
        not_words=tuple(not_words),
    )


def _states(word: str) -> frozenset[TaskState]:
    if word in _STATE_WORDS:
        return _STATE_WORDS[word]
    matches = [states for name, states in _STATE_WORDS.items() if name.startswith(word)]
    if not matches:
        known = ", ".join(state.value for state in TaskState)
        raise TaskdeckError("value", f"cannot filter by status '{display(word)}'", f"known are {known}")
    return frozenset().union(*matches)


def _moment(text: str, now: float) -> float:
    """A point in time: an age ("1d", "90m") or a date ("2026-01-30", "2026-01-30T12:00")."""
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    for form in ("%Y-%m-%d", "%Y-%m-%dt%H:%M", "%Y-%m-%dt%H:%M:%S"):
        try:
            return time.mktime(time.strptime(text.casefold(), form))
        except (ValueError, OverflowError):
            continue
    raise TaskdeckError(
        "value",
        f"cannot understand the time '{display(text)}'",
        "",
        "write an age such as 1d or a date such as 2026-01-30",
    )


_STATE_ORDER: Final = {
    TaskState.RUNNING: 0,
    TaskState.PAUSING: 0,
    TaskState.CANCELLING: 0,
    TaskState.PAUSED: 1,
    TaskState.QUEUED: 2,
    TaskState.WAITING: 3,
    TaskState.FAILED: 4,
    TaskState.COMPLETED: 5,
    TaskState.CANCELLED: 6,
}
_KIND_ORDER: Final = {kind: number for number, kind in enumerate(Kind)}


def sort_key(view: TaskView, sort: Sort) -> tuple[float | int | str, ...]:
    """A key that orders views; ties are broken by creation and id."""
    last = (view.created, view.id)
    match sort:
        case Sort.STATE:
            if view.terminal:
                return (_STATE_ORDER[TaskState.FAILED], -(view.finished or view.created), view.id)
            return (_STATE_ORDER[view.state], -view.priority, view.position, *last)
        case Sort.CREATED:
            return (-view.created, view.id)
        case Sort.NAME:
            return (view.title.casefold(), *last)
        case Sort.KIND:
            return (_KIND_ORDER[view.kind], view.op, *last)
        case Sort.PROGRESS:
            return (-(view.fraction or 0.0), *last)
        case Sort.SPEED:
            return (-view.speed, *last)
        case Sort.ETA:
            return (view.eta if view.eta is not None else float("inf"), *last)
        case Sort.SIZE:
            return (-(view.total or 0), *last)
        case Sort.FINISHED:
            return (-(view.finished or 0.0), *last)
