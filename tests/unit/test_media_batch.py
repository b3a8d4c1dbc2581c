"""A folder's files are worked on side by side, bounded, each with its own outcome and checkpoint."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from engines.errors import TaskdeckError
from engines.job import Job, Part, Stop, Stopped
from engines.media import batch
from engines.settings import MediaSettings
from tests.support.jobs import RecordingJob


class Said(msgspec.Struct):
    """A result."""

    name: str


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        (tmp_path / f"{number}.mp4").write_bytes(b"x")
    return tmp_path


def until_stopped(part: Job) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        part.check()
        time.sleep(0.005)
    raise AssertionError("nobody stopped it")


def test_as_many_as_allowed_at_a_time_and_never_more(folder: Path) -> None:
    together, lock, active, most = threading.Barrier(3), threading.Lock(), 0, 0

    def work(part: Job, path: Path) -> Said:
        nonlocal active, most
        with lock:
            active, most = active + 1, max(most, active + 1)
        together.wait(10)  # six files at three a time: twice three meet here, two would never
        with lock:
            active -= 1
        return Said(path.name)

    rows = batch.run(RecordingJob(folder), folder, work, most=3)
    assert [row.name for row in rows] == [f"{number}.mp4" for number in range(6)]
    assert most == 3


def test_stop_reaches_every_file_and_each_goes_on_from_its_own_checkpoint(folder: Path) -> None:
    job = RecordingJob(folder, stop_when=lambda job: Stop.SUSPEND if len(started) == 3 else None)
    started: list[str] = []

    def work(part: Job, path: Path) -> Said:
        if path.name == "0.mp4":
            return Said("first")
        part.save({"at": path.name})
        started.append(path.name)
        until_stopped(part)
        raise AssertionError

    with pytest.raises(Stopped) as caught:
        batch.run(job, folder, work, most=3)
    assert caught.value.stop is Stop.SUSPEND
    assert sorted(started) == ["1.mp4", "2.mp4", "3.mp4"]
    found: dict[str, object] = {}

    def rest(part: Job, path: Path) -> Said:
        found[path.name] = part.checkpoint
        return Said(path.name)

    (folder / "new.mp4").write_bytes(b"made meanwhile")
    rows = batch.run(RecordingJob(folder, attempt=2, checkpoint=job.saved[-1]), folder, rest, most=2)
    assert found == {**{f"{n}.mp4": {"at": f"{n}.mp4"} for n in (1, 2, 3)}, "4.mp4": None, "5.mp4": None}
    assert [row.result for row in rows][:2] == [{"name": "first"}, {"name": "1.mp4"}]


def test_full_disk_ends_all_of_them_and_keeps_nothing(folder: Path) -> None:
    kept: list[bool] = []
    others = threading.Event()

    def work(part: Job, path: Path) -> Said:
        if path.name == "0.mp4":
            assert others.wait(10)
            raise TaskdeckError("disk.full", "cannot write", "the disk is full")
        part.save({})
        others.set()
        try:
            until_stopped(part)
        finally:
            kept.append(part.keep_partial())
        raise AssertionError

    with pytest.raises(TaskdeckError) as caught:
        batch.run(RecordingJob(folder), folder, work, most=2)
    assert caught.value.code == "disk.full"
    assert kept == [False]


def test_one_bad_file_is_a_row_and_the_folder_ends_as_it_would_alone(folder: Path) -> None:
    def work(good: Callable[[str], bool]) -> Callable[[Job, Path], Said]:
        def one(part: Job, path: Path) -> Said:
            if not good(path.name):
                raise TaskdeckError("media.unreadable", f"cannot read '{path.name}'")
            return Said(path.name)

        return one

    job = RecordingJob(folder)
    rows = batch.run(job, folder, work(lambda name: name != "2.mp4"), most=2)
    assert [row.code for row in rows] == ["", "", "media.unreadable", "", "", ""]
    assert [(step.done, step.total) for step in job.seen][-1] == (6000, 6000)
    assert [step.done for step in job.seen] == sorted(step.done for step in job.seen)
    with pytest.raises(TaskdeckError, match=r"cannot finish 1 of 6 files: cannot read '2\.mp4'") as caught:
        batch.settled(Said("all"), rows)
    assert (caught.value.code, caught.value.result) == ("media.unreadable", Said("all"))
    assert batch.settled(Said("all"), [row for row in rows if not row.code]) == Said("all")


def test_file_that_is_rightly_left_alone_is_no_failure_of_a_folder() -> None:
    larger = batch.FileOutcome(name="a.mkv", error="it would not become smaller", code="media.not_smaller")
    song = batch.FileOutcome(name="a.mp3", error="it has no video", code="media.lacking")
    for rows in ([larger], [larger, song]):
        assert batch.settled(Said("all"), rows) == Said("all")
    with pytest.raises(TaskdeckError, match=r"1 of 1 file: a\.mp3: it has no video"):
        batch.settled(Said("all"), [song])


def test_setting_decides_how_many_and_encoders_get_whole_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, light, heavy in ((1, 1, 1), (2, 2, 1), (16, 4, 2)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        assert batch.abreast(MediaSettings()) == light
        assert batch.abreast(MediaSettings(), encodes=True) == heavy
    assert batch.abreast(MediaSettings(parallel=7), encodes=True) == 7


def test_part_without_a_keeper_saves_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    job = RecordingJob(tmp_path, stop_when=lambda job: Stop.SUSPEND)
    part = Part(job)
    part.save({"a": 1})
    with pytest.raises(Stopped):
        part.check()
    assert (job.saved, part.checkpoint, part.keep_partial(), job.keep_partial()) == ([], None, False, True)
    assert (part.id, Part(job, label="2").id) == (job.id, f"{job.id}-2")
