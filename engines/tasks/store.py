"""The durable store: one SQLite file, one writer thread with group commit, one reader thread.

Rules (each has a test that names it): WAL with `synchronous=FULL`, so a write that was acknowledged survives
a power cut; only this process opens the file (SQLite before 3.51.3 can damage a WAL that two processes
checkpoint); a newer schema is refused; a damaged file is moved aside and the last backup restored.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from engines.errors import TaskdeckError
from engines.paths import unreadable
from engines.tasks.schema import MIGRATIONS

Statement = tuple[str, Sequence[Any]]
"""SQL and its parameters."""

_T = TypeVar("_T")
_GROUP: Final = 512  # batches joined into one commit; 50 rows a commit already give 30x the rate of single ones
_BACKUP_EVERY: Final = 24 * 3600.0
_NO_DAMAGE: Final = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
    }
)
"""Result codes that say nothing about what is in the file: it stays where it is."""


class _Batch:
    """Statements that stand or fall together, and whom to tell."""

    __slots__ = ("future", "loop", "statements")

    def __init__(
        self, statements: Sequence[Statement], future: asyncio.Future[None], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.statements = statements
        self.future = future
        self.loop = loop


class Store:
    """The task database.

    Args:
        path: The database file; its folder must exist and belong to this process alone.
        migrations: For tests of migrations.

    Raises:
        TaskdeckError: `store.newer`, `store.damaged` (when nothing could be saved), `disk.full`.
    """

    def __init__(self, path: Path, *, migrations: Sequence[str] = MIGRATIONS) -> None:
        self._path = path
        self._migrations = migrations
        self.notice = ""
        """What a user should know about the last opening ("the database was damaged; ..."), else empty."""
        self.commits = 0
        """Commits since the start: what the progress budget is measured by."""
        self._writer = self._open()
        self._reader = _connect(path)
        self._reader.execute("PRAGMA query_only=ON")
        self._reads = ThreadPoolExecutor(1, thread_name_prefix="store-read")
        self._queue: queue.SimpleQueue[_Batch | Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store-write", daemon=True)
        self._thread.start()

    async def write(self, statements: Sequence[Statement]) -> None:
        """Run statements in one transaction; returns once they are on the disk.

        Raises:
            TaskdeckError: `disk.full` or `disk.io`; nothing was written then.
            sqlite3.IntegrityError: A constraint refused them.
            OverflowError, UnicodeEncodeError: A value that SQLite cannot hold; nothing was written then.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._queue.put(_Batch(statements, future, loop))
        # A caller that is cancelled must not leave with the write half known.
        await asyncio.shield(future)

    async def read(self, function: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run a query function on the reading connection, off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._reads, function, self._reader)

    def read_now(self, function: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run a query on the calling thread: for start-up, before any event loop work."""
        return function(self._reader)

    async def backup(self) -> None:
        """Write a compact copy beside the database, for the day the file is damaged.

        Raises:
            TaskdeckError: `disk.full` or another that says why there is none; the last copy stays.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def make() -> None:
            problem: Exception | None = None
            try:
                self._copy(self._backup_path)
            except sqlite3.Error as error:
                problem = _readable(error)
            except OSError as error:
                problem = unreadable(self._backup_path, error)
            loop.call_soon_threadsafe(_settle, future, problem)

        self._queue.put(make)
        await future

    def backup_due(self) -> bool:
        """Whether the last backup is older than a day."""
        try:
            return time.time() - self._backup_path.stat().st_mtime > _BACKUP_EVERY
        except FileNotFoundError:
            return True

    def close(self) -> None:
        """Finish what is queued and close. The store cannot be used afterwards."""
        self._queue.put(None)
        self._thread.join()
        self._reads.shutdown()
        self._reader.close()
        self._writer.close()

    # opening

    @property
    def _backup_path(self) -> Path:
        return self._path.with_name(self._path.name + ".backup")

    def _open(self) -> sqlite3.Connection:
        try:
            return self._migrated(self._checked())
        except sqlite3.DatabaseError as error:
            raise _readable(error) from None

    def _checked(self) -> sqlite3.Connection:
        """A connection to a sound database: this one, the backup of it, or a new one."""
        if not self._path.exists():
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            return _connect(self._path)
        if connection := _sound(self._path):
            return connection
        aside = self._path.with_name(f"{self._path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{self._path}{suffix}", f"{aside}{suffix}")
        self.notice = f"The task database was damaged; it was kept as {aside.name}"
        if self._backup_path.exists():
            saved = self._backup_path.read_bytes()
            self._path.touch(mode=0o600)
            self._path.write_bytes(saved)
            if connection := _sound(self._path):
                self.notice += " and the last daily backup was restored."
                return connection
            self._path.unlink()
        self._path.touch(mode=0o600)
        self.notice += " and a new one was begun."
        return _connect(self._path)

    def _migrated(self, connection: sqlite3.Connection) -> sqlite3.Connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        latest = len(self._migrations)
        if version > latest:
            connection.close()
            raise TaskdeckError(
                "store.newer",
                f"cannot open the task database '{self._path}'",
                f"a newer Taskdeck wrote it (schema {version}, this one knows {latest})",
                "upgrade Taskdeck, or give it another state folder",
            )
        if 0 < version < latest:
            self._writer = connection
            self._copy(self._path.with_name(f"{self._path.name}.schema-{version}"))
        for number, script in enumerate(self._migrations[version:], version + 1):
            connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
        return connection

    def _copy(self, target: Path) -> None:
        """A consistent copy under the target's name, complete or not at all."""
        part = target.with_name(target.name + ".part")
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            self._writer.execute("VACUUM INTO ?", (str(part),))
            with part.open("rb") as made:
                os.fsync(made.fileno())
            os.replace(part, target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    # the writer thread

    def _work(self) -> None:
        while True:
            batches: list[_Batch] = []
            item = self._queue.get()
            while isinstance(item, _Batch):
                batches.append(item)
                if len(batches) >= _GROUP:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            if batches:
                self._commit(batches)
            if item is None:
                return
            if not isinstance(item, _Batch):
                item()

    def _commit(self, batches: list[_Batch]) -> None:
        """Commit batches together; when that fails, one by one, so that only the guilty one fails."""
        problem = self._transaction(batches)
        if problem is None or len(batches) == 1:
            _tell(batches, problem)
            return
        for batch in batches:
            _tell([batch], self._transaction([batch]))

    def _transaction(self, batches: list[_Batch]) -> Exception | None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for batch in batches:
                for sql, parameters in batch.statements:
                    self._writer.execute(sql, parameters)
            self._writer.execute("COMMIT")
        except Exception as error:  # whatever one batch holds, the thread lives on for the others
            if self._writer.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # SQLite rolls back by itself when the disk is full
                    self._writer.execute("ROLLBACK")
            if isinstance(error, sqlite3.IntegrityError) or not isinstance(error, sqlite3.Error):
                return error
            return _readable(error)
        self.commits += 1
        return None


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=5000",
        "wal_autocheckpoint=1000",
        "journal_size_limit=67108864",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _sound(path: Path) -> sqlite3.Connection | None:
    """A connection when the file passes SQLite's quick check, else None."""
    connection = None
    try:
        connection = _connect(path)
        if connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",):
            return connection
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NO_DAMAGE or _is_full(error):
            raise
    except sqlite3.DatabaseError:
        pass
    if connection is not None:
        connection.close()
    return None


def _is_full(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL or "full" in str(error)


def _readable(error: sqlite3.Error) -> TaskdeckError:
    if _is_full(error):
        return TaskdeckError(
            "disk.full", "cannot record the change", "the disk of the state folder is full", "free some space and retry"
        )
    if isinstance(error, sqlite3.OperationalError):
        return TaskdeckError("disk.io", "cannot record the change", str(error), "check the disk of the state folder")
    return TaskdeckError("store.damaged", "cannot use the task database", str(error), "see docs/architecture.md")


def _settle(future: asyncio.Future[None], problem: Exception | None) -> None:
    if future.done():
        return
    if problem is None:
        future.set_result(None)
    else:
        future.set_exception(problem)


def _tell(batches: list[_Batch], problem: Exception | None) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Batch]] = {}
    for batch in batches:
        by_loop.setdefault(batch.loop, []).append(batch)
    for loop, members in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle_all, members, problem)


def _settle_all(batches: list[_Batch], problem: Exception | None) -> None:
    for batch in batches:
        _settle(batch.future, problem)
