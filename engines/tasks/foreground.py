"""One operation in this very process, without a daemon: `taskdeck OP --foreground`, scripts, containers, tests."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from engines import operations
from engines.errors import TaskdeckError
from engines.job import PROGRESS_EVERY, Stop, Stopped
from engines.model import Json, Progress
from engines.names import display
from engines.operations import Operation
from engines.paths import PathPolicy
from engines.process import Tool
from engines.settings import Settings
from engines.tasks import ids


class ForegroundJob:
    """The `Job` of a run in this process. Checkpoints are not kept: when it ends, it is over."""

    def __init__(
        self,
        settings: Settings,
        policy: PathPolicy,
        secrets: Mapping[str, str],
        on_progress: Callable[[Progress], None],
        on_log: Callable[[str, str], None],
    ) -> None:
        self.id = ids.new_id()
        self.attempt = 1
        self.checkpoint: Json | None = None
        self.settings = settings
        self.policy = policy
        self.secrets = secrets
        self.stopped: Stop | None = None
        self._on_progress = on_progress
        self._on_log = on_log
        self._sent = 0.0
        self._last: Progress | None = None
        self._claimed: set[Path] = set()
        self._lock = threading.Lock()

    def progress(
        self, done: int, total: int | None = None, *, item: str = "", stage: str = "", unit: str = "bytes"
    ) -> None:
        """See `Job.progress`."""
        self._last = Progress(done, total, unit, display(item, limit=500), stage)
        if time.monotonic() - self._sent >= PROGRESS_EVERY:
            self.flush()

    def flush(self) -> None:
        """Report what is held back."""
        last, self._last = self._last, None
        if last is not None:
            self._sent = time.monotonic()
            self._on_progress(last)

    def save(self, checkpoint: Json) -> None:
        """See `Job.save`: nothing to keep here."""

    def log(self, message: str, *, level: str = "info") -> None:
        """See `Job.log`."""
        self._on_log(level, display(message, limit=2000))

    def check(self) -> None:
        """See `Job.check`."""
        if self.stopped is not None:
            raise Stopped(self.stopped)

    def keep_partial(self) -> bool:
        """See `Job.keep_partial`: never here."""
        return False

    def claim(self, path: Path) -> Path:
        """See `Job.claim`."""
        self.policy.contain(path)
        with self._lock:
            self._claimed.add(path)
        return path

    def release(self, path: Path) -> None:
        """See `Job.release`."""
        with self._lock:
            self._claimed.discard(path)

    def tool(
        self,
        argv: Sequence[str | bytes],
        *,
        cwd: Path | None = None,
        stdin: bytes | int | None = None,
        pass_fds: Sequence[int] = (),
        env: dict[str, str] | None = None,
    ) -> Tool:
        """See `Job.tool`."""
        return Tool(argv, cwd=cwd, stdin=stdin, pass_fds=pass_fds, env=env)

    def sweep(self) -> None:
        """Remove claimed paths that are left."""
        if not self._claimed:
            return
        from engines import files

        for path in self._claimed:
            with contextlib.suppress(OSError):
                files.remove(path)


def run_foreground(
    data: Json,
    settings: Settings,
    *,
    base: str | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_log: Callable[[str, str], None] = lambda _level, _line: None,
) -> tuple[Operation, Json]:
    """Run an operation to its end; returns it (without secrets) and its result as JSON.

    SIGINT, SIGTERM and SIGHUP cancel it when this is the main thread: partial outputs are removed.

    Raises:
        TaskdeckError: What `Tasks.submit` or the job would say; `task.cancelled` when it was stopped.
    """
    policy = PathPolicy.of(settings.roots)
    op = operations.with_defaults(operations.parse(data), settings)
    op = operations.absolute(op, policy, base=base or str(Path.cwd()))
    operations.check(op, policy, settings)
    bare, secrets = operations.split_secrets(op)
    spec = operations.spec_of(bare)
    if spec.hosted:
        raise TaskdeckError("unsupported", f"cannot {spec.name} in the foreground", "it needs the daemon's connection")
    job = ForegroundJob(settings, policy, secrets, on_progress, on_log)
    try:
        with _stopping(job):
            result: Any = operations.load(spec.run)(bare, job)
    except Stopped:
        raise TaskdeckError("task.cancelled", f"{spec.name} was cancelled") from None
    finally:
        job.sweep()
    job.flush()
    return bare, cast("Json", msgspec.to_builtins(result)) if result is not None else {}


@contextlib.contextmanager
def _stopping(job: ForegroundJob) -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP (unless nohup has it ignored) into a stop while inside."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        job.stopped = Stop.CANCEL

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
