"""The task database's schema as a list of migrations; `PRAGMA user_version` says how many were applied."""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE task (
        id TEXT PRIMARY KEY,
        op TEXT NOT NULL,
        kind TEXT NOT NULL,
        title TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'queued', 'running', 'pausing', 'paused', 'cancelling',
                                             'completed', 'failed', 'cancelled')),
        owner TEXT NOT NULL,
        face TEXT NOT NULL,
        priority INTEGER NOT NULL,
        position INTEGER NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 0,
        crashes INTEGER NOT NULL DEFAULT 0,
        max_attempts INTEGER NOT NULL,
        resumable INTEGER NOT NULL,
        writes INTEGER NOT NULL,
        created REAL NOT NULL,
        started REAL,
        finished REAL,
        not_before REAL,
        resume_at REAL,
        done INTEGER NOT NULL DEFAULT 0,
        total INTEGER,
        unit TEXT NOT NULL DEFAULT 'bytes',
        item TEXT NOT NULL DEFAULT '',
        stage TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT '',
        note TEXT NOT NULL DEFAULT '',
        disk_free INTEGER NOT NULL DEFAULT 0,
        output TEXT NOT NULL DEFAULT '',
        error TEXT,
        secret_names TEXT NOT NULL DEFAULT '[]',
        search TEXT NOT NULL DEFAULT '',
        name_key TEXT NOT NULL DEFAULT '',
        kind_order INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX task_state ON task(state, created);
    CREATE INDEX task_created ON task(created DESC, id);
    CREATE INDEX task_finished ON task(finished DESC, id, search);  -- searches walk this, not the rows
    CREATE INDEX task_outcome ON task(state, finished DESC, id) WHERE finished IS NOT NULL;
    CREATE INDEX task_op ON task(op, finished);
    CREATE INDEX task_family ON task(kind, finished);
    CREATE INDEX task_name ON task(name_key, created, id);
    CREATE INDEX task_kind ON task(kind_order, op, created, id);
    CREATE INDEX task_size ON task(coalesce(total, 0) DESC, created, id);

    CREATE TABLE body (
        task TEXT PRIMARY KEY REFERENCES task(id) ON DELETE CASCADE,
        params TEXT NOT NULL,
        checkpoint TEXT,
        result TEXT
    );
    CREATE TABLE needs (
        task TEXT NOT NULL REFERENCES task(id) ON DELETE CASCADE,
        needs TEXT NOT NULL,
        PRIMARY KEY (task, needs)
    ) WITHOUT ROWID;
    CREATE TABLE idempotency (
        owner TEXT NOT NULL,
        key TEXT NOT NULL,
        digest TEXT NOT NULL,
        task TEXT NOT NULL REFERENCES task(id) ON DELETE CASCADE,
        PRIMARY KEY (owner, key)
    ) WITHOUT ROWID;
    CREATE INDEX idempotency_task ON idempotency(task);
    CREATE TABLE event (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        task TEXT NOT NULL,
        type TEXT NOT NULL,
        actor TEXT NOT NULL DEFAULT '',
        face TEXT NOT NULL DEFAULT '',
        data TEXT NOT NULL DEFAULT '{}'
    );
    CREATE INDEX event_task ON event(task, seq);
    CREATE TABLE log (
        task TEXT NOT NULL REFERENCES task(id) ON DELETE CASCADE,
        n INTEGER NOT NULL,
        line TEXT NOT NULL,
        PRIMARY KEY (task, n)
    ) WITHOUT ROWID;
    CREATE TABLE claim (
        path BLOB NOT NULL,
        task TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (path, task)
    ) WITHOUT ROWID;
    CREATE INDEX claim_task ON claim(task);
    CREATE TABLE meta (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    "ALTER TABLE task ADD COLUMN roots TEXT NOT NULL DEFAULT '[]';",
)
"""Never edit one that was released; append."""
