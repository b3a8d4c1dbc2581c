"""Foretelling an archive from samples: ratio, time and space."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from engines import files, text
from engines.archive.create import codecs
from engines.archive.create.listing import Listing
from engines.archive.create.plan import as_zip, filter_of, options_of, plans_of
from engines.archive.create.reading import OpenFile
from engines.archive.create.session import Options
from engines.archive.create.source import Entry, Tree
from engines.archive.create.space import Buffer
from engines.archive.formats import FORMATS
from engines.archive.levels import DEFLATE, MIB
from engines.job import Job
from engines.model import Json
from engines.operations import ArchiveFormat, Estimate
from engines.paths import unreadable
from engines.reply import Line, Reply

_SAMPLES: Final = 64
_SAMPLE_BYTES: Final = 128 << 10
_BUDGET: Final = 2.0
"""Seconds of processor time a sampling may take."""
_SCALING: Final = 0.85
"""Share of the ideal speed that several threads reach."""
_PER_MEMBER: Final = 60e-6
"""Seconds each member costs beside its bytes."""
_WARNINGS: Final = 20


class EstimateResult(msgspec.Struct, kw_only=True):
    """What packing would come to. Bytes and seconds; `ratio` is the percentage saved."""

    format: str
    level: int
    files: int
    folders: int
    original: int
    packed: int
    ratio: float
    seconds: float
    speed: float
    """Bytes of source a second, all cores."""
    free: int
    """Bytes free where the archive would be written."""
    fits: bool
    warnings: list[str] = []


def run(op: Estimate, job: Job) -> EstimateResult:
    """List and sample the sources.

    Raises:
        TaskdeckError: A source cannot be read.
    """
    zipped = as_zip(op)
    options = options_of(zipped, job.settings, {})
    plan = plans_of(zipped, job.settings)[0]
    warnings: list[str] = []
    tree = Tree(
        policy=job.policy,
        links=zipped.links,
        selection=filter_of(zipped),
        excluded=lambda where: None,
        check=job.check,
        warn=lambda message: warnings.append(message) if len(warnings) < _WARNINGS else None,
    )
    job.progress(0, None, stage="listing")
    try:
        listing = Listing(lambda found: tree.walk(plan.sources, found.add)).finish()
    except OSError as error:
        raise unreadable(plan.sources[0], error) from error
    job.progress(0, None, stage="sampling")
    share, speed = sample(listing, options, job.check)
    members = len(listing.entries) * (160 if options.format is ArchiveFormat.ZIP else 48)
    packed = int(listing.size * share) + members
    rate = speed * options.threads * _SCALING
    seconds = (listing.size / rate if rate else 0.0) + len(listing.entries) * _PER_MEMBER
    free = files.free_space(plan.target.parent)
    return EstimateResult(
        format=FORMATS[options.format].label,
        level=options.level,
        files=listing.files,
        folders=listing.folders,
        original=listing.size,
        packed=packed,
        ratio=text.saved(listing.size, packed),
        seconds=seconds,
        speed=listing.size / seconds if seconds else 0.0,
        free=free,
        fits=packed + files.RESERVE <= free,
        warnings=warnings,
    )


def estimate_reply(op: Estimate, result: Json) -> Reply:
    """The estimate for people."""
    del op
    found = msgspec.convert(result, EstimateResult)
    lines = [
        Line("Format", f"{found.format}, level {found.level}", icon="archive"),
        Line("Files", f"{found.files:,}", icon="file"),
        Line("Original Size", text.size(found.original), icon="disk"),
        Line("Expected Size", text.size(found.packed), icon="archive"),
        Line("Compression Ratio", text.ratio(found.ratio), icon="chart"),
        Line("Expected Time", text.elapsed(found.seconds), icon="time"),
        Line("Free Space", text.size(found.free), icon="disk"),
    ]
    if not found.fits:
        lines.append(Line("It does not fit", icon="warning"))
    lines += [Line(warning, icon="warning") for warning in found.warnings[:5]]
    return Reply("Estimate", lines, icon="info")


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
        began = time.thread_time()
        packed += sum(map(len, _pack(data, options, check)))
        spent += time.thread_time() - began
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
    # Slow packers stop early: what was sampled until then must be spread over everything.
    return [place for start in (0, 4, 2, 6, 1, 5, 3, 7) for place in places[start::8]]


def _pack(data: bytes, options: Options, check: Callable[[], None]) -> list[Buffer]:
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
            return [data] if not level else codecs.xz_stream([data[:MIB]], level, lambda _: check())
