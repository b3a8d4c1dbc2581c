"""One picture of a file: the cheapest way to a moment first, then every other way until there is a picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from engines.errors import TaskdeckError
from engines.media import keyframe, pictures
from engines.media.facts import Kind, MediaFacts
from engines.media.pictures import Seek
from engines.media.runner import Limits, Runs, attempt, disk_full_text
from engines.media.tools import Tools

DEFAULT_AT: Final = 5.0
_LIMITS: Final = Limits(cpu=120, stall=120)
_AUTO: Final = (0.10, 0.20, 0.35, 0.50, 0.65, 0.80)
_DARK, _FLAT = 26.0, 12.0
# Mean brightness (16 is black) and spread of brightness below which a picture shows nothing.


class Film(msgspec.Struct, frozen=True):
    """A file to take pictures of, and what with."""

    runs: Runs
    tools: Tools
    path: Path
    facts: MediaFacts


class Look(msgspec.Struct, frozen=True):
    """How pictures are wanted: jpg, png or webp, at most this wide and high (-1: by the aspect), reached how."""

    form: str
    width: int
    height: int = -1
    how: Seek = Seek.KEY


class Shot(msgspec.Struct, frozen=True):
    """One picture that was made: its real time in seconds, mean brightness and spread of brightness."""

    at: float
    brightness: float = 0.0
    spread: float = 0.0

    @property
    def blank(self) -> bool:
        """Whether it shows next to nothing: black, or one colour."""
        return self.brightness < _DARK or self.spread < _FLAT

    @classmethod
    def parse(cls, output: bytes, facts: MediaFacts, asked: float, how: Seek) -> Shot:
        """From what the filters printed."""
        seen = _value(output, r"pts_time:")
        at = seen - facts.start if how is Seek.KEY else asked + max(0.0, seen)
        return cls.measured(output, at)

    @classmethod
    def measured(cls, output: bytes, at: float) -> Shot:
        """From the brightness the filters printed."""
        spread = _value(output, r"signalstats\.YHIGH=") - _value(output, r"signalstats\.YLOW=")
        return cls(max(0.0, at), _value(output, r"signalstats\.YAVG="), spread)


def _value(output: bytes, pattern: str) -> float:
    found = re.search(pattern + r"(-?[\d.]+)", output.decode("ascii", "replace"))
    return float(found[1]) if found else 0.0


def require_picture(facts: MediaFacts) -> None:
    """Refuse files without any picture.

    Raises:
        TaskdeckError: `media.unreadable`.
    """
    if not facts.video and facts.cover_index is None:
        raise TaskdeckError(
            "media.lacking", f"cannot take a picture of '{facts.name}'", "it has no video and no cover picture"
        )


def clamp(at: float, facts: MediaFacts) -> float:
    """The moment, moved into the file's duration."""
    return min(at, max(0.0, facts.duration - 0.05)) if facts.duration else at


def choose(film: Film, part: Path, look: Look, *, automatic: bool) -> tuple[Shot, float]:
    """A picture that shows something: at 5 s (or, when automatic, at 10 %), else the first one that is not blank."""
    facts = film.facts
    length = facts.duration or 0.0
    tries = [length * share for share in _AUTO] if automatic else [clamp(DEFAULT_AT, facts)]
    if not automatic and facts.kind is Kind.VIDEO:
        tries += [length * share for share in _AUTO[1:]]
    best: tuple[Shot, float] | None = None
    for at in tries:
        shot = take(film, at, part, look)
        if not shot.blank:
            return shot, at
        if best is None or shot.spread > best[0].spread:
            best = shot, at
    assert best is not None
    return take(film, best[1], part, look), best[1]


def take(film: Film, at: float, part: Path, look: Look) -> Shot:
    """Write the picture of a moment to `part`.

    A seek can land where nothing follows (the end of a transport stream): earlier moments are tried then.

    Raises:
        TaskdeckError: `media.unreadable` when nothing can be decoded, `disk.full`.
    """
    if look.how is Seek.KEY and (shot := _lifted(film, at, part, look)):
        return shot
    errors = ""
    for back, reach in _ways(look.how):
        begin = max(0.0, at - back)
        shown = _shown(film, at, begin, reach, look, whole=back < 1e9)
        out = pictures.picture(pictures.measured(shown), part, look.form)
        status, said, errors = attempt(film.runs, pictures.command(film.tools, out, reach), timeout=120, limits=_LIMITS)
        if _made(film, status, part, errors):
            return Shot.parse(said, film.facts, begin, reach)
    raise TaskdeckError(
        "media.unreadable",
        f"cannot take a picture of '{film.facts.name}'",
        "no frame of it can be decoded",
        detail=errors,
    )


def _lifted(film: Film, at: float, part: Path, look: Look) -> Shot | None:
    """By the key frame's packet alone, with the ffmpeg that starts quickest; None when that gives no picture."""
    video, quick = film.facts.main_video, film.tools.quickest
    if video is None or film.facts.kind is not Kind.VIDEO:
        return None
    with keyframe.lifted(film.runs, quick, film.path, film.facts, at) as packet:
        if packet is None:
            return None
        shown = pictures.shown(packet.opened(), video, quick, width=look.width, height=look.height)
        out = pictures.picture(pictures.measured(shown), part, look.form)
        status, said, errors = attempt(
            film.runs,
            pictures.command(quick, out, Seek.KEY),
            timeout=120,
            limits=_LIMITS,
            pass_fds=(packet.descriptor,),
        )
        return Shot.measured(said, packet.at) if _made(film, status, part, errors) else None


def _shown(film: Film, at: float, begin: float, reach: Seek, look: Look, *, whole: bool) -> Any:
    """The picture as it is to be seen, from an input positioned at `begin`."""
    video = film.facts.main_video
    stream = pictures.opened(film.path, film.facts, begin, reach)
    if video is None:
        cover = stream[str(film.facts.cover_index)]
        return cover.filter("scale", look.width, look.height).filter("setsar", 1)
    ahead = at - begin if reach is Seek.EXACT and whole else 0.0
    chosen = pictures.skipped(stream[str(video.index)], ahead)
    return pictures.shown(chosen, video, film.tools, width=look.width, height=look.height)


def _made(film: Film, status: int, part: Path, errors: str) -> bool:
    if disk_full_text(errors):
        raise TaskdeckError("disk.full", f"cannot write the picture of '{film.facts.name}'", "the disk is full")
    with suppress(FileNotFoundError):
        return status == 0 and part.stat().st_size > 0
    return False


def _ways(how: Seek) -> Iterator[tuple[float, Seek]]:
    """How far back to begin and how to reach the moment, until there is a picture."""
    if how is Seek.EXACT:
        # A transport stream may be entered behind its last key frame: begin earlier and drop frames.
        yield from ((0.0, Seek.EXACT), (12.0, Seek.EXACT))
    yield from ((back, Seek.KEY) for back in (0.0, 2.5, 12.0, 1e9))
    yield 1e9, Seek.EXACT
