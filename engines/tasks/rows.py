"""Tasks as rows: statements that write a record, and views made from rows."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import msgspec

from engines.errors import ErrorInfo
from engines.model import Json, Kind, TaskEvent, TaskState, TaskView, WaitReason
from engines.paths import from_uri, to_uri
from engines.tasks.record import Record
from engines.tasks.states import ACTIONS
from engines.tasks.store import Statement

_encode = msgspec.json.Encoder().encode
_error = msgspec.json.Decoder(ErrorInfo)

KIND_ORDER: Final = {kind: number for number, kind in enumerate(Kind)}
_COLUMNS: Final = (
    "id", "op", "kind", "title", "state", "owner", "face", "priority", "position", "attempt", "crashes",
    "max_attempts", "resumable", "writes", "created", "started", "finished", "not_before", "resume_at", "done",
    "total", "unit", "item", "stage", "reason", "note", "disk_free", "output", "error", "secret_names", "search",
    "name_key", "kind_order", "roots",
)  # fmt: skip
_CHANGING: Final = tuple(
    name
    for name in _COLUMNS
    if name not in ("id", "op", "kind", "title", "owner", "created", "name_key", "kind_order", "roots")
)
_INSERT: Final = f"INSERT INTO task ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608
_UPDATE: Final = f"UPDATE task SET {', '.join(f'{name}=?' for name in _CHANGING)} WHERE id=?"  # noqa: S608

VIEW: Final = (
    "id, op, kind, title, state, created, owner, face, priority, position, attempt, started, finished, done, total,"
    " unit, item, stage, reason, note, resumable, error, output"
)
"""Columns of a view, in the order `view_of` expects."""


def _values(record: Record) -> dict[str, Any]:
    error = text(record.error) if record.error else None
    words = (record.title, record.output, record.error.message if record.error else "")
    return {
        "id": record.id,
        "op": record.op_name,
        "kind": record.kind.value,
        "title": record.title,
        "state": record.state.value,
        "owner": record.owner,
        "face": record.face,
        "priority": record.priority,
        "position": record.position,
        "attempt": record.attempt,
        "crashes": record.crashes,
        "max_attempts": record.max_attempts,
        "resumable": record.resumable,
        "writes": record.writes,
        "created": record.created,
        "started": record.started,
        "finished": record.finished,
        "not_before": record.not_before,
        "resume_at": record.resume_at,
        "done": record.done,
        "total": record.total,
        "unit": record.unit,
        "item": record.item,
        "stage": record.stage,
        "reason": record.reason.value,
        "note": record.note,
        "disk_free": record.disk_free,
        "output": record.output,
        "error": error,
        "secret_names": text(record.secret_names),
        "search": "\n".join(words).casefold(),
        "name_key": record.title.casefold(),
        "kind_order": KIND_ORDER[record.kind],
        "roots": text([to_uri(root) for root in record.roots]),
    }


def text(value: object) -> str:
    """JSON for a column."""
    return _encode(value).decode()


def roots_of(column: str) -> tuple[str, ...]:
    """The folders a task must stay in, from their column."""
    return tuple(from_uri(root) for root in msgspec.json.decode(column, type=list[str]))


def insert(record: Record) -> list[Statement]:
    """Statements that add a new task."""
    values = _values(record)
    statements: list[Statement] = [
        (_INSERT, [values[name] for name in _COLUMNS]),
        ("INSERT INTO body (task, params) VALUES (?, ?)", (record.id, text(record.op))),
    ]
    statements += [("INSERT INTO needs (task, needs) VALUES (?, ?)", (record.id, other)) for other in record.after]
    return statements


def update(record: Record) -> list[Statement]:
    """Statements that write a record's present fields."""
    values = _values(record)
    return [
        (_UPDATE, [*(values[name] for name in _CHANGING), record.id]),
        (
            "UPDATE body SET checkpoint=?, result=? WHERE task=?",
            (
                text(record.checkpoint) if record.checkpoint is not None else None,
                text(record.result) if record.result is not None else None,
                record.id,
            ),
        ),
    ]


def progress(record: Record) -> Statement:
    """The statement that writes the fast-changing fields."""
    return (
        "UPDATE task SET done=?, total=?, unit=?, item=?, stage=? WHERE id=?",
        (record.done, record.total, record.unit, record.item, record.stage, record.id),
    )


def checkpoint(record: Record) -> Statement:
    """The statement that writes the checkpoint."""
    return ("UPDATE body SET checkpoint=? WHERE task=?", (text(record.checkpoint), record.id))


def event(event_: TaskEvent) -> Statement:
    """The statement that records a transition."""
    return (
        "INSERT INTO event (seq, at, task, type, actor, face, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (event_.seq, event_.at, event_.task, event_.type, event_.actor, event_.face, text(event_.data)),
    )


def view_of(row: tuple[Any, ...], rev: int = 0) -> TaskView:
    """The picture of a task that has ended (or of one as it was last written)."""
    state = TaskState(row[4])
    return TaskView(
        id=row[0],
        op=row[1],
        kind=Kind(row[2]),
        title=row[3],
        state=state,
        created=row[5],
        rev=rev,
        owner=row[6],
        face=row[7],
        priority=row[8],
        position=row[9],
        attempt=row[10],
        started=row[11],
        finished=row[12],
        done=row[13],
        total=row[14],
        unit=row[15],
        item=row[16],
        stage=row[17],
        reason=WaitReason(row[18]),
        note=row[19],
        resumable=bool(row[20]),
        actions=ACTIONS[state],
        error=_error.decode(row[21]) if row[21] else None,
        output=row[22],
    )


def records(connection: sqlite3.Connection, where: str, parameters: tuple[Any, ...] = ()) -> list[Record]:
    """Whole records of tasks that match a condition (written in this package, never by a user)."""
    columns = ", ".join(f"task.{name}" for name in _COLUMNS)
    rows = connection.execute(
        f"SELECT {columns}, body.params, body.checkpoint, body.result"  # noqa: S608
        f" FROM task JOIN body ON body.task = task.id WHERE {where}",
        parameters,
    ).fetchall()
    return [
        _record(connection, dict(zip((*_COLUMNS, "params", "checkpoint", "result"), row, strict=True))) for row in rows
    ]


def _record(connection: sqlite3.Connection, row: dict[str, Any]) -> Record:
    def json(name: str) -> Json | None:
        return msgspec.json.decode(row[name]) if row[name] is not None else None

    after = connection.execute("SELECT needs FROM needs WHERE task=? ORDER BY needs", (row["id"],)).fetchall()
    last = connection.execute("SELECT max(n) FROM log WHERE task=?", (row["id"],)).fetchone()[0]
    return Record(
        id=row["id"],
        op=json("params") or {},
        op_name=row["op"],
        kind=Kind(row["kind"]),
        title=row["title"],
        state=TaskState(row["state"]),
        created=row["created"],
        owner=row["owner"],
        face=row["face"],
        priority=row["priority"],
        position=row["position"],
        max_attempts=row["max_attempts"],
        resumable=bool(row["resumable"]),
        writes=bool(row["writes"]),
        after=tuple(name for (name,) in after),
        roots=roots_of(row["roots"]),
        not_before=row["not_before"],
        resume_at=row["resume_at"],
        attempt=row["attempt"],
        crashes=row["crashes"],
        started=row["started"],
        finished=row["finished"],
        done=row["done"],
        total=row["total"],
        unit=row["unit"],
        item=row["item"],
        stage=row["stage"],
        reason=WaitReason(row["reason"]),
        note=row["note"],
        secret_names=tuple(msgspec.json.decode(row["secret_names"])),
        checkpoint=json("checkpoint"),
        result=json("result"),
        output=row["output"],
        error=_error.decode(row["error"]) if row["error"] else None,
        disk_free=row["disk_free"],
        log_count=last or 0,
    )
