"""The operation `split`: playable parts of at most a size, cut at key frames without an overlap."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from engines import files, text
from engines.errors import TaskdeckError
from engines.job import Job
from engines.media import batch
from engines.media.facts import MediaFacts
from engines.media.ffmpeg import argv, library, source
from engines.media.place import scratch, tools_of
from engines.media.probe import packets, probe
from engines.media.rates import Packet
from engines.media.runner import Step, disk_full_text, failure, transform
from engines.media.tools import Tools
from engines.model import Json
from engines.names import display
from engines.operations import Split
from engines.paths import from_uri, to_uri
from engines.reply import Line, Reply

_MUXERS: Final = {
    **dict.fromkeys(("mp4", "m4v"), ("mp4", "mp4")),
    **dict.fromkeys(("m4a", "m4b"), ("ipod", "m4a")),
    "mov": ("mov", "mov"),
    "mpegts": ("mpegts", "ts"),
    "mp3": ("mp3", "mp3"),
}
_OVERHEAD: Final = (0.99, 0.96, 0.90, 0.80)


class SplitResult(msgspec.Struct, kw_only=True):
    """The parts in order; none for a file of a folder that is small enough."""

    source: str
    parts: list[str]
    sizes: list[int]


def points(rows: Sequence[Packet], index: int, room: float) -> list[float]:
    """Times of the key frames of a stream at which parts of at most `room` bytes end.

    Raises:
        TaskdeckError: `value` when one stretch between key frames is larger.
    """
    cuts: list[float] = []
    held = since_key = 0
    last_key: float | None = None
    for row in rows:
        key = row.stream == index and row.key and row.pts is not None
        if key:
            last_key, since_key = row.pts, 0
        held, since_key = held + row.size, since_key + row.size
        if held > room:
            if last_key is None or (cuts and last_key <= cuts[-1]) or since_key >= held:
                raise TaskdeckError("value", "cannot cut parts so small", "key frames are too far apart", "allow more")
            cuts.append(last_key)
            held = since_key
    return cuts


def run(op: Split, job: Job) -> SplitResult | batch.FolderResult:
    """Cut a file, or the files of a folder that are larger than the parts may be."""
    if not os.path.isdir(op.path):
        return _one(op, job)

    def work(op: Split, part: Job) -> SplitResult:
        small = os.path.getsize(op.path) <= text.parse_size(op.size)
        return SplitResult(source=display(os.path.basename(op.path)), parts=[], sizes=[]) if small else _one(op, part)

    return batch.file_or_folder(op, job, work)


def _one(op: Split, job: Job) -> SplitResult:
    """Cut; when the containers' overhead makes a part too large, cut again with more reserve."""
    tools, path = tools_of(job), Path(op.path)
    facts = probe(job, tools, path, timeout=job.settings.media.probe_timeout)
    limit = text.parse_size(op.size)
    folder = Path(op.output) if op.output else path.parent
    folder.mkdir(parents=True, exist_ok=True)
    if facts.size <= limit:
        raise TaskdeckError("value", f"'{facts.name}' needs no cutting", f"it has {text.size(facts.size)} already")
    files.require_space(folder, facts.size, what=f"cut '{facts.name}'")
    guide = facts.main_video.index if facts.main_video else facts.audio[0].index
    rows = list(packets(job, tools, path))
    muxer, extension = _MUXERS.get(facts.container, ("matroska", "mkv"))
    target = folder / files.fit_name(path.stem, after=f".part.{extension}")
    for reserve in _OVERHEAD:
        with scratch(job, target) as work:
            cuts = points(rows, guide, limit * reserve)
            made = _cut(job, tools, path, facts, cuts, work, muxer, extension)
            if all(part.stat().st_size <= limit for part in made):
                return _publish(op, job, facts, path, folder, made, extension)
    raise TaskdeckError("value", f"cannot cut '{facts.name}' into {text.size(limit)}", "key frames are too far apart")


def _cut(
    job: Job, tools: Tools, path: Path, facts: MediaFacts, cuts: list[float], work: Path, muxer: str, extension: str
) -> list[Path]:
    total = max(1, round(facts.duration)) if facts.duration else None

    def step(step: Step) -> None:
        job.progress(int(step.seconds or 0), total, item=facts.name, stage="cutting", unit="seconds")

    opened = source(path)
    indexes = [*(v.index for v in facts.video), *(a.index for a in facts.audio)]
    indexes += [s.index for s in facts.subtitles] if muxer == "matroska" else []
    # Just before the key frame's time: the segment muxer cuts at the first key frame at or after a time.
    times = ",".join(f"{cut - facts.start - 0.002:.6f}" for cut in cuts)
    out = library().output(
        *(opened[str(index)] for index in indexes),
        f"file:part%05d.{extension}",  # relative to the work folder: its own path may hold a "%"
        format="segment",
        segment_times=times,
        segment_format=muxer,
        reset_timestamps=1,
        c="copy",
        map_metadata=0,
    )
    finished = transform(job, argv(tools, out), step, cwd=work)
    if finished.status or disk_full_text(finished.errors):
        raise failure(finished, f"cannot cut '{facts.name}'")
    return sorted(work.glob(f"part*.{extension}"))


def _publish(
    op: Split, job: Job, facts: MediaFacts, path: Path, folder: Path, made: list[Path], extension: str
) -> SplitResult:
    digits = max(2, math.ceil(math.log10(len(made) + 1)))
    placed, sizes = [], []
    for number, part in enumerate(made, 1):
        target = folder / files.fit_name(path.stem, after=f".part{number:0{digits}d}.{extension}")
        sizes.append(part.stat().st_size)
        placed.append(to_uri(str(files.publish(job, part, target, op.on_conflict) or target)))
    return SplitResult(source=facts.name, parts=placed, sizes=sizes)


def reply(op: Split, result: Json) -> Reply:
    """The parts."""
    if "folder" in result:
        return batch.reply("Cut into parts!", result, _in_short)
    found = msgspec.convert(result, SplitResult)
    lines = [Line("Source", found.source, icon="file"), Line("")]
    for place, size in zip(found.parts, found.sizes, strict=True):
        lines.append(Line(f"{display(from_uri(place))} ({text.size(size)})", bullet=True))
    return Reply(f"Cut into {text.plural(len(found.parts), 'part')}!", lines, icon="done")


def _in_short(row: Json) -> str:
    count = len(msgspec.convert(row, SplitResult).parts)
    return text.plural(count, "part") if count else "small enough as it is"
