"""Files with holes: which stretches hold data."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Final

from engines.archive.create.reading import OpenFile
from engines.archive.create.source import Entry

SMALLEST: Final = 128 << 10
"""Bytes up to which holes are packed as zeros."""


def likely(entry: Entry) -> bool:
    """Whether an entry takes so much less room than it has bytes that its holes are worth keeping."""
    return entry.size > SMALLEST and entry.space < entry.size - entry.size // 8


def segments(file: OpenFile) -> list[tuple[int, int]]:
    """Offsets and lengths of a file's data; one for the whole file when there is no hole."""
    found = list(_data(file.fd, file.size))
    return found if sum(length for _, length in found) < file.size else whole(file)


def whole(file: OpenFile) -> list[tuple[int, int]]:
    """The same for a file that is taken as it is."""
    return [(0, file.size)] if file.size else []


def _data(fd: int, size: int) -> Iterator[tuple[int, int]]:
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            yield at, size - at  # the file system cannot tell
            return
        at = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        if start < size:
            yield start, at - start
