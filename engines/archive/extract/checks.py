"""Cheap refusals before a task is made: `stat` calls only, no byte of the archive is read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from engines.archive.encodings import known
from engines.archive.passwords import read_list
from engines.errors import TaskdeckError
from engines.names import display
from engines.operations import Unzip, ZipInfo, ZipTest
from engines.paths import PathPolicy, unreadable
from engines.settings import Settings


def check_archive(op: Unzip | ZipInfo | ZipTest, policy: PathPolicy, settings: Settings) -> None:
    """Refuse folders, devices, unreadable files, unknown encodings and password files that others can read.

    Raises:
        TaskdeckError: `path.kind`, `path.unreadable`, `path.missing`, `value`, `access.denied`.
    """
    try:
        kind = os.stat(op.path).st_mode
    except OSError as error:
        raise unreadable(op.path, error) from None
    if not stat.S_ISREG(kind):
        what = "a folder" if stat.S_ISDIR(kind) else "no regular file"
        raise TaskdeckError("path.kind", f"cannot read '{display(op.path)}' as an archive", f"it is {what}")
    if not os.access(op.path, os.R_OK):
        raise TaskdeckError(
            "path.unreadable", f"cannot open '{display(op.path)}'", "permission denied", "check its owner and mode"
        )
    if not isinstance(op, ZipTest) and op.encoding:
        known(op.encoding)
    if op.password_file:
        read_list(Path(op.password_file))


def check_unzip(op: Unzip, policy: PathPolicy, settings: Settings) -> None:
    """`check_archive`, and the destination can be written.

    Raises:
        TaskdeckError: as `check_archive`; `path.kind` for a destination that is a file.
    """
    check_archive(op, policy, settings)
    folder = Path(op.destination) if op.destination is not None else Path(op.path).parent
    if op.destination is not None and os.path.lexists(folder) and not folder.is_dir():
        raise TaskdeckError("path.kind", f"cannot unpack to '{display(folder)}'", "it is no folder")
    while not os.path.lexists(folder):
        folder = folder.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise TaskdeckError(
            "path.unreadable",
            f"cannot unpack into '{display(folder)}'",
            "permission denied",
            "name a destination that you may write to",
        )
