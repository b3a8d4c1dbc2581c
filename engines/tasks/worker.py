"""The job process: reads one job from standard input, runs it, reports on a descriptor of its own.

Started as `python -I -S -c ... <events fd> <daemon pid> <paths...>`, see `supervisor`. It imports almost
nothing before the job is known, because import cost is most of the time between "submit" and "running".

Wire form, one JSON object a line. In: the job, then `{"t": "ack", "n": 1}`, `{"t": "stop", "why": "cancel"}`.
Out: `started`, `progress`, `save`, `log`, `claim`, `release`, and at last `result`, `error` or `stopped`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from engines.errors import TaskdeckError
from engines.filecopy import write_all
from engines.job import PROGRESS_EVERY, Stop, Stopped
from engines.model import Json
from engines.names import display
from engines.paths import PathPolicy, to_uri
from engines.process import Tool, readable
from engines.settings import Settings
from engines.tasks.processes import collect_rarely, keep, leave

_PR_SET_PDEATHSIG: Final = 1
_encode = msgspec.json.Encoder().encode


class JobLine(msgspec.Struct, kw_only=True):
    """The first line of standard input."""

    id: str
    attempt: int
    op: Json
    struct: str
    function: str
    checkpoint: Json | None
    settings: Settings
    roots: tuple[str, ...]
    secrets: dict[str, str]


class WorkerJob:
    """The `Job` of a job process."""

    def __init__(self, line: JobLine, out: Pipe) -> None:
        self.id = line.id
        self.attempt = line.attempt
        self.checkpoint = line.checkpoint
        self.settings = line.settings
        self.policy = PathPolicy(line.roots)
        self.secrets: Mapping[str, str] = line.secrets
        self._out = out
        self._lock = threading.Lock()
        self._pending: Json | None = None
        self._sent_at = 0.0
        self._acks: dict[int, threading.Event] = {}
        self._claims = 0
        self._told = threading.Event()
        self._stop: Stop | None = None
        self._signalled = False

    def progress(
        self, done: int, total: int | None = None, *, item: str = "", stage: str = "", unit: str = "bytes"
    ) -> None:
        """See `Job.progress`; the last report of a burst is sent a little later by the control thread."""
        report = {"t": "progress", "done": done, "total": total, "unit": unit, "item": item, "stage": stage}
        with self._lock:
            self._pending = report
        if time.monotonic() - self._sent_at >= PROGRESS_EVERY:
            self.flush()

    def flush(self) -> None:
        """Send a report that is held back."""
        with self._lock:
            report, self._pending = self._pending, None
            self._sent_at = time.monotonic()
        if report is not None:
            report["item"] = display(report["item"], limit=500)
            self._out.send(report)

    def save(self, checkpoint: Json) -> None:
        """See `Job.save`."""
        self.checkpoint = checkpoint
        self._out.send({"t": "save", "checkpoint": checkpoint})

    def log(self, message: str, *, level: str = "info") -> None:
        """See `Job.log`."""
        self._out.send({"t": "log", "level": level, "line": display(message, limit=2000)})

    def check(self) -> None:
        """See `Job.check`."""
        if (self._stop is not None or self._signalled) and (stop := self.why()) is not None:
            raise Stopped(stop)

    def keep_partial(self) -> bool:
        """See `Job.keep_partial`."""
        return self.why() is Stop.SUSPEND

    def claim(self, path: Path) -> Path:
        """See `Job.claim`: returns when the daemon has it on disk."""
        self.policy.contain(path)
        self._ask("claim", path)
        return path

    def release(self, path: Path) -> None:
        """See `Job.release`."""
        self._out.send({"t": "release", "n": 0, "path": to_uri(str(path))})

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

    # control

    def listen(self, rest: bytes) -> None:
        """Follow the control lines on standard input until it closes: then the daemon is gone, and so are we."""
        while True:
            if not readable(0, PROGRESS_EVERY + 0.05 if self._pending is not None else 0.5):
                self.flush()
                continue
            block = os.read(0, 65536)
            if not block:
                if os.getpgrp() == os.getpid():  # the group is ours: its tools end with us
                    os.killpg(0, signal.SIGKILL)
                os._exit(1)
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                self._control(msgspec.json.decode(line))

    def on_term(self, *_: object) -> None:
        """SIGTERM: the control line that says why was written before it."""
        self._signalled = True

    def _control(self, message: Json) -> None:
        if message["t"] == "ack":
            self._acks.pop(message["n"]).set()
        elif message["t"] == "stop":
            # "cancel" may follow "suspend", never the reverse.
            if self._stop is not Stop.CANCEL:
                self._stop = Stop(message["why"])
            self._told.set()

    def why(self) -> Stop | None:
        """Why to stop. A bare SIGTERM (a service manager stopping everything) keeps partial outputs."""
        if self._signalled and self._stop is None:
            self._told.wait(0.1)
            return self._stop or Stop.SUSPEND
        return self._stop

    def _ask(self, what: str, path: Path) -> None:
        with self._lock:
            self._claims += 1
            number = self._claims
            done = self._acks[number] = threading.Event()
        self._out.send({"t": what, "n": number, "path": to_uri(str(path))})
        while not done.wait(0.05):
            self.check()


class Pipe:
    """Whole lines on the event descriptor, from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def send(self, message: Json) -> None:
        """Write one event."""
        data = _encode(message) + b"\n"
        with self._lock:
            write_all(self._fd, data)


def main(argv: Sequence[str]) -> None:
    """Entry point of the child: event descriptor and daemon pid as arguments."""
    events, parent = int(argv[0]), int(argv[1])
    collect_rarely()
    os.set_inheritable(events, False)
    _die_with(parent)
    out = Pipe(events)
    import engines.operations  # noqa: F401 - while a warm worker waits, not when its job has come

    line, rest = _first_line()
    if line is None:
        return
    out.send(_run(line, out, rest))
    leave(0)


def _run(line: JobLine, out: Pipe, rest: bytes) -> Json:
    """Run the job and return the closing event."""
    import faulthandler

    faulthandler.enable()  # a segfault leaves its traceback in the task's log
    job = WorkerJob(line, out)
    signal.signal(signal.SIGTERM, job.on_term)
    threading.Thread(target=job.listen, args=(rest,), daemon=True).start()
    try:
        return _call(line, job, out)
    except Stopped as stopped:
        keep(stopped)
        return {"t": "stopped", "why": stopped.stop.value}
    except Exception as error:  # the last wall: whatever went wrong becomes an event
        if (why := job.why()) is not None:  # its tools were asked to stop as well: their failing is no error
            return {"t": "stopped", "why": why.value}
        return _failure(line, error, out)
    finally:
        job.flush()


def _failure(line: JobLine, error: Exception, out: Pipe) -> Json:
    """An exception as a closing event."""
    if isinstance(error, TaskdeckError):
        done = {} if error.result is None else {"result": msgspec.to_builtins(error.result)}
        return {"t": "error", "error": msgspec.to_builtins(error.info), **done}
    if isinstance(error, MemoryError):
        return {"t": "crash", "reason": "it needed more memory than it may use"}
    _trace(out)
    if isinstance(error, OSError):
        from engines.paths import unreadable

        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "a file"
        return {"t": "error", "error": msgspec.to_builtins(unreadable(name, error).info)}
    shown = TaskdeckError(
        "internal", f"cannot {line.op.get('op', 'run')}", f"{type(error).__name__}: {error}", "see the task's log"
    )
    return {"t": "error", "error": msgspec.to_builtins(shown.info)}


def _call(line: JobLine, job: WorkerJob, out: Pipe) -> Json:
    from engines.operations import Operation, contain, convert, load  # loaded before the job is known: see `main`

    op = convert(line.op, cast("type[Operation]", load(line.struct)))
    function = load(line.function)
    contain(op, job.policy)
    out.send({"t": "started"})
    result: Any = function(op, job)
    return {"t": "result", "result": msgspec.to_builtins(result) if result is not None else {}}


def _trace(out: Pipe) -> None:
    import traceback

    for text in traceback.format_exc().splitlines()[-60:]:
        out.send({"t": "log", "level": "error", "line": display(text, limit=2000)})


def _first_line() -> tuple[JobLine | None, bytes]:
    data = b""
    while b"\n" not in data:
        block = os.read(0, 1 << 20)
        if not block:
            return None, b""
        data += block
    first, _, rest = data.partition(b"\n")
    return msgspec.json.decode(first, type=JobLine), rest


def _die_with(parent: int) -> None:
    """Let the kernel end this process when the daemon's main thread ends, and check that it has not yet."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
