"""Which ffmpeg and ffprobe do the work, and what they can do.

Order: the settings, PATH, then the `bundled` extra (imageio-ffmpeg has ffmpeg alone; PyAV stands in for ffprobe).
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
from pathlib import Path
from typing import Final

import msgspec

from engines.errors import TaskdeckError
from engines.media import cache
from engines.media.runner import Runner, capture
from engines.names import display
from engines.settings import MediaSettings

PYAV: Final = "pyav"
"""As `media.ffprobe_path`: read facts with PyAV even when an ffprobe is installed."""


class Tools(msgspec.Struct, frozen=True):
    """The programs in use. `ffprobe` is None when PyAV reads the facts."""

    ffmpeg: str
    ffprobe: str | None
    quick: str = ""
    """An ffmpeg that starts quicker, for work that is over at once."""

    @property
    def quickest(self) -> Tools:
        """These, with the ffmpeg that starts quickest: 0.015 s of CPU for the bundled one, 0.07 s for Debian's."""
        return msgspec.structs.replace(self, ffmpeg=self.quick) if self.quick else self


def find(settings: MediaSettings) -> Tools:
    """The programs these settings lead to.

    Raises:
        TaskdeckError: `tool.missing` with what to install, `settings.invalid` for a path that is no program.
    """
    chosen, own = _configured(settings.ffmpeg_path, "media.ffmpeg_path"), bundled()
    ffmpeg = chosen or shutil.which("ffmpeg") or own
    if ffmpeg is None:
        raise _missing("ffmpeg")
    # The one that was asked for does everything.
    return Tools(ffmpeg, _prober(settings, ffmpeg), "" if chosen else own or "")


def has_pyav() -> bool:
    """Whether PyAV is installed (the `fast` and `bundled` extras); it is imported in a worker process only."""
    return importlib.util.find_spec("av") is not None


def _prober(settings: MediaSettings, ffmpeg: str) -> str | None:
    if settings.ffprobe_path == PYAV:
        if has_pyav():
            return None
        raise _missing("PyAV")
    beside = shutil.which("ffprobe", path=os.path.dirname(ffmpeg)) if settings.ffmpeg_path else None
    found = _configured(settings.ffprobe_path, "media.ffprobe_path") or beside or shutil.which("ffprobe")
    if found is None and not has_pyav():
        raise _missing("ffprobe")
    return found


def _configured(path: str, setting: str) -> str | None:
    if not path:
        return None
    found = shutil.which(os.path.expanduser(path))
    if found is None:
        raise TaskdeckError(
            "settings.invalid", f"cannot run '{display(path)}'", "it is not a program", f"correct {setting}"
        )
    return found


def bundled() -> str | None:
    """The ffmpeg of the `bundled` extra, None when it is not installed."""
    spec = importlib.util.find_spec("imageio_ffmpeg")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "binaries"
    return next((str(path) for path in sorted(folder.glob("ffmpeg*")) if os.access(path, os.X_OK)), None)


def _missing(name: str) -> TaskdeckError:
    return TaskdeckError(
        "tool.missing",
        f"cannot read media without {name}",
        "it is not installed",
        "run `sudo apt-get install ffmpeg` or `pip install 'taskdeck[bundled]'`",
    )


@functools.cache
def version(ffmpeg: str) -> tuple[int, int]:
    """Major and minor version of an ffmpeg or ffprobe; (99, 0) for builds that are numbered by commit."""
    text = _said(ffmpeg, "-version")
    found = re.search(r"version n?(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (99, 0)


@functools.cache
def encoders(ffmpeg: str) -> frozenset[str]:
    """Names of the encoders a build lists; hardware ones need `proven`."""
    return _listed(ffmpeg, "-encoders", r"^ [VAS][F.][S.][X.][B.][D.] (\S+)")


@functools.cache
def filters(ffmpeg: str) -> frozenset[str]:
    """Names of the filters a build has."""
    return _listed(ffmpeg, "-filters", r"^ [T.][S.][C.]? ?(\S+)\s+\S+->\S+")


def _listed(ffmpeg: str, option: str, pattern: str) -> frozenset[str]:
    return frozenset(found[1] for line in _said(ffmpeg, option).splitlines() if (found := re.match(pattern, line)))


def _said(ffmpeg: str, option: str) -> str:
    def ask() -> list[str]:
        return [
            capture(Runner(), [ffmpeg, "-hide_banner", "-v", "error", option], timeout=60).decode("utf-8", "replace")
        ]

    return cache.about_program(ffmpeg, option, ask)[0]
