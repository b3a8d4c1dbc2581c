"""Thumbnails: one moment, several, a contact sheet, or a sprite with its WebVTT map."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from engines import files, text
from engines.errors import TaskdeckError
from engines.job import Job
from engines.media import batch, sheet
from engines.media.facts import Kind, MediaFacts
from engines.media.pictures import Seek
from engines.media.place import beside, early_refusal, staged, tools_of
from engines.media.probe import probe
from engines.media.shot import Film, Look, Shot, choose, clamp, require_picture, take
from engines.model import Json
from engines.names import display
from engines.operations import PictureFormat, Thumbnail
from engines.paths import from_uri, to_uri
from engines.reply import Line, Reply


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
    result = ThumbnailResult(
        source=display(path),
        timestamp=0.0,
        asked=0.0,
        size=sum(result["size"] for result in made),
        path=str(made[0]["path"]) if made else "",
        pictures=[picture for result in made for picture in result["pictures"]],
        files=rows,
    )
    return batch.settled(result, rows)


def _of_file(op: Thumbnail, job: Job) -> ThumbnailResult:
    tools, path = tools_of(job), Path(op.path)
    facts = probe(job, tools, path, timeout=job.settings.media.probe_timeout)
    require_picture(facts)
    film = Film(job, tools, path, facts)
    if op.sheet or op.sprite:
        return _sheet(op, job, film)
    count = max(1, op.shots)
    results = []
    for number, at in enumerate(_moments(op, facts), 1):
        job.check()
        job.progress(number - 1, count, item=path.name, unit="pictures", stage="extracting")
        suffix = ".thumb" if count == 1 else f".thumb-{number:02d}"
        results.append(_one(op, job, film, at, suffix))
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


def look_of(op: Thumbnail, job: Job) -> Look:
    """Format and size asked for: from the operation, the output's name or the settings."""
    if op.width is not None:
        width, height = op.width, -1
    else:
        across, _, down = job.settings.media.thumbnail_size.partition(":")
        width, height = int(across), int(down or -1)
    return Look(_form(op, job), width, height, Seek.EXACT if op.exact else Seek.KEY)


def _form(op: Thumbnail, job: Job) -> str:
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


def _one(op: Thumbnail, job: Job, film: Film, at: float | None, suffix: str) -> tuple[Shot, Path, float]:
    look = look_of(op, job)
    target = beside(film.path, op.output if op.shots <= 1 else _numbered_output(op, suffix), suffix, look.form)
    if early_refusal(target, op.on_conflict):
        return Shot(at or 0.0), target, at or 0.0
    with staged(job, target) as part:
        if at is None:
            shot, asked = choose(film, part, look, automatic=op.timestamp is not None)
        else:
            shot, asked = take(film, at, part, look), at
        placed = files.publish(job, part, target, op.on_conflict)
    # A cover has no time: nothing else was asked for.
    return shot, placed or target, asked if film.facts.kind is Kind.VIDEO else shot.at


def _numbered_output(op: Thumbnail, suffix: str) -> str | None:
    if op.output is None or Path(op.output).is_dir():
        return op.output
    whole = Path(op.output)
    return str(whole.with_name(files.fit_name(whole.stem, after=suffix.removeprefix(".thumb") + whole.suffix)))


def _sheet(op: Thumbnail, job: Job, film: Film) -> ThumbnailResult:
    look = look_of(op, job)
    plan = sheet.plan(op.sheet or "", film.facts, width=look.width, height=look.height, sprite=op.sprite)
    suffix = ".sprite" if op.sprite else ".sheet"
    target = beside(film.path, op.output, suffix, look.form)
    index = target.with_suffix(".vtt") if op.sprite else None
    if not early_refusal(target, op.on_conflict):
        with staged(job, target) as part:
            times = sheet.make(job, film, plan, part, look.form, target)
            target = files.publish(job, part, target, op.on_conflict) or target
        if op.sprite:
            index = _publish_index(op, job, target, sheet.webvtt(plan, target.name))
    else:
        times = []
    return ThumbnailResult(
        source=display(film.path.name),
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


def reply(op: Thumbnail, result: Json) -> Reply:
    """The guide's answer to `/thumbnail`, with the picture."""
    found = msgspec.convert(result, ThumbnailResult)
    if found.files:
        return _folder_reply(found)
    times = found.timestamps
    shown = text.clock(found.timestamp)
    if len(times) > 1:
        shown = f"{text.clock(times[0])} - {text.clock(times[-1])} ({len(times)} pictures)"
    elif abs(found.timestamp - found.asked) >= 1:
        shown += f" (nearest key frame to {text.clock(found.asked)})"
    lines = [
        Line("Source", found.source, icon="file"),
        Line("Timestamp", shown, icon="time"),
        Line("Size", text.size(found.size, digits=0), icon="disk"),
        Line(""),
        Line("Location", display(from_uri(found.path)), icon="file"),
    ]
    if found.index:
        lines.append(Line("Index", display(from_uri(found.index)), icon="file"))
    many = len(found.pictures) > 1
    title = f"{len(found.pictures)} thumbnails extracted successfully!" if many else "Thumbnail extracted successfully!"
    return Reply(title, lines, icon="done", image=from_uri(found.path))


def _folder_reply(found: ThumbnailResult) -> Reply:
    lines = [Line("Folder", found.source, icon="file"), Line("")]
    lines += [
        Line(batch.failed(row) if row.error else row.name, icon="failed" if row.error else "done")
        for row in found.files
    ]
    return Reply(
        f"{text.plural(len(found.pictures), 'thumbnail')} extracted!",
        lines,
        icon="warning" if any(row.error for row in found.files) else "done",
        image=from_uri(found.path) if found.path else "",
    )
