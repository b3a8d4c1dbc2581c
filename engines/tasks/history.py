"""Questions to the store: windows on all tasks, counts, events and logs. Each runs on the reading connection."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from engines.errors import TaskdeckError
from engines.model import TaskEvent, TaskState, TaskView
from engines.query import Filter, Sort
from engines.tasks.rows import KIND_ORDER, VIEW, roots_of, view_of
from engines.tasks.states import Step

LIVE_FIRST: Final = frozenset({Sort.STATE, Sort.SPEED, Sort.ETA, Sort.PROGRESS})
"""Orders that only live tasks have; ended ones follow, the latest first."""

_Order = tuple[tuple[str, bool], ...]
"""Expressions and whether each descends."""
_ORDERS: Final[dict[Sort, _Order]] = {
    Sort.CREATED: (("created", True), ("id", False)),
    Sort.NAME: (("name_key", False), ("created", False), ("id", False)),
    Sort.KIND: (("kind_order", False), ("op", False), ("created", False), ("id", False)),
    Sort.SIZE: (("coalesce(total, 0)", True), ("created", False), ("id", False)),
    Sort.FINISHED: (("finished", True), ("id", False)),
}
_ENDED: Final = "finished IS NOT NULL"
_LATEST: Final = _ORDERS[Sort.FINISHED]


def _sql(order: _Order) -> str:
    return ", ".join(f"{name} DESC" if descends else name for name, descends in order)


def key_of(view: TaskView, sort: Sort) -> tuple[float | int | str | None, ...]:
    """The values of a stored task that its place in an order depends on, as `window` takes them."""
    match sort:
        case Sort.CREATED:
            return (view.created, view.id)
        case Sort.NAME:
            return (view.title.casefold(), view.created, view.id)
        case Sort.KIND:
            return (KIND_ORDER[view.kind], view.op, view.created, view.id)
        case Sort.SIZE:
            return (view.total or 0, view.created, view.id)
        case _:
            return (view.finished, view.id)


def _beyond(order: _Order, key: Sequence[Any], *, ended: bool) -> tuple[str, list[Any]]:
    """What lies behind a key in an order: a seek in the order's index instead of counting rows off."""
    ways: list[str] = []
    values: list[Any] = []
    for place, (name, descends) in enumerate(order):
        same = [f"{before} IS ?" for before, _ in order[:place]]
        if key[place] is None:  # NULL comes first in SQLite, so last in a descending order
            step, step_values = "0" if descends else f"{name} IS NOT NULL", []
        elif descends and name == "finished" and not ended:
            step, step_values = f"({name} < ? OR {name} IS NULL)", [key[place]]
        else:
            step, step_values = f"{name} {'<' if descends else '>'} ?", [key[place]]
        ways.append(" AND ".join([*same, step]))
        values += [*key[:place], *step_values]
    first, descends = order[0]
    if first == "finished" and not ended:  # may be NULL: no bound to seek by
        return f"({' OR '.join(ways)})", values
    return f"{first} {'<=' if descends else '>='} ? AND ({' OR '.join(ways)})", [key[0], *values]


def condition(wanted: Filter) -> tuple[str, list[Any]]:
    """The filter as SQL: the same tasks that `Filter.matches` lets pass."""
    parts: list[str] = []
    values: list[Any] = []

    def among(sql: str, options: frozenset[str] | frozenset[TaskState]) -> None:
        marks = ", ".join("?" * len(options))
        parts.append(sql.replace("@", f"({marks})"))
        for _ in range(sql.count("@")):
            values.extend(sorted(str(option) for option in options))

    if wanted.states:
        among("state IN @", wanted.states)
    if wanted.not_states:
        among("state NOT IN @", wanted.not_states)
    if wanted.kinds:
        among("(op IN @ OR kind IN @)", wanted.kinds)
    if wanted.not_kinds:
        among("(op NOT IN @ AND kind NOT IN @)", wanted.not_kinds)
    if wanted.owners:
        among("owner COLLATE NOCASE IN @", wanted.owners)
    if wanted.not_owners:
        among("owner COLLATE NOCASE NOT IN @", wanted.not_owners)
    if wanted.faces:
        among("face IN @", wanted.faces)
    if wanted.not_faces:
        among("face NOT IN @", wanted.not_faces)
    for prefixes, word in ((wanted.ids, ""), (wanted.not_ids, "NOT ")):
        if prefixes:
            parts.append(f"{word}({' OR '.join('substr(id, 1, ?) = ?' for _ in prefixes)})")
            for prefix in sorted(prefixes):
                values += [len(prefix), prefix]
    if wanted.since is not None:
        parts.append("created >= ?")
        values.append(wanted.since)
    if wanted.before is not None:
        parts.append("created < ?")
        values.append(wanted.before)
    for word in wanted.words:
        parts.append("instr(search, ?) > 0")
        values.append(word)
    for word in wanted.not_words:
        parts.append("instr(search, ?) = 0")
        values.append(word)
    return " AND ".join(parts), values


def window(
    connection: sqlite3.Connection,
    wanted: Filter,
    sort: Sort,
    *,
    reverse: bool,
    offset: int = 0,
    limit: int,
    ended: bool,
    after: Sequence[Any] | None = None,
) -> list[TaskView]:
    """Views of a window, from an offset or from behind a key of `key_of`; `ended` leaves live tasks out.

    Raises:
        ValueError: The key is not one of this order.
    """
    order = _LATEST if ended and sort in LIVE_FIRST else _ORDERS[sort]
    if reverse:
        order = tuple((name, not descends) for name, descends in order)
    where, values = condition(wanted)
    parts = [part for part in (_ENDED if ended else "", where) if part]
    if after is not None:
        if len(after) != len(order):
            raise ValueError("a key of another order")
        beyond, bounds = _beyond(order, after, ended=ended)
        parts.append(beyond)
        values += bounds
    # Ids first: the inner query walks an index, and only the rows of the window are fetched.
    sql = (
        f"SELECT {VIEW} FROM task JOIN (SELECT rowid AS number FROM task"  # noqa: S608 - no user text in it
        f"{' WHERE ' + ' AND '.join(parts) if parts else ''} ORDER BY {_sql(order)} LIMIT ? OFFSET ?)"
        " ON task.rowid = number"
    )
    return [view_of(row) for row in connection.execute(f"{sql} ORDER BY {_sql(order)}", (*values, limit, offset))]


def count(connection: sqlite3.Connection, wanted: Filter, *, ended: bool) -> int:
    """How many tasks match."""
    where, values = condition(wanted)
    if ended:
        where = f"{_ENDED} AND {where}" if where else _ENDED
    sql = f"SELECT count(*) FROM task{' WHERE ' + where if where else ''}"  # noqa: S608
    return int(connection.execute(sql, values).fetchone()[0])


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Number of tasks by state."""
    return dict(connection.execute("SELECT state, count(*) FROM task GROUP BY state"))


def completed_by_kind(connection: sqlite3.Connection) -> dict[str, int]:
    """Number of completed tasks by family."""
    return dict(connection.execute("SELECT kind, count(*) FROM task WHERE state='completed' GROUP BY kind"))


def ended_since(connection: sqlite3.Connection, moment: float) -> dict[str, int]:
    """Number of tasks that ended at or after a moment, by state."""
    return dict(
        connection.execute(
            "SELECT state, count(*) FROM task WHERE finished IS NOT NULL AND finished >= ? GROUP BY state", (moment,)
        )
    )


def midnight(now: float) -> float:
    """When the local day began."""
    day = time.localtime(now)
    return time.mktime((day.tm_year, day.tm_mon, day.tm_mday, 0, 0, 0, 0, 0, -1))


def ids_like(connection: sqlite3.Connection, prefix: str, limit: int = 6) -> list[str]:
    """Ids that begin so."""
    rows = connection.execute(
        "SELECT id FROM task WHERE id >= ? AND id < ? ORDER BY id LIMIT ?", (prefix, prefix + "~", limit)
    )
    return [task_id for (task_id,) in rows]


def view(connection: sqlite3.Connection, task_id: str) -> TaskView | None:
    """One task as it was last written."""
    row = connection.execute(f"SELECT {VIEW} FROM task WHERE id=?", (task_id,)).fetchone()  # noqa: S608
    return view_of(row) if row else None


def states(connection: sqlite3.Connection, ids: Sequence[str]) -> dict[str, TaskState]:
    """States of some tasks; unknown ids are left out."""
    found = {}
    for task_id in ids:
        if row := connection.execute("SELECT state FROM task WHERE id=?", (task_id,)).fetchone():
            found[task_id] = TaskState(row[0])
    return found


def once_completed(connection: sqlite3.Connection, ids: Iterable[str]) -> set[str]:
    """Those of some removed tasks that had completed: their events are kept for a while."""
    sql = "SELECT 1 FROM event WHERE task=? AND type=?"
    return {task_id for task_id in ids if connection.execute(sql, (task_id, Step.COMPLETE)).fetchone()}


def removed(task_id: str) -> TaskdeckError:
    """The refusal of a task that is in the history no more."""
    return TaskdeckError("task.missing", f"cannot find task '{task_id}'", "it was removed from the history")


def body(connection: sqlite3.Connection, task_id: str) -> tuple[dict[str, Any], dict[str, Any] | None, list[str]]:
    """Parameters, result and dependencies of a task.

    Raises:
        TaskdeckError: `task.missing`.
    """
    row = connection.execute("SELECT params, result FROM body WHERE task=?", (task_id,)).fetchone()
    if row is None:
        raise removed(task_id)
    params, result = row
    after = [other for (other,) in connection.execute("SELECT needs FROM needs WHERE task=?", (task_id,))]
    return msgspec.json.decode(params), msgspec.json.decode(result) if result else None, after


def order(connection: sqlite3.Connection, task_id: str) -> tuple[dict[str, Any], list[str], tuple[str, ...]]:
    """What a task was asked to do, without secrets, the names of the secrets it was given, and its own roots.

    Raises:
        TaskdeckError: `task.missing`.
    """
    query = "SELECT params, secret_names, roots FROM body JOIN task ON task.id = body.task WHERE task=?"
    row = connection.execute(query, (task_id,)).fetchone()
    if row is None:
        raise removed(task_id)
    params, names, roots = row
    return msgspec.json.decode(params), msgspec.json.decode(names, type=list[str]), roots_of(roots)


def log_after(connection: sqlite3.Connection, task_id: str, after: int, limit: int) -> list[tuple[int, str]]:
    """Stored log lines with a number above `after`, the last `limit` of them."""
    rows = connection.execute(
        "SELECT n, line FROM log WHERE task=? AND n>? ORDER BY n DESC LIMIT ?", (task_id, after, limit)
    ).fetchall()
    return rows[::-1]


def events(connection: sqlite3.Connection, after: int, task_id: str | None, limit: int) -> list[TaskEvent]:
    """Recorded transitions after a sequence number."""
    sql = "SELECT seq, at, task, type, actor, face, data FROM event WHERE seq > ?"
    values: list[Any] = [after]
    if task_id is not None:
        sql += " AND task = ?"
        values.append(task_id)
    rows = connection.execute(f"{sql} ORDER BY seq LIMIT ?", (*values, limit))
    return [
        TaskEvent(seq, at, task, kind, actor, face, msgspec.json.decode(data))
        for seq, at, task, kind, actor, face, data in rows
    ]


def last_event(connection: sqlite3.Connection) -> int:
    """The highest sequence number that an event ever had, also when retention has forgotten it."""
    found = connection.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name='event'")
    return int(found.fetchone()[0])


def surplus(connection: sqlite3.Connection, *, before: float | None, keep: int) -> list[str]:
    """Ended tasks that the retention settings let go: older than a moment, or beyond a number."""
    found: set[str] = set()
    if before is not None:
        found.update(i for (i,) in connection.execute("SELECT id FROM task WHERE finished < ?", (before,)))
    if keep:
        rows = connection.execute(
            f"SELECT id FROM task WHERE {_ENDED} ORDER BY {_sql(_LATEST)} LIMIT -1 OFFSET ?",  # noqa: S608
            (keep,),
        )
        found.update(task_id for (task_id,) in rows)
    return sorted(found)


def events_without_task(connection: sqlite3.Connection, *, before: float, limit: int) -> list[int]:
    """Numbers of events older than a moment whose task is no longer in the history."""
    found = connection.execute(
        "SELECT seq FROM event WHERE at < ? AND NOT EXISTS (SELECT 1 FROM task WHERE id = event.task) LIMIT ?",
        (before, limit),
    )
    return [seq for (seq,) in found]
