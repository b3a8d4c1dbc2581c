"""A Taskdeck of a test's own: folders, environment, daemon (as a process or in the test's loop), command line."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp

from tui_app import config
from tui_app.client.launch import answers
from tui_app.client.remote import TaskClient
from tui_app.daemon import Daemon
from tui_app.locations import Locations
from tui_app.web.access import Scope

SECONDS = 300.0
"""After these what has not happened counts as a fault; see `tests.support.terminal.PATIENCE`."""


def until(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait for something another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


class Station:
    """Folders and environment below one temporary directory; `root` is the only allowed root."""

    def __init__(self, base: Path, **extra: str) -> None:
        self.base = base
        self.root = base / "files"
        for name in ("files", "home", "run"):
            (base / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self.environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(base / "home"),
            "XDG_STATE_HOME": str(base / "state"),
            "XDG_CONFIG_HOME": str(base / "config"),
            "XDG_RUNTIME_DIR": str(base / "run"),
            "TASKDECK_ROOTS": str(self.root),
            "TASKDECK_TASKS_WARM_WORKERS": "0",
            **extra,
        }
        self.locations = Locations.of(self.environment)

    @property
    def state(self) -> Path:
        return self.locations.state

    def argv(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "tui_app", *words]

    def run(
        self, *words: str, cwd: Path | None = None, stdin: bytes = b"", env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """One command line to its end, in the root. Its streams are pipes; no traceback may be on them."""
        done = subprocess.run(
            self.argv(*words),
            cwd=cwd or self.root,
            env=self.environment | (env or {}),
            input=stdin,
            capture_output=True,
            timeout=SECONDS * 2,
            check=False,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def json(self, *words: str) -> Any:
        """A command's JSON document."""
        done = self.run(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @property
    def pid(self) -> int:
        """The daemon's process."""
        found = json.loads((self.state / "lock").read_text())["pid"]
        assert isinstance(found, int)
        return found

    def kill(self) -> None:
        """kill -9 of the daemon."""
        pid = self.pid
        os.kill(pid, signal.SIGKILL)
        until(lambda: gone(pid))

    def stop(self) -> None:
        """End a daemon that a command started."""
        if answers(self.locations):
            self.run("stop")

    @contextlib.contextmanager
    def serving(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """`taskdeck serve` as a child."""
        child = subprocess.Popen(
            self.argv(*words, "serve", "--background"), env=self.environment, cwd="/", stderr=subprocess.PIPE
        )
        try:
            until(lambda: answers(self.locations) or child.poll() is not None)
            assert child.poll() is None, child.communicate()[1].decode()
            yield child
        finally:
            child.terminate()
            child.communicate(timeout=SECONDS)

    @contextlib.asynccontextmanager
    async def daemon(self, **settings: str) -> AsyncIterator[Daemon]:
        """A daemon in this event loop; settings as flags, such as `web_enabled="true"`."""
        flags = {name.replace("_", ".", 1): value for name, value in settings.items()}
        daemon = Daemon(
            self.locations, lambda: config.load(self.locations.config, environ=self.environment, flags=flags)
        )
        await daemon.start()
        try:
            yield daemon
        finally:
            await daemon.close()

    def client(self, **options: Any) -> TaskClient:
        """A client over the Unix socket."""
        return TaskClient(socket=self.locations.socket(), **options)

    def http(self) -> aiohttp.ClientSession:
        """Plain HTTP over the Unix socket."""
        connector = aiohttp.UnixConnector(path=str(self.locations.socket()))
        return aiohttp.ClientSession("http://localhost", connector=connector)

    def web(self, daemon: Daemon, *, token: bool = True) -> aiohttp.ClientSession:
        """Plain HTTP over TCP, with a token of its own or without."""
        headers = {}
        if token:
            headers["Authorization"] = f"Bearer {daemon.access.make_token('tests', Scope.ADMIN)[0]}"
        return aiohttp.ClientSession(daemon.url, headers=headers)


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie has)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True
