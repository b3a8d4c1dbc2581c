"""What the chat remembers over a restart: written whole, also after a disk that would not take it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.telegram.test_files_live import until
from tui_app.telegram import ledger
from tui_app.telegram.ledger import Ledger


async def test_what_could_not_be_written_is_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_WRITE_AGAIN", 0.05)
    path = tmp_path / "chats.json"
    (tmp_path / "chats.new").mkdir()  # where it is written first
    kept = Ledger(path)
    kept.start()
    kept.set_board(1, 5)
    await until(lambda: "cannot write" in caplog.text)
    (tmp_path / "chats.new").rmdir()
    await until(path.exists)
    await kept.close()
    assert Ledger(path).board(1) == 5


async def test_closing_writes_the_last_change_and_survives_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "chats.json"
    kept = Ledger(path)
    kept.start()
    kept.set_board(1, 5)
    await asyncio.sleep(0)
    kept.set_board(1, 6)
    await kept.close()
    assert Ledger(path).board(1) == 6
    (tmp_path / "chats.new").mkdir()
    kept = Ledger(path)
    kept.start()
    kept.set_board(1, 7)
    await kept.close()
    assert Ledger(path).board(1) == 6
