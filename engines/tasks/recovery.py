"""What a start finds: tasks go on from their checkpoint, left-over processes and files are removed."""

from __future__ import annotations

import sqlite3
from typing import Final

from engines.model import TERMINAL, TaskState
from engines.tasks import claims, history, rows
from engines.tasks.journal import ENGINE, Journal
from engines.tasks.record import Record
from engines.tasks.states import Step, demand_move
from engines.tasks.store import Statement, Store

REMOVED: Final = "removed"
"""What became of a task that another needs and that nothing is known of any more."""
_AFTER_CRASH = {
    TaskState.RUNNING: (Step.SUSPEND, TaskState.QUEUED),
    TaskState.PAUSING: (Step.SUSPEND, TaskState.PAUSED),
    TaskState.CANCELLING: (Step.SUSPEND, TaskState.CANCELLED),
}


def live(connection: sqlite3.Connection) -> list[Record]:
    """Tasks that have not ended."""
    return rows.records(connection, "task.finished IS NULL")


async def recover(store: Store, journal: Journal, found: list[Record]) -> list[Record]:
    """Bring records to the state a crash leaves them in, durably; returns those that are still alive."""
    statements: list[Statement] = []
    for record in found:
        before = record.state
        if before in _AFTER_CRASH:
            step, target = _AFTER_CRASH[before]
            demand_move(record.id, before, step, target)
            record.state = target
            if target in TERMINAL:
                record.finished = journal.clock()
                record.checkpoint = None
            data = {"from": before, "to": target, "why": "restart"}
            statements.append(journal.statement(record.id, step, ENGINE, data))
            statements += rows.update(record)
    if statements:
        await store.write(statements)
    return [record for record in found if record.state not in TERMINAL]


async def sweep_claims(store: Store, alive: list[Record]) -> None:
    """Remove claimed paths of tasks that do not go on from a checkpoint."""
    keep = {record.id for record in alive if record.checkpoint is not None}
    claimed = await store.read(lambda c: c.execute("SELECT path, task FROM claim").fetchall())
    gone = [(path, task) for path, task in claimed if task not in keep]
    for path, _ in gone:
        claims.remove_quietly(path)
    if gone:
        await store.write([("DELETE FROM claim WHERE path=? AND task=?", pair) for pair in gone])


async def missing_dependencies(store: Store, record: Record) -> tuple[set[str], dict[str, str]]:
    """Ids a task still waits for, and what became of those that can no longer succeed (a state, or `REMOVED`)."""
    if not record.after:
        return set(), {}
    states = await store.read(lambda c: history.states(c, record.after))
    gone = set(record.after) - states.keys()
    met = await store.read(lambda c: history.once_completed(c, gone))
    bad: dict[str, str] = {
        task_id: state for task_id, state in states.items() if state in (TaskState.FAILED, TaskState.CANCELLED)
    }
    bad |= dict.fromkeys(gone - met, REMOVED)
    waiting = {task_id for task_id, state in states.items() if state is not TaskState.COMPLETED} - bad.keys()
    return waiting, bad
