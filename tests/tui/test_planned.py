"""The planned screen and folded groups."""

from __future__ import annotations

from engines.model import TaskState
from tests.support.fake_tasks import make_view
from tests.tui.conftest import deck
from tui_app.actions import ACTIONS
from tui_app.screens.detail import DetailDialog
from tui_app.screens.planned import PlannedScreen


async def test_every_action_is_a_verb_or_has_something_that_does_it() -> None:
    async with deck() as d:
        verbs = {spec.id for spec in ACTIONS.values() if spec.verb is not None}
        assert verbs | d.screen.handlers.keys() == set(ACTIONS)
        assert not verbs & d.screen.handlers.keys()


async def test_planned_shows_what_waits_and_opens_it() -> None:
    waiting = make_view("w1", title="night backup", state=TaskState.WAITING, note="waits until 03:00")
    async with deck([waiting, make_view("r1", title="runs now")]) as d:
        await d.press("L")
        assert isinstance(d.top, PlannedScreen)
        text = d.text()
        assert "night backup" in text and "waits until 03:00" in text and "runs now" not in text
        assert "Schedules" in text and "Pipelines" in text
        await d.press("enter")
        assert isinstance(d.top, DetailDialog)
        await d.press("escape", "escape")
        assert d.app.screen_stack[-1] is d.screen


async def test_nothing_planned_is_said() -> None:
    async with deck([]) as d:
        await d.press("L")
        assert "No task waits" in d.text()


async def test_folded_groups_leave_the_list_and_escape_brings_them_back() -> None:
    async with deck() as d:
        await d.press("f")
        assert any("Group the list first" in text for text in d.toasts())
        await d.press("b", "G", "f")
        assert d.screen.filter == "-status:completed"
        assert "ready" not in d.text() and "broken" in d.text()
        await d.press("f")
        assert d.screen.filter == "-status:completed -status:failed"
        await d.press("escape")
        assert d.screen.filter == "" and "ready" in d.text()
