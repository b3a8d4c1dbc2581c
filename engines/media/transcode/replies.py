"""The before/after table of `transcode`."""

from __future__ import annotations

import msgspec

from engines import text
from engines.media import batch, labels
from engines.media.facts import MediaFacts
from engines.media.transcode.job import TranscodeResult
from engines.model import Json
from engines.names import display
from engines.operations import Transcode
from engines.paths import from_uri
from engines.reply import Line, Reply


def reply(op: Transcode, result: Json) -> Reply:
    """What came out, beside what went in."""
    found = msgspec.convert(result, TranscodeResult)
    if found.files:
        return _folder(found)
    lines = [Line("Source", found.source, icon="file")]
    if found.before and found.after:
        before, after = found.before, found.after
        lines += [Line(""), *(Line(name, f"{old} -> {new}") for name, old, new in _rows(before, after) if old or new)]
        lines += [
            Line(""),
            _change(before.size, after.size),
            Line("Time Taken", text.elapsed(found.seconds), icon="time"),
        ]
        if found.seconds and before.duration:
            lines.append(Line("Speed", f"{before.duration / found.seconds:.2f}x real time", icon="speed"))
    lines += [Line(note, icon="info") for note in found.notes]
    if found.path:
        lines += [Line(""), Line("Location", display(from_uri(found.path)), icon="file")]
    return Reply("Transcode finished!", lines, icon="done")


def _change(before: int, after: int) -> Line:
    if after > before:
        return Line("Larger by", text.ratio(text.saved(before, after) * -1), icon="ratio")
    return Line("Saved", text.ratio(text.saved(before, after)), icon="ratio")


def _rows(before: MediaFacts, after: MediaFacts) -> list[tuple[str, str, str]]:
    def of(facts: MediaFacts) -> tuple[str, str, str, str, str, str]:
        video, audio = facts.main_video, facts.main_audio
        return (
            facts.container.upper(),
            text.size(facts.size),
            labels.codec(video.codec) + (f" {video.hdr.value}" if video.hdr.value else "") if video else "",
            labels.resolution(video) if video else "",
            f"{labels.codec(audio.codec)} {labels.channels(audio)}" if audio else "",
            labels.rate(facts.bit_rate),
        )

    names = ("Format", "Size", "Video", "Resolution", "Audio", "Bitrate")
    return list(zip(names, of(before), of(after), strict=True))


def _folder(found: TranscodeResult) -> Reply:
    lines = [Line("Folder", found.source, icon="file"), Line("")]
    good = 0
    for row in found.files:
        if row.result is None:
            lines.append(Line(f"! {batch.failed(row)}", icon="failed"))
            continue
        inner = msgspec.convert(row.result, TranscodeResult)
        good += 1
        sizes = ""
        if inner.before and inner.after:
            sizes = f": {text.size(inner.before.size)} -> {text.size(inner.after.size)}"
        lines.append(Line(f"{row.name}{sizes}", icon="done"))
    lines += [Line(""), Line("Finished", f"{good} of {len(found.files)}", icon="chart")]
    whole = good == len(found.files)
    return Reply("Transcode finished!" if whole else "Transcode ended", lines, icon="done" if whole else "warning")
