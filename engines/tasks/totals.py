"""What ended tasks come to: counts, bytes worked through, space saved, time taken."""

from __future__ import annotations

import sqlite3
from typing import Final

from engines.model import TaskState, Totals
from engines.query import Filter
from engines.tasks.history import condition

_SAVED: Final = {
    "zip": ("$.original", "$.packed"),
    "convert": ("$.source", "$.packed"),
    "transcode": ("$.before.size", "$.after.size"),
    "remux": ("$.before", "$.after"),
}
"""Where results say how large something was before and is afterwards. Folders of media have one such result a file."""


def of_ended(connection: sqlite3.Connection, wanted: Filter) -> Totals:
    """Add up the ended tasks that match."""
    where, values = condition(wanted)
    matching = f"finished IS NOT NULL{' AND ' + where if where else ''}"
    rows = connection.execute(
        "SELECT state, count(*), total(CASE unit WHEN 'bytes' THEN coalesce(total, done) ELSE 0 END), "  # noqa: S608
        f"sum(max(0, finished - coalesce(started, finished))) FROM task WHERE {matching} GROUP BY state",
        values,
    ).fetchall()
    counts = {state: number for state, number, _, _ in rows}
    done = next((row for row in rows if row[0] == TaskState.COMPLETED), None)
    return Totals(
        completed=counts.get(TaskState.COMPLETED, 0),
        failed=counts.get(TaskState.FAILED, 0),
        cancelled=counts.get(TaskState.CANCELLED, 0),
        bytes=int(done[2]) if done else 0,
        seconds=done[3] or 0.0 if done else 0.0,
        saved=sum(_saved(connection, op, matching, values) for op in _SAVED),
    )


def _saved(connection: sqlite3.Connection, op: str, matching: str, values: list[object]) -> int:
    before, after = _SAVED[op]
    sql = (
        "WITH result(json) AS (SELECT result FROM task JOIN body ON body.task = task.id "  # noqa: S608
        f"WHERE op = ? AND state IN ('completed', 'failed') AND result IS NOT NULL AND {matching}), "
        "part(json) AS (SELECT json FROM result UNION ALL "
        "SELECT json_extract(each.value, '$.result') FROM result, json_each(result.json, '$.files') AS each "
        "WHERE json_type(result.json, '$.files') = 'array' AND json_type(each.value, '$.result') = 'object') "
        "SELECT coalesce(sum(json_extract(json, ?) - json_extract(json, ?)), 0) FROM part "
        "WHERE json_extract(json, ?) IS NOT NULL AND json_extract(json, ?) IS NOT NULL"
    )
    return int(connection.execute(sql, (op, *values, before, after, before, after)).fetchone()[0])
