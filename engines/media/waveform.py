"""The operation `waveform`: a picture of a sound."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engines import files, text
from engines.errors import TaskdeckError
from engines.job import Job
from engines.media import batch
from engines.media.ffmpeg import argv, output, source
from engines.media.loudness import require_sound
from engines.media.pictures import encoder
from engines.media.place import beside, early_refusal, staged, tools_of
from engines.media.probe import probe
from engines.media.runner import Step, failure, transform
from engines.model import Json
from engines.names import display
from engines.operations import Waveform
from engines.paths import from_uri, to_uri
from engines.reply import Line, Reply


class WaveformResult(msgspec.Struct, kw_only=True):
    """The picture."""

    source: str
    path: str
    size: int


def run(op: Waveform, job: Job) -> WaveformResult | batch.FolderResult:
    """Draw the main audio track."""
    return batch.file_or_folder(op, job, _one)


def _one(op: Waveform, job: Job) -> WaveformResult:
    tools, path = tools_of(job), Path(op.path)
    facts = probe(job, tools, path, timeout=job.settings.media.probe_timeout)
    index = require_sound(facts)
    target = beside(path, op.output, ".waveform", "png")
    if not early_refusal(target, op.on_conflict):
        total = max(1, round(facts.duration)) if facts.duration else None

        def step(step: Step) -> None:
            job.progress(int(step.seconds or 0), total, item=facts.name, stage="drawing", unit="seconds")

        drawn = source(path)[str(index)].filter("showwavespic", s=f"{op.width}x{op.height}", colors="0x4fa3e0")
        with staged(job, target) as part:
            out = output(drawn, part, vframes=1, **{**encoder("png"), "pix_fmt": "rgba"})
            finished = transform(job, argv(tools, out), step)
            if finished.status or not part.exists() or not part.stat().st_size:
                raise failure(finished, f"cannot draw '{facts.name}'")
            target = files.publish(job, part, target, op.on_conflict) or target
    if not target.exists():
        raise TaskdeckError("path.missing", f"cannot find '{display(target)}'", "it vanished")
    return WaveformResult(source=facts.name, path=to_uri(str(target)), size=target.stat().st_size)


def reply(op: Waveform, result: Json) -> Reply:
    """The picture."""
    if "folder" in result:
        return batch.reply("Waveforms drawn!", result, _in_short)
    found = msgspec.convert(result, WaveformResult)
    place = from_uri(found.path)
    lines = [
        Line("Source", found.source, icon="file"),
        Line("Size", text.size(found.size, digits=0), icon="disk"),
        Line("Location", display(place), icon="file"),
    ]
    return Reply("Waveform drawn!", lines, icon="done", image=place)


def _in_short(row: Json) -> str:
    return text.size(msgspec.convert(row, WaveformResult).size, digits=0)
