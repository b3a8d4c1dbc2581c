"""The settings screen: values, sources, checked changes that work at once."""

from __future__ import annotations

import tomllib
from pathlib import Path

from tests.tui.conftest import Deck, deck
from tui_app.config import options
from tui_app.screens.settings import SettingsScreen


async def choose(d: Deck, key: str, text: str) -> None:
    await d.press("comma")
    assert isinstance(d.top, SettingsScreen)
    d.top.rows.cursor = list(options()).index(key)
    await d.press("enter")
    d.top.prompt.line.value = text
    await d.press("enter")


async def test_a_change_is_written_and_works_at_once(tmp_path: Path) -> None:
    path = tmp_path / "taskdeck.toml"
    path.write_text("# mine\n[tui]\nbell = true\n")
    async with deck(settings_file=path) as d:
        await choose(d, "tui.theme", "taskdeck-light")
        await d.until(lambda: d.app.theme == "taskdeck-light")
        written = path.read_text()
        assert "# mine" in written and tomllib.loads(written)["tui"] == {"bell": True, "theme": "taskdeck-light"}
        await d.press("escape")
        assert d.top is d.screen


async def test_a_bad_value_is_explained_and_not_written(tmp_path: Path) -> None:
    path = tmp_path / "taskdeck.toml"
    async with deck(settings_file=path) as d:
        await choose(d, "tui.hz", "99")
        await d.until(lambda: any("tui.hz" in text for text in d.toasts()))
        assert not path.exists()


async def test_secrets_are_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "taskdeck.toml"
    path.write_text('[telegram]\nbot_token = "12345:SECRET"\n')
    path.chmod(0o600)
    async with deck(settings_file=path) as d:
        await d.press("comma")
        assert isinstance(d.top, SettingsScreen)
        d.top.rows.cursor = list(options()).index("telegram.bot_token")
        await d.press("enter")
        assert "SECRET" not in d.text() and d.top.prompt.line.value == ""


async def test_settings_elsewhere_are_not_offered() -> None:
    async with deck() as d:
        await d.press("comma")
        assert d.top is d.screen
