"""Every test of this room talks to a real MTProto server on loopback, and to nothing else."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pyrogram
import pytest

from tests.telegram_server import TelegramServer, guard

_WANTED = os.environ.get("TASKDECK_TEST_PYROGRAM", "")
assert _WANTED in ("", pyrogram.__version__), f"these tests are to run with pyrogram {_WANTED}"


@pytest.fixture(autouse=True)
def loopback_only() -> Iterator[None]:
    """Fail the test that dials anything outside this machine, even when the library swallows the refusal."""
    guard.arm()
    yield
    attempts = guard.disarm()
    assert not attempts, f"left this machine: {attempts}"


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
