"""Keys that arrive in one burst, as a slow line brings them: each has its effect before the next."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual import events
from textual.keys import _character_to_key
from textual.widgets import Input

from engines.model import Action
from tests.tui.conftest import Deck, deck
from tui_app.screens.new_task import NewTask

_NAMED = {"\r": ("enter", "\r"), "\t": ("tab", "\t"), "\x13": ("ctrl+s", None), "\x1b": ("escape", None)}


async def burst(d: Deck, keys: str) -> None:
    """All keys before the application can look at one."""
    for char in keys:
        name, character = _NAMED.get(char, (_character_to_key(char), char))
        d.app.post_message(events.Key(name, character))
    await d.until(lambda: d.app._typed._work is None and d.app._message_queue.empty())
    for _ in range(3):
        await d.pilot.pause()


async def test_letters_behind_enter_are_no_part_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "pxdq").mkdir()
    async with deck(root=tmp_path) as d:
        await burst(d, ":zip pxdq\rp")
        await d.until(lambda: bool(d.asked("submit")))
        assert [call[1] for call in d.asked("submit")] == [{"op": "zip", "path": "pxdq"}]
        assert not d.screen.prompt.display


async def test_letters_behind_enter_are_no_part_of_the_filter_but_keys_of_the_list() -> None:
    async with deck() as d:
        await burst(d, "/movies\r ")
        assert d.screen.filter == "movies"
        await d.until(lambda: list(d.screen.list.marks) == ["run1"])


async def test_tab_completes_what_was_typed_before_it(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    async with deck(root=tmp_path) as d:
        await burst(d, ":zip fi\ttar.gz")
        assert d.screen.prompt.line.value == "zip films/tar.gz"


async def test_a_form_is_started_with_all_that_was_typed(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    async with deck(root=tmp_path) as d:
        await d.press("n")
        await burst(d, "\rfilms\x13")
        await d.until(lambda: bool(d.asked("submit")))
        assert [call[1] for call in d.asked("submit")] == [{"op": "zip", "path": "films"}]


async def test_letters_reach_the_form_that_the_key_before_them_opens() -> None:
    async with deck() as d:
        await d.press("n")
        await burst(d, "\rpxpx")
        assert isinstance(d.top, NewTask)
        assert d.top.query_one("#field-path", Input).value == "pxpx"
        assert d.asked("control") == []


async def test_an_answer_closes_its_question_and_the_next_key_is_the_lists() -> None:
    async with deck() as d:
        await burst(d, "xnjp")
        await d.until(lambda: [call[1:] for call in d.asked("control")] == [(("run2",), Action.PAUSE)])


async def test_a_filter_that_is_left_is_never_applied() -> None:
    async with deck() as d:
        await burst(d, "/zzz\x1b")
        assert d.screen.filter == "" and not d.screen.prompt.display


async def test_a_pasted_text_waits_for_the_line_it_is_for() -> None:
    async with deck() as d:
        d.app.post_message(events.Key("colon", ":"))
        d.app.post_message(events.Paste("zip /tmp"))
        await d.until(lambda: d.screen.prompt.line.value == "zip /tmp")


@pytest.mark.parametrize("slow", [True, False])
async def test_leaving_lets_what_was_asked_just_before_be_sent(slow: bool) -> None:
    async with deck() as d:
        control, sent = d.tasks.control, []

        async def late(ids: list[str], action: Action, **options: object) -> list[object]:
            await asyncio.sleep(0.1 if slow else 0)
            sent.append(action)
            return await control(ids, action, **options)  # type: ignore[arg-type,return-value]

        d.tasks.control = late  # type: ignore[method-assign,assignment]
        d.app.post_message(events.Key("p", "p"))
        d.app.post_message(events.Key("q", "q"))
        await d.until(lambda: not d.app.is_running or d.app._exit)
        assert sent == [Action.PAUSE]
