"""Unpacking by forked processes: whole, told apart, ended at once, and not missed when one of them dies."""

from __future__ import annotations

import os
import signal
import time
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from engines.archive.extract import forked
from engines.archive.extract.job import Unpacked, run
from engines.archive.inspect import run_test
from engines.errors import TaskdeckError
from engines.job import Stop, Stopped
from engines.operations import Unzip, ZipTest
from engines.settings import ArchiveSettings, Settings
from tests.support.jobs import RecordingJob

SMALL = 900
LARGE = 3


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Many small members and a few that are streamed."""
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for number in range(SMALL):
            out.writestr(f"top/{number % 30}/file {number}", content(number))
        for number in range(LARGE):
            out.writestr(f"top/large {number}", os.urandom(1 << 16) * 100)
    return path


def content(number: int) -> bytes:
    return f"{number} ".encode() * (number % 700)


def settings(tmp_path: Path, **archive: object) -> Settings:
    return Settings(roots=(str(tmp_path),), archive=ArchiveSettings(threads=2, **archive))  # type: ignore[arg-type]


def unzip(path: Path, **options: object) -> tuple[Unpacked, RecordingJob]:
    job = RecordingJob(path.parent, settings=settings(path.parent))
    op = Unzip(path=str(path), destination=str(path.parent / "out"), **options)  # type: ignore[arg-type]
    return run(op, job), job


def whole(out: Path) -> None:
    for number in range(SMALL):
        assert (out / f"top/{number % 30}/file {number}").read_bytes() == content(number)
    for number in range(LARGE):
        assert (out / f"top/large {number}").stat().st_size == 100 << 16


def children() -> set[int]:
    found = set()
    for entry in os.scandir("/proc"):
        with suppress(OSError, ValueError):
            if int(Path(f"/proc/{int(entry.name)}/stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(entry.name))
    return found


def test_members_are_whole_and_counted_and_progress_only_grows(archive: Path) -> None:
    before = children()
    result, job = unzip(archive)
    whole(archive.parent / "out")
    size = sum(len(content(n)) for n in range(SMALL)) + LARGE * (100 << 16)
    assert (result.files, result.size) == (SMALL + LARGE, size)
    done = [progress.done for progress in job.seen if progress.stage == "unpacking"]
    assert done == sorted(done) and done[-1] == size
    assert children() == before, "no process stays behind"


def spoil(archive: Path, *names: str) -> None:
    data = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as zipped:
        for name in names:
            found = zipped.getinfo(name)
            data[found.header_offset + 30 + len(name) + found.compress_size // 2] ^= 0xFF
    archive.write_bytes(data)


def test_damaged_member_ends_the_run_with_its_name_and_nothing_left(archive: Path) -> None:
    spoil(archive, "top/5/file 605")
    with pytest.raises(TaskdeckError) as caught:
        unzip(archive)
    assert caught.value.code == "archive.damaged" and "file 605" in caught.value.message
    assert os.listdir(archive.parent) == ["many.zip"]


def test_keep_broken_lists_what_each_process_could_not_unpack(archive: Path) -> None:
    spoil(archive, "top/5/file 605", "top/2/file 32", "top/large 1")
    result, _ = unzip(archive, keep_broken=True)
    assert {item.name for item in result.broken} == {"top/5/file 605", "top/2/file 32", "top/large 1"}
    assert (result.broken_count, result.files) == (3, SMALL + LARGE - 3)
    out = archive.parent / "out (incomplete)"
    assert not (out / "top/large 1").exists() and (out / "top/2/file 2").read_bytes() == content(2)
    with pytest.raises(TaskdeckError, match="3 members failed"):
        run_test(ZipTest(path=str(archive)), RecordingJob(archive.parent, settings=settings(archive.parent)))


@pytest.mark.parametrize("victims", [1, 2])
def test_archive_is_unpacked_whole_although_processes_are_killed(
    archive: Path, monkeypatch: pytest.MonkeyPatch, victims: int
) -> None:
    fork = forked.Forked._fork
    killed = []

    def fork_and_kill(self: forked.Forked[object], index: int, taken: int) -> forked._Child:
        child = fork(self, index, taken)
        if index < victims:
            os.kill(child.pid, signal.SIGSTOP)
            killed.append(child.pid)
        return child

    ended: list[int] = []

    def kill(job: RecordingJob) -> None:
        if killed and not ended:
            ended.extend(killed)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    monkeypatch.setattr(forked.Forked, "_fork", fork_and_kill)
    job = RecordingJob(archive.parent, settings=settings(archive.parent), stop_when=kill)
    result = run(Unzip(path=str(archive), destination=str(archive.parent / "out")), job)
    whole(archive.parent / "out")
    assert ended and result.files == SMALL + LARGE


def test_cancel_ends_the_processes_and_leaves_nothing(archive: Path) -> None:
    before = children()

    def stop(job: RecordingJob) -> Stop | None:
        return Stop.CANCEL if children() - before else None

    job = RecordingJob(archive.parent, settings=settings(archive.parent), stop_when=stop)
    with pytest.raises(Stopped):
        run(Unzip(path=str(archive), destination=str(archive.parent / "out")), job)
    assert children() == before
    assert os.listdir(archive.parent) == ["many.zip"]


def test_limit_on_all_bytes_holds_for_the_processes_together(archive: Path) -> None:
    job = RecordingJob(archive.parent, settings=settings(archive.parent, max_bytes=10_000_000))
    with pytest.raises(TaskdeckError) as caught:
        run(Unzip(path=str(archive), destination=str(archive.parent / "out")), job)
    assert caught.value.code == "archive.limit"
    assert os.listdir(archive.parent) == ["many.zip"]


def prepared(child: int) -> bool:
    """Whether a child has begun its life: it ignores the terminal's interrupt."""
    ignored = next(line for line in Path(f"/proc/{child}/status").read_text().splitlines() if "SigIgn" in line)
    return bool(int(ignored.split()[1], 16) >> (signal.SIGINT - 1) & 1)


def test_children_end_with_a_parent_that_is_killed(archive: Path) -> None:
    ready, told = os.pipe()
    pid = os.fork()
    if not pid:
        try:

            def report(job: RecordingJob) -> None:
                if (found := children()) and all(map(prepared, found)):
                    time.sleep(0.02)  # between the signals it ignores and the one it asks for at its parent's death
                    for child in found:
                        os.kill(child, signal.SIGSTOP)
                    os.write(told, " ".join(map(str, found)).encode())
                    signal.pause()

            job = RecordingJob(archive.parent, settings=settings(archive.parent), stop_when=report)
            run(Unzip(path=str(archive), destination=str(archive.parent / "out")), job)
        finally:
            os._exit(1)
    os.close(told)
    found = [int(word) for word in os.read(ready, 1000).split()]
    os.close(ready)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in found):
        assert time.monotonic() < deadline, "a child outlived its parent"
        time.sleep(0.01)
    assert found
