"""The story Taskdeck exists for, in a real terminal with the real daemon, engine and tools."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.terminal import Tmux, until

pytestmark = pytest.mark.slow

TASKDECK = (sys.executable, "-m", "tui_app")


class Machine:
    """A user's folders in a temporary place, and the daemon that serves them."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.state = folder / "state" / "taskdeck"
        self.home.mkdir(parents=True)
        self.env = {
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_RUNTIME_DIR": str(folder),
            "TASKDECK_ROOTS": str(folder),
        }

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A taskdeck command."""
        env = {**os.environ, **self.env}
        return subprocess.run([*TASKDECK, *words], env=env, capture_output=True, text=True, timeout=120, check=False)

    def task(self) -> dict[str, object]:
        """The only task."""
        items = json.loads(self.run("status", "--json").stdout)["tasks"]
        assert len(items) == 1, items
        return dict(items[0])

    def daemon(self) -> int:
        """The daemon's process id, as its lock tells."""
        return int(json.loads((self.state / "lock").read_text())["pid"])

    def kill_daemon(self) -> None:
        """kill -9, and wait until it is gone."""
        pid = self.daemon()
        os.kill(pid, signal.SIGKILL)
        until(lambda: not _alive(pid), "the daemon is gone")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    with contextlib.suppress(OSError, ValueError, KeyError):
        os.kill(made.daemon(), signal.SIGTERM)
        until(lambda: not _alive(made.daemon()), "the daemon ends")


def _fill(folder: Path) -> None:
    """Folders whose packing takes a few seconds: words that shrink slowly, small files, an odd name."""
    folder.mkdir()
    chance = random.Random(11)
    words = [chance.randbytes(4).hex() for _ in range(5000)]
    for number in range(60):
        text = " ".join(chance.choices(words, k=120_000)).encode()
        (folder / f"volume {number:02d}.txt").write_bytes(text * 2)
    (folder / "empty").mkdir()
    (folder / "[b]odd name").write_text("x")


def test_pack_pause_leave_kill_come_back_resume_and_unzip(machine: Machine, tmp_path: Path) -> None:
    source = tmp_path / "some folder"
    _fill(source)
    with Tmux(TASKDECK, env=machine.env, cwd=tmp_path) as terminal:
        terminal.expect("No tasks yet")
        terminal.type(f":zip '{source}' zip 9")
        terminal.press("Enter")
        terminal.expect("p pause")
        until(lambda: int(str(machine.task()["done"])) > 0, "some bytes are packed")
        terminal.press("p")
        terminal.expect("paused")
        # the terminal closes with the connection: the context manager ends it without a goodbye
    assert machine.task()["state"] == "paused"
    assert not (tmp_path / "some folder.zip").exists()

    machine.kill_daemon()
    with Tmux(TASKDECK, env=machine.env, cwd=tmp_path) as terminal:
        terminal.expect("paused")
        terminal.press("r")
        terminal.expect("completed", seconds=90)
        terminal.press("q")
        terminal.expect("status 0")
    assert machine.task()["state"] == "completed"

    archive = tmp_path / "some folder.zip"
    assert subprocess.run(["unzip", "-tq", archive], capture_output=True, check=False).returncode == 0
    out = tmp_path / "out"
    subprocess.run(["unzip", "-q", archive, "-d", out], check=True, timeout=60)
    subprocess.run(["diff", "-r", source, out / "some folder"], check=True, timeout=60)
    leftovers = [path.name for path in tmp_path.iterdir() if path.name.startswith(".some")]
    assert leftovers == []


def test_a_second_daemon_says_who_holds_the_lock(machine: Machine) -> None:
    assert machine.run("status").returncode == 0
    second = machine.run("serve")
    assert second.returncode == 6
    assert str(machine.daemon()) in second.stderr
    assert "Traceback" not in second.stderr
