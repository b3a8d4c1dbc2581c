"""The bot under test: the real task service, the real engines, the installed client library, a server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from engines.model import TaskView
from engines.paths import PathPolicy
from engines.query import Query
from engines.settings import Settings, TelegramSettings
from engines.tasks.service import TaskService
from tests.telegram_server import Person, TelegramServer
from tui_app.telegram.service import TelegramService, Timing

TIMING = Timing(login=30.0, watchdog=60.0, grace=2.0, stop=1.5, intervals=(0.2, 0.3))


@dataclass
class Bot:
    """Everything a test talks to."""

    telegram: TelegramServer
    tasks: TaskService
    service: TelegramService
    root: Path
    state: Path
    settings: Settings

    async def end_of(self, task_id: str) -> TaskView:
        """A task once it has ended."""
        return await asyncio.wait_for(self.tasks.wait(task_id), 60)

    async def only_task(self, op: str = "") -> TaskView:
        """The newest task, of an operation when given."""
        page = await self.tasks.query(Query(filter=f"kind:{op}" if op else ""))
        assert page.items, f"there is no task {op}"
        return max(page.items, key=lambda view: (view.created, view.position))


def settings_for(root: Path, *people: Person, **telegram: Any) -> Settings:
    """Settings of a bot that these people may command."""
    chat = TelegramSettings(
        api_id=1,
        api_hash="x" * 32,
        bot_token=TelegramServer.token,
        allowed_users=tuple(person.id for person in people),
    )
    return Settings(roots=(str(root),), telegram=msgspec.structs.replace(chat, **telegram))


@asynccontextmanager
async def running_bot(
    telegram: TelegramServer,
    folder: Path,
    settings: Settings,
    *,
    timing: Timing = TIMING,
    wait: bool = True,
    **options: Any,
) -> AsyncIterator[Bot]:
    """A bot that is logged in; stopped in the daemon's order afterwards."""
    state = folder / "state"
    tasks = TaskService(state, settings)
    await tasks.start()
    policy = PathPolicy.of(settings.roots)
    service = TelegramService(tasks, settings, state, policy, timing=timing, **options)
    await service.start()
    try:
        if wait:
            await asyncio.wait_for(service.connected(), 60)
        yield Bot(telegram, tasks, service, Path(settings.roots[0]), state, settings)
    finally:
        async with asyncio.timeout(60):
            await service.stop()
        async with asyncio.timeout(60):
            await tasks.stop()
