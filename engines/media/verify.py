"""An output counts only after it was looked at: ffmpeg ends with status 0 on a full disk and on rotten input."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from engines.errors import TaskdeckError
from engines.media.facts import MediaFacts
from engines.media.ffmpeg import argv, discard, source
from engines.media.probe import packets, probe
from engines.media.runner import Finished, Limits, Runs, Step, transform
from engines.media.structure import State
from engines.media.tools import Tools

_NOISE: Final = re.compile(
    r"^\[null @ |non monotonically increasing dts|Application provided invalid|Timestamps are unset|timescale not set"
    r"|UDTA parsing failed retrying raw|^ *Last message repeated"
)
# "timescale not set" is said of every cover picture in an MP4, "UDTA" by ffmpeg 9 of chapters that ffmpeg wrote.
_DECODE: Final = Limits(stall=300)


class Decoded(msgspec.Struct, frozen=True):
    """What a full decode said: seconds reached, and the complaints of demuxer and decoders."""

    seconds: float
    frames: int
    complaints: tuple[str, ...]


def decode(
    runs: Runs, tools: Tools, path: Path, facts: MediaFacts, on_step: Callable[[Step], None] | None = None
) -> Decoded:
    """Decode every audio and video stream to its end.

    Complaints of the null muxer are left out: it reports 28 "errors" on a clean file of B-frames.
    """
    opened = source(path)
    indexes = [*(video.index for video in facts.video), *(track.index for track in facts.audio)]
    streams = [opened[str(index)] for index in indexes]
    command = argv(tools, discard(streams, fps_mode="passthrough") if streams else discard(opened), verbosity="warning")
    finished = transform(runs, command, on_step, _DECODE)
    complaints = complaints_of(finished.errors, facts)
    if finished.status and not complaints:
        complaints = (f"ffmpeg ended with status {finished.status}",)
    return Decoded(finished.seconds, finished.frames, complaints)


def complaints_of(errors: str, facts: MediaFacts) -> tuple[str, ...]:
    """What ffmpeg complained about, without what it says of healthy files and of the pictures on their covers."""
    codecs = {video.codec for video in facts.video}
    covers = tuple(f"[{codec} @ " for codec in ("mjpeg", "png") if facts.covers and codec not in codecs)
    lines = (line for line in errors.splitlines() if line.strip() and not _NOISE.search(line))
    return tuple(line for line in lines if not line.startswith(covers))


def result(
    runs: Runs,
    tools: Tools,
    part: Path,
    finished: Finished,
    *,
    duration: float | None,
    streams: int,
    frames: int | None = None,
    full: bool = False,
    on_step: Callable[[Step], None] | None = None,
) -> MediaFacts:
    """Facts of an output that is whole.

    Raises:
        TaskdeckError: `media.failed` with what is wrong with it.
    """
    facts = probe(runs, tools, part)
    wrong = _wrong(runs, tools, part, facts, duration=duration, streams=streams, frames=frames)
    if not wrong and full:
        decoded = decode(runs, tools, part, facts, on_step)
        if decoded.complaints:
            wrong = f"it does not decode cleanly ({decoded.complaints[0]})"
    if wrong:
        raise TaskdeckError(
            "media.failed", "the result was thrown away", wrong, "the source is untouched", detail=finished.errors
        )
    return facts


def _wrong(
    runs: Runs,
    tools: Tools,
    part: Path,
    facts: MediaFacts,
    *,
    duration: float | None,
    streams: int,
    frames: int | None,
) -> str:
    if facts.structure.state in (State.TRUNCATED, State.DAMAGED, State.EMPTY):
        return f"it is {facts.structure.state.value}"
    found = len(facts.video) + len(facts.audio) + len(facts.subtitles)
    if found < streams:
        return f"it has {found} of {streams} streams"
    if duration and facts.duration is not None and facts.duration < duration - max(0.5, duration * 0.002):
        return f"it lasts {facts.duration:.2f} s where {duration:.2f} s are needed"
    if frames is not None and facts.main_video is not None:
        held = facts.main_video.frames or len(list(packets(runs, tools, part, stream=facts.main_video.index)))
        if held != frames:
            return f"it has {held} frames where {frames} are needed"
    return ""


def renamed(facts: MediaFacts, name: str) -> MediaFacts:
    """The facts of a staged file under its final name."""
    return msgspec.structs.replace(facts, name=name)
