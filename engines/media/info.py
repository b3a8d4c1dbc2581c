"""The operations `mediainfo` and `mstats`: facts of one file, or a table of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from engines.errors import TaskdeckError
from engines.job import Job
from engines.media import report
from engines.media.facts import MediaFacts
from engines.media.place import tools_of
from engines.media.probe import probe, probe_many
from engines.media.quality import Quality, rate
from engines.model import Json
from engines.names import display
from engines.operations import MediaInfo, MediaReport, MStats
from engines.paths import unreadable
from engines.reply import Reply

_NAMED_LIKE_MEDIA: Final = (
    "3gp 3g2 aac ac3 aif aiff amr ape asf avi caf divx dts dv eac3 f4v flac flv gif ivf m1v m2ts m2v m4a m4b m4v mka "
    "mkv mov mp2 mp3 mp4 mpeg mpg mts mxf obu oga ogg ogm ogv opus ra rm rmvb spx tak tta ts vob wav webm wma wmv wv"
)
EXTENSIONS: Final = frozenset(_NAMED_LIKE_MEDIA.split(" "))
"""Names that are looked into when a folder is given; a single file may have any name."""
_MOST: Final = 20_000


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


def media_files(folder: Path, *, most: int = _MOST) -> Iterator[Path]:
    """Files below a folder that are named like media, sorted; links are not followed."""
    found = 0
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or name.rpartition(".")[2].lower() not in EXTENSIONS:
                continue
            path = Path(where, name)
            if path.is_symlink():
                continue
            found += 1
            if found > most:
                raise TaskdeckError(
                    "value", f"cannot look at all of '{display(folder)}'", f"it has over {most:,} media files"
                )
            yield path


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
    paths = list(media_files(folder))
    rows = []
    for path, found in probe_many(job, tools_of(job), paths, timeout=job.settings.media.probe_timeout):
        name = display(path.relative_to(folder))
        if isinstance(found, MediaFacts):
            rows.append(FileInfo(path=name, facts=found, quality=rate(found)))
        else:
            rows.append(FileInfo(path=name, error=found.message, code=found.code))
        job.progress(len(rows), len(paths), item=path.name, unit="files", stage="reading")
    if not rows:
        raise TaskdeckError("path.missing", f"cannot find media in '{display(folder)}'", "no file is named like media")
    return MediaInfoResult(folder=display(folder), files=rows)


def reply(op: MediaInfo | MStats, result: Json) -> Reply:
    """The guide's full or brief report; a table for a folder."""
    found = msgspec.convert(result, MediaInfoResult)
    if found.facts is None:
        return report.table([(row.path, row.facts or row.error) for row in found.files], folder=found.folder)
    if isinstance(op, MStats) or op.report is MediaReport.BRIEF:
        return report.brief(found.facts)
    return report.full(found.facts)
