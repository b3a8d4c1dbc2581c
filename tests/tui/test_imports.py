"""What the TUI loads before its first frame: nothing that has not to do with the picture."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("aiohttp", "pyrogram", "py7zr", "PIL", "ffmpeg", "rarfile", "psutil", "sqlite3", "zstandard", "isal", "archi")
PAINT = """
import asyncio, sys
from engines.errors import TaskdeckError
from tui_app.app import DeckApp

async def connect():
    raise TaskdeckError("daemon.absent", "no daemon")

async def main():
    app = DeckApp(connect)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert app.screen.query("TaskList")
        print(*[name for name in sys.argv[1:] if name in sys.modules])

asyncio.run(main())
"""


def test_the_first_frame_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PAINT, *HEAVY, "aiohttp.web", "engines.tasks.service"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.split() == []


def test_attaching_loads_no_server() -> None:
    """Of the interface's memory aiohttp alone had been a fifth."""
    code = "import sys, tui_app.app, tui_app.screens.tasks, tui_app.client.remote; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not set(done.stdout.split()) & {*HEAVY, "engines.tasks.service", "http.client", "requests"}


def test_widgets_know_no_service() -> None:
    code = "import sys, widgets.task_list, widgets.detail_pane, widgets.prompt, widgets.row_list; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.split())
    assert not {name for name in loaded if name.startswith(("tui_app", "engines.tasks", "engines.archive"))}
