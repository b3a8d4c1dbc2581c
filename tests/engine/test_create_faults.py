"""Packing that is stopped, killed, starved of disk or lied to by a changing tree."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engines.archive.create import tarwriter
from engines.archive.create.job import Packing, run
from engines.archive.create.journal import NOTHING
from engines.archive.create.listing import Listing
from engines.archive.create.result import ZipResult
from engines.archive.formats import FORMATS
from engines.errors import TaskdeckError
from engines.job import Stop, Stopped
from engines.operations import ArchiveFormat, Links, Zip
from tests.support.jobs import RecordingJob, commit_at_once
from tests.support.trees import noise, odd_tree, picture, prose, tool

RESUMABLE = [form for form in ArchiveFormat if form is not ArchiveFormat.SEVENZIP]


@pytest.fixture(autouse=True)
def eager_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every block, and none that is still under way: the tests stop at known places."""
    commit_at_once(monkeypatch)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Memory instead of a disk: a checkpoint after every block is a flush after every block."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        yield Path(name)


def make_tree(root: Path) -> Path:
    tree = odd_tree(root / "tree")
    (tree / "zz large").write_bytes(prose(500_000) * 11 + noise(4_000_000))
    (tree / "zzz after").write_bytes(prose(50_000))
    return tree


def stop_after(checks: int, stop: Stop) -> Callable[[RecordingJob], Stop | None]:
    return lambda job: stop if job.checks >= checks else None


def stop_after_saves(saves: int) -> Callable[[RecordingJob], Stop | None]:
    return lambda job: Stop.SUSPEND if len(job.saved) >= saves else None


def inside_a_large_member(job: RecordingJob) -> Stop | None:
    return Stop.SUSPEND if any(saved.get("state", {}).get("read") for saved in job.saved) else None


def restored(archive: Path, into: Path) -> Path:
    into.mkdir()
    tool("bsdtar", "-xpf", archive, "-C", into)
    tool("7zz", "t", archive)
    return into


@pytest.mark.parametrize(
    ("form", "single"), [*((form, False) for form in RESUMABLE), (ArchiveFormat.TAR_GZ, True)], ids=str
)
def test_a_stopped_job_goes_on_and_restores_the_same_tree(tmp_path: Path, form: ArchiveFormat, single: bool) -> None:
    tree = make_tree(tmp_path)
    op = Zip(path=str(tree), format=form, level=1, single_member=single, manifest=True, test=True)
    chance = random.Random(str(form))
    checkpoint = None
    went_on = 0
    for attempt in range(12):
        limit = chance.randrange(1, 4) if attempt < 11 else 1 << 30
        job = RecordingJob(tmp_path, checkpoint=checkpoint, stop_when=stop_after_saves(limit))
        try:
            run(op, job)
            break
        except Stopped:
            went_on += bool(checkpoint)
            checkpoint = job.saved[-1] if job.saved else checkpoint
            for path in tmp_path.glob(".*.part"):  # what a crash may leave beyond the checkpoint
                with open(path, "ab") as file:
                    file.write(noise(5000))
    assert went_on
    archive = tmp_path / f"tree{FORMATS[form].suffix}"
    assert picture(restored(archive, tmp_path / "out") / "tree") == picture(tree)
    tool("sha256sum", "--quiet", "-c", archive.name + ".sha256", cwd=tmp_path)
    expected = ["out", "tree", archive.name, archive.name + ".sha256"]
    assert sorted(os.listdir(tmp_path)) == sorted(expected)


def test_encrypted_and_split_zips_go_on_inside_a_large_member(tmp_path: Path) -> None:
    source = tmp_path / "large"
    source.write_bytes(prose(5_000_000) + noise(6_000_000))
    op = Zip(path=str(source), format=ArchiveFormat.ZIP, level=1, volume="2MB")
    secrets = {"password": "s3cret"}
    checkpoint = None
    for _ in range(3):
        job = RecordingJob(tmp_path, secrets=secrets, checkpoint=checkpoint, stop_when=inside_a_large_member)
        with pytest.raises(Stopped):
            run(op, job)
        assert checkpoint is None or job.saved[-1]["state"]["read"] > checkpoint["state"]["read"]
        checkpoint = job.saved[-1]
    result = run(op, RecordingJob(tmp_path, secrets=secrets, checkpoint=checkpoint))
    assert result.resumed
    tool("7zz", "x", f"-o{tmp_path / 'out'}", result.path, stdin=b"s3cret\n")
    assert (tmp_path / "out" / "large").read_bytes() == source.read_bytes()


def test_going_on_reports_what_changed_and_vanished_since(tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    op = Zip(path=str(tree), format=ArchiveFormat.ZIP, level=1)
    job = RecordingJob(tmp_path, stop_when=inside_a_large_member)
    with pytest.raises(Stopped):
        run(op, job)
    (tree / "text").write_text("another text")
    (tree / "secret").unlink()
    (tree / "zz large").write_bytes(prose(9_000_000, 7))
    (tree / "zzz new").write_text("came later")
    result = run(op, RecordingJob(tmp_path, checkpoint=job.saved[-1]))
    warnings = "\n".join(result.warnings)
    assert "'tree/text' changed since it was packed" in warnings
    assert "'tree/secret' vanished since it was packed" in warnings
    out = restored(Path(result.path), tmp_path / "out") / "tree"
    assert (out / "zz large").read_bytes() == prose(9_000_000, 7)
    assert (out / "zzz new").read_text() == "came later"
    assert (out / "secret").read_text() == "private"


@pytest.mark.parametrize("form", [ArchiveFormat.TAR, ArchiveFormat.TAR_ZST])
def test_a_tar_member_that_changed_meanwhile_is_filled_up_and_reported(
    tmp_path: Path, form: ArchiveFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarwriter, "_COPIED_AT_ONCE", 1 << 20)
    tree = make_tree(tmp_path)
    op = Zip(path=str(tree), format=form, level=1)

    def inside(job: RecordingJob) -> Stop | None:
        return Stop.SUSPEND if any(saved.get("state", {}).get("seen") for saved in job.saved) else None

    job = RecordingJob(tmp_path, stop_when=inside)
    with pytest.raises(Stopped):
        run(op, job)
    name = bytes.fromhex(job.saved[-1]["state"]["name"]).decode()
    (tmp_path / name).write_bytes(b"another")
    result = run(op, RecordingJob(tmp_path, checkpoint=job.saved[-1]))
    assert f"'{name}' changed while the task was interrupted" in "\n".join(result.warnings)
    out = restored(Path(result.path), tmp_path / "out")
    assert (out / "tree" / "zzz after").read_bytes() == (tree / "zzz after").read_bytes()


def test_a_checkpoint_whose_files_are_gone_starts_anew(tmp_path: Path) -> None:
    tree = make_tree(tmp_path)
    op = Zip(path=str(tree), format=ArchiveFormat.TAR, level=1)
    job = RecordingJob(tmp_path, stop_when=lambda job: Stop.SUSPEND if job.saved else None)
    with pytest.raises(Stopped):
        run(op, job)
    for path in tmp_path.glob(".tree*"):
        path.unlink()
    result = run(op, RecordingJob(tmp_path, checkpoint=job.saved[-1]))
    assert not result.resumed
    assert picture(restored(Path(result.path), tmp_path / "out") / "tree") == picture(tree)


@pytest.mark.parametrize("form", RESUMABLE)
def test_an_attempt_that_starts_anew_forgets_the_old_checkpoint_before_it_writes(
    tmp_path: Path, form: ArchiveFormat
) -> None:
    """Were it killed before its first own one, the next attempt would take its bytes for those of the first."""

    class Watched(RecordingJob):
        def claim(self, path: Path) -> Path:
            if self.saved == [NOTHING]:  # durable when this returns
                sizes.append(part.stat().st_size)
            return super().claim(path)

    tree = make_tree(tmp_path)
    op = Zip(path=str(tree), format=form, level=1)
    job = RecordingJob(tmp_path, stop_when=lambda job: Stop.SUSPEND if job.saved else None)
    with pytest.raises(Stopped):
        run(op, job)
    (part,) = tmp_path.glob(".tree*.part")
    short = job.saved[-1]["offset"] - 1
    os.truncate(part, short)
    sizes: list[int] = []
    result = run(op, Watched(tmp_path, checkpoint=job.saved[-1]))
    assert set(sizes) == {short}
    assert not result.resumed
    assert picture(restored(Path(result.path), tmp_path / "out") / "tree") == picture(tree)


def test_the_checkpoint_of_an_attempt_that_started_anew_is_none(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    job = RecordingJob(tmp_path, checkpoint=NOTHING)
    assert not run(Zip(path=str(tmp_path / "f"), format=ArchiveFormat.ZIP, level=1), job).resumed


def test_a_job_killed_while_publishing_does_not_publish_twice(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    op = Zip(path=str(tmp_path / "f"), format=ArchiveFormat.ZIP, level=1)
    job = RecordingJob(tmp_path)
    first = run(op, job)
    again = run(op, RecordingJob(tmp_path, checkpoint=job.saved[-1]))
    assert again.path == first.path
    assert sorted(os.listdir(tmp_path)) == ["f", "f.zip"]


@pytest.mark.parametrize("form", ArchiveFormat)
@pytest.mark.parametrize("volume", [None, "256KB"])
def test_cancel_leaves_nothing_at_any_moment(tmp_path: Path, form: ArchiveFormat, volume: str | None) -> None:
    tree = odd_tree(tmp_path / "tree")
    op = Zip(path=str(tree), format=form, level=1, volume=volume, manifest=True)
    before = sorted(os.listdir(tmp_path))
    chance = random.Random(str(form))
    for checks in (1, 2, *(chance.randrange(3, 12) for _ in range(4))):
        job = RecordingJob(tmp_path, stop_when=stop_after(checks, Stop.CANCEL))
        with pytest.raises(Stopped):
            run(op, job)
        assert sorted(os.listdir(tmp_path)) == before
        assert not job.claimed


@pytest.mark.slow
@pytest.mark.parametrize("form", [ArchiveFormat.ZIP, ArchiveFormat.TAR_GZ, ArchiveFormat.TAR_BZ2])
def test_kill_9_at_random_moments_then_going_on_gives_the_same_content(tmp_path: Path, form: ArchiveFormat) -> None:
    tree = make_tree(tmp_path)
    operation = json.dumps({"op": "zip", "path": str(tree), "format": form.value, "level": 6})
    state = tmp_path / "state.json"
    chance = random.Random(7)
    kills = 0
    for attempt in range(7):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.support.pack_child", str(tmp_path), str(state), operation],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"{}\n")
        child.stdin.close()
        assert child.stdout.readline() == b"started\n"
        try:
            child.wait(chance.uniform(0.005, 0.15) if attempt < 6 else 60)
            break
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            child.wait()
            kills += 1
        finally:
            child.stdout.close()
    assert kills
    archive = tmp_path / f"tree{FORMATS[form].suffix}"
    assert picture(restored(archive, tmp_path / "out") / "tree") == picture(tree)
    assert not [name for name in os.listdir(tmp_path) if name.endswith((".part", ".journal"))]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("form", [ArchiveFormat.ZIP, ArchiveFormat.TAR, ArchiveFormat.TAR_GZ, ArchiveFormat.SEVENZIP])
def test_full_disk_says_so_and_leaves_nothing(tmp_path: Path, small_disk: Path, form: ArchiveFormat) -> None:
    source = tmp_path / "source"
    source.write_bytes(noise(30_000_000))
    op = Zip(path=str(source), format=form, level=1, output=str(small_disk / f"a{FORMATS[form].suffix}"))
    with pytest.raises(TaskdeckError) as caught:
        run(op, RecordingJob(tmp_path))
    assert caught.value.code == "disk.full"
    assert "needs 30." in caught.value.message
    assert os.listdir(small_disk) == []


@pytest.mark.parametrize("form", [ArchiveFormat.ZIP, ArchiveFormat.TAR_GZ])
def test_disk_that_fills_up_while_packing_leaves_nothing(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, form: ArchiveFormat
) -> None:
    monkeypatch.setattr("engines.files.free_space", lambda folder: 1 << 40)
    source = tmp_path / "source"
    source.write_bytes(noise(30_000_000))
    op = Zip(path=str(source), format=form, level=1, output=str(small_disk / f"a{FORMATS[form].suffix}"))
    with pytest.raises(TaskdeckError) as caught:
        run(op, RecordingJob(tmp_path))
    assert caught.value.code == "disk.full"
    assert os.listdir(small_disk) == []


@pytest.fixture
def after_listing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Register an action for the moment between listing and reading."""
    actions: list[Callable[[], object]] = []
    original = Packing._list

    def listed(self: Packing, *, resumes: bool) -> Listing:
        listing = original(self, resumes=resumes).finish()
        for action in actions:
            action()
        return listing

    monkeypatch.setattr(Packing, "_list", listed)
    return actions.append


@pytest.mark.parametrize("form", ArchiveFormat)
def test_files_that_vanish_shrink_or_grow_do_not_spoil_the_archive(
    tmp_path: Path, form: ArchiveFormat, after_listing: Callable[[Callable[[], object]], None]
) -> None:
    tree = odd_tree(tmp_path / "tree", raw_names=False)
    (tree / "big").write_bytes(prose(8_500_000))
    (tree / "gone").write_text("x")
    (tree / "gone big").write_bytes(prose(500_000))

    def mischief() -> None:
        (tree / "gone").unlink()
        (tree / "gone big").unlink()
        (tree / "secret").write_bytes(b"now much longer than before" * 100)
        with open(tree / "text", "ab") as file:
            file.write(b"grown")
        os.truncate(tree / "big", 8_400_000)

    after_listing(mischief)
    result: ZipResult = run(Zip(path=str(tree), format=form, level=1), RecordingJob(tmp_path))
    assert result.skipped == 2
    assert [warning for warning in result.warnings if "'tree/gone' is left out: it vanished" in warning]
    tool("7zz", "t", result.path)
    out = tmp_path / "out"
    out.mkdir()
    tool("bsdtar", "-xpf", result.path, "-C", out)
    assert picture(out / "tree", times=False, modes=False) == picture(tree, times=False, modes=False)


@pytest.mark.parametrize("form", [ArchiveFormat.ZIP, ArchiveFormat.TAR, ArchiveFormat.TAR_ZST, ArchiveFormat.SEVENZIP])
def test_a_large_file_cut_short_while_it_is_read_is_reported(tmp_path: Path, form: ArchiveFormat) -> None:
    source = tmp_path / "big"
    source.write_bytes(noise(1_000_000) * 70)

    class Cutting(RecordingJob):
        def progress(
            self, done: int, total: int | None = None, *, item: str = "", stage: str = "", unit: str = "bytes"
        ) -> None:
            if done and stage == "packing":
                os.truncate(source, 1_000_000)

    result = run(Zip(path=str(source), format=form, level=0), Cutting(tmp_path))
    assert result.changed == 1
    assert "changed while it was read" in result.warnings[0]
    tool("7zz", "t", result.path)


@pytest.mark.parametrize("form", [ArchiveFormat.ZIP, ArchiveFormat.TAR])
def test_a_folder_swapped_for_a_link_cannot_lead_out(
    tmp_path: Path,
    form: ArchiveFormat,
    after_listing: Callable[[Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("engines.archive.create.source._OPEN_FOLDERS", 64)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "inner.txt").write_text("SECRET OF SOMEBODY ELSE")
    tree = tmp_path / "tree"
    for number in range(250):  # more folders than are kept open: the first ones are opened again
        folder = tree / f"{number:03d}"
        folder.mkdir(parents=True)
        (folder / "inner.txt").write_text("harmless")

    def swap() -> None:
        for number in range(250):
            (tree / f"{number:03d}").rename(tmp_path / f"moved{number}")
            (tree / f"{number:03d}").symlink_to(outside)

    after_listing(swap)
    result = run(Zip(path=str(tree), format=form, level=0), RecordingJob(tmp_path))
    data = Path(result.path).read_bytes()
    assert b"SECRET OF" not in data
    assert result.skipped
    assert b"harmless" in data


def test_special_files_and_dangling_links_do_not_stop_it(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "ok").write_text("fine")
    (tree / "dangling").symlink_to("nowhere")
    os.mkfifo(tree / "pipe")
    op = Zip(path=str(tree), format=ArchiveFormat.ZIP, level=6)
    result = run(op, RecordingJob(tmp_path))
    assert result.files == 2
    assert result.warnings == ["'tree/pipe' is left out: it is a named pipe"]
    op = Zip(path=str(tree), format=ArchiveFormat.ZIP, level=6, links=Links.FOLLOW)
    followed = run(op, RecordingJob(tmp_path))
    assert followed.files == 1
    assert "the link cannot be followed" in followed.warnings[0]


def test_what_was_asked_for_by_name_and_cannot_be_packed_is_told_with_its_cause(tmp_path: Path) -> None:
    (tmp_path / "good").write_text("fine")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name, code, words in (("dangling", "path.missing", "a link to 'nowhere'"), ("pipe", "value", "a named pipe")):
        op = Zip(path=str(tmp_path / name), format=ArchiveFormat.ZIP, level=6, links=Links.FOLLOW)
        with pytest.raises(TaskdeckError, match=words) as told:
            run(op, RecordingJob(tmp_path))
        assert told.value.code == code
    op = Zip(path=str(tmp_path / "good"), add=(str(tmp_path / "dangling"),), level=6, links=Links.FOLLOW)
    with pytest.raises(TaskdeckError, match="dangling"):
        run(op, RecordingJob(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["dangling", "good", "pipe"]


def test_a_file_without_permission_is_reported(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "ok").write_text("fine")
    (tree / "closed").write_text("x")
    (tree / "closed").chmod(0)
    op = Zip(path=str(tree), format=ArchiveFormat.ZIP, level=1)
    tmp_path.chmod(0o777)
    was = os.geteuid()
    if was == 0:  # root may read everything
        os.seteuid(65534)
    try:
        result = run(op, RecordingJob(tmp_path))
    finally:
        os.seteuid(was)
    assert (result.skipped, result.files) == (1, 1)
    assert result.warnings == ["'tree/closed' is left out: Permission denied"]


@pytest.mark.parametrize("form", [ArchiveFormat.ZIP, ArchiveFormat.SEVENZIP])
def test_the_password_is_on_no_command_line(tmp_path: Path, form: ArchiveFormat) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").write_bytes(prose(3_000_000))
    password = "Vbw8-unmistakable"
    seen: list[bytes] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as file:
                        line = file.read()
                except OSError:
                    continue
                if password.encode() in line:
                    seen.append(line)
            time.sleep(0.002)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        job = RecordingJob(tmp_path, secrets={"password": password})
        run(Zip(path=str(tmp_path / "tree"), format=form, level=3, encrypt_names=form is ArchiveFormat.SEVENZIP), job)
    finally:
        stop.set()
        watcher.join()
    assert not seen
    assert password not in json.dumps(job.saved) + str(job.logged)
