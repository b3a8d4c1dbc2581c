"""A job context for tests: records what a worker function says and can stop it at a chosen moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from engines.archive.create import journal
from engines.job import Stop, Stopped
from engines.model import Json, Progress
from engines.paths import PathPolicy
from engines.process import Tool
from engines.settings import Settings


class RecordingJob:
    """Runs in the test's own process.

    Args:
        root: The one allowed root.
        stop_when: Called at every `check`; a `Stop` it returns is raised as `Stopped`.
    """

    def __init__(
        self,
        root: Path,
        *,
        task_id: str = "t3st01",
        attempt: int = 1,
        checkpoint: Json | None = None,
        settings: Settings | None = None,
        secrets: Mapping[str, str] | None = None,
        stop_when: Callable[[RecordingJob], Stop | None] | None = None,
    ) -> None:
        self.id = task_id
        self.attempt = attempt
        self.checkpoint = checkpoint
        self.settings = settings or Settings(roots=(str(root),))
        self.policy = PathPolicy.of((str(root),))
        self.secrets: Mapping[str, str] = secrets or {}
        self.seen: list[Progress] = []
        self.saved: list[Json] = []
        self.logged: list[tuple[str, str]] = []
        self.claimed: set[Path] = set()
        self.checks = 0
        self.stop: Stop | None = None
        self._stop_when = stop_when

    def progress(
        self, done: int, total: int | None = None, *, item: str = "", stage: str = "", unit: str = "bytes"
    ) -> None:
        self.seen.append(Progress(done, total, unit, item, stage))

    def save(self, checkpoint: Json) -> None:
        self.saved.append(checkpoint)

    def log(self, message: str, *, level: str = "info") -> None:
        self.logged.append((level, message))

    def check(self) -> None:
        self.checks += 1
        if self._stop_when is not None and self.stop is None:
            self.stop = self._stop_when(self)
        if self.stop is not None:
            raise Stopped(self.stop)

    def keep_partial(self) -> bool:
        return self.stop is not Stop.CANCEL and self.stop is not None

    def claim(self, path: Path) -> Path:
        known = path in self.claimed or self.checkpoint is not None
        assert known or not path.exists(), "claim before the file exists"
        self.claimed.add(path)
        return path

    def release(self, path: Path) -> None:
        self.claimed.discard(path)

    def tool(
        self,
        argv: Sequence[str | bytes],
        *,
        cwd: Path | None = None,
        stdin: bytes | int | None = None,
        pass_fds: Sequence[int] = (),
        env: dict[str, str] | None = None,
    ) -> Tool:
        return Tool(argv, cwd=cwd, stdin=stdin, pass_fds=pass_fds, env=env)


def commit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every block, and none that is still under way: packing stops at known places."""
    monkeypatch.setattr(journal, "INTERVAL", 0.0)
    offer = journal.Journal.offer

    def offer_and_wait(self: journal.Journal, state: Callable[[], Json]) -> None:
        offer(self, state)
        if self._running is not None:
            self._running.result()

    monkeypatch.setattr(journal.Journal, "offer", offer_and_wait)
