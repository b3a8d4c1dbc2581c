"""Looking over what an external program unpacked, through directory descriptors, before anything is published."""

from __future__ import annotations

import os
import stat

from engines import files
from engines.archive.containment import SAFE_BITS, Parts, escape, link_stays_inside
from engines.archive.extract.run import Run
from engines.errors import TaskdeckError


def adopt(run: Run) -> None:
    """Count what lies in the run's tree and take out what may not be there.

    Devices, pipes, sockets and links that lead outside are removed and noted; special permission bits are
    stripped; folders become usable by their owner.

    Raises:
        TaskdeckError: `archive.escape` when a file is a hard link of something outside, `archive.limit`.
    """
    names: dict[tuple[int, int], list[int]] = {}
    _folder(run, os.dup(run.tree.root), (), names)
    for seen, links in names.values():
        if seen != links:
            raise escape(run.found.path.name, "the program that unpacked it made a hard link to a file outside")


def _folder(run: Run, descriptor: int, where: Parts, names: dict[tuple[int, int], list[int]]) -> None:
    """Takes over the descriptor."""
    try:
        with os.scandir(descriptor) as entries:
            found = list(entries)
        for number, entry in enumerate(found):
            if number % 256 == 0:
                run.job.check()
            _entry(run, descriptor, entry.name, (*where, entry.name), names)
    finally:
        os.close(descriptor)


def _entry(run: Run, parent: int, name: str, parts: Parts, names: dict[tuple[int, int], list[int]]) -> None:
    info = os.stat(name, dir_fd=parent, follow_symlinks=False)
    shown = "/".join(parts)
    run.budget.entry()
    if stat.S_ISDIR(info.st_mode):
        if len(parts) > run.limits.max_components:
            raise TaskdeckError("archive.limit", f"cannot unpack '{shown}'", "its folders are nested too deep")
        run.folders += 1
        if info.st_mode & 0o7700 != 0o700:
            os.chmod(name, run.tree.usable(parts, info.st_mode), dir_fd=parent)
        _folder(run, os.open(name, files.DIRECTORY_FLAGS, dir_fd=parent), parts, names)
    elif stat.S_ISREG(info.st_mode):
        if info.st_nlink > 1:
            names.setdefault((info.st_dev, info.st_ino), [0, info.st_nlink])[0] += 1
        if info.st_mode & 0o7000:
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                os.fchmod(descriptor, info.st_mode & SAFE_BITS)
            finally:
                os.close(descriptor)
        run.budget.spend(info.st_size)
        run.wrote()
    elif stat.S_ISLNK(info.st_mode):
        if link_stays_inside(parts, os.readlink(name, dir_fd=parent)):
            run.links += 1
        else:
            os.unlink(name, dir_fd=parent)
            run.leave_out(shown, "it is a link that leads outside")
    else:
        os.unlink(name, dir_fd=parent)
        run.leave_out(shown, "it is a device, pipe or socket")
