"""Passwords to try, and what is said when none fits.

The task's own come first, then those of list files. They never appear in arguments, logs or errors.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from engines.errors import TaskdeckError
from engines.job import Job
from engines.names import display
from engines.paths import unreadable

_FILE_LIMIT: Final = 1 << 20


def read_list(path: Path) -> tuple[str, ...]:
    """The passwords of a list file, one a line; the file must belong to this user and be readable by nobody else.

    Raises:
        TaskdeckError: `path.missing`, `path.unreadable`, `access.denied` when others may read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise unreadable(path, error) from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise TaskdeckError("path.kind", f"cannot read passwords from '{display(path)}'", "it is no regular file")
        if found.st_mode & 0o077 or found.st_uid not in (0, os.geteuid()):
            raise TaskdeckError(
                "access.denied",
                f"cannot use the password file '{display(path)}'",
                "other users may read it",
                "make it yours alone with chmod 600",
            )
        data = os.read(descriptor, _FILE_LIMIT)
    finally:
        os.close(descriptor)
    lines = data.decode("utf-8", "surrogateescape").splitlines()
    return tuple(line for line in lines if line)


def candidates(job: Job, password_file: str | None) -> tuple[str, ...]:
    """All passwords to try, best first, each once.

    Raises:
        TaskdeckError: see `read_list`.
    """
    found = []
    if job.secrets.get("password"):
        found.append(job.secrets["password"])
    for path in (password_file, job.settings.archive.password_file):
        if path:
            found += read_list(Path(path).expanduser())
    return tuple(dict.fromkeys(found))


def needed(what: str) -> TaskdeckError:
    """The error for an encrypted archive without a password.

    Args:
        what: What was attempted: "cannot unpack 'a.zip'".
    """
    return TaskdeckError(
        "password.needed", what, "it is encrypted", "give a password (--password-file, or type it when asked)"
    )


def wrong(what: str, tried: int = 1) -> TaskdeckError:
    """The error when no password fits."""
    why = "the password is wrong" if tried < 2 else f"none of the {tried} passwords fits"
    return TaskdeckError("password.wrong", what, why, "try another password")
