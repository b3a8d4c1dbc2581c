"""What is said of a 7z of which a part is missing, or that nobody here can unpack."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import py7zr
import pytest

from engines.archive.backends import bundled_sevenzip
from engines.archive.extract.job import run
from engines.archive.inspect import run_info
from engines.errors import TaskdeckError
from engines.operations import Unzip, ZipInfo
from tests.support.jobs import RecordingJob


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "noise").write_bytes(os.urandom(250_000))
    return tmp_path


def pack(folder: Path, *options: str) -> None:
    command = [bundled_sevenzip(), "a", "-bso0", "-bsp0", *options, "a.7z", "tree"]
    subprocess.run(command, cwd=folder, check=True)


def refusal(folder: Path, name: str) -> TaskdeckError:
    """The one error of unpacking and listing."""
    with pytest.raises(TaskdeckError) as listed:
        run_info(ZipInfo(path=str(folder / name)), RecordingJob(folder))
    with pytest.raises(TaskdeckError) as unpacked:
        run(Unzip(path=str(folder / name), destination=str(folder / "out")), RecordingJob(folder))
    assert not (folder / "out").exists()
    assert listed.value.code == unpacked.value.code
    return unpacked.value


def test_missing_last_volume_is_called_missing(folder: Path) -> None:
    pack(folder, "-v100k")
    (folder / "a.7z.003").unlink()
    error = refusal(folder, "a.7z.001")
    assert error.code == "archive.volume"
    assert "204,800" in error.message


def test_archive_that_is_cut_off_is_told_from_one_that_is_damaged(folder: Path) -> None:
    pack(folder)
    whole = (folder / "a.7z").read_bytes()
    (folder / "a.7z").write_bytes(whole[:-1])
    error = refusal(folder, "a.7z")
    assert error.code == "archive.damaged"
    assert f"cut off: it has {len(whole):,} bytes, of which {len(whole) - 1:,} are there" in error.message
    (folder / "a.7z").write_bytes(whole[:-9] + bytes(9))
    assert "directory is damaged" in refusal(folder, "a.7z").message


def test_method_that_nobody_knows_is_no_damage(folder: Path) -> None:
    with py7zr.SevenZipFile(folder / "a.7z", "w", filters=[{"id": py7zr.FILTER_BROTLI, "level": 1}]) as archive:
        archive.writeall(folder / "tree", "tree")
    with pytest.raises(TaskdeckError) as failed:
        run(Unzip(path=str(folder / "a.7z"), destination=str(folder / "out")), RecordingJob(folder))
    assert failed.value.code == "unsupported"
