"""What the ffmpeg of this machine can really do: for `doctor`. Encoders count when they encoded five frames."""

from __future__ import annotations

from typing import Final

import msgspec

from engines.errors import TaskdeckError
from engines.media.ffmpeg import library
from engines.media.runner import Runner, capture
from engines.media.tools import Tools, bundled, encoders, filters, find, has_pyav
from engines.media.transcode.presets import HARDWARE, PICTURES, SOFTWARE, SOUND, first_choices, proven_encoders
from engines.names import display
from engines.settings import MediaSettings

_INSTALL: Final = "apt install ffmpeg, or pip install 'taskdeck[bundled]'"
_NEEDED: Final = {"libx264": "H.264 presets", "libx265": "the hevc preset", "libsvtav1": "the av1 preset"}
_STAND_INS: Final = {"libsvtav1": "libaom-av1"}
_FILTERS: Final = {
    "zscale": "HDR to SDR",
    "tonemap": "HDR to SDR",
    "bwdif": "deinterlacing",
    "ebur128": "loudness",
    "showwavespic": "waveforms",
    "signalstats": "thumbnails that skip black",
    "tile": "contact sheets",
    "ssim": "`compare`",
    "psnr": "`compare`",
    "libvmaf": "VMAF",
}


class Finding(msgspec.Struct, frozen=True):
    """One line: what was looked at, whether it is fine, what was found, how to mend it."""

    name: str
    good: bool
    found: str
    fix: str = ""


def examine(settings: MediaSettings, *, everything: bool = False) -> list[Finding]:
    """Programs, the encoders that presets choose, and missing features; or each encoder and filter in use."""
    try:
        tools = find(settings)
    except TaskdeckError as error:
        return [Finding("ffmpeg", False, error.message, f"media needs it: {_INSTALL}")]
    found = [Finding("ffmpeg", True, _version(tools.ffmpeg))]
    if tools.ffprobe is not None:
        found.append(Finding("ffprobe", True, _version(tools.ffprobe)))
    else:
        found.append(Finding("ffprobe", True, "PyAV reads the facts"))
    quick = "PyAV, in a process of its own" if has_pyav() else "one ffprobe a file"
    found.append(Finding("folder probing", True, quick, "" if has_pyav() else "pip install 'taskdeck[fast]'"))
    try:
        library()
    except TaskdeckError as error:
        found.append(Finding("ffmpeg-python", False, error.message))
    found += [_encoders(tools), *_features(tools)]
    return [*found, *_each(tools)] if everything else found


def _version(path: str) -> str:
    try:
        first = capture(Runner(), [path, "-hide_banner", "-version"], timeout=60).decode("utf-8", "replace")
    except TaskdeckError as error:
        return f"{display(path)} does not run: {error.message}"
    return f"{display(first.split(' Copyright')[0].splitlines()[0], limit=100)} ({display(path)})"


def _encoders(tools: Tools) -> Finding:
    proven = proven_encoders(tools, first_choices(tools))
    working = [name for name, works in proven.items() if works]
    lacking = [f"{name} ({use})" for name, use in _NEEDED.items() if not {name, _STAND_INS.get(name)} & {*working}]
    text = "work: " + (", ".join(working) or "none")
    if lacking:
        return Finding("encoders", False, f"{text}; missing: {', '.join(lacking)}", _INSTALL)
    return Finding("encoders", True, text)


def _features(tools: Tools) -> list[Finding]:
    have, found = filters(tools.ffmpeg), []
    if not {"zscale", "tonemap"} <= have:
        found.append(Finding("HDR to SDR", False, "this ffmpeg has no zscale", _INSTALL))
    other = bundled()
    if "libvmaf" not in have and (other is None or "libvmaf" not in filters(other)):
        found.append(
            Finding(
                "VMAF", True, "not in this ffmpeg: `compare` gives SSIM and PSNR", "pip install 'taskdeck[bundled]'"
            )
        )
    return found


def _each(tools: Tools) -> list[Finding]:
    """A line for every encoder and filter that any operation may use."""
    have = encoders(tools.ffmpeg)
    listed = [name for name in (*SOFTWARE, *SOUND, *PICTURES, *HARDWARE) if name in have]
    lines = []
    for name, works in proven_encoders(tools, listed).items():
        # A hardware encoder that does not work is no fault of the installation: most machines have no device.
        found = "encoded five frames" if works else "is listed but does not encode here"
        lines.append(Finding(f"encoder {name}", works or name in HARDWARE, found, "" if works else _INSTALL))
    lines += [
        Finding(f"encoder {name}", name in SOFTWARE, "not in this ffmpeg", _INSTALL)
        for name in (*SOFTWARE, *SOUND, *PICTURES)
        if name not in have
    ]
    known = filters(tools.ffmpeg)
    return lines + [
        Finding(f"filter {name}", True, use if name in known else f"not in this ffmpeg: {use}")
        for name, use in _FILTERS.items()
    ]
