"""How the files of a 7z are put together: in which order, in which folders, and where folders are cut into pieces.

All of it follows from names and sizes alone, so that an archive is the same however many threads make it.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence

from engines.archive.create.source import Entry
from engines.archive.levels import SOLID

_NEAR = 4
"""A cut moves to where another kind of file begins if that is no farther than a piece's length divided by this."""


def kind(entry: Entry) -> str:
    """What stands together: files whose names end alike."""
    return os.path.splitext(entry.leaf)[1].lower()


def solids(entries: Sequence[Entry], block: int) -> list[list[Entry]]:
    """The files in order, grouped into 7z folders.

    Args:
        block: Bytes of a piece.
    """
    limit = max(SOLID, 4 * block)
    groups: list[list[Entry]] = []
    size = limit
    for entry in sorted(entries, key=lambda entry: (kind(entry), entry.name)):
        if size + entry.size > limit:
            groups.append([])
            size = 0
        groups[-1].append(entry)
        size += entry.size
    return groups


def cuts(entries: Sequence[Entry], block: int) -> list[int]:
    """Where a folder is cut into pieces, counted in bytes of its files; none when one piece holds it.

    The pieces are an even number of about the same size, so that no core waits long for another. What stands before
    a cut does not help to pack what follows it, which costs least where another kind of file begins.

    Args:
        block: Bytes of a piece; a piece may be half as large again.
    """
    borders = []
    total = 0
    last = None
    for entry in entries:
        this = kind(entry)
        if this != last:
            borders.append(total)
        last = this
        total += entry.size
    if total <= block:
        return []
    count = -(-total // (2 * block)) * 2
    step = total / count
    found = []
    for number in range(1, count):
        place = round(number * step)
        after = bisect_left(borders, place)
        nearest = min(borders[max(0, after - 1) : after + 1], key=lambda border: abs(border - place))
        found.append(nearest if abs(nearest - place) <= step / _NEAR else place)
    return found
