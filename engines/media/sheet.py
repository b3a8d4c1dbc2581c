"""Contact sheets and seek-bar sprites: a grid of pictures, each reached by one key frame seek.

Sixteen seeks into an hour of video cost 1.5 s of CPU where decoding it all costs minutes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from engines.errors import TaskdeckError
from engines.job import Job
from engines.media import pictures
from engines.media.facts import MediaFacts
from engines.media.ffmpeg import argv, output, source
from engines.media.place import scratch
from engines.media.runner import attempt, disk_full_text
from engines.media.shot import Film, Look, take
from engines.media.tools import Tools
from engines.names import display

_MOST: Final = 400
_SPRITE_EVERY: Final = 10.0
_SPRITE_COLUMNS: Final = 10
_GAP: Final = 4


class Plan(msgspec.Struct, frozen=True):
    """A grid: columns, rows, the size of one tile, and the moment of each in seconds."""

    columns: int
    rows: int
    tile_width: int
    tile_height: int
    moments: tuple[float, ...]
    gap: int
    every: float

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.columns * self.tile_width + (self.columns + 1) * self.gap

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.rows * self.tile_height + (self.rows + 1) * self.gap


def plan(grid: str, facts: MediaFacts, *, width: int, height: int, sprite: bool) -> Plan:
    """The grid for "4x4", or for a sprite with a picture every ten seconds (at most 100 unless a grid is given).

    Raises:
        TaskdeckError: `value` for a grid that is none or too large, `media.unreadable` for a file without video.
    """
    video = facts.main_video
    if video is None or not facts.duration:
        raise TaskdeckError(
            "media.lacking", f"cannot make a sheet of '{facts.name}'", "it has no video of known duration"
        )
    columns, rows = _grid(grid, facts.duration, sprite=sprite)
    count = columns * rows if grid else min(columns * rows, max(1, round(facts.duration / _every(facts.duration))))
    every = facts.duration / count
    tile = pictures.fitted(video, min(width, 160) if sprite and width == 320 else width, height)
    moments = tuple(every * (number + (0.0 if sprite else 0.5)) for number in range(count))
    return Plan(columns, rows, *tile, moments, 0 if sprite else _GAP, every)


def _every(duration: float) -> float:
    return max(_SPRITE_EVERY if duration > 60 else 1.0, duration / 100)


def _grid(grid: str, duration: float, *, sprite: bool) -> tuple[int, int]:
    if not grid and sprite:
        count = max(1, round(duration / _every(duration)))
        columns = min(_SPRITE_COLUMNS, count)
        return columns, -(-count // columns)
    found = re.fullmatch(r"(\d{1,3})[x×:](\d{1,3})", grid.strip().lower())
    columns, rows = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 0 < columns * rows <= _MOST:
        raise TaskdeckError(
            "value", f"cannot make a sheet of '{display(grid)}'", f"it is no grid of up to {_MOST}", "write 4x4"
        )
    return columns, rows


def make(job: Job, film: Film, grid: Plan, part: Path, form: str, target: Path) -> list[float]:
    """Write the sheet to `part`; the real time of each tile."""
    look = Look("jpg", grid.tile_width, grid.tile_height)
    times: list[float] = []
    with scratch(job, target) as folder:
        strip, tile = folder / "tiles", folder / "tile"
        with open(strip, "wb") as tiles:
            for number, at in enumerate(grid.moments):
                job.check()
                job.progress(number, len(grid.moments), item=film.path.name, unit="pictures", stage="extracting")
                shot = take(film, at, tile, look)
                times.append(shot.at)
                tiles.write(tile.read_bytes())
        _compose(job, film.tools.quickest, strip, grid, part, form)
    job.progress(len(grid.moments), len(grid.moments), item=film.path.name, unit="pictures")
    return times


def _compose(job: Job, tools: Tools, strip: Path, grid: Plan, part: Path, form: str) -> None:
    """Tile the pictures, which lie one after the other in one file."""
    stream = source(strip, format="jpeg_pipe", framerate=1)["v:0"].filter(
        "tile", f"{grid.columns}x{grid.rows}", padding=grid.gap, margin=grid.gap, color="0x101010"
    )
    out = output(stream, part, vframes=1, **pictures.encoder(form))
    status, _, errors = attempt(job, argv(tools, out, progress=False, verbosity="error"), timeout=120)
    if disk_full_text(errors):
        raise TaskdeckError("disk.full", "cannot write the sheet", "the disk is full", "free some space")
    if status or not part.exists() or not part.stat().st_size:
        raise TaskdeckError("media.failed", "cannot put the sheet together", detail=errors)


def webvtt(grid: Plan, name: str) -> str:
    """The map from times to tiles (W3C WebVTT with a media fragment `#xywh=` each)."""
    lines = ["WEBVTT", ""]
    for number, at in enumerate(grid.moments):
        x, y = number % grid.columns * grid.tile_width, number // grid.columns * grid.tile_height
        place = f"{_reference(name)}#xywh={x},{y},{grid.tile_width},{grid.tile_height}"
        lines += [f"{_stamp(at)} --> {_stamp(at + grid.every)}", place, ""]
    return "\n".join(lines)


def _reference(name: str) -> str:
    from urllib.parse import quote

    return quote(name.encode("utf-8", "surrogateescape"))


def _stamp(seconds: float) -> str:
    milli = round(seconds * 1000)
    return f"{milli // 3600000:02d}:{milli // 60000 % 60:02d}:{milli // 1000 % 60:02d}.{milli % 1000:03d}"
