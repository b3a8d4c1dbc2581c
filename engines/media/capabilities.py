"""What the ffmpeg of this machine can really do: for `doctor`. Encoders count when they encoded five frames."""

from __future__ import annotations

from typing import Final

import msgspec

from engines.errors import TaskdeckError
from engines.media.ffmpeg import library
from engines.media.runner import Runner, capture
from engines.media.tools import Tools, bundled, filters, find, has_pyav
from engines.media.transcode.presets import proven_encoders
from engines.names import display
from engines.settings import MediaSettings

_INSTALL: Final = "apt install ffmpeg, or pip install 'taskdeck[bundled]'"
_NEEDED: Final = {"libx264": "H.264 presets", "libx265": "the hevc preset", "libsvtav1": "the av1 preset"}
_STAND_INS: Final = {"libsvtav1": "libaom-av1"}


class Finding(msgspec.Struct, frozen=True):
    """One line: what was looked at, whether it is fine, what was found, how to mend it."""

    name: str
    good: bool
    found: str
    fix: str = ""


def examine(settings: MediaSettings) -> list[Finding]:
    """Programs, encoders and missing features."""
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
    return [*found, _encoders(tools), *_features(tools)]


def _version(path: str) -> str:
    try:
        first = capture(Runner(), [path, "-hide_banner", "-version"], timeout=20).decode("utf-8", "replace")
    except TaskdeckError as error:
        return f"{display(path)} does not run: {error.message}"
    return f"{display(first.split(' Copyright')[0].splitlines()[0], limit=100)} ({display(path)})"


def _encoders(tools: Tools) -> Finding:
    proven = proven_encoders(tools)
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
