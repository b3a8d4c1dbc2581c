"""The operation `tracks`: audio and subtitle tracks as files of their own, copied in one pass over the source."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import msgspec

from engines import files, text
from engines.errors import TaskdeckError
from engines.job import Job
from engines.media import batch, labels
from engines.media.facts import AudioFacts, SubtitleFacts
from engines.media.ffmpeg import argv, output, source
from engines.media.place import staged, tools_of
from engines.media.probe import probe
from engines.media.runner import Step, disk_full_text, failure, transform
from engines.media.selection import by_language
from engines.model import Json
from engines.names import display, safe_component
from engines.operations import Tracks
from engines.paths import from_uri, to_uri
from engines.reply import Line, Reply

# codec -> extension and muxer of a file that holds just this; others go into Matroska.
_AUDIO: Final = {
    "aac": ("m4a", "ipod"),
    "alac": ("m4a", "ipod"),
    "mp3": ("mp3", "mp3"),
    "flac": ("flac", "flac"),
    "opus": ("opus", "ogg"),
    "vorbis": ("ogg", "ogg"),
    "ac3": ("ac3", "ac3"),
    "eac3": ("eac3", "eac3"),
    "pcm_s16le": ("wav", "wav"),
    "pcm_s24le": ("wav", "wav"),
}
_SUBTITLES: Final = {"ass": ("ass", "ass", "copy"), "webvtt": ("vtt", "webvtt", "copy")}


class TrackFile(msgspec.Struct, frozen=True):
    """One track that was written."""

    name: str
    path: str
    size: int


class TracksResult(msgspec.Struct, kw_only=True):
    """The files."""

    source: str
    files: list[TrackFile]


def run(op: Tracks, job: Job) -> TracksResult | batch.FolderResult:
    """Copy the wanted tracks; text subtitles other than ASS and WebVTT become SRT."""
    return batch.file_or_folder(op, job, _one)


def _one(op: Tracks, job: Job) -> TracksResult:
    tools, path = tools_of(job), Path(op.path)
    facts = probe(job, tools, path, timeout=job.settings.media.probe_timeout)
    audio, _ = by_language(facts.audio, op.audio, "audio")
    subtitles, _ = by_language(facts.subtitles, op.subtitles, "subtitles")
    wanted = [_audio(track) for track in audio] + [_subtitle(track) for track in subtitles]
    if not wanted:
        raise TaskdeckError("media.lacking", f"cannot copy tracks of '{facts.name}'", "it has none that fit")
    folder = Path(op.output) if op.output else path.parent
    folder.mkdir(parents=True, exist_ok=True)
    files.require_space(folder, 1 << 20, what=f"copy tracks of '{facts.name}'")
    total = max(1, round(facts.duration)) if facts.duration else None

    def step(step: Step) -> None:
        job.progress(int(step.seconds or 0), total, item=facts.name, stage="copying", unit="seconds")

    made = []
    with ExitStack() as stack:
        opened, outputs, places = source(path), [], []
        for index, label, extension, muxer, codec in wanted:
            name = files.fit_name(path.stem, after=f".{index}.{safe_component(label)}.{extension}")
            part = stack.enter_context(staged(job, folder / name))
            outputs.append(output(opened[str(index)], part, format=muxer, c=codec, map_metadata=-1))
            places.append((label, part, folder / name))
        finished = transform(job, argv(tools, *outputs), step)
        empty = [label for label, part, _ in places if not part.exists() or not part.stat().st_size]
        if finished.status or disk_full_text(finished.errors) or len(empty) == len(places):
            raise failure(finished, f"cannot copy tracks of '{facts.name}'")
        for label, part, target in places:
            size = part.stat().st_size
            placed = files.publish(job, part, target, op.on_conflict)
            if placed is not None:
                made.append(TrackFile(label, to_uri(str(placed)), size))
    return TracksResult(source=facts.name, files=made)


def _audio(track: AudioFacts) -> tuple[int, str, str, str, str]:
    extension, muxer = _AUDIO.get(track.codec, ("mka", "matroska"))
    return track.index, track.language or "und", extension, muxer, "copy"


def _subtitle(track: SubtitleFacts) -> tuple[int, str, str, str, str]:
    extension, muxer, codec = _SUBTITLES.get(track.codec, ("srt", "srt", "srt"))
    if track.picture:
        extension, muxer, codec = "mks", "matroska", "copy"
    label = (track.language or "und") + (".forced" if track.forced else "") + (".sdh" if track.hearing_impaired else "")
    return track.index, label, extension, muxer, codec


def reply(op: Tracks, result: Json) -> Reply:
    """The files with their sizes."""
    if "folder" in result:
        return batch.reply("Tracks copied!", result, _in_short)
    found = msgspec.convert(result, TracksResult)
    lines: list[Any] = [Line("Source", found.source, icon="file"), Line("")]
    for made in found.files:
        name = labels.language(made.name.split(".")[0])
        lines.append(Line(f"{name}: {display(from_uri(made.path))} ({text.size(made.size)})", bullet=True))
    return Reply(f"{text.plural(len(found.files), 'track')} copied!", lines, icon="done")


def _in_short(row: Json) -> str:
    return text.plural(len(msgspec.convert(row, TracksResult).files), "track")
