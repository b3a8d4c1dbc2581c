"""Large files that the kernel copies into a bare tar, while the rest of the tree is listed."""

from __future__ import annotations

import errno
import os
import subprocess
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from engines.archive.create import tarwriter
from engines.archive.create.job import run
from engines.archive.create.listing import Listing
from engines.archive.create.output import WriteBehind
from engines.archive.create.result import ZipResult
from engines.archive.create.source import Entry, Folder, Tree
from engines.errors import TaskdeckError
from engines.job import Stop, Stopped
from engines.operations import ArchiveFormat, Zip
from tests.support.jobs import RecordingJob, commit_at_once
from tests.support.trees import noise, picture, tool


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Large files of odd sizes before, between and after small ones; one has a second name, one has a hole."""
    root = tmp_path / "tree"
    root.mkdir()
    for name, size in (("a", 20_000_001), ("b", 1 << 20), ("m", 5_000_000), ("z", 3_333_333)):
        (root / name).write_bytes(noise(size))
    os.link(root / "a", root / "n")
    with open(root / "c-holes", "wb") as holes:
        holes.write(noise(2_000_000))
        holes.seek(30_000_000)
        holes.write(noise(1_500_000))
    for number in range(600):
        (root / f"k{number % 7}").mkdir(exist_ok=True)
        (root / f"k{number % 7}" / f"{number:04d}").write_bytes(noise(number * 7))
    return root


def pack(tree: Path, job: RecordingJob, **options: object) -> ZipResult:
    result: ZipResult = run(Zip(path=str(tree), format=ArchiveFormat.TAR, **options), job)  # type: ignore[arg-type]
    return result


def unpacked(archive: str, into: Path) -> Path:
    into.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", str(into)], check=True)
    return into / "tree"


@pytest.mark.parametrize("kernel", ["copies", "refuses", "fails later"])
def test_the_tree_is_whole_whoever_copies(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    real = os.copy_file_range
    calls: list[int] = []

    def copy(source: int, target: int, count: int, offset: int) -> int:
        calls.append(count)
        if kernel == "refuses" or (kernel == "fails later" and len(calls) % 3 == 2):
            raise OSError(errno.EXDEV if kernel == "refuses" else errno.EIO, "no")
        return real(source, target, min(count, 1_500_000), offset)

    monkeypatch.setattr(os, "copy_file_range", copy)
    result = pack(tree, RecordingJob(tmp_path))
    assert len(calls) >= 4
    assert picture(unpacked(result.path, tmp_path / "out")) == picture(tree)
    tool("7zz", "t", result.path)
    assert result.changed == 0


def test_volumes_and_sums_are_made_without_the_kernel(tmp_path: Path, tree: Path) -> None:
    result = pack(tree, RecordingJob(tmp_path), manifest=True)
    tool("sha256sum", "--quiet", "-c", "tree.tar.sha256", cwd=tmp_path)
    assert picture(unpacked(result.path, tmp_path / "out")) == picture(tree)


def test_packing_begins_before_everything_is_listed(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    copy, more = WriteBehind.copy, Listing.more

    def copying(self: WriteBehind, source: int, at: int, length: int) -> Future[int]:
        events.append("copied")
        return copy(self, source, at, length)

    def listing(self: Listing) -> bool:
        left = more(self)
        if self.whole:
            events.append("listed")
        return left

    monkeypatch.setattr(WriteBehind, "copy", copying)
    monkeypatch.setattr(Listing, "more", listing)
    job = RecordingJob(tmp_path)
    result = pack(tree, job)
    assert events.index("copied") < events.index("listed")
    totals = {seen.total for seen in job.seen if seen.stage == "packing"}
    assert totals == {result.original + 20_000_001}, "of the file with two names one is packed"
    assert all(seen.total is None for seen in job.seen if seen.stage == "listing"), "nobody knows the end yet"


def test_a_source_that_cannot_be_listed_ends_the_packing_that_has_begun(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[int] = []
    copy, content = WriteBehind.copy, Tree._content

    def copying(self: WriteBehind, source: int, at: int, length: int) -> Future[int]:
        copies.append(length)
        return copy(self, source, at, length)

    def listed(self: Tree, folder: Folder, handle: Any) -> list[Entry]:
        if folder.prefix == b"later/":
            raise OSError(errno.EIO, "Input/output error")
        return content(self, folder, handle)

    monkeypatch.setattr(WriteBehind, "copy", copying)
    monkeypatch.setattr(Tree, "_content", listed)
    (tmp_path / "later").mkdir()
    with pytest.raises(TaskdeckError) as caught:
        pack(tree / "a", RecordingJob(tmp_path), add=(str(tree / "z"), str(tmp_path / "later")))
    assert caught.value.code == "disk.io"
    assert copies
    assert sorted(os.listdir(tmp_path)) == ["later", "tree"]


def test_a_file_cut_short_while_the_kernel_copies_it_is_reported(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.copy_file_range

    def copy(source: int, target: int, count: int, offset: int) -> int:
        if os.fstat(source).st_size == 20_000_001:
            os.truncate(tree / "a", 7_000_000)
        return real(source, target, count, offset)

    monkeypatch.setattr(os, "copy_file_range", copy)
    result = pack(tree, RecordingJob(tmp_path))
    assert result.changed == 1
    out = unpacked(result.path, tmp_path / "out")
    assert (out / "a").read_bytes() == (tree / "a").read_bytes() + bytes(13_000_001)
    for name in ("a", "n"):
        (out / name).unlink()
        (tree / name).unlink()
    assert picture(out, times=False) == picture(tree, times=False), "what follows is where it belongs"


@pytest.mark.parametrize("stop", [Stop.SUSPEND, Stop.CANCEL])
def test_a_stop_while_the_kernel_copies(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch, stop: Stop
) -> None:
    monkeypatch.setattr(tarwriter, "_COPIED_AT_ONCE", 1 << 20)
    commit_at_once(monkeypatch)

    def inside(job: RecordingJob) -> Stop | None:
        return stop if any(saved.get("state", {}).get("seen", 0) > 4_000_000 for saved in job.saved) else None

    job = RecordingJob(tmp_path, stop_when=inside)
    with pytest.raises(Stopped):
        pack(tree, job)
    if stop is Stop.CANCEL:
        assert os.listdir(tmp_path) == ["tree"]
        return
    for part in tmp_path.glob(".*.part"):
        with open(part, "ab") as file:
            file.write(noise(5000))
    result = pack(tree, RecordingJob(tmp_path, checkpoint=job.saved[-1]))
    assert result.resumed
    assert result.changed == 0
    assert picture(unpacked(result.path, tmp_path / "out")) == picture(tree)
    tool("7zz", "t", result.path)


def test_a_full_disk_while_the_kernel_copies(tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.files.free_space", lambda folder: 1 << 40)
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], check=True)
    try:
        with pytest.raises(TaskdeckError) as caught:
            pack(tree, RecordingJob(tmp_path), output=str(disk / "a.tar"))
        assert caught.value.code == "disk.full"
        assert os.listdir(disk) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
