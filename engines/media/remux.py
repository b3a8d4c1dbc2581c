"""The operation `remux`: the same streams in another container, after a plan of what that container can hold."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from engines import files, text
from engines.errors import TaskdeckError
from engines.job import Job
from engines.media import batch, labels, verify
from engines.media.facts import AudioFacts, MediaFacts, SubtitleFacts, VideoFacts
from engines.media.ffmpeg import argv, output, source
from engines.media.place import beside, early_refusal, staged, tools_of
from engines.media.probe import probe
from engines.media.runner import Step, disk_full_text, failure, transform
from engines.media.selection import by_language
from engines.model import Json
from engines.names import display
from engines.operations import Container, Remux
from engines.paths import from_uri, to_uri
from engines.reply import Line, Reply


class Action(StrEnum):
    """What happens to a stream."""

    COPY = "copy"
    CONVERT = "convert"
    DROP = "drop"


class Fate(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one stream, and why."""

    index: int
    kind: str
    name: str
    action: Action
    codec: str = "copy"
    reason: str = ""


class RemuxResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The plan, and the file when it was carried out."""

    source: str
    fates: list[Fate]
    path: str = ""
    before: int = 0
    after: int = 0


class Holds(msgspec.Struct, frozen=True):
    """What a container can hold; None means anything. `text` is what text subtitles become, "" drops them."""

    muxer: str
    video: frozenset[str] | None
    audio: frozenset[str] | None
    text: str
    pictures: frozenset[str]
    attachments: bool = False
    cover: bool = False


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split(" "))


_MP4_VIDEO: Final = _set("h264 hevc av1 vp9 mpeg4 mpeg2video mpeg1video vvc mjpeg")
_MP4_AUDIO: Final = _set("aac ac3 eac3 mp3 mp2 opus flac alac dts truehd")
HOLDS: Final[dict[Container, Holds]] = {
    Container.MKV: Holds("matroska", None, None, "srt", _set("hdmv_pgs_subtitle dvd_subtitle dvb_subtitle"), True),
    Container.MP4: Holds("mp4", _MP4_VIDEO, _MP4_AUDIO, "mov_text", frozenset(), cover=True),
    Container.MOV: Holds(
        "mov",
        _MP4_VIDEO | _set("prores dnxhd qtrle"),
        _MP4_AUDIO | _set("pcm_s16le pcm_s24le"),
        "mov_text",
        frozenset(),
    ),
    Container.WEBM: Holds("webm", _set("vp8 vp9 av1"), _set("opus vorbis"), "webvtt", frozenset()),
    Container.TS: Holds(
        "mpegts",
        _set("h264 hevc mpeg2video mpeg1video mpeg4"),
        _set("aac ac3 eac3 mp3 mp2 dts opus truehd"),
        "",
        _set("dvb_subtitle"),
    ),
    Container.M4A: Holds("ipod", frozenset(), _set("aac alac ac3 eac3"), "", frozenset(), cover=True),
}
_KEPT_TEXT: Final = {"srt": _set("subrip ass ssa webvtt"), "mov_text": _set("mov_text"), "webvtt": _set("webvtt")}


def plan(facts: MediaFacts, op: Remux) -> list[Fate]:
    """What would happen to each stream.

    Raises:
        TaskdeckError: `unsupported` when nothing a person would call the content is left.
    """
    holds = HOLDS[op.container]
    audio, _ = by_language(facts.audio, op.audio, "audio")
    subtitles, _ = by_language(facts.subtitles, op.subtitles, "subtitles")
    fates = [_video(video, holds, op.container) for video in facts.video]
    fates += [_audio(track, holds, op.container, wanted=track in audio) for track in facts.audio]
    fates += [_subtitle(track, holds, op.container, wanted=track in subtitles) for track in facts.subtitles]
    if facts.cover_index is not None:
        kept = Action.COPY if holds.cover else Action.DROP
        why = "" if holds.cover else f"{op.container.value} files carry no cover picture"
        fates.append(Fate(index=facts.cover_index, kind="cover", name="Cover picture", action=kept, reason=why))
    for attachment in facts.attachments:
        kept = Action.COPY if holds.attachments else Action.DROP
        why = "" if holds.attachments else f"{op.container.value} files carry no attachments"
        fates.append(Fate(index=-1, kind="attachment", name=attachment.name, action=kept, reason=why))
    lost = [f for f in fates if f.action is Action.DROP and f.kind in ("video", "audio") and f.reason != _UNWANTED]
    wanted = [f for f in fates if f.action is not Action.DROP and f.kind in ("video", "audio")]
    if not wanted or (any(f.kind == "video" for f in lost) and op.container is not Container.M4A):
        raise TaskdeckError(
            "unsupported",
            f"cannot put '{facts.name}' into {op.container.value}",
            lost[0].reason if lost else "no stream would be left",
            "use `transcode`, or mkv, which holds everything",
        )
    return fates


_UNWANTED: Final = "not wanted"


def _video(video: VideoFacts, holds: Holds, container: Container) -> Fate:
    name = f"{labels.video_codec(video)} {labels.resolution(video)}"
    if holds.video is None or video.codec in holds.video:
        return Fate(index=video.index, kind="video", name=name, action=Action.COPY)
    why = f"{container.value} files cannot hold {labels.codec(video.codec)}"
    return Fate(index=video.index, kind="video", name=name, action=Action.DROP, reason=why)


def _audio(track: AudioFacts, holds: Holds, container: Container, *, wanted: bool) -> Fate:
    name = " ".join(filter(None, (labels.codec(track.codec), labels.channels(track), labels.language(track.language))))
    if not wanted:
        return Fate(index=track.index, kind="audio", name=name, action=Action.DROP, reason=_UNWANTED)
    if holds.audio is None or track.codec in holds.audio:
        return Fate(index=track.index, kind="audio", name=name, action=Action.COPY)
    why = f"{container.value} files cannot hold {labels.codec(track.codec)}"
    return Fate(index=track.index, kind="audio", name=name, action=Action.DROP, reason=why)


def _subtitle(track: SubtitleFacts, holds: Holds, container: Container, *, wanted: bool) -> Fate:
    def fate(action: Action, reason: str = "", codec: str = "copy") -> Fate:
        name = labels.subtitle(track)
        return Fate(index=track.index, kind="subtitle", name=name, action=action, reason=reason, codec=codec)

    if not wanted:
        return fate(Action.DROP, _UNWANTED)
    if track.picture:
        good = track.codec in holds.pictures
        return fate(Action.COPY) if good else fate(Action.DROP, f"{container.value} files hold no drawn subtitles")
    if not holds.text:
        return fate(Action.DROP, f"{container.value} files hold no text subtitles")
    if track.codec in _KEPT_TEXT[holds.text]:
        return fate(Action.COPY)
    lost = ", styles are lost" if track.styled else ""
    return fate(Action.CONVERT, f"becomes {holds.text}{lost}", holds.text)


def run(op: Remux, job: Job) -> RemuxResult | batch.FolderResult:
    """Plan, and unless that is all that was asked, write and verify the new file."""
    return batch.file_or_folder(op, job, _one)


def _one(op: Remux, job: Job) -> RemuxResult:
    tools, path = tools_of(job), Path(op.path)
    facts = probe(job, tools, path, timeout=job.settings.media.probe_timeout)
    fates = plan(facts, op)
    result = RemuxResult(source=facts.name, fates=fates, before=facts.size)
    if op.plan:
        return result
    for fate in fates:
        if fate.action is not Action.COPY:
            job.log(f"{fate.kind} {fate.name}: {fate.action.value} ({fate.reason})")
    target = beside(
        path, op.output, "" if path.suffix.lower() != f".{op.container.value}" else ".remux", op.container.value
    )
    if early_refusal(target, op.on_conflict):
        return result
    files.require_space(target.parent, facts.size, what=f"copy '{facts.name}'")
    total = max(1, round(facts.duration)) if facts.duration else None

    def step(step: Step) -> None:
        job.progress(int(step.seconds or 0), total, item=facts.name, stage="copying", unit="seconds")

    with staged(job, target) as part:
        finished = transform(job, argv(tools, _output(path, facts, fates, op.container, part)), step)
        if finished.status or disk_full_text(finished.errors):
            raise failure(finished, f"cannot copy '{facts.name}'")
        kept = [
            fate for fate in fates if fate.action is not Action.DROP and fate.kind in ("video", "audio", "subtitle")
        ]
        length = facts.duration if len(kept) == len(fates) and facts.structure.present in (None, 1.0) else None
        after = verify.result(job, tools, part, finished, duration=length, streams=len(kept))
        placed = files.publish(job, part, target, op.on_conflict) or target
    result.path, result.after = to_uri(str(placed)), after.size
    return result


def _output(path: Path, facts: MediaFacts, fates: list[Fate], container: Container, part: Path) -> Any:
    # AVI has no presentation times of its own.
    opened = source(path, fflags="+genpts") if facts.container in ("avi", "mpeg") else source(path)
    kept = [fate for fate in fates if fate.action is not Action.DROP and fate.index >= 0]
    streams = [opened[str(fate.index)] for fate in kept]
    options: dict[str, Any] = {"c": "copy", "format": HOLDS[container].muxer, "map_metadata": 0, "map_chapters": 0}
    for number, fate in enumerate(f for f in kept if f.kind == "subtitle"):
        options[f"c:s:{number}"] = fate.codec
    videos = [fate for fate in kept if fate.kind in ("video", "cover")]
    for number, fate in enumerate(videos):
        if fate.kind == "cover":
            options[f"disposition:v:{number}"] = "attached_pic"
    if any(fate.kind == "attachment" and fate.action is Action.COPY for fate in fates):
        streams.append(opened["t"])
    main = facts.main_video
    if container in (Container.MP4, Container.MOV):
        options["movflags"] = "+faststart"
        options["tag:v:0"] = "hvc1" if main and main.codec == "hevc" else None
        options["strict"] = "experimental"  # TrueHD, and Opus and FLAC before ffmpeg 4.3
    return output(streams, part, **options)


def reply(op: Remux, result: Json) -> Reply:
    """The plan, and what came of it."""
    if "folder" in result:
        return batch.reply("Remux finished!", result, _in_short)
    found = msgspec.convert(result, RemuxResult)
    lines = [Line("Source", found.source, icon="file"), Line("")]
    for fate in found.fates:
        mark = {Action.COPY: "keep", Action.CONVERT: "convert", Action.DROP: "drop"}[fate.action]
        lines.append(
            Line(f"{mark}: {fate.kind} {fate.name}" + (f" ({fate.reason})" if fate.reason else ""), bullet=True)
        )
    if not found.path:
        return Reply(f"Plan for {op.container.value}", lines, icon="info")
    lines += [Line(""), Line("Size", f"{text.size(found.before)} -> {text.size(found.after)}", icon="disk")]
    lines.append(Line("Location", display(from_uri(found.path)), icon="file"))
    return Reply("Remux finished!", lines, icon="done")


def _in_short(row: Json) -> str:
    found = msgspec.convert(row, RemuxResult)
    counts = [
        f"{sum(fate.action is action for fate in found.fates)} {word}"
        for action, word in ((Action.CONVERT, "converted"), (Action.DROP, "dropped"))
        if any(fate.action is action for fate in found.fates)
    ]
    size = f"{text.size(found.before)} -> {text.size(found.after)}" if found.path else "planned"
    return ", ".join([size, *counts])
