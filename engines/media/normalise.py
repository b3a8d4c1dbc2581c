"""From what ffprobe says to facts a person can trust. Each rule was earned on a file that fooled a naive reading.

The input is ffprobe's JSON, or the same shape made by the PyAV worker.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

from engines.media import rates
from engines.media.facts import (
    Attachment,
    AudioFacts,
    BitRate,
    Chapter,
    Hdr,
    Kind,
    MediaFacts,
    SubtitleFacts,
    VideoFacts,
)
from engines.media.structure import State, Structure
from engines.names import display

Raw = dict[str, Any]

_FASTEST: Final = 240.0
_RATES: Final = tuple(Fraction(n, d) for n, d in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1)))
_RAW_VIDEO: Final = frozenset({"h264", "hevc", "m4v", "mpegvideo", "vc1", "obu", "vvc"})
_STYLED: Final = frozenset({"ass", "ssa"})
_PICTURES: Final = frozenset({"hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "xsub"})
_BRANDS: Final = {"qt": "mov", "m4a": "m4a", "m4b": "m4b", "m4v": "m4v", "f4v": "f4v"}
_HIDDEN_TAGS: Final = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id", "handler_name", "rotate"}
)
_SAME_TAG: Final = {"year": "date", "wm/year": "date", "wm/albumtitle": "album", "author": "artist"}


def number(value: object) -> float | None:
    """A positive finite number, else None."""
    try:
        found = float(str(value))
    except ValueError:
        return None
    return found if found > 0 and math.isfinite(found) else None


def ratio(text: object) -> Fraction | None:
    """A positive fraction from "30000/1001" or "16:9", else None."""
    try:
        found = Fraction(str(text).replace(":", "/"))
    except (ValueError, ZeroDivisionError):
        return None
    return found if found > 0 else None


def _tags(node: Raw) -> dict[str, str]:
    return {str(key).lower(): str(value) for key, value in (node.get("tags") or {}).items()}


def _clock(text: str) -> float | None:
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _flag(stream: Raw, name: str) -> bool:
    return bool((stream.get("disposition") or {}).get(name))


def normalise(raw: Raw, *, name: str, size: int, structure: Structure) -> MediaFacts:
    """The facts about a file from ffprobe's JSON (`-show_format -show_streams -show_chapters`)."""
    form: Raw = raw.get("format") or {}
    streams: Sequence[Raw] = raw.get("streams") or []
    formats = set(str(form.get("format_name", "")).split(","))
    covers = [s for s in streams if s.get("codec_type") == "video" and _flag(s, "attached_pic")]
    of_type = {
        kind: [s for s in streams if s.get("codec_type") == kind and s not in covers]
        for kind in ("video", "audio", "subtitle", "attachment")
    }
    kind = _kind(formats, of_type)
    duration = None if kind is Kind.IMAGE and "gif" not in formats else _duration(form, streams)
    whole = rates.declared_size(size, structure)
    audio = [
        _audio(s, whole, duration, alone=kind is Kind.AUDIO and len(of_type["audio"]) == 1) for s in of_type["audio"]
    ]
    tags = _tags(form)
    if "ogg" in formats and of_type["audio"]:
        tags = {**_tags(of_type["audio"][0]), **tags}  # Ogg keeps its tags in the stream
    tags = {_SAME_TAG.get(name, name): value for name, value in tags.items()}
    known = sum(len(group) for group in of_type.values()) + len(covers)
    return MediaFacts(
        name=display(name),
        kind=kind,
        container=_container(formats, tags, structure),
        size=size,
        duration=duration,
        start=_start(form),
        bit_rate=BitRate(round(whole * 8 / duration), structure.state is State.TRUNCATED) if duration else None,
        video=[_video(s, formats, _video_rate(s, audio, whole, duration, kind)) for s in of_type["video"]],
        audio=audio,
        subtitles=[_subtitle(s) for s in of_type["subtitle"]],
        chapters=[_chapter(c) for c in raw.get("chapters") or []],
        attachments=[_attachment(s) for s in of_type["attachment"]],
        covers=len(covers),
        cover_index=int(covers[0].get("index", 0)) if covers else None,
        other_streams=len(streams) - known,
        tags={display(k, limit=64): display(v, limit=500) for k, v in tags.items() if k not in _HIDDEN_TAGS},
        structure=structure,
    )


def _start(node: Raw) -> float:
    try:
        found = float(node.get("start_time") or 0)
    except (TypeError, ValueError):
        return 0.0
    return found if math.isfinite(found) else 0.0


def _kind(formats: set[str], of_type: dict[str, list[Raw]]) -> Kind:
    picture = any(name.endswith("_pipe") for name in formats) or bool(formats & {"gif", "image2", "webp", "apng"})
    if of_type["video"]:
        return Kind.IMAGE if picture and not of_type["audio"] else Kind.VIDEO
    if of_type["audio"]:
        return Kind.AUDIO
    return Kind.SUBTITLE if of_type["subtitle"] else Kind.NONE


def _container(formats: set[str], tags: dict[str, str], structure: Structure) -> str:
    if "mp4" in formats:
        brand = tags.get("major_brand", "").strip().lower()
        return "3gp" if brand.startswith("3g") else _BRANDS.get(brand, "mp4")
    if "matroska" in formats:
        return structure.container or "matroska"
    word = min(formats, default="")
    if word == "ogg":
        return "ogg"
    return word.removesuffix("_pipe") or "unknown"


def _duration(form: Raw, streams: Sequence[Raw]) -> float | None:
    whole = number(form.get("duration"))
    if whole is not None:
        return whole
    each = [number(s.get("duration")) or _clock(_tags(s).get("duration", "")) or 0.0 for s in streams]
    return max(each, default=0.0) or None


def frame_rate(stream: Raw, formats: set[str]) -> tuple[float | None, float | None]:
    """Frames per second, and the peak when the rate varies.

    `avg_frame_rate` is 600 for an AVI made from B-frames, `r_frame_rate` 90000 for a cover picture and the field
    rate of interlaced video: rates outside 1-240 are dropped, a factor of two is not a varying rate.
    """
    peak, mean = (_plausible(stream.get(key)) for key in ("r_frame_rate", "avg_frame_rate"))
    if formats & _RAW_VIDEO and peak and mean == 25 and peak != 25:
        # A raw stream has no clock of its own: FFmpeg since 7 reports the tick rate, twice the picture rate.
        return (peak / 2 if peak > 31 else peak), None
    if peak and mean:
        doubled = abs(mean * 2 - peak) / peak < 0.02
        if not doubled and abs(mean - peak) / peak > 0.02 and mean < peak:
            return mean, peak
        return _snap(mean if doubled else peak), None
    single = peak or mean
    return (_snap(single) if single else None), None


def _plausible(value: object) -> float | None:
    found = ratio(value)
    return float(found) if found and 1 <= found <= _FASTEST else None


def _snap(value: float) -> float:
    """The well-known rate within 0.05 % (23.976 and 24 differ by 0.1 %), else the value itself."""
    return next((float(rate) for rate in _RATES if abs(value - rate) / rate < 0.0005), value)


def _rotation(stream: Raw) -> int:
    for data in stream.get("side_data_list") or []:
        if "rotation" in data:
            turned = number(abs(float(data["rotation"]))) or 0.0
            clockwise = -turned if float(data["rotation"]) > 0 else turned
            return round(clockwise / 90) * 90 % 360
    try:
        return int(_tags(stream).get("rotate", "0")) % 360
    except ValueError:
        return 0


def _shown(width: int, height: int, pixel: Fraction, rotation: int) -> tuple[int, int]:
    shown = (round(width * pixel), height) if pixel >= 1 else (width, round(height / pixel))
    return (shown[1], shown[0]) if rotation in (90, 270) else shown


def _aspect(stream: Raw, shown: tuple[int, int], rotation: int) -> str:
    stated = ratio(stream.get("display_aspect_ratio"))
    if not all(shown):
        return ""
    value = stated or Fraction(*shown)
    if stated and rotation in (90, 270):
        value = 1 / stated
    common = min(
        (Fraction(16, 9), Fraction(4, 3), Fraction(9, 16), Fraction(3, 4), Fraction(1), Fraction(21, 9)),
        key=lambda known: abs(value - known),
    )
    if abs(value - common) / common < 0.004:
        value = common
    if value.numerator <= 32 and value.denominator <= 32:
        return f"{value.numerator}:{value.denominator}"
    return f"{float(value):.2f}:1"


def _depth(stream: Raw) -> int:
    found = re.search(r"p0?(9|10|12|14|16)(?:le|be)?$", str(stream.get("pix_fmt", "")))
    if found:
        return int(found[1])
    bits = number(stream.get("bits_per_raw_sample"))
    return int(bits) if bits and stream.get("pix_fmt", "").startswith("gray") else 8


def _level(stream: Raw) -> str:
    level, codec = number(stream.get("level")), stream.get("codec_name")
    if not level or codec not in ("h264", "hevc"):
        return ""
    return f"{level / (10 if codec == 'h264' else 30):.1f}"


def _text(value: object) -> str:
    word = display(str(value or ""), limit=64)
    return "" if word in ("unknown", "N/A", "reserved") else word


def _video(stream: Raw, formats: set[str], rate: BitRate | None) -> VideoFacts:
    coded = int(stream.get("width") or 0), int(stream.get("height") or 0)
    pixel, rotation = ratio(stream.get("sample_aspect_ratio")) or Fraction(1), _rotation(stream)
    shown = _shown(*coded, pixel, rotation)
    fps, peak = frame_rate(stream, formats)
    order = _text(stream.get("field_order"))
    picture = any(name.endswith("_pipe") for name in formats)
    hdr, mastering, light = dynamic_range(stream)
    frames = number(stream.get("nb_frames"))
    return VideoFacts(
        index=int(stream.get("index", 0)),
        codec=_text(stream.get("codec_name")),
        profile=_text(stream.get("profile")),
        level=_level(stream),
        width=shown[0],
        height=shown[1],
        coded_width=coded[0],
        coded_height=coded[1],
        pixel_aspect=f"{pixel.numerator}:{pixel.denominator}",
        aspect=_aspect(stream, shown, rotation),
        rotation=rotation,
        fps=None if picture else fps,
        fps_peak=None if picture else peak,
        interlaced=order not in ("", "progressive"),
        field_order=order,
        bit_depth=_depth(stream),
        pixel_format=_text(stream.get("pix_fmt")),
        color_space=_text(stream.get("color_space")),
        color_transfer=_text(stream.get("color_transfer")),
        color_primaries=_text(stream.get("color_primaries")),
        color_range=_text(stream.get("color_range")),
        hdr=hdr,
        dolby_only=dolby_only(stream),
        mastering=mastering,
        max_cll=light,
        bit_rate=rate,
        frames=int(frames) if frames else None,
        start=_start(stream),
        language=_language(stream),
        title=_title(stream),
        default=_flag(stream, "default"),
    )


def dynamic_range(stream: Raw, frame: Raw | None = None) -> tuple[Hdr, str, str]:
    """HDR flavour, mastering display and content light level, from a stream and its first frame.

    Mastering data is in the frames of many files and not in their headers.
    """
    data = [*(stream.get("side_data_list") or []), *((frame or {}).get("side_data_list") or [])]
    by_type = {str(entry.get("side_data_type", "")): entry for entry in data}
    mastering = next((_mastering(e) for kind, e in by_type.items() if kind.startswith("Mastering display")), "")
    light = next((_light(e) for kind, e in by_type.items() if kind.startswith("Content light level")), "")
    transfer = stream.get("color_transfer") or (frame or {}).get("color_transfer")
    if any(kind.startswith(("DOVI", "Dolby Vision")) for kind in by_type):
        return Hdr.DOLBY_VISION, mastering, light
    if transfer == "smpte2084":
        if any("2094-40" in kind or "HDR10+" in kind for kind in by_type):
            return Hdr.HDR10_PLUS, mastering, light
        return (Hdr.HDR10 if mastering or light else Hdr.PQ), mastering, light
    return (Hdr.HLG if transfer == "arib-std-b67" else Hdr.NONE), mastering, light


def dolby_only(stream: Raw, frame: Raw | None = None) -> bool:
    """Whether Dolby Vision has no base layer in ordinary colours (ETSI TS 103 572: compatibility 0, profile 5).

    A stream without the container's record is judged by its own: such streams leave the transfer function open.
    """
    record = next((e for e in stream.get("side_data_list") or [] if "dv_bl_signal_compatibility_id" in e), None)
    if record is not None:
        return int(record["dv_bl_signal_compatibility_id"]) == 0
    transfer = stream.get("color_transfer") or (frame or {}).get("color_transfer")
    return transfer in (None, "", "unknown", "reserved") and dynamic_range(stream, frame)[0] is Hdr.DOLBY_VISION


def _mastering(data: Raw) -> str:
    """The mastering display in x265's units: chromaticity in 1/50000, luminance in 1/10000 nit."""

    def pair(color: str) -> str:
        x, y = (round((ratio(data.get(f"{color}_{axis}")) or Fraction(0)) * 50000) for axis in "xy")
        return f"({x},{y})"

    top, bottom = (round((ratio(data.get(f"{which}_luminance")) or Fraction(0)) * 10000) for which in ("max", "min"))
    if not top:
        return ""
    return f"G{pair('green')}B{pair('blue')}R{pair('red')}WP{pair('white_point')}L({top},{bottom})"


def _light(data: Raw) -> str:
    top, average = number(data.get("max_content")), number(data.get("max_average"))
    return f"{int(top)},{int(average or 0)}" if top else ""


def _own_rate(stream: Raw) -> int | None:
    tags = _tags(stream)
    found = number(stream.get("bit_rate")) or number(tags.get("bps")) or number(tags.get("bps-eng"))
    return int(found) if found else None


def _video_rate(
    stream: Raw, audio: list[AudioFacts], size: float, duration: float | None, kind: Kind
) -> BitRate | None:
    """The stream's own rate, mkvmerge's BPS tag, or what is left of the file's rate after the audio."""
    own = _own_rate(stream)
    if kind is Kind.IMAGE:
        return None
    return BitRate(own) if own else rates.remainder(size, duration, audio)


def _audio(stream: Raw, size: float, duration: float | None, *, alone: bool) -> AudioFacts:
    own = _own_rate(stream)
    rate = BitRate(own) if own else None
    if rate is None and alone and duration:
        rate = BitRate(round(size * 8 / duration), approximate=True)
    channels = int(stream.get("channels") or 0)
    return AudioFacts(
        index=int(stream.get("index", 0)),
        codec=_text(stream.get("codec_name")),
        profile=_text(stream.get("profile")),
        channels=channels,
        layout=_layout(stream, channels),
        sample_rate=int(number(stream.get("sample_rate")) or 0),
        bit_rate=rate,
        language=_language(stream),
        title=_title(stream),
        default=_flag(stream, "default"),
    )


def _layout(stream: Raw, channels: int) -> str:
    stated = _text(stream.get("channel_layout"))
    if stated and not stated.endswith("channels"):
        return stated
    return {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}.get(channels, "")


def _subtitle(stream: Raw) -> SubtitleFacts:
    codec = _text(stream.get("codec_name"))
    return SubtitleFacts(
        index=int(stream.get("index", 0)),
        codec=codec,
        language=_language(stream),
        title=_title(stream),
        default=_flag(stream, "default"),
        forced=_flag(stream, "forced"),
        hearing_impaired=_flag(stream, "hearing_impaired"),
        styled=codec in _STYLED,
        picture=codec in _PICTURES,
    )


def _language(stream: Raw) -> str:
    word = display(_tags(stream).get("language", ""), limit=20).strip()
    return "" if word.lower() in ("und", "unk") else word


def _title(stream: Raw) -> str:
    return display(_tags(stream).get("title", ""), limit=200)


def _chapter(node: Raw) -> Chapter:
    start, end = (float(node.get(key) or 0) for key in ("start_time", "end_time"))
    return Chapter(start, end, display(_tags(node).get("title", ""), limit=200))


def _attachment(stream: Raw) -> Attachment:
    tags = _tags(stream)
    return Attachment(display(tags.get("filename", ""), limit=255), display(tags.get("mimetype", ""), limit=100))
