"""Runs ffmpeg and ffprobe: bounded in memory, CPU and time, stoppable within 50 ms, with truthful progress."""

from __future__ import annotations

import errno
import os
import re
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec

from engines.errors import TaskdeckError
from engines.process import Tool, readable

TICK: Final = 0.05
"""Seconds between two looks at the task's controls."""
_JUMP: Final = 1.0
# A longer gap between two looks means the process group was frozen (a pause): it does not count as time.
_GIB: Final = 1 << 30


class Runs(Protocol):
    """The part of a `Job` that is needed to run a program."""

    def check(self) -> None:
        """Raise `Stopped` when the work must stop."""

    def tool(self, argv: Sequence[str | bytes], *, cwd: Path | None = None, pass_fds: Sequence[int] = ()) -> Tool:
        """Start a program."""


class Runner:
    """Runs programs outside of a task: for `doctor` and the Python classes."""

    def check(self) -> None:
        """Nobody can stop this."""

    def tool(self, argv: Sequence[str | bytes], *, cwd: Path | None = None, pass_fds: Sequence[int] = ()) -> Tool:
        """Start a program that dies with this process."""
        return Tool(argv, cwd=cwd, pass_fds=pass_fds)


class Limits(msgspec.Struct, frozen=True):
    """What a program may use: bytes of address space, seconds of CPU (0: no limit), seconds without progress."""

    memory: int = 4 * _GIB
    cpu: int = 0
    stall: float = 120.0


PROBE: Final = Limits(memory=_GIB, cpu=20, stall=60.0)
ENCODE: Final = Limits(memory=4 * _GIB + _GIB // 2 * (os.cpu_count() or 1), stall=600.0)
# A 4K x264 encode needs 0.93 GB; encoders allocate for each core.


class Step(msgspec.Struct, frozen=True):
    """One progress record of ffmpeg: seconds of output written, frames, bytes; None where it does not say."""

    seconds: float | None
    frames: int | None
    size: int | None


class Finished(msgspec.Struct, frozen=True):
    """How a run ended. `errors` is the tail of standard error; an exit status of 0 alone proves nothing."""

    status: int
    errors: str
    seconds: float
    frames: int
    size: int


class Patience:
    """Counts the seconds since the last sign of life, without the time the process group was frozen."""

    def __init__(self, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._last, self._idle = clock(), 0.0

    def alive(self) -> None:
        """There was a sign of life."""
        self._idle = 0.0

    def exhausted(self) -> bool:
        """Whether the limit has passed; call it often."""
        now = self._clock()
        gap, self._last = now - self._last, now
        self._idle += gap if gap < _JUMP else 0.0
        return self._idle > self._limit


def _start(runs: Runs, argv: Sequence[str], limits: Limits, cwd: Path | None, pass_fds: Sequence[int]) -> Tool:
    tool = runs.tool(argv, cwd=cwd, pass_fds=pass_fds)
    # Set from outside: no wrapper process (5 ms), and long before the program has loaded its libraries.
    with suppress(ProcessLookupError, PermissionError, ValueError):
        resource.prlimit(tool.pid, resource.RLIMIT_AS, (limits.memory, limits.memory))
        resource.prlimit(tool.pid, resource.RLIMIT_CORE, (0, 0))
        if limits.cpu:
            resource.prlimit(tool.pid, resource.RLIMIT_CPU, (limits.cpu, limits.cpu + 1))
    return tool


def pump(
    runs: Runs,
    argv: Sequence[str],
    sink: Callable[[bytes], bool],
    limits: Limits,
    *,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> tuple[int, str]:
    """Run a program and feed its output to `sink`, which says whether it was a sign of life.

    Returns:
        Exit status and the tail of standard error.

    Raises:
        TaskdeckError: `task.timeout` when it was silent for `limits.stall` seconds, `tool.missing`.
        Stopped: The task was stopped; the program is gone.
    """
    patience = Patience(limits.stall)
    tool = _start(runs, argv, limits, cwd, pass_fds)
    try:
        pipe = tool.stdout.fileno()
        while True:
            runs.check()
            if patience.exhausted():
                raise TaskdeckError(
                    "task.timeout",
                    f"{tool.name} stopped making progress",
                    f"it was silent for {limits.stall:.0f} seconds",
                    "the file may be damaged; try `mediatest`",
                    detail=tool.errors,
                )
            if not readable(pipe, TICK):
                continue
            block = os.read(pipe, 65536)
            if not block:
                break
            if sink(block):
                patience.alive()
        while tool.poll() is None:
            runs.check()
            time.sleep(0.002)
        status = tool.wait(5)
        return status, tool.errors
    finally:
        tool.kill()


def capture(runs: Runs, argv: Sequence[str], *, timeout: float, limits: Limits = PROBE, cap: int = 1 << 28) -> bytes:
    """The standard output of a program that must succeed.

    Raises:
        TaskdeckError: `tool.failed` with its error lines; see `pump`.
    """
    status, output, errors = attempt(runs, argv, timeout=timeout, limits=limits, cap=cap)
    if status:
        raise TaskdeckError("tool.failed", f"{os.path.basename(argv[0])} failed", detail=errors)
    return output


def attempt(
    runs: Runs,
    argv: Sequence[str],
    *,
    timeout: float,
    limits: Limits = PROBE,
    cap: int = 1 << 28,
    pass_fds: Sequence[int] = (),
) -> tuple[int, bytes, str]:
    """Exit status, standard output (at most `cap` bytes) and error tail of a program."""
    parts: list[bytes] = []
    held = 0

    def keep(block: bytes) -> bool:
        nonlocal held
        held += len(block)
        if held > cap:
            raise TaskdeckError("tool.failed", f"{os.path.basename(argv[0])} wrote too much", f"over {cap} bytes")
        parts.append(block)
        return False

    bounded = Limits(limits.memory, limits.cpu, timeout)
    status, errors = pump(runs, argv, keep, bounded, pass_fds=pass_fds)
    return status, b"".join(parts), errors


def transform(
    runs: Runs,
    argv: Sequence[str],
    on_step: Callable[[Step], None] | None = None,
    limits: Limits = ENCODE,
    *,
    cwd: Path | None = None,
) -> Finished:
    """Run an ffmpeg that reports with `-progress pipe:1`. Seconds never go backwards.

    ffmpeg 9 writes "N/A" while it finishes a file, and its own `speed=` counts paused time: neither is believed.
    """
    reader = _ProgressReader(on_step)
    status, errors = pump(runs, argv, reader.feed, limits, cwd=cwd)
    return Finished(status, errors, reader.seconds, reader.frames, reader.size)


class _ProgressReader:
    def __init__(self, on_step: Callable[[Step], None] | None) -> None:
        self._on_step = on_step
        self._rest = b""
        self._record: dict[str, str] = {}
        self._marks: tuple[float, int, int] = (-1.0, -1, -1)
        self.seconds, self.frames, self.size = 0.0, 0, 0

    def feed(self, block: bytes) -> bool:
        """Take a block of output; whether ffmpeg got on since the last record."""
        *lines, self._rest = (self._rest + block).split(b"\n")
        moved = False
        for line in lines:
            key, _, value = line.decode("ascii", "replace").partition("=")
            self._record[key.strip()] = value.strip()
            if key == "progress":
                moved = self._finish_record() or moved
        return moved

    def _finish_record(self) -> bool:
        record, self._record = self._record, {}
        micro, frames, size = (_whole(record.get(key)) for key in ("out_time_us", "frame", "total_size"))
        if micro is not None:
            self.seconds = max(self.seconds, micro / 1e6)
        self.frames = max(self.frames, frames or 0)
        self.size = max(self.size, size or 0)
        if self._on_step is not None:
            self._on_step(Step(self.seconds if micro is not None else None, frames, size))
        marks = (self.seconds, self.frames, self.size)
        moved, self._marks = marks != self._marks, marks
        return moved


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?\d+", text) else None


_FULL: Final = re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE)


def failure(finished: Finished, what: str) -> TaskdeckError:
    """The error for a run that failed, from what ffmpeg wrote."""
    if disk_full_text(finished.errors) or finished.status == errno.ENOSPC:
        return TaskdeckError("disk.full", what, "the disk is full", "free some space and retry", detail=finished.errors)
    lines = [line for line in finished.errors.splitlines() if line.strip()]
    reason = plain(lines[-1]) if lines else f"ffmpeg ended with status {finished.status}"
    if finished.status in (-9, -11, -6):
        reason = f"ffmpeg was ended by signal {-finished.status} (out of memory, or a fault of its own)"
    return TaskdeckError("media.failed", what, reason, "the log has the details", detail=finished.errors)


def disk_full_text(errors: str) -> bool:
    """Whether ffmpeg met a full disk, even when it claims success (5.1 ends with status 0)."""
    return bool(_FULL.search(errors))


def plain(line: str) -> str:
    """A line of ffmpeg's without the part and the address it came from."""
    return re.sub(r"^\[[^\]]* @ 0x[0-9a-f]+\] ", "", line)
