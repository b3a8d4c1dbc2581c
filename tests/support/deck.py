"""The real TUI on a fake engine, for terminal tests, screenshots and trying things out.

`python -m tests.support.deck --tasks 30 --live`
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys

import msgspec

from engines.model import TaskState
from engines.settings import Settings, TuiSettings
from engines.tasks.api import Tasks
from tests.support.fake_tasks import FakeTasks, seeded
from tui_app.app import run


def main() -> int:
    """Run until the user leaves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=12)
    parser.add_argument("--live", action="store_true", help="progress twice a second")
    parser.add_argument("--theme", default="taskdeck-dark")
    parser.add_argument("--icons", default="auto")
    parser.add_argument("--title", default="", help="name of the first task")
    parser.add_argument("--beat", default="", help="file that gets a byte at every step of the engine")
    parser.add_argument("--tell", action="store_true", help="bell and notification, and a task that ends at once")
    parser.add_argument("--no-mouse", action="store_true")
    parser.add_argument("--undo", type=float, default=5.0, help="seconds in which a cancel can be taken back")
    options = parser.parse_args()
    tasks = FakeTasks(seeded(options.tasks))
    if options.title:
        first = next(iter(tasks.views.values()))
        tasks.put(msgspec.structs.replace(first, title=options.title))
    chance = random.Random(3)

    async def engine() -> None:
        while True:
            await asyncio.sleep(0.5)
            tasks.step(0.5, chance=chance)
            if options.beat:
                with open(options.beat, "ab") as beat:
                    beat.write(b".")

    running: list[asyncio.Task[None]] = []

    async def connect() -> Tasks:
        if options.live and not running:
            running.append(asyncio.create_task(engine()))
        if options.tell and not running:
            running.append(asyncio.create_task(finish()))
        return await tasks.connect()

    async def finish() -> None:
        await asyncio.sleep(0.5)
        tasks.change(next(iter(tasks.views)), state=TaskState.COMPLETED)

    tui = TuiSettings(theme=options.theme, icons=options.icons, bell=options.tell, notify=options.tell)
    settings = Settings(roots=(os.getcwd(), "/tmp"), tui=tui)
    return run(connect, settings, where="demo", stop=None, mouse=not options.no_mouse, undo_seconds=options.undo)


if __name__ == "__main__":
    sys.exit(main())
