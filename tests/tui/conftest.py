"""A deck on a fake engine, for Pilot tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from engines.model import TaskState, TaskView
from engines.paths import PathPolicy
from engines.settings import Settings
from tests.support.fake_tasks import START, FakeTasks, ManualClock, make_view
from tui_app.app import DeckApp
from tui_app.places import LocalPlaces
from tui_app.screens.confirm import Confirm
from tui_app.screens.tasks import TasksScreen

_PATIENCE = 60.0
"""Seconds after which what has not happened counts as a fault, however busy the machine is."""


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def few() -> list[TaskView]:
    """One task of each state that matters, newest first where the order asks for it."""
    states = [
        ("run1", TaskState.RUNNING, "movies"),
        ("run2", TaskState.RUNNING, "pictures"),
        ("pau1", TaskState.PAUSED, "backup"),
        ("que1", TaskState.QUEUED, "logs"),
        ("que2", TaskState.QUEUED, "images"),
        ("fai1", TaskState.FAILED, "broken"),
        ("com1", TaskState.COMPLETED, "ready"),
    ]
    return [
        make_view(name, title=title, state=state, created=START + number, position=number, output=f"/out/{title}.zip",
                  finished=START + 50 - number if state in (TaskState.FAILED, TaskState.COMPLETED) else None)
        for number, (name, state, title) in enumerate(states)
    ]  # fmt: skip


class Deck:
    """A running application and its fake engine."""

    def __init__(self, app: DeckApp, tasks: FakeTasks, pilot: Pilot[int]) -> None:
        self.app = app
        self.tasks = tasks
        self.pilot = pilot

    @property
    def screen(self) -> TasksScreen:
        main = self.app.main
        assert main is not None
        return main

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def settle(self) -> None:
        """Wait until workers (not the endless link) are done and the picture is painted."""
        for _ in range(3):
            waiting = [w for w in self.app.workers if w.group not in ("link",) and not w.is_finished]
            if waiting:
                await asyncio.wait_for(self.app.workers.wait_for_complete(waiting), _PATIENCE)
            await self.pilot.pause()

    async def until(self, promise: Callable[[], bool], what: str = "") -> None:
        """Poll for something the application does by itself."""
        async with asyncio.timeout(_PATIENCE):
            while not promise():
                await self.pilot.pause(0.01)

    def asked(self, method: str) -> list[tuple[object, ...]]:
        return [call for call in self.tasks.asked if call[0] == method]

    def state(self, task_id: str) -> TaskState:
        return self.tasks.views[task_id].state

    @property
    def top(self) -> Screen[object]:
        return self.app.screen

    @property
    def asking(self) -> bool:
        return isinstance(self.top, Confirm)

    def toasts(self) -> list[str]:
        return [toast.message for toast in self.app._notifications]

    def text(self) -> str:
        """What is on the screen."""
        return "\n".join(
            "".join(segment.text for segment in line) for line in self.app.screen._compositor.render_strips()
        )


@asynccontextmanager
async def deck(
    views: list[TaskView] | None = None,
    *,
    size: tuple[int, int] = (100, 30),
    settings: Settings | None = None,
    root: Path | None = None,
    undo_seconds: float = 5.0,
    **options: object,
) -> AsyncIterator[Deck]:
    """A deck that is attached and painted."""
    clock = ManualClock()
    tasks = FakeTasks(few() if views is None else views, clock=clock)
    if root is not None:
        options["places"] = LocalPlaces(PathPolicy.of((str(root),)), str(root))
    app = DeckApp(tasks.connect, settings, clock=clock, undo_seconds=undo_seconds,
                  reconnect_delay=0.01, **options)  # type: ignore[arg-type]  # fmt: skip
    async with app.run_test(size=size) as pilot:
        running = Deck(app, tasks, pilot)
        await running.until(lambda: app.link.state.up and app.mirror.stats is not None)
        await running.settle()
        yield running
