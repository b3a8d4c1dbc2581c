"""Cheap looks before a task is made: refusals by `stat` calls only, and whether it could be resumed."""

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

_LOOKED_AT = 1_000_000  # members: a directory beyond that is not read twice


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
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise TaskdeckError("path.kind", f"cannot unpack to '{display(folder)}'", "it is no folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise TaskdeckError(
            "path.unreadable",
            f"cannot unpack into '{display(folder)}'",
            "permission denied",
            "name a destination that you may write to",
        )


def resumes(op: Unzip) -> bool:
    """Whether unpacking goes on after a crash: zip and tar do, what other programs or libraries unpack starts again.

    Judged as `run` does, by the first bytes, and of a zip by its directory, since ZipCrypto and rare methods are left
    to 7zz. False when the file cannot be read or recognised.
    """
    from engines.archive.detect import Family, detect
    from engines.archive.encodings import Decoder
    from engines.archive.extract.zip_directory import needs_tool, read_directory
    from engines.archive.volumes import Volumes

    try:
        found = detect(Path(op.path))
        if found.family is not Family.ZIP:
            return found.family is Family.TAR
        with Volumes(found.volumes) as volumes:
            directory = read_directory(volumes, Decoder("latin-1"), max_entries=_LOOKED_AT)
        return not any(needs_tool(entry) for entry in directory.entries)
    except (TaskdeckError, OSError, ValueError):
        return False
