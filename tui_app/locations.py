"""Where things lie: settings file, state directory, socket. One answer for every face, made from the environment."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from engines.errors import TaskdeckError
from engines.names import display
from engines.paths import unreadable

SOCKET_LIMIT: Final = 107
"""Longest path of a Unix socket in bytes: `sockaddr_un.sun_path` is 108 with its closing NUL (unix(7))."""


class Locations(msgspec.Struct, frozen=True):
    """The files of one Taskdeck of one user.

    Attributes:
        config: The settings file, which need not exist.
        state: The state directory: store, log, lock, token; mode 0700.
        runtime: Folder of the socket when it can be used, else None ("under the state directory").
    """

    config: Path
    state: Path
    runtime: Path | None

    @classmethod
    def of(cls, environ: Mapping[str, str] | None = None, *, config: str | None = None) -> Locations:
        """The locations this environment names (XDG Base Directory Specification 0.8).

        Raises:
            TaskdeckError: `settings.invalid` when it names none and this user has no home folder.
        """
        env = os.environ if environ is None else environ
        config_home = _absolute(env.get("XDG_CONFIG_HOME")) or _below_home(env, ".config")
        state_home = _absolute(env.get("XDG_STATE_HOME")) or _below_home(env, ".local", "state")
        runtime = _absolute(env.get("XDG_RUNTIME_DIR"))
        chosen = config or env.get("TASKDECK_CONFIG") or os.path.join(config_home, "taskdeck", "taskdeck.toml")
        state = env.get("TASKDECK_STATE") or os.path.join(state_home, "taskdeck")
        return cls(
            config=Path(os.path.abspath(os.path.expanduser(chosen))),
            state=Path(os.path.abspath(os.path.expanduser(state))),
            runtime=Path(runtime) / "taskdeck" if runtime and os.path.isdir(runtime) else None,
        )

    @property
    def record(self) -> Path:
        """Says where the running daemon listens: cron, su and containers read it where XDG_RUNTIME_DIR is unset."""
        return self.state / "socket"

    @property
    def log(self) -> Path:
        """The daemon's log."""
        return self.state / "daemon.log"

    @property
    def memory(self) -> Path:
        """What the terminal interface remembers between visits."""
        return self.state / "tui.json"

    @property
    def access(self) -> Path:
        """Tokens and sessions of the TCP side: hashes only."""
        return self.state / "access.json"

    @property
    def access_log(self) -> Path:
        """Who came in over TCP, and who was refused."""
        return self.state / "access.log"

    def socket_candidates(self) -> list[Path]:
        """Where the daemon may put its socket, best first; every one fits `SOCKET_LIMIT`."""
        import hashlib  # with tempfile 5 ms that a command without the daemon need not spend
        import tempfile

        mark = hashlib.sha256(os.fsencode(self.state)).hexdigest()[:12]
        found = [self.runtime / "taskdeck.sock", self.runtime / f"taskdeck-{mark}.sock"] if self.runtime else []
        found.append(self.state / "taskdeck.sock")
        found.append(Path(tempfile.gettempdir()) / f"taskdeck-{os.getuid()}-{mark}" / "taskdeck.sock")
        return [path for path in found if len(os.fsencode(path)) <= SOCKET_LIMIT]

    def socket(self) -> Path:
        """Where the daemon says it listens, else where it would."""
        try:
            text = self.record.read_text(errors="surrogateescape").strip()
        except OSError:
            text = ""
        return Path(text) if text else self.socket_candidates()[0]


def private_directory(path: Path) -> Path:
    """Make a folder that only this user can enter, or check that it is one.

    Raises:
        TaskdeckError: `path.unreadable` when it belongs to someone else or cannot be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        info = os.lstat(path)
        if info.st_mode & 0o077 and info.st_uid == os.geteuid() and stat.S_ISDIR(info.st_mode):
            os.chmod(path, 0o700)
    except OSError as error:
        raise unreadable(path, error) from None
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
        raise TaskdeckError(
            "path.unreadable",
            f"cannot use the folder '{display(path)}'",
            "it does not belong to this user",
            "remove it, or set XDG_STATE_HOME and XDG_RUNTIME_DIR",
        )
    return path


def write_private(path: Path, text: str) -> None:
    """Write a small file of mode 0600 atomically, its folder made when it is missing.

    Raises:
        TaskdeckError: `path.unreadable`, `disk.full` or `disk.io`; what stood there before stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "w", errors="surrogateescape") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise unreadable(path, error) from None


def _below_home(env: Mapping[str, str], *names: str) -> str:
    home = env.get("HOME") or os.path.expanduser("~")
    if not os.path.isabs(home):
        raise TaskdeckError(
            "settings.invalid",
            "cannot tell where settings and tasks lie",
            "this user has no home folder",
            "set HOME, or XDG_CONFIG_HOME and XDG_STATE_HOME",
        )
    return os.path.join(home, *names)


def _absolute(value: str | None) -> str | None:
    # The specification says that relative values are to be ignored.
    return value if value and os.path.isabs(value) else None
