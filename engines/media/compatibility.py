"""The operation `compat`: where a file plays without conversion, with reasons, and what streaming it needs.

Sources: MDN's media codec and container guides, Telegram's sendVideo rules, the HLS authoring guide, the DLNA and
device documents of TV makers. A target lists what surely works; "no" means "do not count on it".
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from engines import text
from engines.errors import TaskdeckError
from engines.job import Job
from engines.media import batch, labels
from engines.media.facts import Hdr, MediaFacts
from engines.media.place import tools_of
from engines.media.probe import packets, probe
from engines.media.rates import Packet
from engines.media.remux import HOLDS
from engines.model import Json
from engines.names import display
from engines.operations import Compat, Container
from engines.reply import Line, Reply

_HEADROOM: Final = 1.2
_WINDOW: Final = 10.0


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What plays on a kind of device. Sides in pixels, level as in H.264, bytes for the largest file."""

    name: str
    label: str
    containers: frozenset[str]
    video: frozenset[str]
    audio: frozenset[str]
    long_side: int = 3840
    level: float = 5.1
    bits: int = 8
    hdr: bool = False
    dolby: bool = False
    """Dolby Vision without a picture in ordinary colours (profile 5)."""
    fps: float = 60.0
    channels: int = 6
    most: int = 0
    advice: str = "transcode FILE h264"


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split(" "))


TARGETS: Final = (
    Target(
        name="browser",
        label="Any web browser",
        containers=_set("mp4 m4v m4a mp3 webm wav flac ogg"),
        video=_set("h264 vp8 vp9 av1"),
        audio=_set("aac mp3 opus vorbis flac pcm_s16le"),
        level=5.2,
        advice="transcode FILE web",
    ),
    Target(
        name="telegram",
        label="Telegram, played inline",
        containers=_set("mp4 m4v mov"),
        video=_set("h264"),
        audio=_set("aac mp3"),
        level=5.1,
        most=2_000 << 20,
        advice="transcode FILE telegram",
    ),
    Target(
        name="iphone",
        label="iPhone and iPad",
        containers=_set("mp4 m4v mov m4a mp3 wav flac"),
        video=_set("h264 hevc"),
        audio=_set("aac mp3 ac3 eac3 alac flac pcm_s16le"),
        bits=10,
        hdr=True,
        dolby=True,
    ),
    Target(
        name="tv",
        label="Full HD television (USB or DLNA)",
        containers=_set("mp4 m4v matroska mpegts avi"),
        video=_set("h264 mpeg4 mpeg2video"),
        audio=_set("aac mp3 ac3 mp2"),
        long_side=1920,
        level=4.1,
    ),
    Target(
        name="tv4k",
        label="4K HDR television",
        containers=_set("mp4 m4v matroska webm mpegts"),
        video=_set("h264 hevc vp9 av1 mpeg2video"),
        audio=_set("aac mp3 ac3 eac3 opus"),
        bits=10,
        hdr=True,
        channels=8,
        advice="transcode FILE hevc",
    ),
    Target(
        name="chromecast",
        label="Chromecast (Full HD)",
        containers=_set("mp4 m4v webm mp3 m4a ogg wav"),
        video=_set("h264 vp8"),
        audio=_set("aac mp3 opus vorbis flac pcm_s16le"),
        long_side=1920,
        level=4.2,
        channels=2,
    ),
)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a file plays on a target, and each reason why not."""

    target: str
    label: str
    plays: bool
    reasons: tuple[str, ...] = ()
    advice: str = ""


class CompatResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Verdicts and bandwidth in bits per second: mean, the highest ten seconds, and what a line should have."""

    source: str
    verdicts: list[Verdict]
    mean: int = 0
    peak: int = 0
    needed: int = 0


def target_of(name: str | None) -> tuple[Target, ...]:
    """The named target, or all.

    Raises:
        TaskdeckError: `value`.
    """
    if name is None:
        return TARGETS
    found = tuple(target for target in TARGETS if target.name == name.strip().lower())
    if not found:
        known = ", ".join(target.name for target in TARGETS)
        raise TaskdeckError("value", f"cannot check for '{display(name)}'", "", f"known targets are {known}")
    return found


def judge(facts: MediaFacts, target: Target) -> Verdict:
    """Whether a file plays, by what every device of the kind can do."""
    wrong = []
    container = facts.container not in target.containers
    if container:
        wrong.append(f"the container {facts.container} is not played")
    video = facts.main_video
    if video is not None:
        if video.codec not in target.video:
            wrong.append(f"{labels.codec(video.codec)} video is not played")
        if max(video.width, video.height) > target.long_side:
            wrong.append(f"{video.width}x{video.height} is larger than {target.long_side} pixels")
        if video.bit_depth > target.bits:
            wrong.append(f"{video.bit_depth} bits a sample are too many")
        if video.dolby_only and not target.dolby:
            wrong.append("Dolby Vision without HDR10 shows false colours")
        elif video.hdr is not Hdr.NONE and not target.hdr:
            wrong.append(f"{video.hdr.value} looks washed out")
        if video.codec == "h264" and video.level and float(video.level) > target.level:
            wrong.append(f"H.264 level {video.level} is above {target.level}")
        if "4:2:2" in video.profile or "4:4:4" in video.profile or "444" in video.pixel_format:
            wrong.append(f"the {video.profile} profile is not decoded by hardware")
        if video.fps and video.fps > target.fps + 0.5:
            wrong.append(f"{video.fps:.0f} frames a second are too many")
        if video.interlaced and target.name in ("browser", "telegram", "chromecast"):
            wrong.append("interlaced pictures show combs")
    audio = facts.main_audio
    if audio is not None:
        if audio.codec not in target.audio:
            wrong.append(f"{labels.codec(audio.codec)} sound is not played")
        if audio.channels > target.channels:
            wrong.append(f"{audio.channels} channels are too many")
    if target.most and facts.size > target.most:
        wrong.append(f"{text.size(facts.size)} is above {text.size(target.most)}")
    # Streams that are played need no encoding when another container holds them.
    movable = container and len(wrong) == 1 and video is not None and _fit_mp4(facts)
    advice = "remux FILE mp4" if movable else target.advice
    if video is not None and video.dolby_only:
        advice = ""  # nothing here knows its colours
    return Verdict(
        target=target.name,
        label=target.label,
        plays=not wrong,
        reasons=tuple(wrong),
        advice=advice if wrong else "",
    )


def _fit_mp4(facts: MediaFacts) -> bool:
    holds = HOLDS[Container.MP4]
    video = all(stream.codec in (holds.video or ()) for stream in facts.video)
    return video and all(track.codec in (holds.audio or ()) for track in facts.audio)


def peak_rate(rows: list[Packet], window: float = _WINDOW) -> int:
    """The most bits a second that any stretch of `window` seconds has; 0 without times."""
    sums: dict[int, int] = {}
    for row in rows:
        if row.pts is not None:
            sums[int(row.pts)] = sums.get(int(row.pts), 0) + row.size
    if not sums:
        return 0
    first, last = min(sums), max(sums) + 1
    span = min(int(window), last - first)
    held = sum(sums.get(second, 0) for second in range(first, first + span))
    best = held
    for second in range(first + span, last):
        held += sums.get(second, 0) - sums.get(second - span, 0)
        best = max(best, held)
    return round(best * 8 / span)


def run(op: Compat, job: Job) -> CompatResult | batch.FolderResult:
    """Check targets and measure the bandwidth from the packets."""
    if not os.path.isdir(op.path):
        return _one(op, job)
    # A table to look at: a file that cannot be read is a row of it, as in `mediainfo`.
    return batch.FolderResult(folder=display(op.path), files=batch.each(op, job, _one))


def _one(op: Compat, job: Job) -> CompatResult:
    tools, path = tools_of(job), Path(op.path)
    facts = probe(job, tools, path, timeout=job.settings.media.probe_timeout)
    job.progress(0, None, item=facts.name, stage="reading packets", unit="seconds")
    verdicts = [judge(facts, target) for target in target_of(op.target)]
    mean = facts.bit_rate.value if facts.bit_rate else 0
    peak = max(peak_rate(list(packets(job, tools, path))), mean) if facts.duration else 0
    return CompatResult(
        source=facts.name, verdicts=verdicts, mean=mean, peak=peak, needed=round(max(mean, peak) * _HEADROOM)
    )


def reply(op: Compat, result: Json) -> Reply:
    """A line a target, reasons below."""
    if "folder" in result:
        return batch.reply("Where they play", result, _in_short)
    found = msgspec.convert(result, CompatResult)
    lines = [Line("File", found.source, icon="file"), Line("")]
    for verdict in found.verdicts:
        word = "plays" if verdict.plays else "does not play"
        lines.append(Line(verdict.label, word, icon="done" if verdict.plays else "failed"))
        lines += [Line(reason, indent=2, bullet=True) for reason in verdict.reasons]
        if verdict.advice:
            lines.append(Line(f"try: {verdict.advice}", indent=2))
    if found.mean:
        lines += [
            Line(""),
            Line("Bandwidth", f"{text.bit_rate(found.mean)} on average", icon="signal"),
            Line("Busiest 10 s", text.bit_rate(found.peak), icon="signal"),
            Line("Line needed", text.bit_rate(found.needed), icon="signal"),
        ]
    return Reply("Compatibility", lines, icon="info")


def _in_short(row: Json) -> str:
    found = msgspec.convert(row, CompatResult)
    return ", ".join(verdict.label for verdict in found.verdicts if verdict.plays) or "nowhere as it is"
