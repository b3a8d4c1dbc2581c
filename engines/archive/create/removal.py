"""Removing sources after their archive was tested: exactly what was packed, and only if it is still the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from engines.archive.create.journal import Packed
from engines.archive.create.source import Entry


def remove_sources(
    entries: Sequence[Entry],
    members: Sequence[Packed],
    *,
    changed: set[bytes],
    check: Callable[[], None],
    keep: Callable[[Entry, str], None],
) -> int:
    """Remove what was packed; folders only when they are empty then.

    Args:
        changed: Members that changed while they were read: never removed.
        keep: Told what stays, and why.

    Returns:
        Number of files, links and folders removed.
    """
    packed = {member.name: member for member in members}
    removed = 0
    for entry in reversed(entries):  # what is in a folder comes before it
        member = packed.get(entry.name)
        if member is None:
            continue
        check()
        try:
            why = _reason_to_keep(entry, member, changed)
            if why:
                keep(entry, why)
                continue
            fd = entry.folder.handle().fd
            if entry.is_dir:
                os.rmdir(entry.leaf, dir_fd=fd)
            else:
                os.unlink(entry.leaf, dir_fd=fd)
            removed += 1
        except OSError as error:
            keep(entry, error.strerror or str(error))
    return removed


def _reason_to_keep(entry: Entry, member: Packed, changed: set[bytes]) -> str:
    if entry.followed:
        return "it was reached through a link"
    if entry.name in changed:
        return "it changed while it was packed"
    handle = entry.folder.handle()
    info = os.stat(entry.leaf, dir_fd=handle.fd, follow_symlinks=False)
    if entry.is_dir:
        return ""
    if info.st_ino != member.ino or info.st_mtime_ns != member.mtime_ns:
        return "it changed since it was packed"
    if entry.is_file and info.st_size != member.size:
        return "it changed since it was packed"
    return ""
