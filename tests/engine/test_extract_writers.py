"""Small members of a tar written by forked processes: as if they were written in order, and nothing lost with one."""

from __future__ import annotations

import os
import random
import signal
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from engines.archive import forking
from engines.archive.extract import writers
from engines.archive.extract.job import Unpacked, run
from engines.archive.extract.writing import write_file
from engines.errors import TaskdeckError
from engines.job import Stop, Stopped
from engines.operations import Conflict, Unzip
from engines.settings import ArchiveSettings, Settings
from tests.support.archives import make_tar
from tests.support.jobs import RecordingJob

SMALL = 900
Members = list[tuple[str, bytes, str, bytes, int]]


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes for the small archives made here too."""
    monkeypatch.setattr(writers, "_WORTH", 0)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that were forked."""
    pids: list[int] = []
    fork = forking.fork

    def noted(*given: object) -> int:
        pids.append(fork(*given))  # type: ignore[arg-type]
        return pids[-1]

    monkeypatch.setattr(forking, "fork", noted)
    return pids


def content(number: int) -> bytes:
    return random.Random(number).randbytes(number * 37 % 6000)


def file(name: str, data: bytes = b"", mode: int = 0o644) -> tuple[str, bytes, str, bytes, int]:
    return name, tarfile.REGTYPE, "", data, mode


def hardlink(name: str, target: str) -> tuple[str, bytes, str, bytes, int]:
    return name, tarfile.LNKTYPE, target, b"", 0o644


@pytest.fixture(params=["w", "w:gz"])
def many(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Small members, some at the limit, and two that are too large to be given away."""
    members = [file(f"top/{n % 30}/file {n}", content(n), 0o600 + n % 64) for n in range(SMALL)]
    members[100:100] = [file("top/limit", b"l" * (1 << 19)), file("top/beyond", b"b" * ((1 << 19) + 1))]
    members.append(file("top/large", bytes(range(256)) * 20_000))
    return make_tar(tmp_path / "many.tar", members, request.param)


def unpack(path: Path, job: RecordingJob | None = None, **options: object) -> Unpacked:
    job = job or RecordingJob(path.parent, settings=settings(path.parent))
    return run(Unzip(path=str(path), destination=str(path.parent / "out"), **options), job)  # type: ignore[arg-type]


def settings(root: Path, **archive: object) -> Settings:
    return Settings(roots=(str(root),), archive=ArchiveSettings(threads=2, **archive))  # type: ignore[arg-type]


def whole(out: Path) -> None:
    for number in range(SMALL):
        path = out / f"top/{number % 30}/file {number}"
        assert path.read_bytes() == content(number)
        assert (path.stat().st_mode & 0o777, path.stat().st_mtime) == (0o600 + number % 64, 1_700_000_000)
    assert (out / "top/limit").read_bytes() == b"l" * (1 << 19)
    assert (out / "top/beyond").read_bytes() == b"b" * ((1 << 19) + 1)
    assert (out / "top/large").read_bytes() == bytes(range(256)) * 20_000


def gone(pids: list[int]) -> bool:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, 0)
            return False
    return True


def test_every_member_is_whole_and_counted_and_no_process_stays(many: Path, forked: list[int]) -> None:
    result = unpack(many)
    whole(many.parent / "out")
    assert result.files == SMALL + 3
    assert len(forked) == 2 and gone(forked)


def test_later_member_of_a_name_wins_and_links_made_before_keep_the_earlier_one(
    tmp_path: Path, forked: list[int]
) -> None:
    members: Members = []
    for number in range(300):
        members += [
            file(f"{number}/a", b"first"),
            hardlink(f"{number}/b", f"{number}/a"),
            file(f"{number}/a", b"second" * (1 if number % 2 else 200_000)),
            file(f"{number}/c", b"x"),
            hardlink(f"{number}/c", f"{number}/a"),
        ]
    unpack(make_tar(tmp_path / "x.tar", members), on_conflict=Conflict.OVERWRITE)
    for number in range(300):
        folder = tmp_path / "out" / str(number)
        assert (folder / "a").read_bytes() == b"second" * (1 if number % 2 else 200_000)
        assert (folder / "b").read_bytes() == b"first"
        assert (folder / "c").samefile(folder / "a")
    assert forked


@pytest.mark.parametrize("order", ["file first", "folder first"])
@pytest.mark.parametrize("between", [0, 700])
def test_name_used_for_a_file_and_a_folder_loses_the_later_one(
    tmp_path: Path, forked: list[int], order: str, between: int
) -> None:
    clash = [file("a/x", b"file"), file("a/x/y/z", b"beneath")]
    if order == "folder first":
        clash.reverse()
    members = [clash[0], *(file(f"between/{n}") for n in range(between)), clash[1], file("last", b"1")]
    archive = make_tar(tmp_path / "x.tar", members)
    with pytest.raises(TaskdeckError) as caught:
        unpack(archive)
    assert caught.value.code in ("archive.damaged", "path.exists")
    assert os.listdir(tmp_path) == ["x.tar"]
    result = unpack(archive, keep_broken=True)
    assert [item.name for item in result.broken] == [clash[1][0]]
    kept = tmp_path / "out (incomplete)"
    assert (kept / clash[0][0]).read_bytes() == clash[0][3] and (kept / "last").read_bytes() == b"1"
    assert result.files == 2 + between and forked


def test_member_beneath_a_link_is_refused(tmp_path: Path, forked: list[int]) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = ("way", tarfile.SYMTYPE, "elsewhere", b"", 0o777)
    for members in ([link, file("way/x", b"1")], [file("way/x", b"1"), link]):
        archive = make_tar(tmp_path / "x.tar", members)
        with pytest.raises(TaskdeckError) as caught:
            unpack(archive)
        assert caught.value.code == "archive.escape"
        assert sorted(os.listdir(tmp_path)) == ["outside", "x.tar"] and not os.listdir(outside)
    assert forked


@pytest.mark.parametrize("victims", [1, 2])
def test_archive_is_unpacked_whole_although_processes_are_killed(
    many: Path, monkeypatch: pytest.MonkeyPatch, victims: int
) -> None:
    """They are stopped at once, so that each holds a batch or none, and killed when there is no other way on."""
    fork = forking.fork
    stopped: list[int] = []

    def fork_and_stop(*given: object) -> int:
        pid = fork(*given)  # type: ignore[arg-type]
        if len(stopped) < victims:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)
        return pid

    killed: list[int] = []

    def kill(job: RecordingJob) -> None:
        if job.checks > 8 and not killed:
            killed.extend(stopped)
            for pid in stopped:
                os.kill(pid, signal.SIGKILL)

    monkeypatch.setattr(forking, "fork", fork_and_stop)
    job = RecordingJob(many.parent, settings=settings(many.parent), stop_when=kill)
    result = unpack(many, job)
    whole(many.parent / "out")
    assert killed and result.files == SMALL + 3


def test_batch_that_died_half_written_is_written_again(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = os.getpid()

    def die(*given: object) -> None:
        write_file(*given)  # type: ignore[arg-type]
        if os.getpid() != parent and given[1][-1] in ("file 40", "file 700"):  # type: ignore[index]
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr("engines.archive.extract.writers.write_file", die)
    job = RecordingJob(many.parent, settings=settings(many.parent))
    result = unpack(many, job)
    whole(many.parent / "out")
    assert result.files == SMALL + 3
    assert [message for _, message in job.logged if "ended from outside" in message]


def test_cancel_ends_the_processes_and_leaves_nothing(many: Path, forked: list[int]) -> None:
    job = RecordingJob(many.parent, settings=settings(many.parent), stop_when=lambda j: Stop.CANCEL if forked else None)
    with pytest.raises(Stopped):
        unpack(many, job)
    assert forked and gone(forked)
    assert os.listdir(many.parent) == ["many.tar"]


def test_checkpoint_never_counts_a_member_that_is_not_written(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every count a run gives is compared with what lies in the staging folder at that moment."""
    names = [f"top/{n % 30}/file {n}" for n in range(SMALL)]
    names[100:100] = ["top/limit", "top/beyond"]
    sizes = {name: len(content(n)) for n, name in enumerate(names) if name.startswith("top/") and n < 100}
    counts: list[int] = []

    def committed(self: object, count: int) -> None:
        counts.append(count)
        staging = next(many.parent.glob(".taskdeck*"))
        for name in names[:count]:
            assert (staging / name).stat().st_size == sizes.get(name, (staging / name).stat().st_size)

    monkeypatch.setattr("engines.archive.extract.run.Run.committed", committed)
    unpack(many)
    assert counts == sorted(counts) and counts[-1] == SMALL + 3


def test_limit_on_all_bytes_is_met_before_a_byte_more_is_given_out(many: Path, forked: list[int]) -> None:
    job = RecordingJob(many.parent, settings=settings(many.parent, max_bytes=1_000_000))
    with pytest.raises(TaskdeckError) as caught:
        unpack(many, job)
    assert caught.value.code == "archive.limit" and forked
    assert os.listdir(many.parent) == ["many.tar"]


def test_archive_is_unpacked_where_no_process_can_be_forked(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(forking, "fork", refuse)
    assert unpack(many).files == SMALL + 3
    whole(many.parent / "out")
