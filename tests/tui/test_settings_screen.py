"""The settings screen: values, sources, checked changes that work at once."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from engines.model import TaskState
from engines.settings import Settings, TuiSettings
from tests.tui.conftest import Deck, deck
from tui_app.config import options
from tui_app.screens.keys import KeysDialog
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


async def test_a_key_is_set_by_pressing_it_and_works_at_once(tmp_path: Path) -> None:
    path = tmp_path / "taskdeck.toml"
    async with deck(settings_file=path) as d:
        await d.press("ctrl+k")
        await d.press("enter", "f5")
        await d.until(lambda: d.app.settings.tui.keymap == {"task.pause": "f5"})
        assert tomllib.loads(path.read_text())["tui"]["keymap"] == {"task.pause": "f5"}
        await d.press("escape", "f5")
        assert d.state("run1") is TaskState.PAUSED


async def test_a_key_that_is_taken_is_refused_with_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "taskdeck.toml"
    async with deck(settings_file=path) as d:
        await d.press("ctrl+k", "enter", "x")
        assert any("key for cancel" in text for text in d.toasts())
        assert not path.exists()


async def test_backspace_brings_the_default_key_back(tmp_path: Path) -> None:
    path = tmp_path / "taskdeck.toml"
    settings = Settings(tui=TuiSettings(keymap={"task.pause": "f5,f6"}))
    async with deck(settings_file=path, settings=settings) as d:
        await d.press("ctrl+k", "backspace")
        await d.until(lambda: d.app.settings.tui.keymap == {})
        await d.press("escape", "p")
        assert d.state("run1") is TaskState.PAUSED


async def test_settings_of_the_engine_are_read_by_it_at_once(tmp_path: Path) -> None:
    asked = []

    async def reload() -> None:
        asked.append(True)

    async with deck(settings_file=tmp_path / "taskdeck.toml", reload=reload) as d:
        await choose(d, "tasks.nice", "12")
        await d.until(lambda: "tasks.nice is changed." in d.toasts())
        assert asked


async def test_a_setting_that_the_environment_overrules_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKDECK_TASKS_NICE", "3")
    async with deck(settings_file=tmp_path / "taskdeck.toml") as d:
        await choose(d, "tasks.nice", "12")
        await d.until(lambda: any("TASKDECK_TASKS_NICE stands above the file" in text for text in d.toasts()))


async def test_glyphs_and_pace_change_at_once(tmp_path: Path) -> None:
    async with deck(settings_file=tmp_path / "taskdeck.toml") as d:
        await choose(d, "tui.icons", "ascii")
        await d.until(lambda: d.app.settings.tui.icons == "ascii")
        await d.press("escape")
        await choose(d, "tui.hz", "4")
        await d.until(lambda: d.tasks.watchers[-1].watch.hz == 4)
        await d.press("escape")
        assert "━" not in d.text() and "#" in d.text()


async def test_a_settings_file_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / f".taskdeck.toml.{os.getpid()}").mkdir()  # in the way of the temporary file
    async with deck(settings_file=tmp_path / "taskdeck.toml") as d:
        await choose(d, "tui.bell", "yes")
        await d.until(lambda: any("[path.kind]" in text for text in d.toasts()))


async def test_the_row_of_the_keymap_opens_the_key_editor(tmp_path: Path) -> None:
    async with deck(settings_file=tmp_path / "taskdeck.toml") as d:
        await d.press("comma")
        assert isinstance(d.top, SettingsScreen)
        d.top.rows.cursor = list(options()).index("tui.keymap")
        await d.press("enter")
        await d.until(lambda: isinstance(d.top, KeysDialog))


async def test_what_is_typed_is_for_the_row_it_was_begun_on(tmp_path: Path) -> None:
    file = tmp_path / "taskdeck.toml"
    async with deck(settings_file=file, size=(120, 40)) as d:
        await d.press("comma")
        assert isinstance(d.top, SettingsScreen)
        begun_on = d.top.rows.cursor = list(options()).index("archive.default_level")
        await d.press("enter")
        d.top.prompt.line.value = "3"
        await d.pilot.click("#settings-rows", offset=(5, 1))
        assert d.top.rows.cursor != begun_on
        await d.pilot.click("#prompt-input")
        await d.press("enter")
        await d.until(lambda: file.exists())
        assert tomllib.loads(file.read_text()) == {"archive": {"default_level": 3}}


async def test_other_glyphs_are_seen_at_once_everywhere() -> None:
    async with deck(size=(130, 40)) as d:
        await d.until(lambda: "Speed" in d.text())
        d.app.settings_changed(Settings(tui=TuiSettings(icons="ascii")))
        await d.until(lambda: d.text().isascii())


async def test_plain_glyphs_are_plain_in_forms_and_palette_too() -> None:
    async with deck(settings=Settings(tui=TuiSettings(icons="ascii")), size=(90, 40)) as d:
        await d.press("n", "enter", "tab")
        assert d.text().isascii(), d.text()
        await d.press("enter")  # the choices of a field
        assert d.text().isascii(), d.text()
        await d.press("escape", "escape")
        await d.press("ctrl+p")
        await d.until(lambda: "Search for commands" in d.text() and "pause (p)" in d.text())
        assert d.text().isascii(), d.text()
        await d.press(*"hist")
        await d.until(lambda: "pause (p)" not in d.text())
        assert d.text().isascii(), d.text()
