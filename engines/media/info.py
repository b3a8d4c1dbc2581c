"""The operations `mediainfo` and `mstats`: facts of one file, or a table of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engines.errors import TaskdeckError
from engines.job import Job
from engines.media import batch, report
from engines.media.facts import MediaFacts
from engines.media.folder import media_files
from engines.media.place import tools_of
from engines.media.probe import probe, probe_many
from engines.media.quality import Quality, rate
from engines.media.tools import has_pyav
from engines.model import Json
from engines.names import display
from engines.operations import MediaInfo, MediaReport, MStats
from engines.paths import unreadable
from engines.reply import Reply


class FileInfo(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One row: the facts of a file, or why it cannot be read."""

    path: str
    facts: MediaFacts | None = None
    quality: Quality | None = None
    error: str = ""
    code: str = ""


class MediaInfoResult(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Facts and rating of a file, or rows of a folder."""

    facts: MediaFacts | None = None
    quality: Quality | None = None
    folder: str = ""
    files: list[FileInfo] = []


def run(op: MediaInfo | MStats, job: Job) -> MediaInfoResult:
    """Read a file's facts, or those of every media file below a folder."""
    path = Path(op.path)
    tools, timeout = tools_of(job), job.settings.media.probe_timeout
    if path.is_dir():
        return _folder(path, job)
    try:
        size = os.stat(path).st_size
    except OSError as error:
        raise unreadable(path, error) from None
    job.progress(0, size, item=path.name, stage="reading")
    deep = isinstance(op, MediaInfo) and op.deep
    facts = probe(job, tools, path, timeout=timeout, deep=deep)
    job.progress(size, size, item=path.name)
    return MediaInfoResult(facts=facts, quality=rate(facts))


def _folder(folder: Path, job: Job) -> MediaInfoResult:
    rows = list(_by_one_worker(folder, job) if has_pyav() else _by_ffprobe(folder, job))
    if not rows:
        raise TaskdeckError("path.missing", f"cannot find media in '{display(folder)}'", "no file is named like media")
    return MediaInfoResult(folder=display(folder), files=rows)


def _by_one_worker(folder: Path, job: Job) -> Iterator[FileInfo]:
    """PyAV reads a file in 5 ms of CPU: one process is enough for a folder."""
    paths = list(media_files(folder))
    timeout = job.settings.media.probe_timeout
    for number, (path, found) in enumerate(probe_many(job, tools_of(job), paths, timeout=timeout), 1):
        name = display(path.relative_to(folder))
        if isinstance(found, MediaFacts):
            yield FileInfo(path=name, facts=found, quality=rate(found))
        else:
            yield FileInfo(path=name, error=found.message, code=found.code)
        job.progress(number, len(paths), item=path.name, unit="files", stage="reading")


def _by_ffprobe(folder: Path, job: Job) -> Iterator[FileInfo]:
    """A start of ffprobe costs 70 ms: one on each core."""
    media, tools = job.settings.media, tools_of(job)

    def work(part: Job, path: Path) -> MediaFacts:
        return probe(part, tools, path, timeout=media.probe_timeout)

    for row in batch.run(job, folder, work, most=batch.abreast(media)):
        facts = msgspec.convert(row.result, MediaFacts) if row.result else None
        quality = rate(facts) if facts else None
        yield FileInfo(path=row.name, facts=facts, quality=quality, error=row.error, code=row.code)


def reply(op: MediaInfo | MStats, result: Json) -> Reply:
    """The guide's full or brief report; a table for a folder."""
    found = msgspec.convert(result, MediaInfoResult)
    if found.facts is None:
        return report.table([(row.path, row.facts or row.error) for row in found.files], folder=found.folder)
    if isinstance(op, MStats) or op.report is MediaReport.BRIEF:
        return report.brief(found.facts)
    return report.full(found.facts)
