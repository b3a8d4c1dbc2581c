"""Removal of claimed temporary paths: files and trees, never through a link."""

from __future__ import annotations

import contextlib
import logging
import os
import stat

from engines.names import display

log = logging.getLogger(__name__)


def remove(path: str | bytes) -> None:
    """Remove a file or a whole tree; what is not there is fine.

    Raises:
        OSError: Something could not be removed.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    with _folder(path) as descriptor:
        _clear(descriptor)
    os.rmdir(path)


def remove_quietly(path: bytes) -> None:
    """Remove a claimed path; what cannot be removed is logged, not fatal."""
    try:
        remove(path)
    except OSError as error:
        log.warning("left-over %s could not be removed: %s", display(path), error)


def _clear(descriptor: int) -> None:
    """Empty an open folder. Unpacked folders may lack write permission: ours to change."""
    os.fchmod(descriptor, 0o700)
    with os.scandir(descriptor) as entries:
        names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in names:
        if not is_folder:
            os.unlink(name, dir_fd=descriptor)
            continue
        with _folder(name, descriptor) as inner:
            _clear(inner)
        os.rmdir(name, dir_fd=descriptor)


@contextlib.contextmanager
def _folder(name: str | bytes, parent: int | None = None):  # type: ignore[no-untyped-def]
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=parent)
    except PermissionError:
        if parent is None:
            os.chmod(name, 0o700, follow_symlinks=True)
        else:
            os.chmod(name, 0o700, dir_fd=parent)
        descriptor = os.open(name, flags, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
