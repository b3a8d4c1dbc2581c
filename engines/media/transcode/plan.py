"""What goes into the result and how: decided once, from facts, before anything is encoded."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from engines import text
from engines.errors import TaskdeckError
from engines.media import labels
from engines.media.facts import AudioFacts, Hdr, MediaFacts, SubtitleFacts, VideoFacts
from engines.media.pictures import to_sdr
from engines.media.quality import NEED
from engines.media.selection import by_language
from engines.media.tools import Tools, filters, version
from engines.media.transcode.presets import RECIPES, Encoder, Recipe, choose
from engines.operations import Preset, Transcode

_MUXERS: Final = {"mp4": "mp4", "m4a": "ipod", "mkv": "matroska"}
_RESERVE: Final = 0.015
_LEAST_BITS: Final = 24_000
_OVER_A_BASE: Final = frozenset({Hdr.DOLBY_VISION, Hdr.HDR10_PLUS})


class Plan(msgspec.Struct, frozen=True):
    """One file's transcode. `notes` say what a person should know beforehand: what is dropped or converted."""

    op: Transcode
    recipe: Recipe
    facts: MediaFacts
    video: VideoFacts | None
    audio: tuple[AudioFacts, ...]
    subtitles: tuple[SubtitleFacts, ...]
    encoder: Encoder | None
    tone_map: bool
    height: int
    limit: int
    """Bytes the result may have; 0 for no limit."""
    notes: tuple[str, ...] = ()

    @property
    def extension(self) -> str:
        """Of the result's name."""
        return self.recipe.container

    @property
    def muxer(self) -> str:
        """ffmpeg's name of the container."""
        return _MUXERS[self.recipe.container]

    @property
    def deep(self) -> bool:
        """Whether the result has ten bits."""
        return bool(self.video and self.recipe.deep and self.video.bit_depth > 8 and not self.tone_map)


def make(op: Transcode, facts: MediaFacts, tools: Tools) -> Plan:
    """The plan for a file.

    Raises:
        TaskdeckError: `media.unreadable` when there is nothing to convert, `unsupported` without an encoder,
            or for Dolby Vision of profile 5, `value` when a size cannot be reached.
    """
    recipe = RECIPES[op.preset]
    video = facts.main_video if op.preset is not Preset.AUDIO else None
    audio, notes = by_language(facts.audio, op.audio, "audio")
    wanted, more = by_language(facts.subtitles, op.subtitles, "subtitles")
    subtitles = tuple(s for s in wanted if recipe.container == "mkv" or (recipe.container == "mp4" and not s.picture))
    notes += more + _dropped(facts, recipe, video, tuple(s for s in wanted if s not in subtitles))
    if video is None and not audio:
        raise TaskdeckError("media.lacking", f"cannot convert '{facts.name}'", "it has no track for this preset")
    encoder, tone_map = None, False
    if video is not None:
        _refuse_dolby_only(facts, video)
        quality = op.crf if op.crf is not None else recipe.quality
        if recipe.family == "h264" and quality == 0:
            quality = 1
            notes.append("quality 1 is used: 0 is lossless H.264, which hardly anything plays")
        encoder = choose(tools, recipe.family, speed=op.speed, quality=quality, hardware=op.hardware)
        if op.hardware and not encoder.hardware:
            notes.append(f"no hardware encoder works here, {encoder.name} is used")
        tone_map = video.hdr is not Hdr.NONE and (op.sdr or not recipe.deep)
        if tone_map and not {"zscale", "tonemap"} <= filters(tools.ffmpeg):
            raise TaskdeckError("unsupported", "cannot turn HDR into standard range", "this ffmpeg lacks zscale")
        if video.hdr in _OVER_A_BASE and not tone_map:
            base = {"smpte2084": "HDR10", "arib-std-b67": "HLG"}.get(video.color_transfer, "standard range")
            notes.append(f"{video.hdr.value} is left out, the {base} picture below it is kept")
    limit = text.parse_size(op.size) if op.size else recipe.size
    height = min(filter(None, (op.height, recipe.height)), default=0)
    return Plan(op, recipe, facts, video, audio, subtitles, encoder, tone_map, height, limit, tuple(notes))


def _refuse_dolby_only(facts: MediaFacts, video: VideoFacts) -> None:
    if video.dolby_only:
        raise TaskdeckError(
            "unsupported",
            f"cannot convert '{facts.name}'",
            "its Dolby Vision (profile 5) has no picture in ordinary colours, the result would be green and purple",
            "use remux, which keeps it as it is, or the preset audio",
        )


def _dropped(
    facts: MediaFacts, recipe: Recipe, video: VideoFacts | None, subtitles: tuple[SubtitleFacts, ...]
) -> list[str]:
    notes = [f"{labels.subtitle(track)} cannot be stored in {recipe.container} and is left out" for track in subtitles]
    if facts.attachments and recipe.container != "mkv":
        notes.append(f"{text.plural(len(facts.attachments), 'attachment')} left out")
    if video is not None and len(facts.video) > 1:
        notes.append(f"{text.plural(len(facts.video) - 1, 'more video stream')} left out")
    if video is not None and facts.covers:
        notes.append("the cover picture is left out")
    return notes


def timing(tools: Tools, mode: str) -> dict[str, str]:
    """The option that decides which frames are kept (`-vsync` until 5.0, removed in 9)."""
    return {"fps_mode": mode} if version(tools.ffmpeg) >= (5, 1) else {"vsync": mode}


def picture(plan: Plan, stream: Any, tools: Tools) -> Any:
    """The filters between decoder and encoder."""
    video = plan.video
    assert video is not None
    if video.interlaced:
        stream = stream.filter("bwdif" if "bwdif" in filters(tools.ffmpeg) else "yadif", mode="send_frame")
    if plan.tone_map:
        stream = to_sdr(stream, tools)
    width, height = target_size(plan)
    if (width, height) != (video.width, video.height) or video.pixel_aspect != "1:1":
        stream = stream.filter("scale", width, height, flags="lanczos").filter("setsar", 1)
    assert plan.encoder is not None
    if plan.encoder.vaapi:
        return stream.filter("format", "nv12").filter("hwupload")
    return stream.filter("format", "yuv420p10le" if plan.deep else "yuv420p")


def target_size(plan: Plan) -> tuple[int, int]:
    """Width and height of the result: square pixels, even, never enlarged."""
    assert plan.video is not None
    across, down = plan.video.width, plan.video.height
    scale = min(1.0, plan.height / min(across, down)) if plan.height else 1.0
    # The limit is on the short side, so that a portrait film keeps its class.
    return max(2, round(across * scale / 2) * 2), max(2, round(down * scale / 2) * 2)


def video_options(plan: Plan, *, bits: int | None = None, number: int = 0) -> dict[str, Any]:
    """Encoder options; `bits` a second replace the constant quality, `number` is the pass (0: only one)."""
    encoder, video = plan.encoder, plan.video
    assert encoder is not None
    assert video is not None
    options: dict[str, Any] = {"c:v": encoder.name, **encoder.options}
    if bits is not None:
        options.pop("crf", None)
        options |= {"b:v": bits}
        if number:
            options |= _pass_options(encoder.name, number)
    if encoder.name == "libx265":
        options["x265-params"] = ":".join(["log-level=error", *_x265(plan), *_pass_x265(number)])
        options["tag:v"] = "hvc1" if plan.recipe.container == "mp4" else None
    if encoder.name == "libsvtav1" and (light := _svtav1(plan)):
        options["svtav1-params"] = light
    if encoder.name == "libx264" and not plan.recipe.deep:
        options["profile:v"] = "high"
    if plan.op.preset in (Preset.WEB, Preset.TELEGRAM) and bits is None:
        options["maxrate"], options["bufsize"] = "8M", "16M"
    if video.hdr is not Hdr.NONE and not plan.tone_map:
        options |= {
            "color_primaries": video.color_primaries or None,
            "color_trc": video.color_transfer or None,
            "colorspace": video.color_space or None,
        }
    return options


def _pass_options(name: str, number: int) -> dict[str, Any]:
    return {"pass": number, "passlogfile": "pass"} if name == "libx264" else {}


def _pass_x265(number: int) -> list[str]:
    return [f"pass={number}", "stats=x265.log"] if number else []


def _x265(plan: Plan) -> list[str]:
    video = plan.video
    if video is None or plan.tone_map or video.hdr in (Hdr.NONE, Hdr.HLG):
        return []
    extra = ["hdr10=1", "repeat-headers=1"]
    extra += [f"master-display={video.mastering}"] if video.mastering else []
    return extra + ([f"max-cll={video.max_cll}"] if video.max_cll else [])


def _svtav1(plan: Plan) -> str:
    """Mastering display and light level in SVT-AV1's words: chromaticity from 0 to 1, luminance in nits."""
    video = plan.video
    if video is None or plan.tone_map or not plan.deep:
        return ""

    def scaled(found: re.Match[str]) -> str:
        unit = 10_000 if found[1] == "L" else 50_000
        return f"{found[1]}({int(found[2]) / unit:.5f},{int(found[3]) / unit:.5f})"

    shown = re.sub(r"([A-Z]+)\((\d+),(\d+)\)", scaled, video.mastering)
    parts = [f"mastering-display={shown}"] if shown else []
    return ":".join([*parts, *([f"content-light={video.max_cll}"] if video.max_cll else [])])


def audio_options(plan: Plan) -> tuple[dict[str, Any], bool]:
    """Options for the audio tracks in order, and whether any is encoded."""
    options: dict[str, Any] = {}
    encoded = False
    for number, track in enumerate(plan.audio):
        channels = min(track.channels or 2, 2 if plan.recipe.stereo else 8)
        if track.codec in plan.recipe.keeps and channels == (track.channels or 2):
            options[f"c:a:{number}"] = "copy"
            continue
        encoded = True
        options |= {f"c:a:{number}": plan.recipe.audio, f"b:a:{number}": plan.recipe.kbps * 1000 * channels}
        options[f"ac:a:{number}"] = channels
        if plan.recipe.audio == "libopus" and channels > 2:
            options["mapping_family:a"] = 1
    return options, encoded


def audio_bits(plan: Plan) -> int:
    """Bits a second of all audio tracks together, kept ones at their own rate."""
    total = 0
    for track in plan.audio:
        channels = min(track.channels or 2, 2 if plan.recipe.stereo else 8)
        kept = track.codec in plan.recipe.keeps and channels == track.channels and track.bit_rate
        total += track.bit_rate.value if kept and track.bit_rate else plan.recipe.kbps * 1000 * channels
    return total


def video_bits(plan: Plan) -> int:
    """Bits a second of video that fit the limit, with a reserve, and no more than the source is worth in the new codec.

    Raises:
        TaskdeckError: `value` when nothing watchable fits, `media.unreadable` for an unknown duration.
    """
    facts = plan.facts
    if not facts.duration:
        raise TaskdeckError("media.unreadable", f"cannot fit '{facts.name}' into a size", "its duration is unknown")
    bits = int(plan.limit * 8 * (1 - _RESERVE) / facts.duration - audio_bits(plan)) - 4_000
    if bits < _LEAST_BITS:
        need = (audio_bits(plan) + _LEAST_BITS) * facts.duration / 8
        raise TaskdeckError(
            "value",
            f"cannot fit '{facts.name}' into {text.size(plan.limit)}",
            "too few bits are left for the picture",
            f"allow at least {text.size(need * 1.05)}",
        )
    if plan.op.size is None and plan.video and plan.video.bit_rate:
        need = NEED[plan.recipe.family] / NEED.get(plan.video.codec, 1.0)
        return max(_LEAST_BITS, min(bits, int(plan.video.bit_rate.value * need)))
    return bits


def subtitle_options(plan: Plan) -> dict[str, Any]:
    """Copy, or convert to what the container holds."""
    found: dict[str, Any] = {}
    for number, track in enumerate(plan.subtitles):
        if plan.recipe.container == "mp4":
            found[f"c:s:{number}"] = "mov_text"
        else:
            found[f"c:s:{number}"] = "srt" if track.codec == "mov_text" else "copy"
    return found


def container_options(plan: Plan) -> dict[str, Any]:
    """The muxer and what makes its files start at once."""
    fast = plan.recipe.container in ("mp4", "m4a")
    return {"format": plan.muxer, "movflags": "+faststart" if fast else None, "max_muxing_queue_size": 4096}
