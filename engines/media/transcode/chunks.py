"""Resumable encoding: the video is cut at key frames, each chunk is durable before it counts.

A chunk is encoded to NUT, fsynced and renamed; a later attempt goes on after the last one that is there. Measured
against one shot: the same frames, no gap, SSIM equal to four digits, size within 0.2 %.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec

from engines import files
from engines.errors import TaskdeckError
from engines.job import Job
from engines.media.facts import MediaFacts, VideoFacts
from engines.media.ffmpeg import argv, output, own_list, source
from engines.media.place import tools_of
from engines.media.probe import packets
from engines.media.rates import Packet
from engines.media.runner import Finished, Step, disk_full_text, failure, transform
from engines.media.tools import Tools, version
from engines.media.transcode import plan as planning
from engines.media.transcode.plan import Plan
from engines.names import display

SEEKABLE: Final = frozenset({"matroska", "webm", "mp4", "mov", "m4v", "3gp", "mpegts"})
"""Containers with a clock that can be entered at a key frame; the others are encoded in one go."""
_PREROLL: Final = {"mpegts": 12.0}
# A transport stream has no index: enter it earlier and drop frames by their time.


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of the source: seconds from and to (on its own clock), and the frames in it."""

    start: float
    end: float
    frames: int


class Cut(msgspec.Struct, frozen=True):
    """The chunks of a video: written to the work folder before the first one is encoded."""

    chunks: list[Chunk]
    frame: float
    """The shortest time between two frames."""
    variable: bool
    source: list[int]
    """Size and mtime of the source, to notice that it changed."""

    @property
    def frames(self) -> int:
        """Frames of all chunks."""
        return sum(chunk.frames for chunk in self.chunks)


class Encoded(msgspec.Struct, frozen=True):
    """What the chunks hold together."""

    frames: int
    size: int


def cut(rows: Iterable[Packet], seconds: float, identity: list[int]) -> Cut | None:
    """Cut at key frames into chunks of at least `seconds`; None when the packets carry no times."""
    known = sorted((row.pts, row.length, row.key) for row in rows if row.pts is not None)
    keys = [pts for pts, _, key in known if key]
    if len(known) < 2 or not keys:
        return None
    times = [pts for pts, _, _ in known]
    gaps = [b - a for a, b in pairwise(times) if b > a]
    if not gaps:
        return None
    frame = min(gaps)
    end = known[-1][0] + (known[-1][1] or frame)
    bounds = [times[0]]
    bounds += [key for key in keys if key > times[0]]
    kept = [bounds[0]]
    for bound in bounds[1:]:
        if bound - kept[-1] >= seconds and end - bound >= seconds / 2:
            kept.append(bound)
    kept.append(end)
    chunks, at = [], 0
    for start, stop in pairwise(kept):
        count = 0
        while at < len(times) and (times[at] < stop - frame / 2 or stop == end):
            at, count = at + 1, count + 1
        chunks.append(Chunk(start, stop, count))
    return Cut(chunks, frame, max(gaps) > frame * 1.5 + 0.002, identity)


def encode(
    job: Job,
    tools: Tools,
    plan: Plan,
    path: Path,
    folder: Path,
    chosen: Cut,
    on_progress: Callable[[float, int], None],
) -> Encoded:
    """Encode what is missing of the chunks; `on_progress` gets seconds and bytes done so far.

    Raises:
        TaskdeckError: `media.failed`, `disk.full`.
    """
    begin, frames, size = chosen.chunks[0].start, 0, 0
    for number, chunk in enumerate(chosen.chunks):
        job.check()
        place = folder / f"c_{number:05d}.nut"
        record = place.with_suffix(".frames")
        if record.exists() and place.exists():
            frames, size = frames + int(record.read_text()), size + place.stat().st_size
            on_progress(chunk.end - begin, size)
            continue
        done_before, size_before = chunk.start - begin, size

        def step(step: Step, done: float = done_before, held: int = size_before) -> None:
            on_progress(done + (step.seconds or 0.0), held + (step.size or 0))

        finished = _encode_one(job, tools, plan, path, place, chunk, chosen, step)
        if finished.frames != chunk.frames:
            job.log(
                f"chunk {number + 1} has {finished.frames} frames, its packets said {chunk.frames}", level="warning"
            )
        record.write_text(str(finished.frames))
        files.sync_file(record)
        os.replace(place.with_suffix(".part"), place)
        files.sync_folder(folder)
        frames, size = frames + finished.frames, size + place.stat().st_size
        on_progress(chunk.end - begin, size)
    return Encoded(frames, size)


def _encode_one(
    job: Job,
    tools: Tools,
    plan: Plan,
    path: Path,
    place: Path,
    chunk: Chunk,
    chosen: Cut,
    on_step: Callable[[Step], None],
) -> Finished:
    assert plan.video is not None
    part = place.with_suffix(".part")
    stream = _stretch(plan.facts, plan.video, path, chunk, chosen.frame)
    options = {**planning.video_options(plan), **planning.timing(tools, "passthrough"), "format": "nut"}
    if chosen.variable:
        # Else times are rounded to the mean rate and frames collide.
        options["enc_time_base"] = "demux" if version(tools.ffmpeg) >= (7, 0) else -1
    if job.settings.media.threads:
        options["threads"] = job.settings.media.threads
    out = output(planning.picture(plan, stream, tools), part, map_metadata=-1, **options)
    finished = transform(job, argv(tools, out, extra=device(plan)), on_step)
    what = f"cannot convert '{display(path.name)}'"
    if finished.status or disk_full_text(finished.errors) or not part.exists() or not finished.frames:
        raise failure(finished, what)
    files.sync_file(part)
    return finished


def device(plan: Plan) -> tuple[str, ...]:
    """Global options of the encoder."""
    return ("-vaapi_device", plan.encoder.vaapi) if plan.encoder and plan.encoder.vaapi else ()


def _stretch(facts: MediaFacts, video: VideoFacts, path: Path, chunk: Chunk, frame: float) -> Any:
    """The frames of a chunk: from half a frame before its first to half a frame before the next chunk's first."""
    begin, end = chunk.start - frame / 2, chunk.end - frame / 2
    seek = begin - facts.start - _PREROLL.get(facts.container, 0.0)
    options = {"ss": f"{seek:.6f}"} if seek > 0 else {}
    if facts.container not in _PREROLL:
        return source(path, t=f"{end - begin + min(0.0, seek):.6f}", **options)[str(video.index)]
    # ffmpeg starts the clock of a transport stream at the first stream in use, or at the seek when that is later.
    origin = max(facts.start + max(0.0, seek), video.start)
    shown = {"end": f"{end - origin:.6f}", **({"start": f"{begin - origin:.6f}"} if begin > origin else {})}
    stream = source(path, t=f"{end - origin + 1:.6f}", **options)[str(video.index)]
    return stream.filter("trim", **shown).filter("setpts", "PTS-STARTPTS")


def joined(folder: Path, chosen: Cut, facts: MediaFacts) -> Any:
    """The finished chunks as one input, at the place in time the video had in the source."""
    listing = folder / "list.txt"
    lines = ["ffconcat version 1.0"]
    for number, chunk in enumerate(chosen.chunks):
        lines += [f"file c_{number:05d}.nut", f"duration {chunk.end - chunk.start:.6f}"]
    listing.write_text("\n".join(lines) + "\n")
    return own_list(listing, itsoffset=f"{max(0.0, chosen.chunks[0].start - facts.start):.6f}")


def load(job: Job, folder: Path, path: Path, plan: Plan) -> Cut | None:
    """The cut of an earlier attempt when source and parameters are still the same, else a new one; None: one shot.

    Raises:
        TaskdeckError: `path.changed` when the source changed since the checkpoint.
    """
    status = path.stat()
    identity = [status.st_size, status.st_mtime_ns]
    record = folder / "cut.json"
    if record.exists():
        kept = msgspec.json.decode(record.read_bytes(), type=Cut)
        if kept.source == identity:
            return kept
        raise TaskdeckError(
            "path.changed", f"cannot go on with '{display(path.name)}'", "it changed meanwhile", "retry from the start"
        )
    if plan.facts.container not in SEEKABLE or plan.video is None:
        return None
    job.progress(0, None, item=path.name, stage="looking for key frames", unit="seconds")
    made = cut(packets(job, tools_of(job), path, stream=plan.video.index), plan.op.chunk, identity)
    if made is None:
        return None
    part = record.with_suffix(".part")
    part.write_bytes(msgspec.json.encode(made))
    files.sync_file(part)
    os.replace(part, record)
    files.sync_folder(folder)
    return made
