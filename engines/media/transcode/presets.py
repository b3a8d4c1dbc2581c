"""What each preset means, and which encoders of this ffmpeg can do it."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from engines.errors import TaskdeckError
from engines.media import cache
from engines.media.ffmpeg import argv, generated, output
from engines.media.runner import Limits, Runner, attempt
from engines.media.tools import Tools, encoders
from engines.operations import Preset, Speed


class Recipe(msgspec.Struct, frozen=True):
    """A preset: container, codecs in order of preference, quality and limits.

    Attributes:
        quality: Constant quality of the software encoder; smaller is better.
        height: Largest picture height, 0 for no limit.
        audio: Audio encoder; tracks whose codec is in `keeps` are copied.
        kbps: Audio kilobits per second for each channel.
    """

    container: str
    family: str
    quality: int
    audio: str
    keeps: frozenset[str]
    kbps: int = 80
    height: int = 0
    stereo: bool = False
    size: int = 0
    deep: bool = False
    """Whether 10 bits and HDR are kept."""


_MP4_AUDIO: Final = frozenset({"aac", "ac3", "eac3", "mp3"})
_ANY_AUDIO: Final = _MP4_AUDIO | {"opus", "vorbis", "flac", "dts", "truehd", "alac"}
TELEGRAM_LIMIT: Final = 2_000 << 20

RECIPES: Final[dict[Preset, Recipe]] = {
    Preset.H264: Recipe("mp4", "h264", 21, "aac", _MP4_AUDIO),
    Preset.HEVC: Recipe("mkv", "hevc", 24, "aac", _ANY_AUDIO, deep=True),
    Preset.AV1: Recipe("mkv", "av1", 32, "libopus", frozenset({"opus"}), kbps=64, deep=True),
    Preset.WEB: Recipe("mp4", "h264", 23, "aac", frozenset({"aac"}), kbps=64, height=1080, stereo=True),
    Preset.AUDIO: Recipe("m4a", "", 0, "aac", frozenset({"aac"}), kbps=96),
    Preset.TELEGRAM: Recipe(
        "mp4", "h264", 21, "aac", frozenset({"aac"}), stereo=True, height=1080, size=TELEGRAM_LIMIT
    ),
}

_SOFTWARE: Final = {"h264": ("libx264",), "hevc": ("libx265",), "av1": ("libsvtav1", "libaom-av1")}
_HARDWARE: Final = ("nvenc", "qsv", "vaapi", "v4l2m2m")
HARDWARE: Final = tuple(f"{family}_{kind}" for family in _SOFTWARE for kind in _HARDWARE)
SOFTWARE: Final = tuple(name for names in _SOFTWARE.values() for name in names)
SOUND: Final = tuple(dict.fromkeys(recipe.audio for recipe in RECIPES.values()))
PICTURES: Final = ("mjpeg", "png", "libwebp")
"""Encoders of thumbnails."""
_PIXELS: Final = {"mjpeg": "yuvj420p", "png": "rgb24"}
_DEVICES: Final = {"nvenc": "/dev/nvidia*", "qsv": "/dev/dri/*", "vaapi": "/dev/dri/*", "v4l2m2m": "/dev/video*"}
_RENDER_NODES: Final = "/dev/dri/renderD*"
_SPEEDS: Final[dict[str, dict[Speed, str]]] = {
    "libx264": {Speed.FASTEST: "ultrafast", Speed.FAST: "veryfast", Speed.MEDIUM: "medium", Speed.SLOW: "slow"},
    "libx265": {Speed.FASTEST: "ultrafast", Speed.FAST: "veryfast", Speed.MEDIUM: "medium", Speed.SLOW: "slow"},
    "libsvtav1": {Speed.FASTEST: "12", Speed.FAST: "10", Speed.MEDIUM: "8", Speed.SLOW: "5"},
    "libaom-av1": {Speed.FASTEST: "8", Speed.FAST: "7", Speed.MEDIUM: "5", Speed.SLOW: "3"},
}


class Encoder(msgspec.Struct, frozen=True):
    """A video encoder with its options."""

    name: str
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    hardware: bool = False
    vaapi: str = ""
    """The render node of a VA-API encoder."""


def choose(tools: Tools, family: str, *, speed: Speed, quality: int, hardware: bool) -> Encoder:
    """The encoder of a family: a proven hardware one when wanted, else the software one.

    Raises:
        TaskdeckError: `unsupported` when this ffmpeg has none.
    """
    if hardware:
        for kind in _HARDWARE:
            name = f"{family}_{kind}"
            if name in encoders(tools.ffmpeg) and proven(tools, name):
                return Encoder(
                    name,
                    _quality(kind, quality),
                    hardware=True,
                    vaapi=render_node(tools, name) if kind == "vaapi" else "",
                )
    found = next((name for name in _SOFTWARE[family] if name in encoders(tools.ffmpeg)), None)
    if found is None:
        raise TaskdeckError(
            "unsupported", f"cannot encode {family}", "this ffmpeg has no encoder for it", "see `taskdeck doctor`"
        )
    pace = _SPEEDS[found][speed]
    options: dict[str, Any] = {"crf": quality, **({"cpu-used": pace} if found == "libaom-av1" else {"preset": pace})}
    return Encoder(found, options)


def _quality(kind: str, quality: int) -> dict[str, Any]:
    return {"nvenc": {"cq": quality}, "qsv": {"global_quality": quality}, "vaapi": {"qp": quality}}.get(kind, {})


def proven(tools: Tools, name: str) -> bool:
    """Whether an encoder really encodes five frames here: ffmpeg lists hardware encoders on machines without any."""
    kind = name.rpartition("_")[2]
    if kind in _DEVICES and not glob.glob(_DEVICES[kind]):
        return False
    if kind == "vaapi":
        return bool(render_node(tools, name))
    found = sorted(glob.glob(_DEVICES[kind])) if kind in _DEVICES else []
    return bool(cache.about_program(tools.ffmpeg, f"{name} {found}", lambda: ["yes"] if _encodes(tools, name) else []))


def render_node(tools: Tools, name: str) -> str:
    """The first VA-API device on which an encoder works, "" without one; with two cards the first may have none."""
    nodes = sorted(glob.glob(_RENDER_NODES))

    def ask() -> list[str]:
        return next(([node] for node in nodes if _encodes(tools, name, node)), [])

    return next(iter(cache.about_program(tools.ffmpeg, f"{name} on {nodes}", ask)), "") if nodes else ""


def _encodes(tools: Tools, name: str, device: str = "") -> bool:
    extra: Sequence[str] = ("-vaapi_device", device) if device else ()
    options: dict[str, Any] = {"format": "null", "frames": 5}
    if name in SOUND:
        trial: Any = generated("sine=r=48000:d=1")["a:0"]
        options |= {"acodec": name}
    else:
        trial = generated("testsrc2=s=320x192:r=25:d=0.2")["v:0"]
        trial = trial.filter("format", "nv12" if device else _PIXELS.get(name, "yuv420p"))
        trial = trial.filter("hwupload") if device else trial
        options |= {"vcodec": name}
    pace = _SPEEDS.get(name, {}).get(Speed.FASTEST)
    if pace is not None:
        options["cpu-used" if name == "libaom-av1" else "preset"] = pace
    command = argv(tools, output(trial, "pipe:1", **options), progress=False, verbosity="error", extra=extra)
    try:
        status, _, _ = attempt(Runner(), command, timeout=60, limits=Limits(memory=16 << 30, cpu=20))
    except TaskdeckError:  # silent for a minute: a driver that hangs
        return False
    return status == 0


def first_choices(tools: Tools) -> list[str]:
    """The encoders the presets would use here: one for each software family, and every hardware one.

    Of the software ones a second choice counts only when the first is not there (an idle trial costs 0.3 s of CPU).
    """
    have = encoders(tools.ffmpeg)
    first = (next((name for name in names if name in have), None) for names in _SOFTWARE.values())
    return [*(name for name in first if name is not None), *(name for name in HARDWARE if name in have)]


def proven_encoders(tools: Tools, names: Sequence[str]) -> dict[str, bool]:
    """Whether these encoders work here; hardware ones cost a trial only where there is a device."""
    with ThreadPoolExecutor(min(4, len(os.sched_getaffinity(0)))) as pool:
        return dict(zip(names, pool.map(lambda name: proven(tools, name), names), strict=True))
