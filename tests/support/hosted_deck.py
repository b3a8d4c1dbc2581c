"""The test's side of `tests.support.hosting`: start a daemon, talk to it, kill it, look for what it left."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from engines.process import environment

DEADLINE = 120.0
"""Seconds after which what has not happened counts as a fault, also on a machine with far too much to do."""


class HostedDeck:
    """A daemon process over a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.hosting", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(),
            cwd=Path(__file__).parents[2],
        )
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.views: dict[str, Any] = {}
        threading.Thread(target=self._read, daemon=True).start()
        self._next(lambda line: line == b"ready")

    def submit(self, **op: Any) -> str:
        """Submit an operation; returns the id once it is acknowledged."""
        self._say({"do": "submit", **op})
        return str(self._json(lambda message: "submitted" in message)["submitted"])

    def look(self, task_id: str) -> dict[str, Any]:
        """The task as it is now."""
        self._say({"do": "look", "id": task_id})
        return dict(self._json(lambda message: "seen" in message)["seen"])

    def control(self, task_id: str, action: str) -> dict[str, Any]:
        """Control a task; returns the outcome."""
        self._say({"do": "control", "id": task_id, "action": action})
        return dict(self._json(lambda message: "controlled" in message)["controlled"])

    def unlock(self, task_id: str, **secrets: str) -> None:
        """Give secrets."""
        self._say({"do": "unlock", "id": task_id, "secrets": secrets})

    def until(self, task_id: str, *states: str) -> dict[str, Any]:
        """The task's view once it is in one of these states."""
        known = self.views.get(task_id)
        if known is not None and known["state"] in states:
            return dict(known)
        return self._json(lambda message: message.get("id") == task_id and message.get("state") in states)

    def kill(self) -> None:
        """SIGKILL the daemon."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE)

    def close(self) -> None:
        """Let it stop in good order."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(DEADLINE) == 0

    def _say(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(message) + b"\n")
        self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip())
        self._lines.put(b"")

    def _json(self, wanted: Any) -> dict[str, Any]:
        return dict(msgspec.json.decode(self._next(lambda line: wanted(msgspec.json.decode(line)))))

    def _next(self, wanted: Any) -> bytes:
        deadline = time.monotonic() + DEADLINE
        while True:
            line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            if not line:
                raise AssertionError("the daemon has ended")
            if line.startswith(b"{"):
                message = msgspec.json.decode(line)
                if "state" in message:
                    self.views[message["id"]] = message
            if wanted(line):
                return line


def marked_processes(folder: Path) -> list[int]:
    """Living processes that belong to the state folder, zombies left out."""
    token = (folder / "state" / "run-token").read_text()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if f"TASKDECK_RUN={token}".encode() in Path(f"/proc/{name}/environ").read_bytes().split(b"\0"):
                found.append(int(name))
        except OSError:
            continue
    return found


def assert_no_orphans(folder: Path) -> None:
    """Every process of the folder ends with its daemon."""
    deadline = time.monotonic() + DEADLINE
    while left := marked_processes(folder):
        assert time.monotonic() < deadline, f"orphans: {left}"
        time.sleep(0.01)
