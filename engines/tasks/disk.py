"""The disk guard: tasks that write stand still while their disk is nearly full, and go on when it is not."""

from __future__ import annotations

import os
from typing import Final

from engines.paths import PathPolicy, from_uri
from engines.tasks.record import Record

_BACK: Final = 1.2
_GROWN: Final = 16 << 20


def is_low(free: int, floor: int) -> bool:
    """Whether a disk is too full to write on."""
    return free < floor


def is_back(record: Record, free: int, floor: int) -> bool:
    """Whether a task that was stopped by a full disk may go on.

    A task that met "no space" although the disk was above the floor needs more than there was: the free space
    must have grown, else it would fail again and again.
    """
    return free >= floor * _BACK and (record.disk_free == 0 or free >= record.disk_free + _GROWN)


def write_folder(record: Record, policy: PathPolicy) -> str:
    """An existing folder on the disk that a task writes to."""
    place = next(
        (str(record.op[name]) for name in ("output", "destination", "path") if record.op.get(name)), policy.roots[0]
    )
    place = from_uri(place)
    while place not in ("", "/") and not os.path.isdir(place):
        place = os.path.dirname(place)
    return place or "/"


def free_space(record: Record, policy: PathPolicy) -> int:
    """Free bytes where a task writes."""
    try:
        found = os.statvfs(write_folder(record, policy))
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize
