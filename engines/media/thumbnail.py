"""Thumbnails: one moment, several, a contact sheet, or a sprite with its WebVTT map."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from engines import files, text
from engines.errors import TaskdeckError
from engines.job import Job
from engines.media import batch, pictures, sheet
from engines.media.facts import Kind, MediaFacts
from engines.media.pictures import Seek
from engines.media.place import beside, early_refusal, staged, tools_of
from engines.media.probe import probe
from engines.media.runner import Limits, Runs, attempt, disk_full_text
from engines.media.tools import Tools
from engines.names import display
from engines.operations import PictureFormat, Thumbnail
from engines.paths import to_uri

DEFAULT_AT: Final = 5.0
_LIMITS: Final = Limits(cpu=120, stall=120)
_AUTO: Final = (0.10, 0.20, 0.35, 0.50, 0.65, 0.80)
_DARK, _FLAT = 26.0, 12.0
# Mean brightness (16 is black) and spread of brightness below which a picture shows nothing.


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture that was made: its real time in seconds, mean brightness and spread of brightness."""

    at: float
    brightness: float
    spread: float

    @property
    def blank(self) -> bool:
        """Whether it shows next to nothing: black, or one colour."""
        return self.brightness < _DARK or self.spread < _FLAT

    @classmethod
    def parse(cls, output: bytes, facts: MediaFacts, asked: float, how: Seek) -> Shot:
        """From what the filters printed."""
        said = output.decode("ascii", "replace")

        def value(pattern: str) -> float:
            found = re.search(pattern + r"(-?[\d.]+)", said)
            return float(found[1]) if found else 0.0

        seen = value(r"pts_time:")
        at = seen - facts.start if how is Seek.KEY else asked + max(0.0, seen)
        spread = value(r"signalstats\.YHIGH=") - value(r"signalstats\.YLOW=")
        return cls(max(0.0, at), value(r"signalstats\.YAVG="), spread)


class ThumbnailResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was made. `timestamp` is the real time of the picture in seconds, `asked` what was wanted."""

    source: str
    timestamp: float
    asked: float
    size: int
    path: str
    pictures: list[str] = []
    timestamps: list[float] = []
    index: str = ""
    """The WebVTT file of a sprite."""
    width: int = 0
    height: int = 0
    files: list[batch.FileOutcome] = []


def run(op: Thumbnail, job: Job) -> ThumbnailResult:
    """Make the picture or pictures an operation asks for; of a folder, of each media file in it."""
    path = Path(op.path)
    if not path.is_dir():
        return _of_file(op, job)
    rows = batch.each(op, job, _of_file)
    made = [row.result for row in rows if row.result]
    return ThumbnailResult(
        source=display(path),
        timestamp=0.0,
        asked=0.0,
        size=sum(result["size"] for result in made),
        path=str(made[0]["path"]),
        pictures=[picture for result in made for picture in result["pictures"]],
        files=rows,
    )


def _of_file(op: Thumbnail, job: Job) -> ThumbnailResult:
    tools, path = tools_of(job), Path(op.path)
    facts = probe(job, tools, path, timeout=job.settings.media.probe_timeout)
    require_picture(facts)
    if op.sheet or op.sprite:
        return _sheet(op, job, tools, path, facts)
    count = max(1, op.shots)
    results = []
    for number, at in enumerate(_moments(op, facts), 1):
        job.check()
        job.progress(number - 1, count, item=path.name, unit="pictures", stage="extracting")
        suffix = ".thumb" if count == 1 else f".thumb-{number:02d}"
        results.append(_one(op, job, tools, path, facts, at, suffix))
    job.progress(count, count, item=path.name, unit="pictures")
    first, _, _ = results[0]
    made = [place for _, place, _ in results]
    return ThumbnailResult(
        source=display(path.name),
        timestamp=first.at,
        asked=results[0][2],
        size=sum(os.path.getsize(place) for place in made),
        path=to_uri(str(made[0])),
        pictures=[to_uri(str(place)) for place in made],
        timestamps=[shot.at for shot, _, _ in results],
    )


def require_picture(facts: MediaFacts) -> None:
    """Refuse files without any picture.

    Raises:
        TaskdeckError: `media.unreadable`.
    """
    if not facts.video and facts.cover_index is None:
        raise TaskdeckError(
            "media.unreadable", f"cannot take a picture of '{facts.name}'", "it has no video and no cover picture"
        )


def clamp(at: float, facts: MediaFacts) -> float:
    """The moment, moved into the file's duration."""
    return min(at, max(0.0, facts.duration - 0.05)) if facts.duration else at


def picture_size(op: Thumbnail, job: Job) -> tuple[int, int]:
    """Width and height asked for, from the operation or the settings; -1 for "by the aspect"."""
    if op.width is not None:
        return op.width, -1
    width, _, height = job.settings.media.thumbnail_size.partition(":")
    return int(width), int(height or -1)


def picture_format(op: Thumbnail, job: Job) -> str:
    """jpg, png or webp, from the operation, the output's name or the settings."""
    if op.format is not None:
        return op.format.value
    named = Path(op.output or "").suffix.lower().lstrip(".").replace("jpeg", "jpg")
    return named if named in set(PictureFormat) else job.settings.media.thumbnail_format.replace("jpeg", "jpg")


def _moments(op: Thumbnail, facts: MediaFacts) -> list[float | None]:
    """The moments to show; None lets the picture be chosen."""
    if op.shots > 1:
        length = facts.duration or 0.0
        return [length * (number + 0.5) / op.shots for number in range(op.shots)]
    if op.timestamp is None or op.timestamp.strip().lower() == "auto":
        return [None]
    return [clamp(moment(op.timestamp), facts)]


def moment(given: str) -> float:
    """Seconds from "HH:MM:SS", "90" or "1m30s".

    Raises:
        TaskdeckError: `value`.
    """
    try:
        found = text.parse_duration(given)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1e7:
        raise TaskdeckError("value", f"cannot use the timestamp '{display(given)}'", "", "write HH:MM:SS or seconds")
    return found


def _one(
    op: Thumbnail, job: Job, tools: Tools, path: Path, facts: MediaFacts, at: float | None, suffix: str
) -> tuple[Shot, Path, float]:
    form, (width, height) = picture_format(op, job), picture_size(op, job)
    target = beside(path, op.output if op.shots <= 1 else _numbered_output(op, suffix), suffix, form)
    if early_refusal(target, op.on_conflict):
        return Shot(at or 0.0, 0, 0), target, at or 0.0
    how = Seek.EXACT if op.exact else Seek.KEY
    with staged(job, target) as part:
        if at is None:
            automatic = op.timestamp is not None
            shot, asked = choose(job, tools, path, facts, part, form, width, height, automatic=automatic, how=how)
        else:
            shot, asked = take(job, tools, path, facts, at, part, form, width, height, how), at
        placed = files.publish(job, part, target, op.on_conflict)
    return shot, placed or target, asked


def _numbered_output(op: Thumbnail, suffix: str) -> str | None:
    if op.output is None or Path(op.output).is_dir():
        return op.output
    whole = Path(op.output)
    return str(whole.with_name(files.fit_name(whole.stem, after=suffix.removeprefix(".thumb") + whole.suffix)))


def choose(
    runs: Runs,
    tools: Tools,
    path: Path,
    facts: MediaFacts,
    part: Path,
    form: str,
    width: int,
    height: int,
    *,
    automatic: bool,
    how: Seek = Seek.KEY,
) -> tuple[Shot, float]:
    """A picture that shows something: at 5 s (or, when automatic, at 10 %), else the first one that is not blank."""
    length = facts.duration or 0.0
    tries = [length * share for share in _AUTO] if automatic else [clamp(DEFAULT_AT, facts)]
    if not automatic and facts.kind is Kind.VIDEO:
        tries += [length * share for share in _AUTO[1:]]
    best: tuple[Shot, float] | None = None
    for at in tries:
        shot = take(runs, tools, path, facts, at, part, form, width, height, how)
        if not shot.blank:
            return shot, at
        if best is None or shot.spread > best[0].spread:
            best = shot, at
    assert best is not None
    return take(runs, tools, path, facts, best[1], part, form, width, height, how), best[1]


def take(
    runs: Runs,
    tools: Tools,
    path: Path,
    facts: MediaFacts,
    at: float,
    part: Path,
    form: str,
    width: int,
    height: int = -1,
    how: Seek = Seek.KEY,
) -> Shot:
    """Write the picture of a moment to `part`.

    A seek can land where nothing follows (the end of a transport stream): earlier moments are tried then.

    Raises:
        TaskdeckError: `media.unreadable` when nothing can be decoded, `disk.full`.
    """
    video = facts.main_video
    errors = ""
    for back, reach in _ways(how):
        begin = max(0.0, at - back)
        stream = pictures.opened(path, facts, begin, reach)
        if video is None:
            shown = stream[str(facts.cover_index)].filter("scale", width, height).filter("setsar", 1)
        else:
            chosen = pictures.skipped(
                stream[str(video.index)], at - begin if reach is Seek.EXACT and back < 1e9 else 0.0
            )
            shown = pictures.shown(chosen, video, tools, width=width, height=height)
        out = pictures.picture(pictures.measured(shown), part, form)
        status, said, errors = attempt(runs, pictures.command(tools, out, reach), timeout=120, limits=_LIMITS)
        if disk_full_text(errors):
            raise TaskdeckError("disk.full", f"cannot write the picture of '{facts.name}'", "the disk is full")
        with suppress(FileNotFoundError):
            if status == 0 and part.stat().st_size:
                return Shot.parse(said, facts, begin, reach)
    raise TaskdeckError(
        "media.unreadable", f"cannot take a picture of '{facts.name}'", "no frame of it can be decoded", detail=errors
    )


def _ways(how: Seek) -> Iterator[tuple[float, Seek]]:
    """How far back to begin and how to reach the moment, until there is a picture."""
    if how is Seek.EXACT:
        # A transport stream may be entered behind its last key frame: begin earlier and drop frames.
        yield from ((0.0, Seek.EXACT), (12.0, Seek.EXACT))
    yield from ((back, Seek.KEY) for back in (0.0, 2.5, 12.0, 1e9))
    yield 1e9, Seek.EXACT


def _sheet(op: Thumbnail, job: Job, tools: Tools, path: Path, facts: MediaFacts) -> ThumbnailResult:
    form, (width, height) = picture_format(op, job), picture_size(op, job)
    plan = sheet.plan(op.sheet or "", facts, width=width, height=height, sprite=op.sprite)
    suffix = ".sprite" if op.sprite else ".sheet"
    target = beside(path, op.output, suffix, form)
    index = target.with_suffix(".vtt") if op.sprite else None
    if not early_refusal(target, op.on_conflict):
        with staged(job, target) as part:
            times = sheet.make(job, tools, path, facts, plan, part, form, target)
            target = files.publish(job, part, target, op.on_conflict) or target
        if op.sprite:
            index = _publish_index(op, job, target, sheet.webvtt(plan, target.name))
    else:
        times = []
    return ThumbnailResult(
        source=display(path.name),
        timestamp=times[0] if times else 0.0,
        asked=plan.moments[0],
        size=target.stat().st_size,
        path=to_uri(str(target)),
        pictures=[to_uri(str(target))],
        timestamps=times,
        index=to_uri(str(index)) if index else "",
        width=plan.width,
        height=plan.height,
    )


def _publish_index(op: Thumbnail, job: Job, target: Path, content: str) -> Path:
    index = target.with_suffix(".vtt")
    with staged(job, index) as part:
        part.write_text(content, "utf-8")
        return files.publish(job, part, index, op.on_conflict) or index
