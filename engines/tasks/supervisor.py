"""Job processes seen from the daemon: start, warm spares, events, freeze, stop, and the verdict on how they ended.

Start them from the main thread only: the kernel's death signal follows the thread that started a child.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from engines.errors import ErrorInfo
from engines.job import Stop
from engines.model import Progress
from engines.names import display
from engines.paths import from_uri
from engines.process import environment
from engines.settings import Settings, TasksSettings, TelegramSettings
from engines.tasks.processes import TOKEN, death, group_stopped
from engines.tasks.run import End, Ending, Sink, Work

_BOOT: Final = "import sys; sys.path[:] = sys.argv[3:]; from engines.tasks.worker import main; main(sys.argv[1:3])"
_LINE_LIMIT: Final = 32 << 20  # a checkpoint with the central directory of a million members still fits
_STAND_STILL: Final = 2.0
_GARBAGE_LIMIT: Final = 100
_IO_CLASSES: Final = {"best-effort": (psutil.IOPRIO_CLASS_BE, 7), "idle": (psutil.IOPRIO_CLASS_IDLE, None)}


class Worker:
    """A job process that may not have its job yet."""

    def __init__(self, settings: TasksSettings, token: str) -> None:
        read_end, write_end = os.pipe()
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, str(write_end), str(os.getpid()), *filter(None, sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                pass_fds=(write_end,),
                process_group=0,
                env=environment(**{TOKEN: token}),
                cwd="/",
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        self.pid = self.process.pid
        self.events = os.fdopen(read_end, "rb", 0)
        try:
            self._restrain(settings)
        except BaseException:
            self.discard()
            raise

    @property
    def idle(self) -> bool:
        """Whether it is still there."""
        return self.process.poll() is None

    def discard(self) -> None:
        """End it and let go of its pipes."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.events):
            if pipe is not None:
                pipe.close()

    def _restrain(self, settings: TasksSettings) -> None:
        with contextlib.suppress(OSError, psutil.Error):  # it is gone already, or the kernel does not allow it
            os.setpriority(os.PRIO_PROCESS, self.pid, max(settings.nice, os.getpriority(os.PRIO_PROCESS, 0)))
            resource.prlimit(self.pid, resource.RLIMIT_CORE, (0, 0))  # a core dump would hold passwords
            if settings.memory_limit:
                resource.prlimit(self.pid, resource.RLIMIT_AS, (settings.memory_limit, settings.memory_limit))
            if settings.ionice in _IO_CLASSES:
                psutil.Process(self.pid).ionice(*_IO_CLASSES[settings.ionice])


class Nursery:
    """Makes workers and keeps a few warm ones ready."""

    def __init__(self, settings: TasksSettings, token: str) -> None:
        self._settings = settings
        self._token = token
        self._warm: list[Worker] = []
        self._refill: asyncio.TimerHandle | None = None

    def configure(self, settings: TasksSettings) -> None:
        """Use new settings; warm workers that have the old limits are replaced."""
        self._settings = settings
        self.close()
        self.fill()

    def take(self) -> Worker:
        """A worker for a job: a warm one when there is one."""
        while self._warm:
            worker = self._warm.pop()
            if worker.idle:
                self._later()
                return worker
            worker.discard()
        self._later()
        return Worker(self._settings, self._token)

    def fill(self) -> None:
        """Make warm workers up to the wanted number."""
        self._refill = None
        while len(self._warm) < self._settings.warm_workers:
            try:
                self._warm.append(Worker(self._settings, self._token))
            except OSError:  # out of processes or memory: jobs will say so, a spare is not worth a word
                return

    def close(self) -> None:
        """End the warm workers."""
        if self._refill is not None:
            self._refill.cancel()
            self._refill = None
        while self._warm:
            self._warm.pop().discard()

    def _later(self) -> None:
        # Not at once: starting an interpreter would compete with the job that was just handed out.
        if self._refill is None and self._settings.warm_workers:
            self._refill = asyncio.get_running_loop().call_later(0.5, self.fill)


class ProcessRun:
    """A `Run` in a job process."""

    def __init__(self, worker: Worker, sink: Sink) -> None:
        self._worker = worker
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._exited = self._loop.create_future()
        self._pidfd = os.pidfd_open(worker.pid)
        self._loop.add_reader(self._pidfd, self._on_exit)
        self._control: asyncio.WriteTransport | None = None
        self._closing: End | None = None
        self._garbage = 0
        self._asked: Stop | None = None
        self._killed = False
        self._task: asyncio.Task[End] | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id, also the id of its group."""
        return self._worker.pid

    async def begin(self, work: Work, settings: Settings, roots: tuple[str, ...]) -> None:
        """Hand over the job; nothing of it has run before."""
        line = {
            "id": work.id,
            "attempt": work.attempt,
            "op": work.op,
            "struct": work.struct,
            "function": work.function,
            "checkpoint": work.checkpoint,
            "settings": msgspec.structs.replace(settings, telegram=TelegramSettings()),
            "roots": roots,
            "secrets": work.secrets,
        }
        self._control, _ = await self._loop.connect_write_pipe(asyncio.BaseProtocol, self._worker.process.stdin)
        self._send(line)
        self._task = asyncio.create_task(self._attend(), name=f"run {work.id}")

    async def end(self) -> End:
        """See `Run.end`."""
        assert self._task is not None
        return await asyncio.shield(self._task)

    async def freeze(self) -> None:
        """SIGSTOP the whole group and wait until every process of it stands still."""
        if not self._signal(signal.SIGSTOP):
            return
        deadline = self._loop.time() + _STAND_STILL
        # The kernel tells a parent of its own child only; the group's other members have to be looked at.
        while not self._exited.done() and not group_stopped(self._worker.pid):
            if self._loop.time() > deadline:
                return
            await asyncio.sleep(0.004)

    def thaw(self) -> None:
        """SIGCONT the whole group."""
        self._signal(signal.SIGCONT)

    def stop(self, why: Stop) -> None:
        """Say why, then wake the group with SIGCONT and SIGTERM."""
        self._asked = why
        self._send({"t": "stop", "why": why.value})
        self._signal(signal.SIGTERM)  # before SIGCONT, so that a frozen process does not run on in between
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL the whole group."""
        self._killed = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> bool:
        if self._exited.done():
            return False
        try:
            os.killpg(self._worker.pid, number)
        except ProcessLookupError:
            return False
        return True

    def _send(self, message: Any) -> None:
        if self._control is not None and not self._control.is_closing():
            self._control.write(msgspec.json.encode(message) + b"\n")

    def _on_exit(self) -> None:
        """The worker ended. Its group is ended before it is reaped, while its number cannot be used again."""
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._worker.pid, signal.SIGKILL)
        self._exited.set_result(self._worker.process.wait())
        if self._task is None:  # it never had a job
            self._worker.discard()

    async def _attend(self) -> End:
        """Follow the run to its end."""
        events = asyncio.create_task(self._read_events())
        output = asyncio.create_task(self._read_output())
        status = await asyncio.shield(self._exited)
        # A process that left the group may hold the pipes open: what was written is there, do not wait for it.
        await asyncio.wait((events, output), timeout=2.0)
        for task in (events, output):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._control is not None and not self._control.is_closing():
            self._control.abort()
        return self._verdict(status)

    def _verdict(self, status: int) -> End:
        if self._garbage >= _GARBAGE_LIMIT:
            return End(Ending.CRASHED, reason="it wrote rubbish where its events belong")
        if self._closing is not None:
            return self._closing
        if self._asked is not None and (self._killed or status == -signal.SIGTERM):
            return End(Ending.STOPPED, stop=self._asked)
        return End(Ending.CRASHED, reason=death(status))

    async def _read_events(self) -> None:
        reader = await _reader(self._loop, self._worker.events)
        while True:
            try:
                line = await reader.readline()
            except ValueError:  # a line over the limit; the rest of it is dropped too
                self._complain(b"a line that is too long")
                continue
            if not line:
                return
            try:
                await self._event(msgspec.json.decode(line, type=_Event))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self._complain(line)

    def _complain(self, line: bytes) -> None:
        """Something else wrote on the event descriptor: a damaged worker is ended."""
        self._garbage += 1
        if self._garbage <= 3:
            self._sink.log(f"error: not an event: {display(line[:200].rstrip())}")
        if self._garbage == _GARBAGE_LIMIT:
            self._signal(signal.SIGKILL)

    async def _event(self, event: _Event) -> None:
        match event.t:
            case "progress":
                self._sink.progress(Progress(event.done, event.total, event.unit, event.item, event.stage))
            case "save":
                self._sink.checkpoint(event.checkpoint)
            case "log":
                self._sink.log(event.line if event.level == "info" else f"{event.level}: {event.line}")
            case "claim":
                await self._sink.claim(Path(from_uri(event.path)))
                self._send({"t": "ack", "n": event.n})
            case "release":
                await self._sink.release(Path(from_uri(event.path)))
            case "started":
                self._sink.started()
            case "result":
                self._closing = End(Ending.RESULT, result=event.result)
            case "error":
                self._closing = End(Ending.ERROR, result=event.result or None, error=event.error)
            case "stopped":
                self._closing = End(Ending.STOPPED, stop=Stop(event.why))
            case "crash":
                self._closing = End(Ending.CRASHED, reason=event.reason)

    async def _read_output(self) -> None:
        """What the job or its libraries print goes to the log, in bounded lines."""
        assert self._worker.process.stdout is not None
        reader = await _reader(self._loop, self._worker.process.stdout)
        rest = b""
        while block := await reader.read(65536):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                self._sink.log(display(line.rstrip(b"\r"), limit=2000))
            if len(rest) > 65536:
                self._sink.log(display(rest[:2000], limit=2000))
                rest = b""
        if rest:
            self._sink.log(display(rest, limit=2000))


class _Event(msgspec.Struct):
    """Any event line; fields that a type does not use keep their defaults."""

    t: str
    done: int = 0
    total: int | None = None
    unit: str = "bytes"
    item: str = ""
    stage: str = ""
    checkpoint: dict[str, Any] = {}
    level: str = "info"
    line: str = ""
    path: str = ""
    n: int = 0
    result: dict[str, Any] = {}
    error: ErrorInfo | None = None
    why: str = "suspend"
    reason: str = ""


async def _reader(loop: asyncio.AbstractEventLoop, pipe: Any) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=_LINE_LIMIT, loop=loop)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader, loop=loop), pipe)
    return reader
