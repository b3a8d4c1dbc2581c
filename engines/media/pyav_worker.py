"""Reads media facts with PyAV in a process of its own: a crash on a hostile file ends this process alone.

Run as `python -m engines.media.pyav_worker`; requests are JSON lines on standard input, answers JSON lines on
standard output in the shape of ffprobe's JSON, so that one normaliser serves both. An open costs about 5 ms of
CPU where a start of ffprobe costs 70.
"""

from __future__ import annotations

import json
import math
import os
import struct
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer

_DEEP_FORMATS = ("10le", "10be", "12le", "12be")
# HDR needs more than 8 bits; only then the first frame is decoded for what the header does not carry.


def main() -> None:
    """Answer requests until standard input ends."""
    av.logging.set_level(None)
    for line in sys.stdin:
        request = json.loads(line)
        path = os.fsdecode(bytes.fromhex(request["path"]))
        options = {str(k): str(v) for k, v in request["options"].items()}
        try:
            with av.open("file:" + path, options=options, format=request.get("format")) as container:
                if request["want"] == "packets":
                    for row in _packets(container, request.get("stream"), request.get("span")):
                        _say(row)
                    answer: dict[str, Any] = {"end": True}
                else:
                    answer = _facts(container, request["size"])
        except (av.FFmpegError, OSError, ValueError) as error:
            answer = {"error": {"string": str(error).partition(": 'file:")[0][:500]}}
        _say(answer)


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _facts(container: InputContainer, size: int) -> dict[str, Any]:
    streams = [_stream(container, stream) for stream in container.streams]
    duration = container.duration
    return {
        "format": {
            "format_name": container.format.name,
            "duration": duration / 1e6 if duration else None,
            "start_time": (container.start_time or 0) / 1e6,
            "size": size,
            "tags": dict(container.metadata),
        },
        "streams": streams,
        "chapters": [_chapter(chapter) for chapter in container.chapters()],
    }


def _chapter(chapter: Any) -> dict[str, Any]:
    base = chapter["time_base"]
    return {
        "start_time": float(chapter["start"] * base),
        "end_time": float(chapter["end"] * base),
        "tags": dict(chapter["metadata"]),
    }


def _fraction(value: Fraction | None) -> str | None:
    return f"{value.numerator}/{value.denominator}" if value else None


def _stream(container: InputContainer, stream: Any) -> dict[str, Any]:
    base = stream.time_base
    common: dict[str, Any] = {
        "index": stream.index,
        "codec_type": stream.type if stream.type in ("video", "audio", "subtitle", "attachment") else None,
        "tags": dict(stream.metadata),
        "disposition": {flag.name: 1 for flag in type(stream.disposition) if flag in stream.disposition},
        "start_time": float(stream.start_time * base) if stream.start_time is not None and base else None,
        "duration": float(stream.duration * base) if stream.duration and base else None,
        "nb_frames": stream.frames or None,
    }
    if stream.type == "attachment":
        common["tags"] |= {"filename": stream.name or "", "mimetype": stream.mimetype or ""}
        return common
    context = getattr(stream, "codec_context", None)
    if context is None:
        return common
    common |= {
        "codec_name": str(context.codec.canonical_name),
        "profile": stream.profile,
        "level": getattr(context, "level", None),
    }
    if stream.type == "video":
        common |= _video(container, stream, context)
    elif stream.type == "audio":
        common |= {
            "bit_rate": context.bit_rate,
            "channels": context.layout.nb_channels,
            "channel_layout": context.layout.name,
            "sample_rate": context.sample_rate,
        }
    return common


def _video(container: InputContainer, stream: Any, context: Any) -> dict[str, Any]:
    pixel = stream.sample_aspect_ratio or context.sample_aspect_ratio
    found: dict[str, Any] = {
        "width": context.width,
        "height": context.height,
        "pix_fmt": context.pix_fmt,
        "bit_rate": context.bit_rate,
        "sample_aspect_ratio": _fraction(pixel),
        "display_aspect_ratio": _fraction(stream.display_aspect_ratio),
        "r_frame_rate": _fraction(stream.base_rate),
        "avg_frame_rate": _fraction(stream.average_rate),
        **_color(context),
    }
    order = _ORDERS.get(int(context.field_order or 0))
    if order:
        found["field_order"] = order
    if context.width and (context.pix_fmt or "").endswith(_DEEP_FORMATS):
        found |= _first_frame(container, stream)
    return found


_ORDERS = {1: "progressive", 2: "tt", 3: "bb", 4: "tb", 5: "bt"}
_SPACES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc", 10: "bt2020c", 14: "ictcp"}
_TRANSFERS = {1: "bt709", 6: "smpte170m", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 18: "arib-std-b67"}
_PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020", 11: "smpte431", 12: "smpte432"}
_RANGES = {1: "tv", 2: "pc"}


def _color(source: Any) -> dict[str, Any]:
    """Names of ITU-T H.273 code points as ffprobe writes them."""
    found = {
        "color_space": _SPACES.get(int(source.colorspace or 0)),
        "color_transfer": _TRANSFERS.get(int(source.color_trc or 0)),
        "color_primaries": _PRIMARIES.get(int(source.color_primaries or 0)),
        "color_range": _RANGES.get(int(source.color_range or 0)),
    }
    return {name: value for name, value in found.items() if value}


def _first_frame(container: InputContainer, stream: Any) -> dict[str, Any]:
    """What only a decoded frame tells: transfer function, mastering display, light level."""
    try:
        frame = next(container.decode(stream), None)
    except av.FFmpegError:
        return {}
    if frame is None:
        return {}
    data = [_side_data(str(entry.type.name), bytes(entry)) for entry in frame.side_data]
    return {**_color(frame), "side_data_list": [entry for entry in data if entry]}


def _side_data(name: str, data: bytes) -> dict[str, Any] | None:
    """libavutil's AVMasteringDisplayMetadata (ten rationals) and AVContentLightMetadata (two numbers)."""
    if name == "MASTERING_DISPLAY_METADATA" and len(data) >= 80:
        values = struct.unpack("=20i", data[:80])
        shares = [f"{n}/{d}" for n, d in zip(values[::2], values[1::2], strict=True)]
        keys = [f"{color}_{axis}" for color in ("red", "green", "blue", "white_point") for axis in "xy"]
        named = dict(zip([*keys, "min_luminance", "max_luminance"], shares, strict=True))
        return {"side_data_type": "Mastering display metadata", **named}
    if name == "CONTENT_LIGHT_LEVEL" and len(data) >= 8:
        top, average = struct.unpack("=II", data[:8])
        return {"side_data_type": "Content light level metadata", "max_content": top, "max_average": average}
    if name in ("DOVI_METADATA", "DOVI_RPU_BUFFER"):
        return {"side_data_type": "Dolby Vision metadata"}
    return {"side_data_type": "HDR10+ metadata"} if name == "DYNAMIC_HDR_PLUS" else None


def _packets(container: InputContainer, index: int | None, span: list[float] | None) -> Iterator[list[Any]]:
    """[stream, pts, duration, key, size] of each packet in file order, times in seconds."""
    chosen = [container.streams[index]] if index is not None else []
    if span is not None:
        container.seek(int(span[0] * av.time_base))
    end = sum(span) if span else math.inf
    for packet in container.demux(*chosen):
        if packet.size:
            base = packet.time_base
            pts = float(packet.pts * base) if packet.pts is not None and base else None
            if pts is not None and pts >= end:
                return
            length = float(packet.duration * base) if packet.duration and base else 0.0
            yield [packet.stream_index, pts, length, packet.is_keyframe, packet.size]


if __name__ == "__main__":
    main()
