"""Stopping and going on: cancel leaves nothing, an interrupted task goes on where it was and ends the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from engines.archive.backends import bundled_sevenzip
from engines.archive.extract.checkpoints import Checkpoints
from engines.archive.extract.job import run
from engines.archive.extract.publish import StrictFolders
from engines.job import Stop, Stopped
from engines.model import Json
from engines.operations import Unzip, spec_of
from tests.support.archives import snapshot
from tests.support.jobs import RecordingJob


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints at every offer instead of one a second."""

    def offer(self: Checkpoints, count: int) -> None:
        self._wanted = count
        self._save(self._folder)

    monkeypatch.setattr(Checkpoints, "offer", offer)


def corpus(folder: Path, count: int = 400) -> Path:
    root = folder / "root"
    rng = random.Random(7)  # the same bytes in every run
    for number in range(count):
        path = root / f"d{number % 9}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randrange(1, 6000)) + b"text " * 300)
    (root / "big").write_bytes(rng.randbytes(9_000_000))
    os.link(root / "big", root / "zz-linked")
    (root / "d0" / "link").symlink_to("../big")
    return root


def after(checks: int, stop: Stop, *, saved: bool = False) -> Callable[[RecordingJob], Stop | None]:
    """Stop at this many checks, and when `saved` not before a checkpoint that counts members."""

    def when(job: RecordingJob) -> Stop | None:
        counted = bool(job.saved) and job.saved[-1].get("members") != 0
        return stop if job.checks >= checks and (counted or not saved) else None

    return when


PACK = {
    "x.zip": ["zip", "-qry", "x.zip", "root"],
    "x.tar": ["tar", "--sort=name", "-cf", "x.tar", "root"],
    "x.tar.gz": ["tar", "czf", "x.tar.gz", "root"],
    "x.tar.zst": ["tar", "--zstd", "-cf", "x.tar.zst", "root"],
}


def packed(tmp_path: Path, name: str) -> tuple[Path, dict[str, str]]:
    source = tmp_path / "source"
    source.mkdir()
    root = corpus(source)
    subprocess.run(PACK[name], cwd=source, check=True)
    box = tmp_path / "box"
    box.mkdir()
    (source / name).rename(box / name)
    return box / name, snapshot(root)


@pytest.mark.parametrize("name", PACK)
def test_cancelled_task_leaves_nothing(tmp_path: Path, name: str) -> None:
    archive, _ = packed(tmp_path, name)
    for moment in (1, 2, 3):
        job = RecordingJob(tmp_path, stop_when=after(moment, Stop.CANCEL))
        with pytest.raises(Stopped):
            run(Unzip(path=str(archive), destination=str(archive.parent / "out" / "deep")), job)
        assert os.listdir(archive.parent) == [name]
        assert not job.claimed


@pytest.mark.parametrize("name", PACK)
def test_suspended_task_goes_on_at_the_last_committed_member(tmp_path: Path, name: str, eager: None) -> None:
    archive, expected = packed(tmp_path, name)
    op = Unzip(path=str(archive))
    state: Json | None = None
    attempts = 0
    kept: list[int] = []
    while True:
        attempts += 1
        stop_at = 3 if attempts < 4 else 10**9
        job = RecordingJob(
            tmp_path,
            attempt=attempts,
            checkpoint=state,
            stop_when=after(stop_at, Stop.SUSPEND, saved=True),
        )
        try:
            result = run(op, job)
            break
        except Stopped:
            state = msgspec.json.decode(msgspec.json.encode(job.saved[-1]))
            kept.append(int(state.get("members", 10**6)))  # absent once all are written
            assert len([n for n in os.listdir(archive.parent) if n.startswith(".taskdeck")]) == 1
            assert not (archive.parent / "root").exists(), "nothing is published before it is whole"
    assert attempts > 1
    assert kept == sorted(kept)
    assert kept[-1] > 0
    assert snapshot(archive.parent / "root") == expected
    assert result.files == 402
    assert sorted(os.listdir(archive.parent)) == ["root", name]


def test_resumed_task_does_not_write_committed_members_again(tmp_path: Path, eager: None) -> None:
    archive, expected = packed(tmp_path, "x.tar")

    def half(job: RecordingJob) -> Stop | None:
        return Stop.SUSPEND if job.saved and job.saved[-1].get("members", 0) > 150 else None

    job = RecordingJob(tmp_path, stop_when=half)
    with pytest.raises(Stopped):
        run(Unzip(path=str(archive)), job)
    staging = next(archive.parent.glob(".taskdeck*"))
    before = {p: p.stat().st_ino for p in staging.rglob("f*") if p.is_file()}
    members = job.saved[-1]["members"]
    seen: dict[Path, int] = {}

    def look(second: RecordingJob) -> None:
        if not seen and second.seen and second.seen[-1].stage == "saving":
            seen.update({p: p.stat().st_ino for p in before if p.exists()})

    second = RecordingJob(tmp_path, attempt=2, checkpoint=job.saved[-1], stop_when=look)
    run(Unzip(path=str(archive)), second)
    assert (
        sum(seen.get(p) == inode for p, inode in before.items()) >= members - 20
    )  # folders and the big file count too
    assert snapshot(archive.parent / "root") == expected


def test_changed_archive_starts_again(tmp_path: Path, eager: None) -> None:
    archive, expected = packed(tmp_path, "x.zip")
    job = RecordingJob(tmp_path, stop_when=lambda job: Stop.SUSPEND if job.checks >= 2 and job.saved else None)
    with pytest.raises(Stopped):
        run(Unzip(path=str(archive)), job)
    os.utime(archive)
    second = RecordingJob(tmp_path, attempt=2, checkpoint=job.saved[-1])
    run(Unzip(path=str(archive)), second)
    assert any("changed" in message for _, message in second.logged)
    assert snapshot(archive.parent / "root") == expected
    assert sorted(os.listdir(archive.parent)) == ["root", "x.zip"]


def test_half_unpacked_inner_archive_is_not_taken_as_done(tmp_path: Path, eager: None) -> None:
    """The task ends in the middle of the second archive inside; the next attempt gives what one undisturbed gives."""
    source = tmp_path / "source"
    corpus(source, 60)
    for name in ("a.zip", "b.zip"):
        subprocess.run(["zip", "-qry", name, "root"], cwd=source, check=True)
    subprocess.run(["tar", "--exclude=root", "-cf", "outer.tar", "a.zip", "b.zip"], cwd=source, check=True)
    expected = snapshot(source / "root")
    box = tmp_path / "box"
    box.mkdir()
    (source / "outer.tar").rename(box / "outer.tar")
    op = Unzip(path=str(box / "outer.tar"), nested=True)

    def in_the_second(job: RecordingJob) -> Stop | None:
        return Stop.SUSPEND if list(box.glob(".taskdeck*/b/root/*/f*")) else None

    job = RecordingJob(tmp_path, stop_when=in_the_second)
    with pytest.raises(Stopped):
        run(op, job)
    staging = next(box.glob(".taskdeck*"))
    assert (staging / "b.zip").exists(), "half done"
    assert not (staging / "a.zip").exists(), "done"
    second = RecordingJob(tmp_path, attempt=2, checkpoint=job.saved[-1])
    assert run(op, second).nested == 2
    assert sorted(os.listdir(box)) == ["outer", "outer.tar"]
    assert sorted(os.listdir(box / "outer")) == ["a", "b"]
    assert snapshot(box / "outer/a/root") == snapshot(box / "outer/b/root") == expected


def test_killed_with_its_staging_folder_emptied_it_publishes_no_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, expected = packed(tmp_path, "x.zip")

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    first = RecordingJob(archive.parent)
    with monkeypatch.context() as patch:
        patch.setattr("engines.archive.extract.job._discard", die)
        with pytest.raises(Killed):
            run(Unzip(path=str(archive)), first)
    run(Unzip(path=str(archive)), RecordingJob(archive.parent, checkpoint=first.saved[-1]))
    assert sorted(os.listdir(archive.parent)) == ["root", "x.zip"]
    assert snapshot(archive.parent / "root") == expected


@pytest.mark.parametrize("into", [None, "fresh", "present"])
@pytest.mark.parametrize("taken", [False, True])
def test_killed_between_publishing_and_locking_it_locks_folders_later(
    tmp_path: Path, into: str | None, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    (source / "root/locked/inner").mkdir(parents=True)
    (source / "root/locked/inner/f").write_text("1")
    for folder, mode in (("root/locked/inner", 0o500), ("root/locked", 0o555)):
        (source / folder).chmod(mode)
    subprocess.run(["tar", "cf", str(tmp_path / "x.tar"), "root"], cwd=source, check=True)
    if into == "present":
        (tmp_path / into).mkdir()
    if taken and into != "fresh":
        (tmp_path / (into or "") / "root").write_text("the name is taken")

    class Killed(BaseException):
        pass

    def die(_folders: StrictFolders) -> None:
        raise Killed

    op = Unzip(path=str(tmp_path / "x.tar"), destination=str(tmp_path / into) if into else None)
    first = RecordingJob(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(StrictFolders, "apply", die)
        with pytest.raises(Killed):
            run(op, first)
    run(op, RecordingJob(tmp_path, checkpoint=first.saved[-1]))
    (found,) = [path.parent for path in tmp_path.rglob("inner") if source not in path.parents]
    assert oct(found.stat().st_mode & 0o7777) == "0o555"
    assert oct((found / "inner").stat().st_mode & 0o7777) == "0o500"
    assert (found / "inner/f").read_text() == "1"


def test_nothing_inside_to_unpack_leaves_the_checkpoint_usable(tmp_path: Path, eager: None) -> None:
    archive, expected = packed(tmp_path, "x.tar")
    job = RecordingJob(tmp_path)
    run(Unzip(path=str(archive), nested=True), job)
    assert "nested" not in {state.get("stage") for state in job.saved}
    assert snapshot(archive.parent / "root") == expected


@pytest.mark.parametrize(
    ("command", "resumes"),
    [
        (["zip", "-qr", "x", "root"], True),
        (["zip", "-qr0", "x", "root"], True),
        (["zip", "-qr", "-P", "secret", "x", "root"], False),  # ZipCrypto goes through 7zz
        ([bundled_sevenzip(), "a", "-tzip", "-mem=AES256", "-psecret", "-bso0", "-bsp0", "x", "root"], True),
        ([bundled_sevenzip(), "a", "-tzip", "-mm=PPMd", "-bso0", "-bsp0", "x", "root"], False),
        (["tar", "cf", "x", "root"], True),
        (["tar", "cJf", "x", "root"], True),
        ([bundled_sevenzip(), "a", "-bso0", "-bsp0", "x", "root"], False),
        (["bsdtar", "--format=cpio", "-cf", "x", "root"], False),
        (["gzip", "-k", "-S", ".gz", "root/f"], False),
    ],
)
def test_task_says_beforehand_whether_it_could_be_resumed(tmp_path: Path, command: list[str], resumes: bool) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root/f").write_text("hello " * 500)
    subprocess.run(command, cwd=tmp_path, check=True)
    made = next(
        path
        for path in (tmp_path / "x", tmp_path / "x.zip", tmp_path / "x.7z", tmp_path / "root/f.gz")
        if path.exists()
    )
    op = Unzip(path=str(made))
    assert spec_of(op).is_resumable(op) is resumes


def test_file_that_is_no_archive_or_missing_is_not_called_resumable(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("no archive")
    for name in ("x", "missing", ""):
        op = Unzip(path=str(tmp_path / name))
        assert spec_of(op).is_resumable(op) is False


CHILD = """
import json, sys
from pathlib import Path
from engines.archive.extract import checkpoints as module
from engines.archive.backends import bundled_sevenzip
from engines.archive.extract.job import run
from engines.operations import Unzip, spec_of
from tests.support.jobs import RecordingJob

def offer(self, count):
    self._wanted = count
    self._save(self._folder)

module.Checkpoints.offer = offer
state = Path(sys.argv[2])

class Job(RecordingJob):
    def save(self, checkpoint):
        part = state.with_suffix(".part")
        part.write_text(json.dumps(checkpoint))
        part.replace(state)

checkpoint = json.loads(state.read_text()) if state.exists() else None
run(Unzip(path=sys.argv[1]), Job(Path(sys.argv[1]).parent, checkpoint=checkpoint, attempt=int(sys.argv[3])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz"])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(tmp_path: Path, name: str) -> None:
    archive, expected = packed(tmp_path, name)
    state = tmp_path / "state"
    rng = random.Random(3)
    killed = 0
    for attempt in range(1, 60):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(archive), str(state), str(attempt)], cwd=Path(__file__).parents[2]
        )
        if killed < 8:
            began = time.monotonic()
            while (
                child.poll() is None and not list(archive.parent.glob(".taskdeck*")) and time.monotonic() - began < 20
            ):
                time.sleep(0.002)
            time.sleep(rng.random() * 0.12)
            child.send_signal(signal.SIGKILL)
        if child.wait(60) == 0:
            break
        killed += 1
        if not state.exists():  # what the daemon does with claimed paths of a task without a checkpoint
            subprocess.run(f"rm -rf {archive.parent}/.taskdeck*", shell=True, check=True)
    assert killed >= 1
    assert snapshot(archive.parent / "root") == expected
    assert sorted(os.listdir(archive.parent)) == ["root", name]


def test_cancel_ends_an_external_tool_and_its_files(tmp_path: Path) -> None:
    from engines.archive.backends import bundled_sevenzip

    (tmp_path / "big").write_bytes(os.urandom(3_000_000))
    subprocess.run([bundled_sevenzip(), "a", "-bso0", "-bsp0", "-m0=PPMd", "x.7z", "big"], cwd=tmp_path, check=True)
    (tmp_path / "big").unlink()
    job = RecordingJob(
        tmp_path,
        stop_when=lambda job: (
            Stop.CANCEL if any(item.done > 0 and item.stage == "unpacking" for item in job.seen) else None
        ),
    )
    with pytest.raises(Stopped):
        run(Unzip(path=str(tmp_path / "x.7z")), job)
    assert os.listdir(tmp_path) == ["x.7z"]
    assert not any(b"x.7z" in _command(pid) for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid())


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
