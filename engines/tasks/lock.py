"""One daemon a state folder: an advisory lock that dies with its process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import msgspec

from engines.errors import TaskdeckError
from engines.paths import unreadable


class Holder(msgspec.Struct, frozen=True):
    """Who holds the lock, for display and for clients that look for the socket."""

    pid: int = 0
    version: str = ""
    socket: str = ""


class InstanceLock:
    """Holds `state/lock` as long as it lives.

    Raises:
        TaskdeckError: `daemon.running` when another process holds it, `disk.full` or `path.unreadable` when it
            cannot be written.
    """

    def __init__(self, state_dir: Path, *, version: str = "", socket: str = "") -> None:
        path = state_dir / "lock"
        try:
            self._fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise unreadable(path, error) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            found = holder(state_dir)
            who = f"process {found.pid}" if found and found.pid else "another process"
            raise TaskdeckError(
                "daemon.running",
                f"cannot use the state folder '{state_dir}'",
                f"{who} holds it",
                "attach to it with `taskdeck`, or stop it with `taskdeck stop`",
            ) from None
        try:
            self.describe(version, socket)
        except OSError as error:
            self.release()
            raise unreadable(path, error) from None

    def describe(self, version: str, socket: str) -> None:
        """Write who we are into the file."""
        data = msgspec.json.encode(Holder(os.getpid(), version, socket))
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, data, 0)

    def release(self) -> None:
        """Let go."""
        os.close(self._fd)


def holder(state_dir: Path) -> Holder | None:
    """What the lock file says, whether or not it is held."""
    try:
        return msgspec.json.decode((state_dir / "lock").read_bytes(), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None
