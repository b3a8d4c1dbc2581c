"""The history screen: windows on a long list, filter, order, run again, remove, export."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from engines.model import TaskState
from tests.support.fake_tasks import START, make_view, seeded
from tests.tui.conftest import Deck, deck
from tui_app.report import render
from tui_app.screens.history import HistoryScreen


def history(d: Deck) -> HistoryScreen:
    assert isinstance(d.top, HistoryScreen)
    return d.top


async def test_it_shows_what_has_ended_and_nothing_else() -> None:
    async with deck() as d:
        await d.press("H")
        text = d.text()
        assert "ready" in text and "broken" in text and "movies" not in text
        await d.press("escape")
        assert d.top is d.screen


async def test_a_long_history_is_fetched_in_chunks_as_it_is_seen() -> None:
    many = [
        make_view(f"c{n:04d}", title=f"old {n}", state=TaskState.COMPLETED, finished=START - n) for n in range(1500)
    ]
    async with deck(many) as d:
        await d.press("H")
        assert history(d).total == 1500 and len(history(d)._chunks) == 1
        await d.press("G")
        await d.until(lambda: "old 1499" in d.text())
        assert len(history(d)._chunks) == 2


async def test_filter_and_order() -> None:
    async with deck(seeded(80)) as d:
        await d.press("H", "slash", *"status:failed", "enter")
        assert history(d).total == 10
        await d.press("s")
        assert history(d).sort.value == "size"
        await d.press("slash", *" status:zzz", "enter")
        assert any("zzz" in text for text in d.toasts())


async def test_run_again_and_details_and_remove() -> None:
    async with deck() as d:
        await d.press("H", "a")
        assert len(d.asked("repeat")) == 1
        await d.press("enter")
        await d.until(lambda: "taskdeck zip" in d.text())
        await d.press("escape", "d", "y")
        await d.until(lambda: history(d).total == 1)


@pytest.mark.parametrize("form", ["csv", "json", "md", "html"])
async def test_export_writes_every_task_and_never_over_a_file(tmp_path: Path, form: str) -> None:
    target = tmp_path / f"out.{form}"
    async with deck() as d:
        await d.press("H", "e")
        history(d).prompt.line.value = str(target)
        await d.press("enter")
        await d.until(target.exists)
        await d.settle()
        text = target.read_text()
        assert "com1" in text and "fai1" in text and "run1" not in text
        if form == "csv":
            assert len(list(csv.DictReader(text.splitlines()))) == 2
        if form == "json":
            assert len(json.loads(text)) == 2
        await d.press("e")
        history(d).prompt.line.value = str(target)
        await d.press("enter")
        await d.until(lambda: any("exists already" in toast for toast in d.toasts()))
        assert target.read_text() == text


def test_exported_names_are_text() -> None:
    evil = make_view("e1", title='<script>alert(1)</script> | "=cmd()"', state=TaskState.COMPLETED)
    assert b"<script>" not in render([evil], "html")
    line = render([evil], "md").decode().splitlines()[-1]
    assert "\\|" in line and "<script>" not in line
