"""Still pictures out of video: the filter chain that shows them right, and the ways to reach a moment.

The way that works for every file takes the key frame at or before the moment: `-copyts -skip_frame nokey
-noaccurate_seek -ss T`. It never comes back empty; `engines.media.keyframe` is the quicker way for most files.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from engines.media.facts import Hdr, Kind, MediaFacts, VideoFacts
from engines.media.ffmpeg import argv, output, source
from engines.media.tools import Tools, filters

_ENCODERS: Final[dict[str, dict[str, Any]]] = {
    "jpg": {"vcodec": "mjpeg", "q:v": 3, "pix_fmt": "yuvj420p", "format": "image2pipe"},
    "png": {"vcodec": "png", "pix_fmt": "rgb24", "format": "image2pipe"},
    "webp": {"vcodec": "libwebp", "quality": 80, "pix_fmt": "yuv420p", "format": "image2pipe"},
}
# image2pipe writes the picture's bytes as they are: an output name with "%d" in it is never a pattern.


class Seek(StrEnum):
    """How a moment is reached."""

    KEY = "key"
    """The nearest key frame at or before it."""
    EXACT = "exact"
    """The frame itself, decoded from the key frame before it."""


def opened(path: Path, facts: MediaFacts, at: float, how: Seek) -> Any:
    """The input, positioned `at` seconds after the file's start; pictures are not positioned."""
    if facts.kind is not Kind.VIDEO:
        return source(path, threads=1)
    # Raw streams cannot seek at all, not even to the start: no -ss for it.
    options: dict[str, Any] = {"ss": f"{at:.6f}"} if at > 0 else {}
    if how is Seek.KEY:
        options |= {"skip_frame": "nokey", "noaccurate_seek": None, "threads": 1}
    return source(path, **options)


def skipped(stream: Any, seconds: float) -> Any:
    """The stream without its first seconds."""
    return stream.filter("trim", start=f"{seconds:.6f}") if seconds > 0 else stream


def shown(stream: Any, video: VideoFacts, tools: Tools, *, width: int, height: int = -1) -> Any:
    """Square pixels, standard range, the wanted size; the width is never enlarged. Rotation is ffmpeg's own doing."""
    if video.dolby_only:
        stream = _intensity(stream)
    if video.hdr is not Hdr.NONE:
        stream = to_sdr(stream, tools)
    if video.interlaced:
        stream = stream.filter("yadif", mode=0, deint="all")
    fit_width, fit_height = fitted(video, width, height)
    return stream.filter("scale", fit_width, fit_height, flags="bicubic").filter("setsar", 1)


def _intensity(stream: Any) -> Any:
    """Dolby Vision without ordinary colours, in grey: its first component is brightness by the PQ curve."""
    grey = "(minval+maxval)/2"
    return stream.filter("lutyuv", u=grey, v=grey).filter(
        "setparams", color_primaries="bt2020", color_trc="smpte2084", colorspace="bt2020nc", range="tv"
    )


def fitted(video: VideoFacts, width: int, height: int = -1) -> tuple[int, int]:
    """The size of a picture of at most this width and height (-1: by the aspect), from the shown size."""
    across, down = max(video.width, 1), max(video.height, 1)
    scale = min(1.0, width / across if width > 0 else 1.0, height / down if height > 0 else 1.0)
    return max(2, round(across * scale / 2) * 2), max(2, round(down * scale / 2) * 2)


def to_sdr(stream: Any, tools: Tools) -> Any:
    """Tone-map PQ or HLG to BT.709 in 8 bits; left as it is when the build cannot (zscale is missing)."""
    if not {"zscale", "tonemap"} <= filters(tools.ffmpeg):
        return stream
    return (
        stream.filter("zscale", t="linear", npl=100)
        .filter("format", "gbrpf32le")
        .filter("zscale", p="bt709")
        .filter("tonemap", tonemap="hable", desat=0)
        .filter("zscale", t="bt709", m="bt709", r="tv")
        .filter("format", "yuv420p")
    )


def encoder(form: str) -> dict[str, Any]:
    """Output options of jpg, png or webp."""
    return dict(_ENCODERS[form])


def measured(stream: Any) -> Any:
    """Let ffmpeg print the picture's time and brightness to standard output (see `Shot.parse`)."""
    return (
        stream.filter("trim", end_frame=1)
        .filter("format", "yuv420p")
        .filter("signalstats")
        .filter("metadata", mode="print", file="-")
    )


def picture(stream: Any, path: Path, form: str) -> Any:
    """An output of one picture without metadata of the source."""
    return output(stream, path, vframes=1, map_metadata=-1, **encoder(form))


def command(tools: Tools, out: Any, how: Seek) -> list[str]:
    """The command line for one picture."""
    # -copyts keeps the frame's own time; without it -noaccurate_seek costs more than an accurate seek.
    return argv(tools, out, progress=False, verbosity="error", extra=("-copyts",) if how is Seek.KEY else ())
