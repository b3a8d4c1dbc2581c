"""The daemon of this machine: whether it answers, starting it when it does not, stopping it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import Final

from engines.errors import Exit, TaskdeckError
from engines.names import display
from engines.paths import unreadable
from tui_app import wire
from tui_app.client.local import LocalClient, UnixConnection
from tui_app.locations import Locations, private_directory

START_TIMEOUT: Final = 60.0
"""Seconds a daemon may take until it answers; a busy machine, a slow disk or a long recovery needs many. One that ends
instead is noticed at once."""
_STOP_WITHIN: Final = 30.0
_LOG_TAIL: Final = 8
_ROOM: Final = 256_000
"""Free bytes without which no task database can be made."""


def answers(locations: Locations) -> bool:
    """Whether a daemon accepts connections."""
    connection = UnixConnection(locations.socket(), 2.0)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def ensure_daemon(locations: Locations, *, flags: list[str] | None = None) -> bool:
    """Start a daemon unless one answers; whether one was started.

    It runs in a session of its own, away from this terminal, and survives its hang-up.

    Raises:
        TaskdeckError: `daemon.absent` with the end of its log when it does not come up; `disk.full` and
            `path.unreadable` when its state folder cannot be used.
    """
    if answers(locations):
        return False
    private_directory(locations.state)
    # -P: never import from the current directory, which may belong to someone else.
    argv = [sys.executable, "-P", "-m", "tui_app", *(flags or []), "serve", "--background"]
    with open(_out_file(locations), "wb") as out:
        child = subprocess.Popen(
            argv, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, close_fds=True
        )
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if answers(locations):
            _part_with(child, locations)
            return True
        if child.poll() is not None:
            # Another command may have started one at the same moment: then ours found the lock taken.
            left = deadline - time.monotonic() if child.returncode == Exit.CONFLICT else 0.0
            if answers(locations) or _appears(locations, left):
                return True
            break
        time.sleep(0.02)
    raise _start_failed(locations, child)


def _out_file(locations: Locations) -> int:
    path = locations.state / "daemon.out"
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise unreadable(path, error) from None


def stop_daemon(locations: Locations, *, drain: bool = False) -> None:
    """Stop the daemon that answers, of whatever version, and wait until it is gone.

    Args:
        drain: Let running tasks finish first, however long that takes.

    Raises:
        TaskdeckError: `daemon.absent`; `daemon.running` when it takes too long.
    """
    client = LocalClient(locations, any_version=True)
    try:
        pid = client.hello().pid
        client.post("/api/v1/stop", dict[str, bool], wire.StopRequest(drain))
    finally:
        client.close()
    _gone(pid, None if drain else _STOP_WITHIN)


def _gone(pid: int, within: float | None) -> None:
    """Wait until the process has ended.

    Raises:
        TaskdeckError: `daemon.running` when it takes too long.
    """
    deadline = None if within is None else time.monotonic() + within
    while deadline is None or time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, PermissionError):
            return
        if _is_zombie(pid):
            return
        time.sleep(0.02)
    raise TaskdeckError("daemon.running", "cannot stop the daemon", f"process {pid} still runs", f"run `kill {pid}`")


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[:1] == [b"Z"]
    except OSError:
        return True


def _appears(locations: Locations, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answers(locations):
            return True
        time.sleep(0.02)
    return False


def _part_with(child: subprocess.Popen[bytes], locations: Locations) -> None:
    """Let our daemon run on; one that lost the race to another command's must not start late, after a `stop`."""
    connection = UnixConnection(locations.socket(), 2.0)
    try:
        connection.connect()
        listening, _uid, _gid = wire.peer_credentials(connection.sock)
        if listening != child.pid:
            child.terminate()
    except OSError:
        return
    finally:
        connection.close()
        _forget(child)


def _forget(child: subprocess.Popen[bytes]) -> None:
    # The daemon outlives us: no warning about a running child when the object goes.
    child.returncode = 0


def _start_failed(locations: Locations, child: subprocess.Popen[bytes]) -> TaskdeckError:
    status = child.poll()
    said: list[str] = []
    with contextlib.suppress(OSError):
        text = (locations.state / "daemon.out").read_text(errors="replace").strip() or locations.log.read_text(
            errors="replace"
        )
        said = text.strip().splitlines()[-_LOG_TAIL:]
    if status == Exit.NO_SPACE or (not said and _is_full(locations)):  # then nothing could be written about why
        return TaskdeckError(
            "disk.full", "cannot start the daemon", f"the disk of {display(locations.state)} is full", "free some space"
        )
    why = (
        f"it did not answer within {START_TIMEOUT:.0f} s"
        if status is None
        else (said[-1] if said else f"status {status}")
    )
    why = why.removeprefix("taskdeck: ")
    return TaskdeckError(
        "daemon.absent",
        "cannot start the daemon",
        why.removesuffix("."),
        f"see {display(locations.log)} or run `taskdeck serve` to watch it",
        detail="\n".join(said),
    )


def _is_full(locations: Locations) -> bool:
    try:
        disk = os.statvfs(locations.state)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < _ROOM
