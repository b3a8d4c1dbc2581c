"""The guide's `ArchiveManager`, with the guide's own snippets."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engines.compat import ArchiveManager


@pytest.fixture
async def archive_manager() -> AsyncIterator[ArchiveManager]:
    manager = ArchiveManager(max_workers=8)
    yield manager
    manager.close()


@pytest.fixture
def test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "report [1].txt"
    path.write_text("the same line again\n" * 5000)
    return path


async def test_archive_zip(archive_manager: ArchiveManager, test_file: Path) -> None:
    success, _msg, stats = await archive_manager.compress(test_file, "test.zip", "zip", 6)
    assert success == True  # noqa: E712 - the guide's words
    assert stats["compression_ratio"] > 0


async def test_keyword_names_of_the_guide_work(archive_manager: ArchiveManager, test_file: Path) -> None:
    success, msg, stats = await archive_manager.compress(
        source_path=str(test_file), output_path=f"{test_file}.zip", format="zip", compression_level=6
    )
    assert success, msg
    assert stats["output_path"] == f"{test_file}.zip"
    assert subprocess.run(["unzip", "-tq", f"{test_file}.zip"], capture_output=True).returncode == 0


async def test_extract_list_and_stats_agree(archive_manager: ArchiveManager, test_file: Path, tmp_path: Path) -> None:
    await archive_manager.compress(test_file, "test.tar.gz", "tar.gz", 9)
    success, msg, stats = await archive_manager.extract("test.tar.gz", tmp_path / "out")
    assert success, msg
    assert stats["files_extracted"] == 1
    assert stats["total_size"] == test_file.stat().st_size
    assert (tmp_path / "out" / test_file.name).read_bytes() == test_file.read_bytes()
    _, _, listed = await archive_manager.list_zip_contents("test.tar.gz")
    assert [member["name"] for member in listed["files"]] == [test_file.name]
    _, _, totals = await archive_manager.get_zip_stats("test.tar.gz")
    assert totals["total_files"] == 1
    assert totals["original_size"] == test_file.stat().st_size


async def test_a_failure_is_an_answer_not_an_exception(archive_manager: ArchiveManager) -> None:
    success, message, stats = await archive_manager.extract("/nowhere/at all.zip")
    assert not success
    assert stats == {"code": "path.missing"}
    assert "does not exist" in message


async def test_supported_formats_name_the_guides(archive_manager: ArchiveManager) -> None:
    assert {"zip", "tar", "tar.gz", "tar.bz2", "7z"} <= set(ArchiveManager.SUPPORTED_COMPRESS)
    assert {"zip", "tar", "tar.gz", "tar.bz2", "7z", "rar"} <= set(ArchiveManager.SUPPORTED_EXTRACT)
