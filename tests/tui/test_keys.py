"""Every key of ours stands in the key table, and what the user makes of it holds everywhere."""

from __future__ import annotations

import importlib
import pkgutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.binding import Binding, BindingsMap
from textual.dom import DOMNode

import tui_app.screens
import widgets
from engines.settings import Settings, TuiSettings
from tests.tui.conftest import deck
from tui_app.keymap import owner_of
from tui_app.keys import KEYS
from tui_app.screens.confirm import Confirm
from tui_app.screens.help import HelpScreen, HelpText
from tui_app.screens.keys import KeysDialog
from tui_app.screens.tasks import TasksScreen
from widgets.spans import row_text

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tui.md").read_text()


def _below(kind: type[DOMNode]) -> Iterator[type[DOMNode]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def _ours() -> list[type[DOMNode]]:
    """Every class of a screen, dialog, widget or application of ours."""
    importlib.import_module("tui_app.app")
    for package in (tui_app.screens, widgets):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    found = {kind for kind in _below(DOMNode) if kind.__module__.split(".")[0] in ("tui_app", "widgets")}
    return sorted(found, key=lambda kind: kind.__qualname__)


def _own(kind: type[DOMNode]) -> list[Binding]:
    return [entry for entry in vars(kind).get("BINDINGS", []) if isinstance(entry, Binding)]


@pytest.mark.parametrize("kind", _ours(), ids=lambda kind: kind.__qualname__)
def test_every_binding_of_ours_has_an_id_a_tooltip_and_a_row_in_the_docs(kind: type[DOMNode]) -> None:
    entries = vars(kind).get("BINDINGS", [])
    assert len(_own(kind)) == len(entries), "a binding without id and tooltip"
    for binding in _own(kind):
        assert binding.id in KEYS, f"{binding.key} of {kind.__qualname__} is in no table"
        assert binding.tooltip and binding.key == KEYS[binding.id].keys
        assert f"`{binding.id}`" in PAGE


def test_every_row_of_the_key_table_belongs_to_a_class() -> None:
    used = {binding.id for kind in _ours() for binding in _own(kind)}
    assert used == set(KEYS)


def test_each_key_can_be_changed_in_each_class() -> None:
    for kind in _ours():
        for binding in _own(kind):
            changed = BindingsMap([binding])
            changed.apply_keymap({str(binding.id): "f12"})
            assert list(changed.key_to_bindings) == ["f12"], (kind, binding.id)


def test_no_two_rows_that_work_at_the_same_time_share_a_key() -> None:
    for spec in KEYS.values():
        for key in spec.keys.split(","):
            assert owner_of(key, spec, {}) is None, (spec.id, key)


def test_a_key_is_taken_only_where_both_work() -> None:
    assert owner_of("j", KEYS["archive.mark"], {}) is KEYS["rows.down"]
    assert owner_of("ctrl+q", KEYS["archive.mark"], {}) is KEYS["app.force_quit"]
    assert owner_of("p", KEYS["archive.mark"], {}) is None
    assert owner_of("m", KEYS["archive.mark"], {"rows.up": "m"}) is KEYS["rows.up"]


async def test_changed_keys_of_lists_dialogs_and_questions_work_and_are_hinted() -> None:
    keymap = {"rows.down": "f6", "confirm.no": "f7", "app.help": "f8", "dialog.leave": "f9"}
    async with deck(settings=Settings(tui=TuiSettings(keymap=keymap))) as d:
        await d.press("n", "f6")
        rows = d.top.query_one("#operations")
        assert getattr(rows, "cursor") == 1 and "f9 closes" in d.text()  # noqa: B009
        await d.press("j")
        assert getattr(rows, "cursor") == 1  # noqa: B009
        await d.press("f8")
        assert isinstance(d.top, HelpScreen) and "f6" in d.text()
        await d.press("f8", "f9", "x")
        assert isinstance(d.top, Confirm)
        await d.press("f7")
        assert isinstance(d.top, TasksScreen)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"task.pauze": "f5"}, "task.pauze is no action (perhaps task.pause)"),
        ({"task.pause": "hyperkey"}, "task.pause: 'hyperkey' is no key"),
        ({"task.pause": "r"}, "r is the key of both task.pause and task.resume"),
        ({"task.pause": " "}, "task.pause has no key, so it keeps its own"),
        ({"form.start": "a"}, "form.start: a could not be typed into a line any more"),
    ],
)
async def test_what_cannot_be_used_of_the_users_keys_is_said_once_at_start(entry: dict[str, str], told: str) -> None:
    async with deck(settings=Settings(tui=TuiSettings(keymap=entry))) as d:
        assert [text for text in d.toasts() if told in text]


async def test_a_wrong_key_leaves_the_default_in_place_and_in_the_hints() -> None:
    async with deck(settings=Settings(tui=TuiSettings(keymap={"task.pause": "hyperkey,"}))) as d:
        assert "p pause" in d.text()
        await d.press("p")
        assert d.asked("control")


@pytest.mark.parametrize(
    ("written", "pressed"), [("!", "exclamation_mark"), ("^g", "ctrl+g"), ("<, F5", "less_than_sign"), ("F5", "f5")]
)
async def test_keys_may_be_written_as_people_write_them(written: str, pressed: str) -> None:
    async with deck(settings=Settings(tui=TuiSettings(keymap={"task.pause": written}))) as d:
        await d.press(pressed)
        assert d.asked("control")


async def test_an_unknown_theme_is_said(tmp_path: Path) -> None:
    async with deck(settings=Settings(tui=TuiSettings(theme="nope"))) as d:
        assert any("There is no theme nope" in text for text in d.toasts())


async def test_the_editor_refuses_keys_that_would_be_lost_to_typing(tmp_path: Path) -> None:
    path = tmp_path / "taskdeck.toml"
    async with deck(settings_file=path) as d:
        await d.press("ctrl+k")
        assert isinstance(d.top, KeysDialog)
        d.top.rows.cursor = list(KEYS).index("form.start")
        await d.press("enter", "a")
        assert any("could not be typed" in text for text in d.toasts()) and not path.exists()


async def test_the_editor_lists_every_key_and_changes_one_of_a_dialog(tmp_path: Path) -> None:
    path = tmp_path / "taskdeck.toml"
    async with deck(settings_file=path) as d:
        await d.press("ctrl+k")
        assert isinstance(d.top, KeysDialog) and d.top.rows.count == len(KEYS)
        d.top.rows.cursor = list(KEYS).index("rows.down")
        await d.press("enter", "f6")
        await d.until(lambda: d.app.settings.tui.keymap == {"rows.down": "f6"})
        before = d.top.rows.cursor
        await d.press("f6")
        assert d.top.rows.cursor == before + 1
        await d.press("k", "a", "j")
        await d.until(lambda: d.app.settings.tui.keymap == {"rows.down": "f6,j"})
        assert tomllib.loads(path.read_text())["tui"]["keymap"] == {"rows.down": "f6,j"}
        await d.press("backspace")
        await d.until(lambda: d.app.settings.tui.keymap == {})


async def test_a_default_that_went_to_another_row_is_not_brought_back(tmp_path: Path) -> None:
    path = tmp_path / "taskdeck.toml"
    settings = Settings(tui=TuiSettings(keymap={"task.pause": "f5", "task.resume": "p"}))
    async with deck(settings=settings, settings_file=path) as d:
        await d.press("ctrl+k", "backspace")
        assert any("p is the key for resume" in text for text in d.toasts())
        assert not path.exists()


async def test_the_help_names_the_keys_of_line_and_filter_as_the_user_has_them() -> None:
    settings = Settings(tui=TuiSettings(keymap={"view.command": "ctrl+e", "view.filter": "ctrl+t"}))
    async with deck(settings=settings, size=(120, 60)) as d:
        await d.press("question_mark")
        text = "\n".join(row_text(row) for row in d.top.query_one(HelpText).rows)
        assert "Command line ( ^e )" in text and "Filter ( ^t )" in text
