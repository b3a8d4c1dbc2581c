"""The whole story on a real daemon in a real terminal: pack, pause, leave, come back, go on, unpack."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.terminal import PATIENCE, ROOT, Pty, Tmux, until
from tui_app.client.launch import answers
from tui_app.locations import Locations

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
            "TASKDECK_ARCHIVE_THREADS": "1",  # however many the machine has: there must be time to pause
        }
        try:
            yield folder, environment
        finally:
            command("stop", environment)


def command(word: str, environment: dict[str, str], *more: str) -> int:
    """A command line to its end; its status."""
    return subprocess.run(
        [*TASKDECK, word, *more],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=ROOT,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    ).returncode


def test_a_task_outlives_the_terminal_and_is_taken_up_again(home: tuple[Path, dict[str, str]]) -> None:
    folder, environment = home
    data = folder / "data"
    data.mkdir()
    for number in range(16):
        (data / f"file {number}.bin").write_bytes(os.urandom(2_000_000))
    with Tmux(TASKDECK, env=environment, cwd=folder, size=(100, 30)) as terminal:
        terminal.expect("No tasks yet")
        terminal.type(":zip data tar.bz2 9")
        terminal.press("Enter")
        terminal.expect("packing")
        terminal.press("p")
        terminal.expect("paused")
    # The terminal is gone, not left by its key. The task is not.
    with Tmux(TASKDECK, env=environment, cwd=folder, size=(100, 30)) as terminal:
        terminal.expect("paused")
        assert not (folder / "data.tar.bz2").exists(), "nothing is published before it is whole"
        terminal.press("r")
        terminal.expect("completed")
        assert (folder / "data.tar.bz2").exists()
        terminal.type(":unzip data.tar.bz2 out")
        terminal.press("Enter")
        terminal.expect_told("unzip data.tar.bz2: done")
        terminal.press("q")
        terminal.expect("status 0")
    unpacked = {path.name: path.read_bytes() for path in (folder / "out").rglob("*.bin")}
    assert unpacked == {path.name: path.read_bytes() for path in data.iterdir()}


def test_a_stopped_daemon_stays_stopped_until_a_person_starts_it(home: tuple[Path, dict[str, str]]) -> None:
    folder, environment = home
    (folder / "data").mkdir()
    (folder / "data" / "one.bin").write_bytes(os.urandom(1_000_000))
    with Tmux(TASKDECK, env=environment, cwd=folder, size=(100, 30)) as terminal:
        terminal.expect("No tasks yet")
        terminal.type(":zip data")
        terminal.press("Enter")
        terminal.expect("completed")
        assert command("stop", environment) == 0
        terminal.expect("R starts the daemon")
        assert "completed" in terminal.screen(), "the last picture stays"
        assert not answers(Locations.of(environment))
        terminal.press("a")
        terminal.expect_told("cannot reach the task engine")
        time.sleep(2)  # several attempts to attach again pass by; none of them may start it
        assert not answers(Locations.of(environment))
        terminal.press("R")
        until(lambda: "connection lost" not in terminal.screen(), "attached again")
        terminal.type(":zip data tar.gz")
        terminal.press("Enter")
        terminal.expect("2 tasks")


def test_the_picture_comes_back_by_itself_when_the_daemon_restarts(home: tuple[Path, dict[str, str]]) -> None:
    folder, environment = home
    with Tmux(TASKDECK, env=environment, cwd=folder, size=(100, 30)) as terminal:
        terminal.expect("No tasks yet")
        assert command("restart", environment) == 0
        (folder / "data").mkdir()
        assert command("zip", environment, str(folder / "data")) == 0
        terminal.expect("1 task")
        until(lambda: "connection lost" not in terminal.screen(), "attached again")


def test_a_dumb_terminal_watches_lines_instead(home: tuple[Path, dict[str, str]]) -> None:
    folder, environment = home
    (folder / "data").mkdir()
    with Pty(TASKDECK, env={**environment, "TERM": "dumb"}) as terminal:
        terminal.expect("0 open tasks; changes follow")
        assert command("zip", environment, str(folder / "data")) == 0
        terminal.expect("completed")
        terminal.read(2.5)
        said = [line.split()[1] for line in terminal.output.decode().splitlines() if " zip " in line]
        assert said[-1] == "completed" and len(said) == len(set(said)), "each change once"
        assert b"\x1b[?1049h" not in terminal.output, "no full screen"
        assert terminal.process.poll() is None, "it goes on watching"
