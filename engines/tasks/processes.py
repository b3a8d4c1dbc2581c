"""Processes: how one ended, how to end this one, whether a group stands still, who was left behind."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

TOKEN: Final = "TASKDECK_RUN"  # noqa: S105 - the name of a variable
"""Environment variable that marks every process of one state folder, so that left-overs are found at boot."""


_TOKEN_LENGTH: Final = 32
_kept: Final[list[BaseException]] = []
_OBJECTS: Final = 200_000
"""New objects after which a process of one job looks for cycles."""


def run_token(state_dir: Path) -> str:
    """The mark of a state folder's processes: drawn once, kept in a file of mode 0600."""
    path = state_dir / "run-token"
    with suppress(FileNotFoundError):
        if len(token := path.read_text()) == _TOKEN_LENGTH:
            return token
    token = os.urandom(_TOKEN_LENGTH // 2).hex()  # the module `secrets` would load OpenSSL into every job
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
        file.write(token)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    return token


def death(status: int) -> str:
    """An exit status in plain words."""
    if status >= 0:
        return f"it ended with status {status} and without a result"
    try:
        number = signal.Signals(-status)
    except ValueError:
        return f"signal {-status} ended it"
    words = {
        signal.SIGKILL: "it was killed (SIGKILL; often the kernel does so when memory runs out)",
        signal.SIGSEGV: "a library crashed (segmentation fault)",
        signal.SIGBUS: "a library crashed (bus error; often a file that shrank while it was read)",
        signal.SIGABRT: "a library gave up (SIGABRT)",
        signal.SIGILL: "a library used an instruction this processor lacks (SIGILL)",
        signal.SIGFPE: "a library made an arithmetic error (SIGFPE)",
        signal.SIGXCPU: "it used up its processor time",
    }
    return words.get(number, f"{number.name} ended it")


def leave(status: int) -> NoReturn:
    """End this process at once, its standard streams flushed; for one whose files are closed and whose tools are ended.

    The interpreter would first wait for every thread, and one that has been told to stop may still be in a call of a
    compressor: 3 s were seen for a block of Zstandard 19.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # there is none, nobody reads it, or it is closed
            stream.flush()
    os._exit(status)


def keep(error: BaseException) -> None:
    """Keep an error, with all that its frames hold, to the end of this process.

    To give the 30,000 members of a cancelled unpacking back takes 15 ms, and the end of the process does it at once.
    """
    _kept.append(error)


def collect_rarely() -> None:
    """Have the collector look for cycles seldom: for a process that does one job and ends.

    Imports and listings make many objects and no cycles: with Python's 700 looking through them was 8 % of a packing.
    """
    gc.set_threshold(_OBJECTS, 20, 20)


def group_stopped(group: int) -> bool:
    """Whether every process of a group is stopped (or dead)."""
    return all(state in "TtZX" for state in _group_states(group))


def _group_states(group: int) -> list[str]:
    states = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if os.getpgid(int(name)) != group:
                continue
            with open(f"/proc/{name}/stat", "rb") as stat:
                states.append(chr(stat.read(512).rpartition(b")")[2].split()[0][0]))
        except (OSError, IndexError):
            continue
    return states


def sweep(token: str) -> list[int]:
    """Kill every process that a former daemon of this state folder left behind; returns their ids."""
    marker = f"{TOKEN}={token}".encode()
    killed = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as environ:
                found = marker in environ.read().split(b"\0")
            if found:
                os.kill(int(name), signal.SIGKILL)
                killed.append(int(name))
        except OSError:
            continue
    return killed
