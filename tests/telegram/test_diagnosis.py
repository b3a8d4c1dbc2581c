"""What `taskdeck doctor` says about the chat."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.settings import Settings, TelegramSettings
from tui_app.telegram import diagnosis

CREDENTIALS = {"api_id": 1, "api_hash": "x", "bot_token": "1:x"}


def settings(root: Path, **chat: object) -> Settings:
    return Settings(roots=(str(root),), telegram=TelegramSettings(**chat))  # type: ignore[arg-type]


def test_off_is_fine_and_half_configured_is_pointed_out(tmp_path: Path) -> None:
    assert diagnosis.diagnose(settings(tmp_path))[:2] == ("ok", "off")
    assert diagnosis.diagnose(settings(tmp_path, bot_token="1:x"))[:2] == ("warn", "off: telegram.api_id is not set")
    level, found, fix = diagnosis.diagnose(settings(tmp_path, **CREDENTIALS))
    assert (level, fix) == ("warn", "set telegram.allowed_users")
    assert "nobody" in found


def test_what_stops_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on = settings(tmp_path, **CREDENTIALS, allowed_users=(1,))
    installed = {"kurigram": "2.2.26"}
    monkeypatch.setattr(diagnosis, "_version", lambda name: installed.get(name, ""))
    assert diagnosis.diagnose(on)[:2] == ("ok", "on for 1 user, kurigram 2.2.26")
    installed["pyrogram"] = "2.0.106"
    assert "overwrite one another" in diagnosis.diagnose(on)[1]
    installed.clear()
    assert "not installed" in diagnosis.diagnose(on)[1]
    installed["kurigram"] = "2.2.26"
    bad = settings(tmp_path, **CREDENTIALS, allowed_users=(1,), default_role="god")
    assert diagnosis.diagnose(bad)[0] == "fail"
