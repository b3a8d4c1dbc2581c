"""Foretelling an archive from samples: ratio, time and space."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from engines.archive.create import codecs
from engines.archive.create.reading import OpenFile
from engines.archive.create.session import Options
from engines.archive.create.source import Entry, Listing
from engines.archive.levels import DEFLATE, MIB
from engines.operations import ArchiveFormat

_SAMPLES: Final = 64
_SAMPLE_BYTES: Final = 256 << 10
_BUDGET: Final = 2.0
"""Seconds a sampling may take."""


def sampled_ratio(listing: Listing, options: Options, check: Callable[[], None]) -> float:
    """Packed bytes for each byte, from samples spread evenly over all bytes."""
    ratio, _ = sample(listing, options, check)
    return ratio


def sample(listing: Listing, options: Options, check: Callable[[], None]) -> tuple[float, float]:
    """Packed bytes for each byte, and bytes a second of one core."""
    raw = packed = 0
    spent = 0.0
    for entry, at in _places(listing):
        check()
        if spent > _BUDGET:
            break
        try:
            file = OpenFile(entry, hashed=False)
            data = file.read(at, _SAMPLE_BYTES)
        except OSError:
            continue
        began = time.perf_counter()
        packed += sum(map(len, _pack(data, options, check)))
        spent += time.perf_counter() - began
        raw += len(data)
    return (packed / raw if raw else 1.0), (raw / spent if spent else 0.0)


def _places(listing: Listing) -> list[tuple[Entry, int]]:
    """Entries and offsets of samples at even distances in the sum of all files."""
    step = max(1, listing.size // _SAMPLES)
    places = []
    following, passed = step // 2, 0
    for entry in listing.entries:
        if not entry.is_file:
            continue
        while following < passed + entry.size:
            places.append((entry, max(0, min(following - passed, entry.size - _SAMPLE_BYTES))))
            following += step
        passed += entry.size
    return places


def _pack(data: bytes, options: Options, check: Callable[[], None]) -> list[codecs.Buffer]:
    level = options.level
    match options.format:
        case ArchiveFormat.TAR:
            return [data]
        case ArchiveFormat.ZIP | ArchiveFormat.TAR_GZ:
            if not level or codecs.incompressible(data):
                return [data]
            return [codecs.deflate_whole(data, DEFLATE[level].whole)]
        case ArchiveFormat.TAR_BZ2:
            return codecs.bzip2_stream(data, level)
        case ArchiveFormat.TAR_ZST:
            return codecs.zstd_frame(data, level)
        case _:
            return [data] if not level else codecs.xz_stream(data[:MIB], level, check)
