"""The whole story on a real daemon in a real terminal: pack, pause, leave, come back, go on, unpack."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.terminal import ROOT, Tmux, until

pytestmark = pytest.mark.slow

TASKDECK = (sys.executable, "-m", "tui_app")


@pytest.fixture
def home() -> Iterator[tuple[Path, dict[str, str]]]:
    """A home folder with a short path: sockets have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="td") as name:
        folder = Path(name)
        (folder / "run").mkdir(mode=0o700)
        environment = {
            "HOME": name,
            "XDG_RUNTIME_DIR": f"{name}/run",
            "XDG_STATE_HOME": f"{name}/state",
            "XDG_CONFIG_HOME": f"{name}/config",
            "TASKDECK_ROOTS": name,
        }
        try:
            yield folder, environment
        finally:
            subprocess.run([*TASKDECK, "stop"], env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, cwd=ROOT,
                           capture_output=True, timeout=60, check=False)  # fmt: skip


def test_a_task_outlives_the_terminal_and_is_taken_up_again(home: tuple[Path, dict[str, str]]) -> None:
    folder, environment = home
    data = folder / "data"
    data.mkdir()
    for number in range(30):
        (data / f"file {number}.bin").write_bytes(os.urandom(2_000_000))
    with Tmux(TASKDECK, env=environment, cwd=folder, size=(100, 30)) as terminal:
        terminal.expect("No tasks yet", 60)
        terminal.type(":zip data tar.bz2 9")
        terminal.press("Enter")
        terminal.expect("packing", 60)
        terminal.press("p")
        terminal.expect("paused", 30)
    # The terminal is gone, not left by its key. The task is not.
    with Tmux(TASKDECK, env=environment, cwd=folder, size=(100, 30)) as terminal:
        terminal.expect("paused", 60)
        assert not (folder / "data.tar.bz2").exists(), "nothing is published before it is whole"
        terminal.press("r")
        terminal.expect("completed", 180)
        assert (folder / "data.tar.bz2").exists()
        terminal.type(":unzip data.tar.bz2 out")
        terminal.press("Enter")
        terminal.expect("unzip data.tar.bz2: done", 120)
        terminal.press("q")
        terminal.expect("status 0", 30)
    unpacked = {path.name: path.read_bytes() for path in (folder / "out").rglob("*.bin")}
    assert unpacked == {path.name: path.read_bytes() for path in data.iterdir()}


def test_a_daemon_that_is_killed_comes_back_and_so_does_the_picture(home: tuple[Path, dict[str, str]]) -> None:
    folder, environment = home
    (folder / "data").mkdir()
    (folder / "data" / "one.bin").write_bytes(os.urandom(1_000_000))
    with Tmux(TASKDECK, env=environment, cwd=folder, size=(100, 30)) as terminal:
        terminal.expect("No tasks yet", 60)
        terminal.type(":zip data")
        terminal.press("Enter")
        terminal.expect("completed", 60)
        status = subprocess.run([*TASKDECK, "stop"], env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                                cwd=ROOT, capture_output=True, timeout=60, check=False)  # fmt: skip
        assert status.returncode == 0
        # The interface starts the daemon again by itself and shows the same task.
        terminal.type(":zip data tar.gz")
        until(lambda: "connection lost" not in terminal.screen(), "attached again", 60)
        terminal.press("Enter")
        terminal.expect("2 tasks", 60)
