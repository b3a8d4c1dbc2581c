"""Durable publishing: staged names, conflict policies, safe removal."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engines import files
from engines.errors import TaskdeckError
from engines.operations import Conflict
from tests.support.jobs import RecordingJob
from tests.support.modes import bound_by_modes


def _staged(job: RecordingJob, target: Path, content: str = "new") -> Path:
    path = files.staged_path(job, target)
    path.write_text(content)
    return path


def test_staged_name_lies_beside_the_target_and_is_claimed_first(tmp_path: Path) -> None:
    job = RecordingJob(tmp_path)
    staged = files.staged_path(job, tmp_path / "a.zip")
    assert staged == tmp_path / ".a.zip.t3st01.part"
    assert staged in job.claimed


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "\U0001f600" * 63, "a" + "\U0001f600" * 63])
def test_staged_name_fits_name_max_and_stays_valid_utf8(tmp_path: Path, name: str) -> None:
    staged = files.staged_path(RecordingJob(tmp_path), tmp_path / name)
    staged.name.encode()  # no half characters
    assert len(os.fsencode(staged.name)) <= 255
    staged.touch()


def test_rename_policy_takes_the_next_free_number(tmp_path: Path) -> None:
    job = RecordingJob(tmp_path)
    target = tmp_path / "a.tar.gz"
    target.write_text("old")
    (tmp_path / "a (2).tar.gz").write_text("old too")
    assert files.publish(job, _staged(job, target), target, Conflict.RENAME) == tmp_path / "a (3).tar.gz"
    assert target.read_text() == "old"
    assert not job.claimed


def test_overwrite_policy_replaces_files_and_folders_but_never_one_by_the_other(tmp_path: Path) -> None:
    job = RecordingJob(tmp_path)
    target = tmp_path / "a"
    target.write_text("old")
    files.publish(job, _staged(job, target), target, Conflict.OVERWRITE)
    assert target.read_text() == "new"
    folder = tmp_path / "f"
    (folder / "deep").mkdir(parents=True)
    staged = files.staged_path(job, folder, kind="d")
    (staged / "fresh").mkdir(parents=True)
    files.publish(job, staged, folder, Conflict.OVERWRITE)
    assert os.listdir(folder) == ["fresh"]
    with pytest.raises(TaskdeckError) as caught:
        files.publish(job, _staged(job, folder), folder, Conflict.OVERWRITE)
    assert caught.value.code == "path.kind"
    assert sorted(os.listdir(tmp_path)) == [".f.t3st01.part", "a", "f"]


def test_skip_policy_removes_the_staged_file_and_fail_policy_raises(tmp_path: Path) -> None:
    job = RecordingJob(tmp_path)
    target = tmp_path / "a"
    target.write_text("old")
    assert files.publish(job, _staged(job, target), target, Conflict.SKIP) is None
    assert os.listdir(tmp_path) == ["a"]
    with pytest.raises(TaskdeckError) as caught:
        files.publish(job, _staged(job, target), target, Conflict.FAIL)
    assert caught.value.code == "path.exists"
    assert target.read_text() == "old"


@pytest.mark.parametrize("folder", [False, True])
def test_rename_exclusive_never_replaces_without_kernel_support(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool
) -> None:
    monkeypatch.setattr(files, "_renameat2", lambda: None)
    source, target = tmp_path / "s", tmp_path / "t"
    (source.mkdir if folder else source.touch)()
    (target.mkdir if folder else target.touch)()
    with pytest.raises(FileExistsError):
        files.rename_exclusive(source, target)
    (target.rmdir if folder else target.unlink)()
    files.rename_exclusive(source, target)
    assert os.listdir(tmp_path) == ["t"]


def test_remove_does_not_follow_links_and_empties_closed_folders(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "f").touch()
    (tree / "link").symlink_to(outside)
    (tree / "a").chmod(0)
    files.remove(tree)
    assert os.listdir(tmp_path) == ["outside"]
    assert os.listdir(outside) == ["kept"]
    files.remove(tree)  # absent is fine


def test_remove_opens_up_closed_folders_that_hold_only_folders_but_not_the_one_above(tmp_path: Path) -> None:
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    (tmp_path / "tree" / "a").chmod(0o500)
    code = "import sys; from engines.files import remove; remove(sys.argv[1])"
    argv = bound_by_modes([sys.executable, "-c", code, str(tmp_path / "tree")])
    tmp_path.chmod(0o500)
    refused = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert "PermissionError" in refused.stderr and os.listdir(tmp_path) == ["tree"]
    assert tmp_path.stat().st_mode & 0o777 == 0o500, "the folder above is not ours"
    tmp_path.chmod(0o700)
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    (tmp_path / "tree" / "a").chmod(0o500)
    subprocess.run(argv, check=True, timeout=60)
    assert os.listdir(tmp_path) == []


def test_removals_from_both_ends_of_one_folder_leave_nothing_and_do_not_fail(tmp_path: Path) -> None:
    for number in range(40):
        folder = tmp_path / "tree" / f"{number % 7}" / f"{number}"
        folder.mkdir(parents=True)
        for name in "abcdefgh":
            (folder / name).touch()
    with files.open_folder(tmp_path) as descriptor:

        def backwards() -> None:
            files.remove_at(descriptor, "tree", backwards=True)

        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(backwards)
            files.remove_at(descriptor, "tree")
            other.result()
    assert not os.listdir(tmp_path)


def test_remove_handles_trees_deeper_than_path_max_and_the_descriptor_limit(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("dddd", dir_fd=fd)
        below = os.open("dddd", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    files.remove(tmp_path / "dddd")
    assert os.listdir(tmp_path) == []


def test_space_check_names_need_and_supply(tmp_path: Path) -> None:
    with pytest.raises(TaskdeckError) as caught:
        files.require_space(tmp_path, 1 << 60, what="pack 'x'")
    assert caught.value.code == "disk.full"
    assert "needs 1.15 EB and" in caught.value.message
    files.require_space(tmp_path, 0, what="pack 'x'")
