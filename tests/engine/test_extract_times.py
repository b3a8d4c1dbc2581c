"""Times of links, and of the folders they are made in, are those of the archive whichever way it is unpacked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from engines.archive.backends import bundled_sevenzip
from engines.archive.extract.job import run
from engines.operations import Unzip
from tests.support.jobs import RecordingJob

LINK, FOLDER, FILE = 1_000_000_002, 1_100_000_004, 1_200_000_006
SEVENZIP = [bundled_sevenzip(), "a", "-snl", "-bso0", "-bsp0"]
COMMANDS: dict[str, list[str]] = {
    "a.7z": [*SEVENZIP, "a.7z", "tree"],
    "locked.7z": [*SEVENZIP, "-psecret", "locked.7z", "tree"],
    "a.tar": ["tar", "-cf", "a.tar", "tree"],
    "a.zip": ["zip", "-qry", "a.zip", "tree"],
    "a.cpio": ["bsdtar", "--format", "newc", "-cf", "a.cpio", "tree"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_links_and_their_folders_keep_their_times(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "tree" / "folder"
    folder.mkdir(parents=True)
    (tmp_path / "tree" / "file").write_bytes(b"x")
    (folder / "up").symlink_to("../file")
    os.utime(folder / "up", (LINK, LINK), follow_symlinks=False)
    os.utime(tmp_path / "tree" / "file", (FILE, FILE))
    os.utime(folder, (FOLDER, FOLDER))
    subprocess.run(COMMANDS[name], cwd=tmp_path, check=True)
    job = RecordingJob(tmp_path, secrets={"password": "secret"} if name == "locked.7z" else None)
    run(Unzip(path=str(tmp_path / name), destination=str(tmp_path / "out")), job)
    out = tmp_path / "out" / "tree"
    assert os.readlink(out / "folder" / "up") == "../file"
    assert (out / "folder" / "up").lstat().st_mtime == LINK
    assert (out / "folder").stat().st_mtime == FOLDER
    assert (out / "file").stat().st_mtime == FILE
