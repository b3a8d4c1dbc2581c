"""`taskdeck --solo`: interface, engine and API in one process, the same story, reached over TCP too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.terminal import PATIENCE, ROOT, Tmux, until

pytestmark = pytest.mark.slow

TASKDECK = (sys.executable, "-m", "tui_app")


@pytest.fixture
def home() -> Iterator[tuple[Path, dict[str, str]]]:
    """A home folder with a short path: sockets have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="td") as name:
        (Path(name) / "run").mkdir(mode=0o700)
        yield (
            Path(name),
            {
                "HOME": name,
                "XDG_RUNTIME_DIR": f"{name}/run",
                "XDG_STATE_HOME": f"{name}/state",
                "XDG_CONFIG_HOME": f"{name}/config",
                "TASKDECK_ROOTS": name,
                "TASKDECK_WEB_PORT": "0",
                "TASKDECK_ARCHIVE_THREADS": "1",  # however many the machine has: there must be time to pause
            },
        )


def command(environment: dict[str, str], *words: str) -> str:
    """A command line against the same process."""
    done = subprocess.run([*TASKDECK, *words], env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, cwd=ROOT,
                          capture_output=True, text=True, timeout=PATIENCE, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def ask(url: str, token: str, body: dict[str, Any] | None = None) -> Any:
    """GET, or POST a body, over TCP."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=PATIENCE) as answer:
        return json.load(answer)


def test_one_process_tells_the_same_story_and_answers_over_tcp(home: tuple[Path, dict[str, str]]) -> None:
    folder, environment = home
    (folder / "data").mkdir()
    for number in range(20):
        (folder / "data" / f"{number}.bin").write_bytes(os.urandom(1_000_000))
    with Tmux((*TASKDECK, "--solo"), env=environment, cwd=folder, size=(100, 30)) as terminal:
        terminal.expect("No tasks yet")
        base = command(environment, "web", "url").removesuffix("/dashboard")
        token = command(environment, "web", "token")
        terminal.type(":zip data tar.bz2 9")
        terminal.press("Enter")
        terminal.expect("packing")
        terminal.press("p")
        terminal.expect("paused")
        (task,) = ask(f"{base}/api/tasks", token)["tasks"]
        assert task["status"] == "paused"
        ask(f"{base}/api/tasks/{task['task_id']}/control", token, {"action": "resume"})
        terminal.expect("completed")
        made = ask(
            f"{base}/api/v1/tasks", token, {"operation": {"op": "zip", "path": str(folder / "data"), "level": 1}}
        )
        until(
            lambda: ask(f"{base}/api/v1/tasks/{made['id']}/view", token)["state"] == "completed",
            "packed by the API",
        )
        terminal.type("W")
        terminal.expect("Dashboard   on, http://127.0.0.1:")
        terminal.type("l")
        terminal.expect("/login#code=")
        terminal.type("w")
        terminal.expect("Dashboard   off")
        terminal.press("q")
        until(lambda: "Dashboard" not in terminal.screen(), "the panel is closed")
        terminal.press("q")
        terminal.expect("status 0")
    with zipfile.ZipFile(folder / "data.zip") as archive:
        assert archive.testzip() is None
    subprocess.run(["tar", "-tjf", folder / "data.tar.bz2"], check=True, capture_output=True)
    assert not (folder / "run" / "taskdeck" / "taskdeck.sock").exists(), "the process is gone, and so is its socket"
