"""Operations for tests of the task engine, and a way to add them to the table for one test."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec

from engines import operations
from engines.errors import TaskdeckError
from engines.job import Job
from engines.model import Kind
from engines.operations import Accepts, Operation, OperationSpec, arg


class Steps(Operation, frozen=True, kw_only=True, tag="steps"):
    """Write a file in steps, with a checkpoint after each."""

    path: Annotated[str, arg("File to write.", positional=True, accepts=Accepts.TARGET)]
    count: int = 20
    size: int = 1000
    pause: float = 0.02
    password: Annotated[str | None, arg("A secret.", accepts=Accepts.SECRET)] = None


class StepsResult(msgspec.Struct):
    """What was made."""

    output: str
    bytes: int
    attempt: int


def block(number: int, size: int) -> bytes:
    """The content of one step."""
    return (f"{number:08d}" * (size // 8 + 1))[:size].encode()


def content(count: int, size: int) -> bytes:
    """What a finished `steps` task has written."""
    return b"".join(block(number, size) for number in range(count))


def run_steps(op: Steps, job: Job) -> StepsResult:
    target = Path(op.path)
    part = target.with_name(f".{target.name}.{job.id}.part")
    start = int((job.checkpoint or {}).get("steps", 0))
    if start and not part.exists():  # it was published, and then nobody was left to be told
        start = 0
        job.save({"steps": 0})
    if not start:
        job.claim(part)  # and with it the checkpoint is durable
    try:
        with part.open("r+b" if start else "wb") as file:
            file.truncate(start * op.size)
            file.seek(start * op.size)
            for number in range(start, op.count):
                job.check()
                file.write(block(number, op.size))
                file.flush()
                os.fsync(file.fileno())
                job.save({"steps": number + 1})
                job.progress((number + 1) * op.size, op.count * op.size, item=f"step {number}")
                time.sleep(op.pause)
        os.replace(part, target)
        job.release(part)
    finally:
        if not job.keep_partial():
            part.unlink(missing_ok=True)
    return StepsResult(str(target), op.count * op.size, job.attempt)


class Act(Operation, frozen=True, kw_only=True, tag="act"):
    """Do one thing a job may do, good or bad."""

    path: Annotated[str, arg("What to do.", positional=True)]
    text: str = ""
    number: float = 0
    password: Annotated[str | None, arg("A secret.", accepts=Accepts.SECRET)] = None


class ActResult(msgspec.Struct):
    """What was done."""

    did: str


def run_act(op: Act, job: Job) -> ActResult:
    match op.path:
        case "nothing":
            pass
        case "stamp":
            Path(op.text).write_text(repr(time.time()))
        case "sleep":
            deadline = time.monotonic() + (op.number or 60)
            while time.monotonic() < deadline:
                job.check()
                job.progress(1, 2)
                time.sleep(0.01)
        case "deaf":  # ignores every request
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            job.claim(Path(op.text)).mkdir()
            (Path(op.text) / "inside").write_text("x")
            time.sleep(60)
        case "stuck":  # a thread of it never ends
            threading.Thread(target=threading.Event().wait).start()
            print("printed last")
        case "segfault":
            ctypes.string_at(0)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(0)
        case "raise":
            raise RuntimeError(f"broken {op.text}")
        case "error":
            raise TaskdeckError(op.text, "cannot act", "it was told to fail")
        case "half":
            raise TaskdeckError("value", "cannot act", "half is missing", result=ActResult("one half"))
        case "once":  # dies at the first attempt only
            if job.attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)
        case "save and fail":
            job.save({"n": 1})
            raise TaskdeckError("value", "cannot act", "it was told to fail")
        case "boast":
            job.progress(1 << 70, 1 << 71)
            job.log("said")
        case "need":
            if not job.secrets.get("password"):
                raise TaskdeckError("password.needed", "cannot act", "a password is needed")
            if job.secrets["password"] != "open sesame":
                raise TaskdeckError("password.wrong", "cannot act", f"{job.secrets['password']} is wrong")
        case "tell":  # says its secret everywhere it can
            secret = job.secrets.get("password", "")
            job.log(f"the secret is {secret}")
            print(f"printed {secret}", flush=True)
            job.progress(1, 2, item="told")
            while os.path.exists(op.text):
                job.check()
                time.sleep(0.01)
            raise TaskdeckError("value", "cannot act", f"{secret} was told", detail=secret)
        case "log":
            for number in range(int(op.number)):
                job.log(f"line {number}")
        case "flood":
            for number in range(int(op.number)):
                job.progress(number, int(op.number), item=f"{number}")
                job.save({"n": number})
        case "garbage":
            for fd in (int(name) for name in os.listdir("/proc/self/fd") if int(name) > 2):
                if not os.path.exists(f"/proc/self/fd/{fd}"):
                    continue
                if os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:"):
                    os.write(fd, b"\xff\x00 no json\n{]\n" * int(op.number or 1))
        case "tool":
            tool = job.tool([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"])
            tool.stdout.readline()
            job.log(f"tool {tool.pid}")
            job.progress(1, 2, item=str(tool.pid))
            while tool.poll() is None:
                job.check()
                time.sleep(0.01)
            raise TaskdeckError("tool.failed", "cannot act", "the tool has ended")
        case "escape":  # a child that leaves the process group
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
            job.progress(1, 2, item=str(child.pid))
            time.sleep(60)
        case "burn":
            deadline = time.monotonic() + op.number
            while time.monotonic() < deadline:
                job.check()
                job.progress(int(time.monotonic() * 1e6))
        case "memory":
            bytearray(int(op.number))
        case _:
            raise TaskdeckError("usage", f"cannot {op.path}")
    return ActResult(op.path)


def no_reply(op: Operation, result: object) -> object:
    raise TaskdeckError("unsupported", "no reply")


SPECS = (
    OperationSpec(
        Steps,
        Kind.COMPRESS,
        run="tests.support.operations:run_steps",
        reply="tests.support.operations:no_reply",
        resumable=True,
        writes=True,
        output="output",
    ),
    OperationSpec(Act, Kind.INFO, run="tests.support.operations:run_act", reply="tests.support.operations:no_reply"),
)


@contextmanager
def added_operations(*more: OperationSpec) -> Iterator[None]:
    """Add the operations of this file to the table for a while."""
    added = {spec.name: spec for spec in (*SPECS, *more)}
    operations.OPERATIONS.update(added)
    try:
        yield
    finally:
        for name in added:
            operations.OPERATIONS.pop(name, None)


test_operations = added_operations


def never(_op: Operation, job: Job) -> None:
    """A worker function that waits until it is stopped."""
    while True:
        job.check()
        time.sleep(0.01)
