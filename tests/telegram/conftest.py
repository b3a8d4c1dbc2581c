"""Every test of this room talks to a real MTProto server on loopback, and to nothing else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pyrogram
import pytest

from tests.telegram_server import TelegramServer, guard
from tui_app.telegram import presses

_WANTED = os.environ.get("TASKDECK_TEST_PYROGRAM", "")
assert _WANTED in ("", pyrogram.__version__), f"these tests are to run with pyrogram {_WANTED}"


@pytest.fixture(autouse=True)
def loopback_only() -> Iterator[None]:
    """Fail the test that dials anything outside this machine, even when the library swallows the refusal."""
    guard.arm()
    yield
    attempts = guard.disarm()
    assert not attempts, f"left this machine: {attempts}"


@pytest.fixture(autouse=True)
def patient_buttons(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine everything takes longer than a button waits for its note."""
    monkeypatch.setattr(presses, "_PRESS_LIMIT", 30.0)


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramServer]:
    """The server, fresh for every test."""
    async with TelegramServer() as server:
        yield server
    assert not server.errors, f"the test server itself failed: {server.errors}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a folder "my movies" of two files."""
    folder = tmp_path / "root" / "my movies"
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("alpha " * 2000)
    (folder / "b <b>.txt").write_text("beta " * 2000)
    return tmp_path / "root"


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of video with sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    command = (
        "ffmpeg -v error -f lavfi -i testsrc2=s=320x180:r=25:d=3 -f lavfi -i sine=d=3 -c:v libx264 -preset ultrafast"
    )
    subprocess.run([*command.split(), "-c:a", "aac", "-y", str(path)], check=True, timeout=60)
    return path
