"""kill -9 of the daemon and of job processes while real archives are made and unpacked: every byte is there at the end.

Four tasks at a time (zip and tar.gz, packed and unpacked) go through a real task service; as soon as one has ended a
new one takes its place, so that a kill always meets work.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import shutil
import signal
import tarfile
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engines.model import TaskState
from tests.support.hosted_deck import HostedDeck, assert_no_orphans
from tests.support.trees import noise, prose
from tests.support.workbench import ME, running

KILLS = 20
FILES = 60
SIZE = 400_000
Sums = dict[str, str]


def make_source(root: Path) -> Sums:
    """A folder of some large and many small files, both archives of it, and its checksums."""
    folder = root / "source"
    folder.mkdir(parents=True)
    for number in range(FILES):
        (folder / f"{number:03d}.bin").write_bytes(noise(SIZE // 2, number) + prose(SIZE // 2, number))
        (folder / f"{number:03d} small.txt").write_bytes(b"%d" % number)
    (folder / "large").write_bytes(noise(8_000_000, 1))
    with zipfile.ZipFile(root / "in.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"source/{path.name}")
    with tarfile.open(root / "in.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(folder, "source")
    return sums_of(folder)


def sums_of(folder: Path) -> Sums:
    """The checksum of every file by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def sums_of_archive(path: Path) -> Sums:
    """The same from inside an archive, read by the standard library."""
    found: Sums = {}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if not name.endswith("/"):
                    found[os.path.basename(name)] = hashlib.sha256(archive.read(name)).hexdigest()
    else:
        with tarfile.open(path) as tar:
            for member in tar:
                if (file := tar.extractfile(member)) is not None:
                    found[os.path.basename(member.name)] = hashlib.sha256(file.read()).hexdigest()
    return found


class Work:
    """The four kinds of tasks, what they make, and the proof that it is right."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sums = make_source(root)
        self.known = {path.name for path in root.iterdir()}
        self.open: dict[str, tuple[int, Path]] = {}
        self.proven = 0
        self.met = [0] * 4

    def missing(self) -> list[tuple[int, dict[str, Any], Path]]:
        """Operations for the kinds of which no task is open."""
        busy = {kind for kind, _ in self.open.values()}
        found: list[tuple[int, dict[str, Any], Path]] = []
        for kind, suffix in enumerate((".zip", ".tar.gz")):
            output = self.root / f"made{self.proven}{suffix}"
            folder = self.root / f"unpacked{self.proven}{suffix}"
            pack = {"op": "zip", "path": str(self.root / "source"), "level": 9, "output": str(output)}
            unpack = {"op": "unzip", "path": str(self.root / f"in{suffix}"), "destination": str(folder)}
            found += [(kind, pack, output), (kind + 2, unpack, folder)]
        return [item for item in found if item[0] not in busy]

    def prove(self, task_id: str, attempt: int) -> None:
        """Compare what a completed task made with the source, and remove it; each attempt but one met a kill."""
        kind, made = self.open.pop(task_id)
        self.met[kind] += attempt - 1
        self.proven += 1
        if made.is_file():
            assert sums_of_archive(made) == self.sums, made
            made.unlink()
        else:
            assert sums_of(made / "source") == self.sums, made
            shutil.rmtree(made)

    def assert_nothing_left(self) -> None:
        """No partial output, no staging folder, under whatever name."""
        assert {path.name for path in self.root.iterdir()} == self.known

    def assert_met(self) -> None:
        """The kills did meet work, packing and unpacking: else the test shows nothing."""
        assert sum(self.met) >= KILLS // 2 and any(self.met[:2]) and any(self.met[2:]), self.met


@pytest.mark.slow
def test_archives_are_whole_after_the_daemon_was_killed_at_twenty_moments(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    work, moments = Work(tmp_path / "root"), random.Random(2)
    for _ in range(KILLS):
        deck = HostedDeck(tmp_path)
        for task_id in list(work.open):
            view = deck.look(task_id)
            if view["state"] == "completed":
                work.prove(task_id, view["attempt"])
        for kind, op, output in work.missing():
            task_id = deck.submit(**op)
            work.open[task_id] = (kind, output)
        deck.until(task_id, "running", "completed")  # a kill before any work shows nothing
        time.sleep(moments.uniform(0.05, 0.4))
        deck.kill()
        assert_no_orphans(tmp_path)
    deck = HostedDeck(tmp_path)
    for task_id in list(work.open):
        work.prove(task_id, deck.until(task_id, "completed")["attempt"])
    deck.close()
    assert_no_orphans(tmp_path)
    work.assert_nothing_left()
    work.assert_met()


@pytest.mark.slow
async def test_archives_are_whole_after_their_processes_were_killed_at_twenty_moments(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    work, moments = Work(tmp_path / "root"), random.Random(3)
    async with running(tmp_path, max_attempts=KILLS + 1, parallel_compress=4, parallel_extract=4) as deck:

        def at_work() -> list[int]:
            runs = [record.run for record in deck.service.board.records.values() if record.state is TaskState.RUNNING]
            return [run.pid for run in runs if run is not None and run.pid is not None]

        killed = 0
        while killed < KILLS:
            for task_id in list(work.open):
                view = await deck.service.view(task_id)
                if view.state is TaskState.COMPLETED:
                    work.prove(task_id, view.attempt)
            for kind, op, output in work.missing():
                work.open[(await deck.service.submit(op, actor=ME)).id] = (kind, output)
            await asyncio.sleep(moments.uniform(0.05, 0.4))
            if pids := at_work():
                with contextlib.suppress(ProcessLookupError):  # it ended by itself just now
                    os.kill(moments.choice(pids), signal.SIGKILL)
                    killed += 1
        for task_id in list(work.open):
            view = await deck.ended(task_id)
            assert view.state is TaskState.COMPLETED, view.error
            work.prove(task_id, view.attempt)
    work.assert_nothing_left()
    work.assert_met()
