"""A state folder that cannot be used is explained in one sentence, by commands and by the doctor."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.errors import Exit
from tests.support.station import Station


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """A station whose state folder is on a file system of 64 KiB."""
    found = Station(tmp_path)
    disk = tmp_path / "state"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        found.state.mkdir(mode=0o700)
        yield found
    finally:
        found.stop()
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_under_the_state_folder_is_named(station: Station) -> None:
    (station.base / "state" / "fill").write_bytes(bytes(50_000))
    done = station.run("status")
    assert done.returncode == Exit.NO_SPACE, done.stderr + station.locations.log.read_text()
    assert "is full; free some space. [disk.full]" in done.stderr
    checks = station.run("doctor")
    assert checks.returncode == Exit.FAILED and "free some space on that disk" in checks.stdout


def test_a_disk_without_a_free_byte_is_named_as_well(station: Station) -> None:
    with (station.base / "state" / "fill").open("wb", buffering=0) as fill, pytest.raises(OSError, match="space"):
        while True:
            fill.write(bytes(4096))
    for words in (("status",), ("serve",)):
        done = station.run(*words)
        assert done.returncode == Exit.NO_SPACE, done.stderr


def test_a_read_only_state_folder_is_named(station: Station) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(station.base / "state")], check=True)
    done = station.run("status")
    assert done.returncode == Exit.REFUSED
    assert "the file system is read-only" in done.stderr and "[path.unreadable]" in done.stderr
    assert "cannot be written" in station.run("doctor").stdout
