"""The operation `loudness`: EBU R 128 of the main audio track. Only audio is decoded (a tenth of the cost)."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from engines.errors import TaskdeckError
from engines.job import Job
from engines.media import batch
from engines.media.facts import MediaFacts
from engines.media.ffmpeg import argv, discard, source
from engines.media.place import tools_of
from engines.media.probe import probe
from engines.media.runner import Step, failure, transform
from engines.model import Json
from engines.operations import Loudness
from engines.reply import Line, Reply


class LoudnessResult(msgspec.Struct, kw_only=True):
    """Integrated loudness (LUFS), range (LU) and true peak (dBFS)."""

    source: str
    integrated: float
    range: float
    peak: float


def require_sound(facts: MediaFacts) -> int:
    """The index of the main audio track.

    Raises:
        TaskdeckError: `media.unreadable`.
    """
    track = facts.main_audio
    if track is None:
        raise TaskdeckError("media.lacking", f"cannot listen to '{facts.name}'", "it has no audio")
    return track.index


def run(op: Loudness, job: Job) -> LoudnessResult | batch.FolderResult:
    """Measure."""
    return batch.file_or_folder(op, job, _one)


def _one(op: Loudness, job: Job) -> LoudnessResult:
    tools, path = tools_of(job), Path(op.path)
    facts = probe(job, tools, path, timeout=job.settings.media.probe_timeout)
    index = require_sound(facts)
    total = max(1, round(facts.duration)) if facts.duration else None

    def step(step: Step) -> None:
        job.progress(int(step.seconds or 0), total, item=facts.name, stage="listening", unit="seconds")

    # framelog=quiet would be the obvious choice; it breaks the filter in ffmpeg 5.1 ("Error reinitializing filters").
    heard = source(path)[str(index)].filter("ebur128", peak="true", framelog="verbose")
    finished = transform(job, argv(tools, discard(heard), verbosity="info"), step)
    summary = finished.errors.rpartition("Summary:")[2]

    def value(pattern: str) -> float:
        found = re.search(pattern, summary)
        if finished.status or not found:
            raise failure(finished, f"cannot measure '{facts.name}'")
        return float(found[1])

    return LoudnessResult(
        source=facts.name,
        integrated=value(r"I:\s+(-?[\d.]+|-inf) LUFS"),
        range=value(r"LRA:\s+(-?[\d.]+) LU"),
        peak=max(-144.0, value(r"Peak:\s+(-?[\d.]+|-inf) dBFS")),
    )


def reply(op: Loudness, result: Json) -> Reply:
    """The three figures, and how far from the usual targets."""
    if "folder" in result:
        return batch.reply("Loudness (EBU R 128)", result, _in_short)
    found = msgspec.convert(result, LoudnessResult)
    return Reply(
        "Loudness (EBU R 128)",
        [
            Line("File", found.source, icon="file"),
            Line("Integrated", f"{found.integrated:.1f} LUFS", icon="audio"),
            Line("Range", f"{found.range:.1f} LU", icon="chart"),
            Line("True Peak", f"{found.peak:.1f} dBFS", icon="warning" if found.peak > -1 else "signal"),
            Line("To Broadcast (-23 LUFS)", f"{-23 - found.integrated:+.1f} dB", icon="info"),
            Line("To Streaming (-14 LUFS)", f"{-14 - found.integrated:+.1f} dB", icon="info"),
        ],
        icon="audio",
    )


def _in_short(row: Json) -> str:
    found = msgspec.convert(row, LoudnessResult)
    return f"{found.integrated:.1f} LUFS, range {found.range:.1f} LU, peak {found.peak:.1f} dBFS"
