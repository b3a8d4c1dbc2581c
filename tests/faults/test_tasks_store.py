"""The store keeps its promises: acknowledged is durable, damage is noticed, a full disk loses nothing."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.errors import TaskdeckError
from engines.model import TaskState
from engines.tasks.lock import InstanceLock, holder
from engines.tasks.schema import MIGRATIONS
from engines.tasks.store import Store
from tests.support.workbench import ME, running


async def test_guilty_batch_fails_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "tasks.db")

    def put(name: str) -> list[tuple[str, tuple[str, str]]]:
        return [("INSERT INTO meta VALUES (?, ?)", (name, "x"))]

    results = await asyncio.gather(*(store.write(put(name)) for name in ("a", "b", "a", "c")), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), type(None), sqlite3.IntegrityError, type(None)]
    assert store.read_now(lambda c: c.execute("SELECT count(*) FROM meta").fetchone()) == (3,)
    store.close()


@pytest.mark.parametrize("value", [1 << 70, "\udcff"])
async def test_value_that_sqlite_cannot_hold_fails_alone(tmp_path: Path, value: object) -> None:
    store = Store(tmp_path / "tasks.db")
    put = "INSERT INTO meta VALUES (?, ?)"
    results = await asyncio.gather(
        *(store.write([(put, (name, held))]) for name, held in (("a", "x"), ("b", value), ("c", "x"))),
        return_exceptions=True,
    )
    assert [isinstance(result, (OverflowError, UnicodeEncodeError)) for result in results] == [False, True, False]
    assert store.read_now(lambda c: c.execute("SELECT count(*) FROM meta").fetchone()) == (2,)
    store.close()


async def test_many_writers_share_few_commits(tmp_path: Path) -> None:
    store = Store(tmp_path / "tasks.db")
    await asyncio.gather(
        *(store.write([("INSERT INTO meta VALUES (?, ?)", (str(number), ""))]) for number in range(500))
    )
    assert store.commits < 100
    store.close()


async def test_writes_are_durable_by_the_strictest_setting(tmp_path: Path) -> None:
    store = Store(tmp_path / "tasks.db")
    assert store._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Store(tmp_path / "tasks.db")
        lock = InstanceLock(tmp_path)
    finally:
        os.umask(before)
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()}
    assert set(modes.values()) == {"0o600"}, modes
    store.close()
    lock.release()


async def test_damaged_database_is_kept_aside_and_the_backup_restored(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        kept = await deck.act("nothing")
        await deck.ended(kept.id)
        await deck.service.store.backup()
        lost = await deck.act("nothing")
        await deck.ended(lost.id)
    database = tmp_path / "state" / "tasks.db"
    size = database.stat().st_size
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))
    async with running(tmp_path) as deck:
        assert "damaged" in deck.service.notices[0] and "backup was restored" in deck.service.notices[0]
        assert (await deck.service.view(kept.id)).state is TaskState.COMPLETED
        with pytest.raises(TaskdeckError) as caught:
            await deck.service.view(lost.id)
        assert caught.value.code == "task.missing"
    assert len(list((tmp_path / "state").glob("tasks.db.damaged-*"))) >= 1


async def test_hopeless_database_without_backup_begins_anew_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "tasks.db").write_bytes(b"this is no database at all" * 1000)
    async with running(tmp_path) as deck:
        assert "a new one was begun" in deck.service.notices[0]
        assert (await deck.ended((await deck.act("nothing")).id)).state is TaskState.COMPLETED


def test_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    Store(tmp_path / "tasks.db").close()
    connection = sqlite3.connect(tmp_path / "tasks.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(TaskdeckError) as caught:
        Store(tmp_path / "tasks.db")
    assert caught.value.code == "store.newer"
    assert sqlite3.connect(tmp_path / "tasks.db").execute("PRAGMA user_version").fetchone() == (99,)


def test_migration_keeps_a_copy_of_what_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "tasks.db")
    store._writer.execute("INSERT INTO meta VALUES ('kept', 'yes')")
    store.close()
    store = Store(tmp_path / "tasks.db", migrations=(*MIGRATIONS, "CREATE TABLE more (x)"))
    assert store.read_now(lambda c: c.execute("SELECT value FROM meta").fetchone()) == ("yes",)
    store.close()
    copy = sqlite3.connect(tmp_path / f"tasks.db.schema-{len(MIGRATIONS)}")
    assert copy.execute("SELECT value FROM meta").fetchone() == ("yes",)
    assert copy.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_failed_migration_changes_nothing(tmp_path: Path) -> None:
    Store(tmp_path / "tasks.db").close()
    with pytest.raises(TaskdeckError):
        Store(tmp_path / "tasks.db", migrations=(*MIGRATIONS, "CREATE TABLE more (x); CREATE TABLE meta (y)"))
    connection = sqlite3.connect(tmp_path / "tasks.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name='more'").fetchone() == (0,)


async def test_second_service_is_refused_and_told_who_holds_the_lock(tmp_path: Path) -> None:
    async with running(tmp_path):
        found = holder(tmp_path / "state")
        assert found is not None and found.pid == os.getpid()
        with pytest.raises(TaskdeckError) as caught:
            async with running(tmp_path):
                pass
        assert caught.value.code == "daemon.running" and str(os.getpid()) in caught.value.message


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB; where it cannot be mounted, the store's own limit on pages plays the full disk."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    yield folder
    if mounted.returncode == 0:
        subprocess.run(["umount", "-l", folder], check=True)


async def test_full_disk_refuses_new_tasks_and_loses_no_acknowledged_one(tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "state").symlink_to(small_disk)
    async with running(tmp_path) as deck:
        slow = await deck.act("sleep", number=1.5)
        await deck.until(slow.id, TaskState.RUNNING)
        if not os.path.ismount(small_disk):
            pages = deck.service.store._writer.execute("PRAGMA page_count").fetchone()[0]
            deck.service.store._writer.execute(f"PRAGMA max_page_count={pages + 20}")
        acknowledged = []
        with pytest.raises(TaskdeckError) as caught:
            for _ in range(5000):
                acknowledged.append(
                    await deck.service.submit({"op": "act", "path": "nothing", "text": "x" * 4000}, actor=ME)
                )
        assert caught.value.code == "disk.full"
        await asyncio.sleep(1.6)  # the slow task ends while nothing can be written
        if os.path.ismount(small_disk):
            subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
        else:
            deck.service.store._writer.execute("PRAGMA max_page_count=1000000")
        assert (await deck.ended(slow.id)).state is TaskState.COMPLETED
        for task in acknowledged:
            assert (await deck.ended(task.id)).state is TaskState.COMPLETED
    async with running(tmp_path) as deck:
        for task in (slow, *acknowledged):
            assert (await deck.service.view(task.id)).state is TaskState.COMPLETED
