"""Real terminals for tests: a bare pty that can stall or hang up, and a tmux server of our own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import shlex
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

DECK = (sys.executable, "-m", "tests.support.deck")
ROOT = Path(__file__).resolve().parents[2]
PATIENCE: Final = 300.0
"""Seconds after which what has not happened counts as a fault. Nobody waits for them where the promise is kept; on a
machine with ten times more to do than it can, a program takes half a minute to its first picture."""


def until(promise: Callable[[], bool], what: str) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + PATIENCE
    while not promise():
        assert time.monotonic() < deadline, f"not in {PATIENCE:.0f} s: {what}"
        time.sleep(0.02)


class Pty:
    """A program on a pseudo terminal whose other end is ours."""

    def __init__(
        self, argv: Sequence[str] = DECK, *, size: tuple[int, int] = (80, 24), env: Mapping[str, str] | None = None
    ) -> None:
        self.master, slave = pty.openpty()
        self.resize(*size)
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})}
        if "NO_COLOR" not in (env or {}):
            environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            list(argv), stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self.output = b""

    def resize(self, width: int, height: int) -> None:
        """Set the size of the terminal."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def read(self, seconds: float = 0.0) -> bytes:
        """What arrived in that time; also kept in `output`."""
        got = b""
        deadline = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                break
            try:
                chunk = os.read(self.master, 65536)
            except OSError:
                break
            if not chunk:
                break
            got += chunk
        self.output += got
        return got

    def expect(self, text: str) -> None:
        """Read until the text was seen since the start."""
        self.read_until(lambda: text.encode() in self.output, f"{text!r} is painted")

    def read_until(self, promise: Callable[[], bool], what: str) -> None:
        """Read until something is true of what was read."""
        deadline = time.monotonic() + PATIENCE
        while not promise():
            assert time.monotonic() < deadline, f"not in {PATIENCE:.0f} s: {what}; last: {self.output[-2000:]!r}"
            self.read(0.05)

    def send(self, keys: str) -> None:
        """Type."""
        os.write(self.master, keys.encode())

    def wait(self) -> int:
        """Read on until the program ends; its exit status."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, "the program does not end"
            if self.master >= 0:
                self.read(0.05)
            else:
                time.sleep(0.02)
        if self.master >= 0:
            self.read(0.1)
        return self.process.returncode

    def hang_up(self) -> None:
        """Close our end, as a lost connection does."""
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        """End the program and the terminal."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE)
        if self.master >= 0:
            os.close(self.master)

    def __enter__(self) -> Pty:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Tmux:
    """A tmux server on a socket of its own with one window."""

    def __init__(
        self,
        command: Sequence[str] = DECK,
        *,
        size: tuple[int, int] = (80, 24),
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
    ) -> None:
        self.socket = f"taskdeck-{uuid.uuid4().hex[:8]}"
        self._files = tempfile.TemporaryDirectory(prefix="td-tmux")
        self._painted = Path(self._files.name) / "painted"
        environment = {"PYTHONPATH": str(ROOT), **(env or {})}
        words = ["env", "-u", "NO_COLOR", *(f"{name}={value}" for name, value in environment.items()), *command]
        shell = f"{shlex.join(words)}; echo status $?; exec sleep 3600"
        self.run("-f", "/dev/null", "new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), "-c", str(cwd), shell)
        self.run("pipe-pane", shlex.join(["dd", "bs=64k", "status=none", f"of={self._painted}"]))
        self.run("set-option", "-s", "set-clipboard", "on")

    def run(self, *words: str) -> str:
        """A tmux command."""
        done = subprocess.run(
            ["tmux", "-L", self.socket, *words], capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        return done.stdout

    def screen(self) -> str:
        """What a person sees."""
        return self.run("capture-pane", "-p")

    def expect(self, text: str) -> str:
        """Wait until the text is on the screen."""
        deadline = time.monotonic() + PATIENCE
        while text not in (shown := self.screen()):
            assert time.monotonic() < deadline, f"{text!r} is not on the screen:\n{shown}"
            time.sleep(0.05)
        return shown

    def expect_told(self, text: str) -> None:
        """Wait until the text was painted at any time since the start: a toast may be gone before one looks."""
        until(
            lambda: self._painted.exists() and text in self._painted.read_text(errors="replace"),
            f"{text!r} is told; the screen:\n{self.screen()}",
        )

    def type(self, text: str) -> None:
        """Send characters in one burst."""
        self.run("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Send keys by tmux's names."""
        self.run("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        """Resize the window."""
        self.run("resize-window", "-x", str(width), "-y", str(height))

    def close(self) -> None:
        """End the server."""
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], capture_output=True, timeout=PATIENCE, check=False)
        self._files.cleanup()

    def __enter__(self) -> Tmux:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
