"""The command line and the filter: typing, completion, history, mistakes, and keys typed ahead."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engines.errors import TaskdeckError
from tests.support.fake_tasks import seeded
from tests.tui.conftest import Deck, deck
from tui_app.places import Entry
from tui_app.screens.pick import FilePicker
from widgets.prompt import Suggestion, Suggestions


def suggestions(d: Deck) -> list[str]:
    return [item.text for item in d.screen.prompt._found.items]


async def test_a_typed_command_becomes_a_task(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    async with deck(root=tmp_path) as d:
        await d.press("colon", *"zip folder tar.gz 9 --exclude *.tmp", "enter")
        call = d.asked("submit")[0]
        assert call[1] == {"op": "zip", "path": "folder", "format": "tar.gz", "level": 9, "exclude": ["*.tmp"]}
        assert call[2] == str(tmp_path), "relative paths start where the TUI was started"
        assert not d.screen.prompt.display


async def test_a_burst_of_keys_reaches_the_line_and_nothing_else() -> None:
    async with deck() as d:
        # One burst, as a paste or a fast typist sends it: "x" is cancel and "p" is pause in the list.
        await d.press("slash", *"xpdQ")
        assert d.screen.prompt.line.value == "xpdQ"
        assert d.asked("control") == [] and not d.asking


async def test_a_line_typed_and_entered_before_the_screen_was_there_is_done(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    async with deck(root=tmp_path) as d:
        await d.press("colon", *"zip folder", "ctrl+j")  # what a terminal in line mode makes of Enter
        assert [call[1] for call in d.asked("submit")] == [{"op": "zip", "path": "folder"}]


async def test_slash_and_colon_are_characters_inside_the_line() -> None:
    async with deck() as d:
        await d.press("colon", *"zip", "space", "slash", *"a", "colon", *"b")
        assert d.screen.prompt.line.value == "zip /a:b"


async def test_operations_and_their_options_are_completed() -> None:
    async with deck() as d:
        await d.press("colon", *"zi")
        assert suggestions(d)[:2] == ["zip ", "zipinfo "]
        await d.press("tab")
        assert d.screen.prompt.line.value == "zip "
        await d.press(*"x tar.g")
        assert suggestions(d) == ["tar.gz "]
        await d.press("tab", *"9 --exc")
        assert "--exclude " in suggestions(d)


async def test_paths_are_completed_with_spaces_and_without_hidden_ones(tmp_path: Path) -> None:
    (tmp_path / "my films").mkdir()
    (tmp_path / "my films" / "one.mkv").write_bytes(b"1")
    (tmp_path / ".hidden").mkdir()
    async with deck(root=tmp_path) as d:
        await d.press("colon", *"zip ")
        assert suggestions(d) == ["my\\ films/"]
        await d.press("tab")
        assert d.screen.prompt.line.value == "zip my\\ films/"
        assert suggestions(d) == ["my\\ films/one.mkv "]
        await d.press("tab", "enter")
        assert d.asked("submit")[0][1] == {"op": "zip", "path": "my films/one.mkv"}


async def test_completion_never_looks_outside_the_roots(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    async with deck(root=tmp_path / "in") as d:
        await d.press("colon", *f"zip {tmp_path.parent}/")
        assert suggestions(d) == [str(tmp_path / "in")], "only the way back to a root"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("zip", "path is missing"),
        ("zip a zip 12", "from 0 to 9. [value]"),
        ("zip 'a", "quote is not closed"),
        ("zip a --nonsense", "no option --nonsense"),
        ("frobnicate", "no such operation"),
    ],
)
async def test_a_mistake_says_what_is_wrong_and_keeps_the_line(line: str, words: str) -> None:
    async with deck() as d:
        d.screen.open_prompt("command", line)
        await d.press("enter")
        assert any(words in text for text in d.toasts()), d.toasts()
        assert d.screen.prompt.display and d.screen.prompt.line.value == line


async def test_a_line_that_the_engine_refuses_comes_back_as_it_was_typed() -> None:
    async with deck() as d:
        d.tasks.refuse = TaskdeckError("path.missing", "cannot find 'gone'", "it does not exist")
        d.screen.open_prompt("command", "zip gone tar 3")
        await d.press("enter")
        assert any("cannot find 'gone'" in text for text in d.toasts())
        assert d.screen.prompt.display and d.screen.prompt.line.value == "zip gone tar 3"


async def test_actions_can_be_typed() -> None:
    async with deck() as d:
        await d.press("colon", *"pause", "enter")
        assert d.asked("control")[0][1] == ("run1",)
        await d.press("colon", *"theme taskdeck-light", "enter")
        assert d.app.theme == "taskdeck-light"
        await d.press("colon", *"sort name", "enter")
        assert d.screen.watch_now.query.sort.value == "name"


async def test_history_walks_back_and_never_holds_a_password() -> None:
    async with deck() as d:
        for line in ("zip a", "unzip b.zip /tmp secret123", "unzip c.zip --password=abc"):
            d.screen.open_prompt("command", line)
            await d.press("enter")
        assert d.screen.prompt.history["command"].lines == ["zip a"]
        await d.press("colon", "up")
        assert d.screen.prompt.line.value == "zip a"


async def test_filter_applies_while_typing_and_escape_brings_the_old_one_back() -> None:
    async with deck(seeded(80)) as d:
        await d.press("slash", *"status:failed")
        await d.until(lambda: d.app.mirror.window.total == 10)
        await d.press("enter")
        assert d.screen.filter == "status:failed"
        await d.press("slash", *" movies")
        await d.press("escape")
        assert d.screen.filter == "status:failed"
        await d.press("escape")
        await d.until(lambda: d.app.mirror.window.total == 80)


async def test_a_filter_that_makes_no_sense_is_named_on_enter() -> None:
    async with deck() as d:
        await d.press("slash", *"status:zzz", "enter")
        assert any("zzz" in text for text in d.toasts())


async def test_escape_closes_the_command_line_and_gives_the_keyboard_back() -> None:
    async with deck() as d:
        await d.press("colon", *"zip", "escape", "j")
        assert not d.screen.prompt.display
        assert d.screen.list.cursor == 1


async def test_words_for_the_screen_that_make_no_sense_keep_the_line_too() -> None:
    async with deck() as d:
        for line in ("sort banana", "group banana", "theme banana", "filter status:banana"):
            d.screen.open_prompt("command", line)
            await d.press("enter")
            assert d.screen.prompt.display and d.screen.prompt.line.value == line
        assert d.screen.prompt.history["command"].lines == []


async def test_the_path_of_a_browser_is_completed_behind_a_blank_too(tmp_path: Path) -> None:
    (tmp_path / "my films").mkdir()
    (tmp_path / "my films" / "one.zip").write_bytes(b"")
    async with deck(root=tmp_path) as d:
        await d.press("colon", *"browse my", "tab")
        assert d.screen.prompt.line.value == "browse my\\ films/"
        assert suggestions(d) == ["my\\ films/one.zip "]


async def test_tab_waits_for_the_suggestions_of_the_line_as_it_is() -> None:
    async with deck() as d:
        asked: list[str] = []

        async def slow(line: str) -> Suggestions:
            asked.append(line)
            await asyncio.sleep(0.05)
            return Suggestions(0, (Suggestion(f"{line}!"),))

        d.screen.prompt.suggest["command"] = slow
        await d.pilot.press("colon", *"ab", "tab")
        await d.until(lambda: d.screen.prompt.line.value == "ab!")


async def test_walking_the_history_brings_back_what_was_begun() -> None:
    async with deck() as d:
        d.screen.prompt.history["command"].add("zip old")
        await d.press("colon", *"zip n", "ctrl+p")
        assert d.screen.prompt.line.value == "zip old"
        await d.press("ctrl+n")
        assert d.screen.prompt.line.value == "zip n"


async def test_a_line_too_long_to_keep_costs_no_other_memory(tmp_path: Path) -> None:
    memory = tmp_path / "memory.json"
    async with deck(memory=memory) as d:
        for line in ("zip good", f"zip {'x' * 5000}"):
            d.screen.prompt.history["command"].add(line)
        await d.press("S")
    async with deck(memory=memory) as d:
        assert d.screen.prompt.history["command"].lines == ["zip good"]
        assert d.screen.watch_now.query.reverse


class LostPlaces:
    """The disk of another machine, whose daemon stops to answer."""

    lost = False

    def base(self) -> str:
        return "/"

    async def roots(self) -> list[str]:
        return [entry.name for entry in await self.entries("/")]

    async def entries(self, folder: str, *, prefix: str = "") -> list[Entry]:
        if self.lost:
            raise TaskdeckError("daemon.absent", "cannot reach the daemon")
        return [Entry("/data", True)]


async def test_completing_and_picking_without_the_other_machine_ends_nothing() -> None:
    places = LostPlaces()
    async with deck(places=places) as d:
        await d.press("colon", *"zip ")
        assert suggestions(d) == ["/data/"]
        places.lost = True
        await d.press("slash", *"da")
        assert d.screen.prompt.line.value == "zip /da" and suggestions(d) == []
        await d.press("escape")
        places.lost = False
        await d.press("n", "enter", "ctrl+o", "enter")
        places.lost = True
        await d.press("h")
        assert isinstance(d.top, FilePicker)
        assert any("cannot reach the daemon" in text for text in d.toasts())
