"""Nothing of the chat is loaded while it is off, and nothing but `client.py` ever touches the library."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import tui_app.telegram

ROOM = Path(str(tui_app.telegram.__file__)).parent

DAEMON_WITHOUT_CHAT = """
import asyncio, sys
from tui_app.config import load
from tui_app.daemon import Daemon
from tui_app.locations import Locations

async def main():
    locations = Locations.of()
    daemon = Daemon(locations, lambda: load(locations.config))
    await daemon.start()
    await daemon.close()

asyncio.run(main())
print([name for name in sys.modules if name.startswith(("pyrogram", "tui_app.telegram"))])
"""


def test_a_daemon_with_the_chat_off_loads_nothing_of_it(tmp_path: Path) -> None:
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TASKDECK_ROOTS": str(tmp_path),
        "TASKDECK_TELEGRAM_BOT_TOKEN": "1:x",  # credentials alone do not switch it on
        "TASKDECK_TELEGRAM_API_ID": "1",
        "TASKDECK_TELEGRAM_API_HASH": "x",
    }
    found = subprocess.run(
        [sys.executable, "-c", DAEMON_WITHOUT_CHAT],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
        cwd=ROOM.parents[1],
        check=True,
    )
    assert found.stdout.strip() == "[]"


def test_importing_the_service_loads_no_library() -> None:
    code = "import sys, tui_app.telegram.service; print([n for n in sys.modules if n.split('.')[0] == 'pyrogram'])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "[]"


def test_only_the_client_names_the_library() -> None:
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not any(name.split(".")[0] == "pyrogram" for name in names), path.name
        assert path.name == "client.py" or 'import_module("pyrogram' not in path.read_text(), path.name
