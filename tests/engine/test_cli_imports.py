"""What the command line must not load: it answers in the time those imports alone would take."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.station import Station

HEAVY = {"textual", "rich", "aiohttp", "asyncio", "pyrogram", "py7zr", "rarfile", "PIL", "ffmpeg", "sqlite3", "psutil"}


def loaded(code: str, station: Station) -> set[str]:
    """Top-level modules in a fresh interpreter after this code."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], env=station.environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return set(done.stderr.decode().split())


SLOW = {"typing_extensions", "inspect", "dataclasses"}
"""Together with what they define a quarter of the start; see `engines/__init__.py`."""


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["zip", "--help"], ["status"], ["show", "zzzzzz"]])
def test_quick_commands_load_nothing_heavy(station: Station, words: list[str]) -> None:
    code = f"from tui_app.cli.main import run\nrun({words!r})"
    with station.serving():
        found = loaded(code, station)
    assert not found & HEAVY


def test_a_job_in_the_foreground_starts_without_what_is_slow_to_load(station: Station) -> None:
    source = station.root / "file"
    source.write_text("something to pack")
    for kind in ("tar", "zip", "tar.zst"):
        words = ["zip", str(source), kind, "--foreground", "--output", str(station.root / f"a.{kind}")]
        found = loaded(f"from tui_app.cli.main import run\nassert not run({words!r})", station)
        assert not found & SLOW


def test_engines_know_no_face(station: Station) -> None:
    code = "import engines.operations, engines.tasks.service, engines.tasks.foreground, engines.tasks.worker"
    found = loaded(code, station)
    assert not {
        name for name in found if name.split(".")[0] in {"tui_app", "widgets", "textual", "aiohttp", "pyrogram"}
    }


def test_the_daemon_loads_no_interface(station: Station) -> None:
    found = loaded("import tui_app.daemon", station)
    assert not {name for name in found if name.split(".")[0] in {"textual", "rich", "pyrogram", "py7zr", "PIL"}}
