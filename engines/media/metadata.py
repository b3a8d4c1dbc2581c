"""The operation `metadata`: tags by mutagen, tracks and chapters by ffmpeg, always on a copy that then takes its place.

Editing the file itself would be faster, but a power cut in the middle would cost the file.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, Final

import msgspec

from engines import files, text
from engines.errors import TaskdeckError
from engines.filecopy import copied
from engines.job import Job
from engines.media import batch, tags, verify
from engines.media.facts import MediaFacts
from engines.media.ffmpeg import argv, number_of, output, own_metadata, source
from engines.media.labels import language_code
from engines.media.place import early_refusal, scratch, staged, tools_of
from engines.media.probe import probe
from engines.media.runner import Step, disk_full_text, failure, transform
from engines.media.tools import Tools
from engines.model import Json
from engines.names import display
from engines.operations import Conflict, Metadata
from engines.paths import from_uri, to_uri
from engines.reply import Line, Reply

FIELDS: Final = ("title", "artist", "album", "date", "genre", "comment")
_MUTAGEN: Final = frozenset({"mp3", "flac", "ogg", "m4a", "m4b", "mp4", "m4v", "asf", "aiff", "ape", "wv"})
_MUXERS: Final = {
    "matroska": "matroska",
    "webm": "webm",
    "mp4": "mp4",
    "m4a": "ipod",
    "m4b": "ipod",
    "m4v": "mp4",
    "mov": "mov",
    "mpegts": "mpegts",
    "avi": "avi",
    "flv": "flv",
    "ogg": "ogg",
    "wav": "wav",
}
_FLAGS: Final = ("default", "forced", "hearing_impaired")


class MetadataResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Tags before and after; without a change only `after`."""

    source: str
    path: str = ""
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    changed: list[str] = []


def track_of(spec: str) -> tuple[str, int]:
    """Kind and number from "a:0".

    Raises:
        TaskdeckError: `value`.
    """
    found = re.fullmatch(r"([vas]):(\d{1,3})", spec.strip().lower())
    if not found:
        raise TaskdeckError("value", f"cannot use the track '{display(spec)}'", "", "write a:0, s:1 or v:0")
    return found[1], int(found[2])


def language_of(pair: str) -> tuple[tuple[str, int], str]:
    """Track and ISO 639-2 language from "a:0=en".

    Raises:
        TaskdeckError: `value`.
    """
    track, _, language = pair.partition("=")
    code = language_code(language)
    if not re.fullmatch(r"[a-z]{2,8}(-[a-z0-9]{1,8})*", code):
        raise TaskdeckError("value", f"cannot use the language in '{display(pair)}'", "", "write a:0=eng")
    return track_of(track), code


def run(op: Metadata, job: Job) -> MetadataResult | batch.FolderResult:
    """Show or change what a file says about itself."""
    return batch.file_or_folder(op, job, _one)


def _one(op: Metadata, job: Job) -> MetadataResult:
    tools, path = tools_of(job), Path(op.path)
    facts = probe(job, tools, path, timeout=job.settings.media.probe_timeout)
    changes = {name: value for name in FIELDS if (value := getattr(op, name)) is not None}
    tracks = bool(op.language or op.default or op.forced or op.chapters)
    if not (changes or tracks or op.cover or op.clear):
        return MetadataResult(source=facts.name, after=facts.tags)
    target = Path(op.output) if op.output else path
    if target.is_dir():
        target /= path.name
    conflict = op.on_conflict if op.output else Conflict.OVERWRITE
    if early_refusal(target, conflict):
        return MetadataResult(source=facts.name, after=facts.tags)
    files.require_space(target.parent, facts.size, what=f"edit '{facts.name}'")
    by_mutagen = facts.container in _MUTAGEN
    if op.cover and not by_mutagen and facts.container != "matroska":
        raise TaskdeckError("unsupported", f"cannot put a cover into '{facts.name}'", f"{facts.container} has no place")
    with staged(job, target) as part:
        if tracks or not by_mutagen:
            _by_ffmpeg(job, tools, op, path, facts, {} if by_mutagen else changes, part, target)
        else:
            _copy(job, path, part)
        if by_mutagen and (changes or op.cover or op.clear):
            tags.write(op, facts, changes, part)
        after = _whole(job, tools, facts, part)
        shutil.copymode(path, part)
        placed = files.publish(job, part, target, conflict) or target
    return MetadataResult(
        source=facts.name,
        path=to_uri(str(placed)),
        before=facts.tags,
        after=after.tags,
        changed=[*changes, *(["cover"] if op.cover else []), *(["tracks"] if tracks else [])],
    )


def _whole(job: Job, tools: Tools, facts: MediaFacts, part: Path) -> MediaFacts:
    after = probe(job, tools, part)
    same = (len(after.video), len(after.audio), len(after.subtitles)) == (
        len(facts.video),
        len(facts.audio),
        len(facts.subtitles),
    )
    lasts = not facts.duration or (after.duration or 0) > facts.duration - 0.5
    if not (same and lasts):
        raise TaskdeckError(
            "media.failed", f"cannot edit '{facts.name}'", "streams would get lost", "use `remux` first"
        )
    return verify.renamed(after, facts.name)


def _copy(job: Job, path: Path, part: Path) -> None:
    """Copy in slices; file systems that share blocks copy nothing."""
    size = path.stat().st_size
    with open(path, "rb") as old, open(part, "xb") as new:
        done = 0
        for step in copied(old.fileno(), new.fileno(), 0, size):
            done += step
            job.progress(done, size, item=path.name, stage="copying")
            job.check()


def _by_ffmpeg(
    job: Job,
    tools: Tools,
    op: Metadata,
    path: Path,
    facts: MediaFacts,
    changes: dict[str, str],
    part: Path,
    target: Path,
) -> None:
    """Rewrite the container with other tags, languages, flags and chapters; streams are copied."""
    muxer = _MUXERS.get(facts.container)
    if muxer is None:
        raise TaskdeckError(
            "unsupported",
            f"cannot edit '{facts.name}' this way",
            f"{facts.container} cannot hold it",
            "remux to mkv first",
        )
    total = max(1, round(facts.duration)) if facts.duration else None

    def step(step: Step) -> None:
        job.progress(int(step.seconds or 0), total, item=facts.name, stage="copying", unit="seconds")

    with scratch(job, target) as folder:
        streams, options = _mapped(op, path, facts, changes, folder)
        out = output(streams, part, format=muxer, c="copy", **options)
        finished = transform(job, argv(tools, out), step)
    if finished.status or disk_full_text(finished.errors):
        raise failure(finished, f"cannot edit '{facts.name}'")


def _mapped(
    op: Metadata, path: Path, facts: MediaFacts, changes: dict[str, str], folder: Path
) -> tuple[list[Any], dict[str, Any]]:
    opened = source(path)
    indexes = {
        "v": [video.index for video in facts.video],
        "a": [track.index for track in facts.audio],
        "s": [track.index for track in facts.subtitles],
    }
    streams = [opened[str(index)] for kind in "vas" for index in indexes[kind]]
    if facts.attachments:
        streams.append(opened["t"])
    options: dict[str, Any] = {"map_metadata": -1 if op.clear else number_of(path), "map_chapters": number_of(path)}
    if facts.cover_index is not None:
        streams.append(opened[str(facts.cover_index)])
        options[f"disposition:v:{len(facts.video)}"] = "attached_pic"
    for number, (name, value) in enumerate(changes.items()):
        options[f"metadata:g:{number}"] = f"{name}={value}"
    for pair in op.language:
        (kind, number), code = language_of(pair)
        _known(indexes, kind, number, pair)
        options[f"metadata:s:{kind}:{number}"] = f"language={code}"
    options |= _flags(op, facts, indexes)
    if op.chapters:
        listing = folder / "chapters.txt"
        listing.write_text(chapter_file(Path(op.chapters).read_text("utf-8", "replace"), facts.duration), "utf-8")
        streams.append(own_metadata(listing)["d:99?"])  # never there: makes the list an input
        options["map_chapters"] = number_of(listing)
    if op.cover and facts.container == "matroska":
        _, mime = tags.image(Path(op.cover))
        options |= {"attach": str(_named_cover(Path(op.cover), folder, mime)), "metadata:s:t": f"mimetype={mime}"}
    if facts.container in ("mp4", "m4a", "m4v", "mov"):
        options["movflags"] = "+faststart"
    return streams, options


def _named_cover(cover: Path, folder: Path, mime: str) -> Path:
    place = folder / ("cover.jpg" if mime == "image/jpeg" else "cover.png")
    shutil.copyfile(cover, place)
    return place


def _known(indexes: dict[str, list[int]], kind: str, number: int, given: str) -> None:
    if number >= len(indexes[kind]):
        raise TaskdeckError(
            "value", f"cannot change the track '{display(given)}'", f"there are {len(indexes[kind])} of its kind"
        )


def _flags(op: Metadata, facts: MediaFacts, indexes: dict[str, list[int]]) -> dict[str, str]:
    """Dispositions; a new default track takes the flag from the others of its kind."""
    wanted = {flag: {track_of(spec) for spec in getattr(op, flag)} for flag in ("default", "forced")}
    tracks: dict[str, list[Any]] = {"v": list(facts.video), "a": list(facts.audio), "s": list(facts.subtitles)}
    found = {}
    for spec in (*op.default, *op.forced):
        _known(indexes, *track_of(spec), spec)
    for kind, group in tracks.items():
        touched = {flag: {n for k, n in wanted[flag] if k == kind} for flag in wanted}
        if not any(touched.values()):
            continue
        for number, track in enumerate(group):
            flags = {flag for flag in _FLAGS if getattr(track, flag, False)}
            for flag, numbers in touched.items():
                if numbers:
                    flags = flags | {flag} if number in numbers else flags - {flag}
            found[f"disposition:{kind}:{number}"] = "+".join(sorted(flags)) or "0"
    return found


def chapter_file(listing: str, duration: float | None) -> str:
    """ffmpeg's metadata format from lines of "HH:MM:SS Title".

    Raises:
        TaskdeckError: `value` for a line that is none.
    """
    rows: list[tuple[float, str]] = []
    for line in filter(str.strip, listing.splitlines()):
        stamp, _, title = line.strip().partition(" ")
        try:
            rows.append((text.parse_duration(stamp), title.strip()))
        except ValueError:
            raise TaskdeckError(
                "value", f"cannot use the chapter '{display(line)}'", "", "write 00:01:30 Title"
            ) from None
    rows.sort()
    lines = [";FFMETADATA1"]
    ends = [start for start, _ in rows[1:]] + [max(duration or 0.0, rows[-1][0] + 1 if rows else 0.0)]
    for (start, title), end in zip(rows, ends, strict=True):
        escaped = re.sub(r"([=;#\\\n])", r"\\\1", title)
        lines += ["[CHAPTER]", "TIMEBASE=1/1000", f"START={round(start * 1000)}", f"END={round(end * 1000)}"]
        lines.append(f"title={escaped}")
    return "\n".join(lines) + "\n"


def reply(op: Metadata, result: Json) -> Reply:
    """Tags before and after."""
    if "folder" in result:
        return batch.reply("Metadata", result, _in_short)
    found = msgspec.convert(result, MetadataResult)
    lines = [Line("File", found.source, icon="file"), Line("")]
    for name in sorted({*found.before, *found.after}):
        old, new = found.before.get(name, ""), found.after.get(name, "")
        lines.append(Line(name.capitalize(), new if old == new or not found.path else f"{old or '-'} -> {new or '-'}"))
    if not found.path:
        return Reply("Metadata", lines if len(lines) > 2 else [*lines, Line("No tags")], icon="info")
    lines += [Line(name, value) for name, value in _track_changes(op) if value]
    lines += [Line(""), Line("Location", display(from_uri(found.path)), icon="file")]
    return Reply("Metadata changed!", lines, icon="done")


def _track_changes(op: Metadata) -> list[tuple[str, str]]:
    """What was changed besides tags, as it was asked for."""
    return [
        ("Language", ", ".join(map(display, op.language))),
        ("Default Track", ", ".join(map(display, op.default))),
        ("Forced Track", ", ".join(map(display, op.forced))),
        ("Chapters", f"from {display(Path(op.chapters).name)}" if op.chapters else ""),
        ("Cover", f"from {display(Path(op.cover).name)}" if op.cover else ""),
    ]


def _in_short(row: Json) -> str:
    found = msgspec.convert(row, MetadataResult)
    if found.path:
        return f"changed {', '.join(found.changed) or 'tags'}"
    return ", ".join(found.after[name] for name in ("title", "artist", "album") if found.after.get(name)) or "no tags"
