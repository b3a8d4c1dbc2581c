"""Unpacking zip, tar.* and single files: round trips of what other tools packed, destinations and conflicts."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import pytest

from engines import filecopy
from engines.archive.backends import bundled_sevenzip
from engines.archive.extract.job import Unpacked, run
from engines.archive.extract.run import Run
from engines.archive.inspect import ArchiveInfo, run_info, run_test
from engines.errors import TaskdeckError
from engines.job import Stop, Stopped
from engines.operations import Conflict, Unzip, ZipInfo, ZipTest
from tests.support.archives import make_tar, make_zip, odd_tree, snapshot
from tests.support.jobs import RecordingJob

REGULAR = 0o100644


def unzip(path: Path, destination: Path | None = None, **options: object) -> Unpacked:
    job = RecordingJob(path.parent)
    result = run(Unzip(path=str(path), destination=str(destination) if destination else None, **options), job)  # type: ignore[arg-type]
    assert not job.claimed, "every staging folder was released"
    return result


def info(path: Path) -> ArchiveInfo:
    return run_info(ZipInfo(path=str(path)), RecordingJob(path.parent))


PACKERS = {
    "zip": ["zip", "-qry", "a.zip", "odd tree"],
    "tar": ["tar", "cf", "a.tar", "odd tree"],
    "pax": ["tar", "--format=pax", "-cf", "a.tar", "odd tree"],
    "tar.gz": ["tar", "czf", "a.tar.gz", "odd tree"],
    "tar.bz2": ["tar", "cjf", "a.tar.bz2", "odd tree"],
    "tar.xz": ["tar", "cJf", "a.tar.xz", "odd tree"],
    "tar.zst": ["tar", "--zstd", "-cf", "a.tar.zst", "odd tree"],
}


@pytest.mark.parametrize("name", PACKERS)
def test_unpacking_restores_content_modes_links_and_times(tmp_path: Path, name: str) -> None:
    root = odd_tree(tmp_path)
    command = PACKERS[name]
    subprocess.run(command, cwd=tmp_path, check=True)
    archive = next(tmp_path.glob("a.*"))
    result = unzip(archive, tmp_path / "out")
    assert snapshot(tmp_path / "out" / "odd tree") == snapshot(root)
    assert (tmp_path / "out/odd tree/plain.txt").stat().st_mtime == 1_600_000_000
    assert result.files + result.links == info(archive).files == 12
    assert result.size == sum(p.stat().st_size for p in root.rglob("*") if p.is_file() and not p.is_symlink())
    assert run_test(ZipTest(path=str(archive)), RecordingJob(tmp_path)).files == 12


def test_format_is_known_by_content_not_by_name(tmp_path: Path) -> None:
    make_zip(tmp_path / "real.zip", [("x", b"1", REGULAR)]).rename(tmp_path / "photo.jpg")
    assert unzip(tmp_path / "photo.jpg").format == "zip"
    (tmp_path / "text.zip").write_text("no archive at all, just text" * 100)
    with pytest.raises(TaskdeckError) as caught:
        unzip(tmp_path / "text.zip")
    assert caught.value.code == "archive.not_archive"


def test_several_roots_go_into_a_folder_named_after_the_archive(tmp_path: Path) -> None:
    make_zip(tmp_path / "pair.zip", [("a", b"1", REGULAR), ("b", b"2", REGULAR)])
    assert unzip(tmp_path / "pair.zip").destination == str(tmp_path / "pair")
    assert sorted(os.listdir(tmp_path / "pair")) == ["a", "b"]


def test_single_root_goes_beside_the_archive(tmp_path: Path) -> None:
    make_zip(tmp_path / "x.zip", [("root/a", b"1", REGULAR), ("root/b", b"2", REGULAR)])
    assert unzip(tmp_path / "x.zip").destination == str(tmp_path / "root")
    assert sorted(os.listdir(tmp_path)) == ["root", "x.zip"]


def test_strip_root_leaves_the_single_folder_out(tmp_path: Path) -> None:
    make_zip(tmp_path / "x.zip", [("root/a", b"1", REGULAR), ("root/b", b"2", REGULAR)])
    unzip(tmp_path / "x.zip", tmp_path / "d", strip_root=True)
    assert sorted(os.listdir(tmp_path / "d")) == ["a", "b"]


def test_missing_destination_is_made_with_its_parents(tmp_path: Path) -> None:
    make_zip(tmp_path / "x.zip", [("a", b"1", REGULAR)])
    unzip(tmp_path / "x.zip", tmp_path / "p" / "q")
    assert (tmp_path / "p/q/a").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Conflict.RENAME, {"same": "old", "same (2)": "new", "fresh": "new"}),
        (Conflict.SKIP, {"same": "old", "fresh": "new"}),
        (Conflict.OVERWRITE, {"same": "new", "fresh": "new"}),
    ],
)
def test_conflicts_are_settled_entry_by_entry(tmp_path: Path, policy: Conflict, expected: dict[str, str]) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d/sub/same").write_text("old")
    make_zip(tmp_path / "x.zip", [("sub/same", b"new", REGULAR), ("sub/fresh", b"new", REGULAR)])
    unzip(tmp_path / "x.zip", tmp_path / "d", on_conflict=policy)
    assert {path.name: path.read_text() for path in (tmp_path / "d/sub").iterdir()} == expected
    assert os.listdir(tmp_path / "d") == ["sub"]


def test_conflict_policy_fail_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/z").write_text("old")
    make_zip(tmp_path / "x.zip", [("a", b"new", REGULAR), ("z", b"new", REGULAR)])
    before = snapshot(tmp_path)
    with pytest.raises(TaskdeckError) as caught:
        unzip(tmp_path / "x.zip", tmp_path / "d", on_conflict=Conflict.FAIL)
    assert caught.value.code == "path.exists"
    assert snapshot(tmp_path) == before


def test_overwriting_that_fails_halfway_brings_back_what_it_replaced(tmp_path: Path) -> None:
    (tmp_path / "d/sub").mkdir(parents=True)
    (tmp_path / "d/z").mkdir()
    (tmp_path / "d/sub/a").write_text("old")
    (tmp_path / "d/sub/link").symlink_to("a")
    members = [("sub/a", b"new", REGULAR), ("sub/fresh", b"new", REGULAR), ("sub/link", b"new", REGULAR)]
    make_zip(tmp_path / "x.zip", [*members, ("z", b"a file where a folder is", REGULAR)])
    before = snapshot(tmp_path)
    with pytest.raises(TaskdeckError) as caught:
        unzip(tmp_path / "x.zip", tmp_path / "d", on_conflict=Conflict.OVERWRITE)
    assert caught.value.code == "path.kind"
    assert snapshot(tmp_path) == before
    (tmp_path / "d/z").rmdir()
    assert unzip(tmp_path / "x.zip", tmp_path / "d", on_conflict=Conflict.OVERWRITE).replaced == 2
    assert (tmp_path / "d/sub/link").read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["d", "x.zip"]


@pytest.mark.parametrize("name", ["x.tar", "x.zip", "x.7z"])
@pytest.mark.parametrize("into", [None, "fresh", "present"])
def test_folders_keep_modes_that_lock_even_their_owner_out(tmp_path: Path, name: str, into: str | None) -> None:
    source = tmp_path / "source"
    (source / "root/locked/inner").mkdir(parents=True)
    (source / "root/locked/inner/f").write_text("1")
    for folder, mode in (("root/locked/inner", 0o500), ("root/locked", 0o555), ("root", 0o755)):
        (source / folder).chmod(mode)
        os.utime(source / folder, (1_500_000_000, 1_500_000_000))
    pack = {
        "x.tar": ["tar", "cf"],
        "x.zip": ["zip", "-qr"],
        "x.7z": [bundled_sevenzip(), "a", "-bso0", "-bsp0"],
    }
    subprocess.run([*pack[name], str(tmp_path / name), "root"], cwd=source, check=True)
    if into == "present":
        (tmp_path / into / "root").mkdir(parents=True)
    unzip(tmp_path / name, tmp_path / into if into else None)
    root = tmp_path / (into or "") / "root"
    found = [(root / part).stat() for part in ("locked", "locked/inner")]
    assert [oct(info.st_mode & 0o7777) for info in found] == ["0o555", "0o500"]
    assert [info.st_mtime for info in found] == [1_500_000_000] * 2
    assert (root / "locked/inner/f").read_text() == "1"


@pytest.mark.parametrize("kernel", ["copies", "refuses at once", "refuses later"])
def test_large_members_of_a_bare_tar_are_whole_whoever_copies_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernel: str
) -> None:
    (tmp_path / "in").mkdir()
    for number, size in enumerate((3_000_001, 1, 9_437_184, 0, 1_048_577, 700_000)):
        (tmp_path / f"in/f{number}").write_bytes(os.urandom(size))
    with open(tmp_path / "in/holes", "wb") as sparse:
        sparse.write(os.urandom(2_500_000))
        sparse.seek(40_000_000)
        sparse.write(os.urandom(1_500_000))
    subprocess.run(["tar", "--sparse", "-cf", "../x.tar", "."], cwd=tmp_path / "in", check=True)
    copied: list[int] = []
    real = os.copy_file_range

    def copy(source: int, target: int, count: int, offset: int) -> int:
        if kernel == "refuses at once" or (kernel == "refuses later" and copied):
            raise OSError(errno.EXDEV, "cross-device")
        copied.append(real(source, target, min(count, 1_500_000), offset))
        return copied[-1]

    monkeypatch.setattr(os, "copy_file_range", copy)
    unzip(tmp_path / "x.tar", tmp_path / "out")
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "in")
    assert bool(copied) is (kernel != "refuses at once")


def _slowly(copying: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel copies 64 KiB at a time and says so."""
    real = os.copy_file_range

    def copy(source: int, target: int, count: int, offset: int) -> int:
        copying.set()
        return real(source, target, min(count, 1 << 16), offset)

    monkeypatch.setattr(os, "copy_file_range", copy)


def test_cancel_while_the_kernel_copies_ends_soon_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(tmp_path / "big", "wb") as big:
        big.truncate(400_000_000)
    subprocess.run(["tar", "-cf", "x.tar", "big"], cwd=tmp_path, check=True)
    (tmp_path / "big").unlink()
    copying = threading.Event()
    _slowly(copying, monkeypatch)
    job = RecordingJob(tmp_path, stop_when=lambda _: Stop.CANCEL if copying.is_set() else None)
    with pytest.raises(Stopped):
        run(Unzip(path=str(tmp_path / "x.tar"), destination=str(tmp_path / "out")), job)
    assert os.listdir(tmp_path) == ["x.tar"]
    assert max(seen.done for seen in job.seen) < 400_000_000, "what is not copied yet is not counted as done"


def test_what_the_kernel_copied_is_counted_while_it_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "big").write_bytes(os.urandom(8_000_000))
    subprocess.run(["tar", "-cf", "x.tar", "big"], cwd=tmp_path, check=True)
    job = RecordingJob(tmp_path)
    real = os.copy_file_range

    def copy(source: int, target: int, count: int, offset: int) -> int:
        reached = len(job.seen)
        until = time.monotonic() + 10
        while len(job.seen) < reached + 2 and time.monotonic() < until:
            time.sleep(0.01)  # until somebody was told
        return real(source, target, min(count, 1_000_000), offset)

    monkeypatch.setattr(os, "copy_file_range", copy)
    run(Unzip(path=str(tmp_path / "x.tar"), destination=str(tmp_path / "out")), job)
    told = {seen.done // 1_000_000 for seen in job.seen}
    assert told > {2, 3, 4, 5, 6}


def test_a_checkpoint_never_counts_a_member_that_is_still_being_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a-big").write_bytes(os.urandom(3_000_000))
    for number in range(400):
        (tmp_path / f"in/b{number:03d}").write_bytes(b"small")
    subprocess.run(["tar", "--sort=name", "-cf", "../x.tar", "."], cwd=tmp_path / "in", check=True)
    go = threading.Event()
    real = os.copy_file_range

    def copy(source: int, target: int, count: int, offset: int) -> int:
        assert go.wait(30)
        return real(source, target, count, offset)

    monkeypatch.setattr(os, "copy_file_range", copy)
    counts: list[int] = []

    def committed(self: Run, count: int) -> None:
        counts.append(count)
        if len(counts) == 4:  # four looks at 64 members each: the reader is far beyond the large one
            go.set()

    monkeypatch.setattr(Run, "committed", committed)
    unzip(tmp_path / "x.tar", tmp_path / "out")
    assert max(counts[:4]) == 1, "only the folder before the large member is whole"
    assert counts[-1] == 402
    assert snapshot(tmp_path / "out") == snapshot(tmp_path / "in")


def test_a_large_member_that_cannot_be_copied_is_named_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/big").write_bytes(os.urandom(3_000_000))
    (tmp_path / "in/small").write_bytes(b"small")
    subprocess.run(["tar", "-cf", "../x.tar", "big", "small"], cwd=tmp_path / "in", check=True)

    def fail(*arguments: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "copy_file_range", fail)
    monkeypatch.setattr(filecopy, "write_all", fail)
    with pytest.raises(TaskdeckError) as caught:
        unzip(tmp_path / "x.tar", tmp_path / "out")
    assert caught.value.code == "disk.io"
    assert sorted(os.listdir(tmp_path)) == ["in", "x.tar"]
    result = unzip(tmp_path / "x.tar", tmp_path / "out", keep_broken=True)
    assert result.files == 1
    assert [item.name for item in result.broken] == ["big"]
    assert sorted(os.listdir(tmp_path / "out (incomplete)")) == ["NOT-UNPACKED.txt", "small"]


@pytest.mark.parametrize("cut", [700_000, 2_000_000, 3_900_000])
def test_bare_tar_cut_inside_a_large_member_is_damaged(tmp_path: Path, cut: int) -> None:
    make_tar(tmp_path / "x.tar", [("big", tarfile.REGTYPE, "", bytes(4_000_000), 0o644)])
    os.truncate(tmp_path / "x.tar", cut)
    for options in ({}, {"files": ("other",)}):
        with pytest.raises(TaskdeckError) as caught:
            unzip(tmp_path / "x.tar", tmp_path / "out", **options)
        assert caught.value.code == "archive.damaged"
    with pytest.raises(TaskdeckError):
        info(tmp_path / "x.tar")
    assert os.listdir(tmp_path) == ["x.tar"]


def test_only_this_tasks_bytes_are_counted(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/other").write_bytes(bytes(1_000_000))
    make_zip(tmp_path / "x.zip", [("a", b"12", REGULAR)])
    assert unzip(tmp_path / "x.zip", tmp_path / "d").size == 2


def test_globs_choose_members(tmp_path: Path) -> None:
    make_zip(tmp_path / "x.zip", [("a/1.txt", b"1", REGULAR), ("a/2.jpg", b"2", REGULAR), ("b/3.txt", b"3", REGULAR)])
    unzip(tmp_path / "x.zip", tmp_path / "d", files=("*.txt",))
    assert sorted(str(p.relative_to(tmp_path / "d")) for p in (tmp_path / "d").rglob("*.*")) == ["a/1.txt", "b/3.txt"]
    unzip(tmp_path / "x.zip", tmp_path / "e", files=("a",))
    assert sorted(p.name for p in (tmp_path / "e").rglob("*.*")) == ["1.txt", "2.jpg"]
    with pytest.raises(TaskdeckError) as caught:
        unzip(tmp_path / "x.zip", tmp_path / "f", files=("*.none",))
    assert caught.value.code == "archive.member"
    assert not (tmp_path / "f").exists()


def test_hard_links_and_holes_of_a_tar_are_kept(tmp_path: Path) -> None:
    root = tmp_path / "r"
    root.mkdir()
    (root / "one").write_text("linked")
    os.link(root / "one", root / "two")
    for form in ("gnu", "pax", "posix-0.1", "posix-0.0"):
        with (root / "sparse").open("wb") as out:
            out.seek(3_000_000)
            out.write(b"middle")
            out.truncate(40_000_000)
        options = ["--format=pax", f"--sparse-version={form[-3:]}"] if "-" in form else [f"--format={form}"]
        subprocess.run(["tar", *options, "-Scf", f"{form}.tar", "r"], cwd=tmp_path, check=True)
        unzip(tmp_path / f"{form}.tar", tmp_path / f"out {form}")
        out_root = tmp_path / f"out {form}" / "r"
        assert (out_root / "one").stat().st_ino == (out_root / "two").stat().st_ino
        assert (out_root / "sparse").read_bytes() == (root / "sparse").read_bytes()
        assert (out_root / "sparse").stat().st_blocks * 512 < 1_000_000


@pytest.mark.parametrize("codec", ["gz", "bz2", "xz", "zst"])
def test_single_compressed_files_get_their_name_back(tmp_path: Path, codec: str) -> None:
    tool = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd"}[codec]
    content = os.urandom(100_000) + bytes(3_000_000)
    (tmp_path / "dump.sql").write_bytes(content)
    subprocess.run([tool, "-q", "dump.sql"], cwd=tmp_path, check=True)
    (tmp_path / "dump.sql").unlink(missing_ok=True)
    archive = tmp_path / f"dump.sql.{codec}"
    assert info(archive).size == len(content)
    unzip(archive)
    assert (tmp_path / "dump.sql").read_bytes() == content


def test_last_of_two_equal_names_wins_in_a_tar(tmp_path: Path) -> None:
    make_tar(tmp_path / "x.tar", [("f", b"0", "", b"one", 0o644), ("f", b"0", "", b"two", 0o644)])
    unzip(tmp_path / "x.tar", tmp_path / "d")
    assert (tmp_path / "d/f").read_bytes() == b"two"


def test_both_of_two_equal_names_survive_in_a_zip(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        make_zip(tmp_path / "x.zip", [("f", b"one", REGULAR), ("f", b"two", REGULAR)])
    unzip(tmp_path / "x.zip", tmp_path / "d")
    assert (tmp_path / "d/f").read_bytes() == b"one"
    assert (tmp_path / "d/f (2)").read_bytes() == b"two"


def test_gzip_of_many_members_is_read_to_the_end_and_its_checksums_are_verified(tmp_path: Path) -> None:
    import gzip

    parts = [os.urandom(50_000) + bytes(100_000) for _ in range(40)]
    (tmp_path / "x.gz").write_bytes(b"".join(gzip.compress(part) for part in parts) + bytes(512))
    unzip(tmp_path / "x.gz", tmp_path / "d")
    assert (tmp_path / "d/x").read_bytes() == b"".join(parts)
    raw = bytearray((tmp_path / "x.gz").read_bytes())
    for at in (-520, -516):  # checksum and length of the last member
        spoiled = bytearray(raw)
        spoiled[at] ^= 1
        (tmp_path / "y.gz").write_bytes(spoiled)
        with pytest.raises(TaskdeckError) as caught:
            unzip(tmp_path / "y.gz", tmp_path / "e")
        assert caught.value.code == "archive.damaged"


@pytest.mark.parametrize("options", [[], ["-z"], ["-J"], ["--zstd"]])
def test_empty_tar_is_an_archive(tmp_path: Path, options: list[str]) -> None:
    archive = tmp_path / "nothing.tar"
    subprocess.run(["tar", *options, "-cf", str(archive), "-T", "/dev/null"], check=True)
    assert info(archive).files == run_test(ZipTest(path=str(archive)), RecordingJob(tmp_path)).files == 0
    assert unzip(archive, tmp_path / "out").files == 0


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst"])
def test_beginning_of_a_single_file_that_is_cut_off_is_kept_on_request(tmp_path: Path, suffix: str) -> None:
    content = random.Random(1).randbytes(300_000) * 12
    (tmp_path / "big.txt").write_bytes(content)
    packer = {"gz": "gzip", "bz2": "bzip2", "xz": "xz", "zst": "zstd"}[suffix]
    subprocess.run([packer, "-q", "-k", "-1", "big.txt"], cwd=tmp_path, check=True)
    (tmp_path / "big.txt").unlink()
    archive = tmp_path / f"big.txt.{suffix}"
    os.truncate(archive, archive.stat().st_size * 3 // 4)
    with pytest.raises(TaskdeckError):
        unzip(archive, tmp_path / "out")
    assert os.listdir(tmp_path) == [archive.name]
    result = unzip(archive, tmp_path / "out", keep_broken=True)
    kept = tmp_path / "out (incomplete)"
    found = (kept / "big.txt").read_bytes()
    assert content.startswith(found) and found
    assert result.broken_count == 1 and f"first {len(found):,} bytes" in result.broken[0].why
    assert "big.txt" in (kept / "NOT-UNPACKED.txt").read_text()
