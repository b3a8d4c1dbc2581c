"""Pictures of the screens: sizes, themes, and the moments people see most. At most 15.

A picture that changes on purpose is renewed with `pytest tests/tui/test_snapshots.py --snapshot-update`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from engines.settings import Settings, TuiSettings
from tests.support.fake_tasks import FakeTasks, ManualClock
from tests.support.screenshots import story
from tui_app.app import DeckApp

SnapCompare = Callable[..., bool]


def picture(snap_compare: SnapCompare, size: tuple[int, int], *keys: str, theme: str = "taskdeck-dark",
            icons: str = "unicode", views: int = 99, lost: bool = False) -> bool:  # fmt: skip
    """Compare a deck after some keys."""
    tasks = FakeTasks(story()[:views], clock=ManualClock())
    app = DeckApp(tasks.connect, Settings(tui=TuiSettings(theme=theme, icons=icons)), where="files.example.org",
                  clock=ManualClock(), reconnect_delay=0.01)  # fmt: skip

    async def before(pilot: Pilot[int]) -> None:
        async with asyncio.timeout(60):
            while not app.link.state.up or app.mirror.stats is None:
                await pilot.pause(0.01)
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.05)
        if lost:
            tasks.lose("the daemon was stopped")
            async with asyncio.timeout(60):
                while app.link.state.up:
                    await pilot.pause(0.01)
        await pilot.pause(0.3)

    return snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", [(80, 24), (132, 38), (50, 14), (40, 10), (39, 9)], ids=str)
def test_tasks_at_every_size(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    assert picture(snap_compare, size)


@pytest.mark.parametrize("theme", ["taskdeck-light", "taskdeck-contrast", "taskdeck-ansi"])
def test_tasks_in_every_theme(snap_compare: SnapCompare, theme: str) -> None:
    assert picture(snap_compare, (100, 30), theme=theme)


def test_tasks_in_ascii(snap_compare: SnapCompare) -> None:
    assert picture(snap_compare, (80, 24), icons="ascii")


def test_no_tasks_yet(snap_compare: SnapCompare) -> None:
    assert picture(snap_compare, (80, 24), views=0)


def test_engine_lost(snap_compare: SnapCompare) -> None:
    assert picture(snap_compare, (80, 24), lost=True)


def test_question_before_a_bulk_cancel(snap_compare: SnapCompare) -> None:
    assert picture(snap_compare, (80, 24), "space", "space", "x")


def test_help(snap_compare: SnapCompare) -> None:
    assert picture(snap_compare, (80, 24), "question_mark")


def test_error_explained(snap_compare: SnapCompare) -> None:
    assert picture(snap_compare, (80, 30), *"jjjjjjj", "enter")
