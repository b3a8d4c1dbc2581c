"""Jobs that die before any step of their way: a checkpoint, a claim, a file opened for writing, renamed or removed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from engines import files
from engines.job import Job
from engines.model import Json
from tests.support.jobs import RecordingJob

Work = Callable[[Job], object]


class Dying(RecordingJob):
    """Writes what it is told to a file, and ends its process before a step.

    Args:
        step: Which one, from 0.
        since: Steps count from the first checkpoint that has this key somewhere.
    """

    def __init__(self, root: Path, log: Path, step: int, since: str) -> None:
        super().__init__(root)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        self._left = step
        self._since = since
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"):
            self._step()

    def _step(self) -> None:
        if self._since:
            return
        self._left -= 1
        if self._left < 0:
            os._exit(9)

    def _tell(self, what: str, value: Any) -> None:
        self._step()
        os.write(self._log, json.dumps([what, value]).encode() + b"\n")

    def save(self, checkpoint: Json) -> None:
        if f'"{self._since}"' in json.dumps(checkpoint):
            self._since = ""
        self._tell("save", checkpoint)

    def claim(self, path: Path) -> Path:
        self._tell("claim", os.fspath(path))
        return path

    def release(self, path: Path) -> None:
        self._tell("release", os.fspath(path))


class Place:
    """A folder that begins as a copy of a template."""

    def __init__(self, template: Path, folder: Path) -> None:
        self._template = template
        self._log = folder / "log"
        self.root = folder / "root"

    def begin(self) -> None:
        """Make it anew."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._template, self.root)

    def deaths(self, work: Work, *, since: str = "") -> Iterator[Json | None]:
        """Die before every step, twice if the daemon, killed too, would know less; yields the checkpoint there is."""
        step = 0
        while True:
            self.begin()
            if not self._dies(work, step, since):
                return
            saved, durable, claims = _heard(self._log)
            yield _restarted(saved, claims)
            if saved != durable:
                self.begin()
                self._dies(work, step, since)
                _, durable, claims = _heard(self._log)
                yield _restarted(durable, claims)
            step += 1

    def _dies(self, work: Work, step: int, since: str) -> bool:
        """Run in a child that dies before a step; whether it did."""
        child = os.fork()
        if not child:
            status = 1
            try:
                os.setpgid(0, 0)
                work(Dying(self.root, self._log, step, since))
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        _end_group(child)
        assert os.waitstatus_to_exitcode(status) in (0, 9)
        return status != 0

    def new(self) -> list[str]:
        """Names at its top that the template has not, and with a minus those that are gone."""
        before, now = set(os.listdir(self._template)), set(os.listdir(self.root))
        return sorted([*(now - before), *(f"-{name}" for name in before - now)])

    def files(self) -> dict[str, bytes]:
        """All files in it."""
        return content(self.root)


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder by their paths."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _end_group(leader: int) -> None:
    """End what a dead job left, as the daemon does before it tries again."""
    deadline = time.monotonic() + 30
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(leader, signal.SIGKILL)
            time.sleep(0.001)
        raise AssertionError("its processes do not end")


def _heard(log: Path) -> tuple[Json | None, Json | None, set[str]]:
    """The last checkpoint, the last durable one, and the claims."""
    saved: Json | None = None
    durable: Json | None = None
    claims: set[str] = set()
    for line in log.read_bytes().splitlines():
        what, value = json.loads(line)
        if what == "save":
            saved = value
        elif what == "claim":
            durable = saved
            claims.add(value)
        else:
            claims.discard(value)
    return saved, durable, claims


def _restarted(checkpoint: Json | None, claims: set[str]) -> Json | None:
    """What the daemon does before it tries again: without a checkpoint, claimed paths go."""
    if checkpoint is None:
        for path in claims:
            files.remove(path)
    return checkpoint
