"""The form of an operation, the file picker, and paths that are pasted."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import msgspec
import pytest
from textual import events
from textual.widgets import Input

from engines.errors import TaskdeckError
from engines.operations import OPERATIONS, fields
from engines.paths import PathPolicy
from tests.tui.conftest import Deck, deck
from tui_app.places import LIMIT, Entry, LocalPlaces, complete_path, find
from tui_app.screens.new_task import ChooseOperation, NewTask
from tui_app.screens.pick import FilePicker
from widgets.row_list import RowList


def form(d: Deck) -> NewTask:
    assert isinstance(d.top, NewTask)
    return d.top


async def open_form(d: Deck, name: str) -> None:
    await d.press("n")
    assert isinstance(d.top, ChooseOperation)
    d.top.query_one(RowList).cursor = list(OPERATIONS).index(name)
    await d.press("enter")


async def test_the_form_of_every_operation_opens() -> None:
    async with deck() as d:
        for name, spec in OPERATIONS.items():
            await open_form(d, name)
            for field in fields(spec.struct):
                assert form(d).query(f"#field-{field.name}")
            await d.press("escape")


async def test_a_filled_form_becomes_a_task(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    async with deck(root=tmp_path) as d:
        await open_form(d, "zip")
        await d.press(*"films")
        form(d).query_one("#field-level", Input).value = "9"
        await d.press("ctrl+s")
        assert d.asked("submit")[0][1] == {"op": "zip", "path": "films", "level": 9}
        assert d.top is d.screen


async def test_a_form_that_the_engine_refuses_comes_back_as_it_was_filled(tmp_path: Path) -> None:
    async with deck(root=tmp_path) as d:
        await open_form(d, "zip")
        await d.press(*"gone")
        form(d).query_one("#field-level", Input).value = "9"
        d.tasks.refuse = TaskdeckError("path.missing", "cannot find 'gone'", "it does not exist")
        await d.press("ctrl+s")
        assert any("cannot find 'gone'" in text for text in d.toasts())
        assert [form(d).query_one(f"#field-{name}", Input).value for name in ("path", "level")] == ["gone", "9"]


async def test_mistakes_are_named_while_typing_and_stop_the_start() -> None:
    async with deck() as d:
        await open_form(d, "zip")
        assert "path is missing" in d.text()
        await d.press(*"x")
        form(d).query_one("#field-level", Input).value = "12"
        await d.settle()
        assert "level" in form(d).problem() and "9" in form(d).problem()
        await d.press("ctrl+s")
        assert d.asked("submit") == []
        form(d).query_one("#field-level", Input).value = "3"
        await d.settle()
        assert "taskdeck zip x" in d.text()


async def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    async with deck(root=tmp_path) as d:
        await open_form(d, "zip")
        await d.press(*"nowhere")
        await d.until(lambda: "There is no 'nowhere'" in d.text())


async def test_secrets_are_hidden_and_stay_out_of_the_command(tmp_path: Path) -> None:
    async with deck(root=tmp_path) as d:
        await open_form(d, "unzip")
        await d.press(*"a.zip")
        form(d).query_one("#field-password", Input).value = "hunter2"
        await d.settle()
        assert "hunter2" not in d.text()
        assert form(d).data()["password"] == "hunter2"


async def test_the_picker_marks_over_several_folders_and_fills_the_form(tmp_path: Path) -> None:
    for name in ("a/one.bin", "a/two.bin", "b.bin", ".hidden"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    async with deck(root=tmp_path) as d:
        await open_form(d, "zip")
        await d.press("ctrl+o")
        await d.until(lambda: "b.bin" in d.text())
        assert ".hidden" not in d.text()
        await d.press("enter")
        await d.until(lambda: "two.bin" in d.text())
        await d.press("j", "space", "h")
        await d.until(lambda: "b.bin" in d.text())
        await d.press("j", "space", "a")
        await d.settle()
        assert form(d).data() == {
            "op": "zip",
            "path": str(tmp_path / "a" / "two.bin"),
            "add": [str(tmp_path / "b.bin")],
        }


async def test_the_picker_does_not_leave_the_roots(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").mkdir()
    async with deck(root=root) as d:
        await open_form(d, "zip")
        await d.press("ctrl+o")
        await d.settle()
        await d.press("h")
        await d.until(lambda: "Allowed folders" in d.text())
        assert "secret" not in d.text()


async def test_the_picker_shows_hostile_names_safely_and_returns_them_exactly(tmp_path: Path) -> None:
    evil = tmp_path / "evil\x1b[2J[b]\n.zip"
    evil.write_bytes(b"")
    async with deck(root=tmp_path) as d:
        picked: list[list[str] | None] = []
        await d.app.push_screen(FilePicker(str(tmp_path)), picked.append)
        await d.until(lambda: "[b]" in d.text())
        assert "\x1b" not in d.text()
        await d.press("a")
        assert picked == [[str(evil)]]


async def test_pasted_paths_start_a_command() -> None:
    async with deck() as d:
        d.screen.list.post_message(events.Paste("/srv/one\nfile:///srv/two%20words\n"))
        await d.settle()
        assert d.screen.prompt.line.value == "zip /srv/one --add /srv/two\\ words"


async def test_pasted_words_that_are_no_paths_do_nothing() -> None:
    async with deck() as d:
        d.screen.list.post_message(events.Paste("rm -rf\nx"))
        await d.settle()
        assert not d.screen.prompt.display and d.asked("control") == []


ESTIMATE = {"files": 247, "original": 4_520_000_000, "packed": 3_140_000_000, "seconds": 45.0, "free": 42_000_000_000}


async def test_the_form_foretells_size_time_and_space(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    async with deck(root=tmp_path, size=(110, 40)) as d:
        d.tasks.looks["estimate"] = {**ESTIMATE, "fits": True}
        await open_form(d, "zip")
        await d.press(*"films")
        await d.until(lambda: "packed about 3.14 GB in 45 seconds; 42.00 GB free" in d.text())
        assert "247 files, 4.52 GB" in d.text()
        assert d.asked("look")[-1][1:] == ({"op": "estimate", "path": "films"}, str(tmp_path))
        d.tasks.looks["estimate"] = {**ESTIMATE, "fits": False}
        form(d).query_one("#field-level", Input).value = "9"
        await d.until(lambda: "it does not fit" in d.text())
        await d.press("x")
        await d.until(lambda: "There is no 'filmsx'" in d.text())


async def test_typing_asks_for_one_estimate_when_it_pauses(tmp_path: Path) -> None:
    for name in ("f", "fi", "fil"):
        (tmp_path / name).mkdir()
    async with deck(root=tmp_path) as d:
        d.tasks.looks["estimate"] = {**ESTIMATE, "fits": True}
        await open_form(d, "zip")
        await d.press(*"fil")
        await d.until(lambda: bool(d.asked("look")))
        await d.settle()
        assert [call[1] for call in d.asked("look")] == [{"op": "estimate", "path": "fil"}]


HOSTILE = ["a\nb\x1b]0;owned\x07.txt", "a, b.txt", " blanks ", "\udcff\udcfe.bin", "file:", "[red]x", "100%.txt"]


async def test_any_name_can_be_picked_and_none_reaches_the_terminal_raw(tmp_path: Path) -> None:
    for name in HOSTILE:
        (tmp_path / name).write_bytes(b"x")
    async with deck(root=tmp_path) as d:
        await open_form(d, "zip")
        await d.press("ctrl+o")
        for _ in HOSTILE:
            await d.press("space")
        await d.press("a")
        await d.settle()
        assert not any(ord(char) < 32 for line in d.text().split("\n") for char in line)
        await d.press("ctrl+s")
        operation = d.asked("submit")[0][1]
        assert isinstance(operation, dict)
        msgspec.json.encode(operation)
        policy = PathPolicy.of((str(tmp_path),))
        picked = [policy.source(given).name for given in (operation["path"], *operation["add"])]
        assert sorted(picked) == sorted(HOSTILE)


async def test_one_path_of_a_large_folder_is_found(tmp_path: Path) -> None:
    for number in range(LIMIT + 50):
        (tmp_path / f"{number:04d}.zip").touch()
    async with deck(root=tmp_path) as d:
        listed = {entry.name for entry in await d.app.places.entries(str(tmp_path))}
        left_out = next(name for number in range(LIMIT + 50) if (name := f"{number:04d}.zip") not in listed)
        assert await find(d.app.places, str(tmp_path / left_out)) == Entry(left_out, False, 0, ANY)
        assert [text for text, _ in await complete_path(d.app.places, left_out)] == [left_out]
        await open_form(d, "zip")
        await d.press("ctrl+o")
        await d.until(lambda: "only 2,000 names" in d.text())


async def test_a_folder_that_does_not_answer_stops_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = threading.get_ident()
    seen: list[int] = []
    source = PathPolicy.source

    def spy(policy: PathPolicy, given: str, **options: Any) -> Path:
        seen.append(threading.get_ident())
        return source(policy, given, **options)

    monkeypatch.setattr(PathPolicy, "source", spy)
    await LocalPlaces(PathPolicy.of((str(tmp_path),)), str(tmp_path)).entries(".")
    assert seen and here not in seen
