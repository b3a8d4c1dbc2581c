"""The operation `mediatest`: is a file whole? Quick by structure and packets, full by decoding every frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from engines import text
from engines.errors import TaskdeckError
from engines.job import Job
from engines.media import batch, verify
from engines.media.facts import MediaFacts
from engines.media.ffmpeg import argv, discard, source
from engines.media.place import tools_of
from engines.media.probe import probe
from engines.media.quality import rate
from engines.media.runner import Limits, Step, plain, transform
from engines.media.tools import Tools
from engines.model import Json
from engines.names import display
from engines.operations import MediaTest
from engines.reply import Line, Reply


class MediaTestResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What was looked at. A damaged file is an error, not a result; in a folder it is a row."""

    source: str
    full: bool = False
    seconds: float = 0.0
    remarks: list[str] = []
    files: list[batch.FileOutcome] = []


def run(op: MediaTest, job: Job) -> MediaTestResult:
    """Test a file or each media file of a folder.

    Raises:
        TaskdeckError: `media.damaged` with what is wrong, `media.unreadable`; of a folder with all
            outcomes as its result.
    """
    path = Path(op.path)
    if path.is_dir():
        rows = batch.each(op, job, _one)
        return batch.settled(MediaTestResult(source=display(path), full=op.full, files=rows), rows, "found damage in")
    return _one(op, job)


def _one(op: MediaTest, job: Job) -> MediaTestResult:
    tools, path = tools_of(job), Path(op.path)
    facts = probe(job, tools, path, timeout=job.settings.media.probe_timeout)
    wrong = [
        warning for warning in rate(facts).warnings if warning.startswith(("The file is truncated", "The file is dam"))
    ]
    total = max(1, round(facts.duration)) if facts.duration else None
    stage = "decoding" if op.full else "reading packets"

    def step(step: Step) -> None:
        job.progress(int(step.seconds or 0), total, item=facts.name, stage=stage, unit="seconds")

    checked = verify.decode(job, tools, path, facts, step) if op.full else _packets(job, tools, path, facts, step)
    wrong += (
        [f"{text.plural(len(checked.complaints), 'complaint')}: {plain(checked.complaints[0])}"]
        if checked.complaints
        else []
    )
    if facts.duration and checked.seconds < facts.duration - max(1.0, facts.duration * 0.01):
        wrong.append(f"it ends after {text.clock(checked.seconds)} of {text.clock(facts.duration)}")
    if wrong:
        raise TaskdeckError(
            "media.damaged", f"'{facts.name}' is damaged", "; ".join(wrong), detail="\n".join(checked.complaints)
        )
    remarks = [] if op.full else ["only --full finds rot inside the frames"]
    if facts.duration is None:
        remarks.append("the file does not say how long it should be")
    return MediaTestResult(source=facts.name, full=op.full, seconds=checked.seconds, remarks=remarks)


def _packets(job: Job, tools: Tools, path: Path, facts: MediaFacts, step: Callable[[Step], None]) -> verify.Decoded:
    """Read every packet and throw it away: broken indexes, missing data, early ends."""
    opened = source(path)
    indexes = [*(video.index for video in facts.video), *(track.index for track in facts.audio)]
    out = discard([opened[str(index)] for index in indexes] or opened, c="copy")
    finished = transform(job, argv(tools, out), step, Limits(stall=120))
    return verify.Decoded(finished.seconds, finished.frames, verify.complaints_of(finished.errors, facts))


def reply(op: MediaTest, result: Json) -> Reply:
    """Whole, or which files are not."""
    found = msgspec.convert(result, MediaTestResult)
    if found.files:
        lines = [
            Line(batch.failed(row) if row.error else row.name, icon="failed" if row.error else "done")
            for row in found.files
        ]
        bad = sum(bool(row.error) for row in found.files)
        lines += [Line(""), Line("Damaged", f"{bad} of {len(found.files)}", icon="chart")]
        return Reply("Media test", lines, icon="failed" if bad else "done")
    lines = [
        Line("File", found.source, icon="file"),
        Line("Tested", ("every frame decoded" if found.full else "structure and packets"), icon="info"),
        Line("Duration", text.clock(found.seconds), icon="time"),
        *(Line(remark, icon="info") for remark in found.remarks),
    ]
    return Reply("Media file is whole!", lines, icon="done")
