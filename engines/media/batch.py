"""A folder as one task: several files at a time, each with its own result; one progress, one checkpoint."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Lock
from typing import Any, Final, TypeVar

import msgspec

from engines import text
from engines.errors import TaskdeckError
from engines.job import Job, Part, Stop, Stopped
from engines.media.folder import media_files
from engines.model import Json
from engines.names import display
from engines.operations import Operation
from engines.paths import from_uri, to_uri
from engines.reply import Line, Reply
from engines.settings import MediaSettings

_TICK: Final = 0.05
_SAVING: Final = 0.05
# The share of time that may go into checkpoints: they hold every result so far and grow with the folder.
_LIGHT: Final = 4
_HARMLESS: Final = frozenset({"media.not_smaller", "media.lacking"})
# Among many files no failures: what --keep-if-smaller left alone, and songs where films are worked on.
_ENCODER_CORES: Final = 8
# Cores one encoder keeps busy at 1080p; a second file at a time gains nothing below that.

Op = TypeVar("Op", bound=Operation)
Result = TypeVar("Result", bound=msgspec.Struct)


class FileOutcome(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of one file: its result as JSON, or why it failed."""

    name: str
    result: Json | None = None
    error: str = ""
    code: str = ""


class FolderResult(msgspec.Struct, kw_only=True):
    """A row for each media file of a folder."""

    folder: str
    files: list[FileOutcome]


def abreast(settings: MediaSettings, *, encodes: bool = False) -> int:
    """How many files of a folder are worked on at the same time."""
    cores = len(os.sched_getaffinity(0))
    return settings.parallel or (max(1, cores // _ENCODER_CORES) if encodes else min(_LIGHT, cores))


def each(op: Op, job: Job, one: Callable[[Op, Job], msgspec.Struct], *, encodes: bool = False) -> list[FileOutcome]:
    """Do an operation with every media file below the folder that is its path.

    Raises:
        TaskdeckError: As `run`.
    """

    def work(part: Job, path: Path) -> msgspec.Struct:
        return one(msgspec.structs.replace(op, path=str(path)), part)

    return run(job, Path(getattr(op, "path", "")), work, most=abreast(job.settings.media, encodes=encodes))


def file_or_folder(op: Op, job: Job, one: Callable[[Op, Job], Result]) -> Result | FolderResult:
    """Do an operation with the file that is its path, or with every media file below the folder that is its path.

    Raises:
        TaskdeckError: As `one` does, or as `run` and `settled`.
    """
    path = str(getattr(op, "path", ""))
    if not os.path.isdir(path):
        return one(op, job)
    rows = each(op, job, one)
    return settled(FolderResult(folder=display(path), files=rows), rows)


def settled(result: Result, rows: Sequence[FileOutcome], what: str = "cannot finish") -> Result:
    """The result of a folder when no file failed.

    Raises:
        TaskdeckError: With the first failed file's code and reason, and the whole result: a folder ends as that file
            would alone.
    """
    bad = [row for row in rows if row.error and row.code not in _HARMLESS]
    if not bad and all(row.code == "media.lacking" for row in rows):
        bad = list(rows)
    if not bad:
        return result
    many = f"{len(bad)} of {text.plural(len(rows), 'file')}"
    raise TaskdeckError(bad[0].code or "media.failed", f"{what} {many}", failed(bad[0]), result=result)


def run(job: Job, folder: Path, work: Callable[[Job, Path], msgspec.Struct], *, most: int = 1) -> list[FileOutcome]:
    """Do `work` with every media file below a folder, `most` at a time; one that fails does not stop the others.

    Raises:
        TaskdeckError: `path.missing` without any media file; `disk.full` at once.
    """
    batch = _Batch(job, folder, work)
    if not batch.paths:
        raise TaskdeckError("path.missing", f"cannot find media in '{display(folder)}'", "no file is named like media")
    batch.run(most)
    return batch.rows()


class _Batch:
    """The files of one folder; what threads share is guarded by one lock."""

    def __init__(self, job: Job, folder: Path, work: Callable[[Job, Path], msgspec.Struct]) -> None:
        kept: Json = (job.checkpoint or {}).get("batch") or {}
        self._job, self._folder, self._work = job, folder, work
        # The list is made once: results that appear in the folder meanwhile are no new sources.
        self.paths = [Path(from_uri(uri)) for uri in kept.get("files", ())] or list(media_files(folder))
        self._done = {int(number): msgspec.convert(row, FileOutcome) for number, row in kept.get("done", {}).items()}
        self._inner: dict[int, Json] = {int(number): inner for number, inner in kept.get("inner", {}).items()}
        self._shares: dict[int, float] = {}
        self._lock = Lock()
        self._halt: Stop | None = None
        self._next_save = 0.0
        self._todo = iter([number for number in range(len(self.paths)) if number not in self._done])

    def rows(self) -> list[FileOutcome]:
        """The outcomes in the order of the files."""
        return [self._done[number] for number in range(len(self.paths))]

    def run(self, most: int) -> None:
        """Do what is not done yet."""
        most = min(most, len(self.paths))
        try:
            if most <= 1:
                self._drain(self._job.check)
            else:
                self._side_by_side(most)
        finally:
            if self._done or self._inner:
                self._save()

    def _side_by_side(self, most: int) -> None:
        """Threads that mostly wait for ffmpeg; this one looks at the task's controls for all of them."""
        with ThreadPoolExecutor(most, thread_name_prefix="file") as pool:
            try:
                pending = {pool.submit(self._drain, self._check) for _ in range(most)}
                while pending:
                    self._job.check()
                    done, pending = wait(pending, _TICK, FIRST_EXCEPTION)
                    _raise(done)
            except BaseException as error:
                self._halt = error.stop if isinstance(error, Stopped) else Stop.CANCEL
                raise

    def _check(self) -> None:
        """What `Job.check` is for the main thread."""
        if self._halt is not None:
            raise Stopped(self._halt)

    def _drain(self, check: Callable[[], None]) -> None:
        """Take files until there are no more."""
        for number in self._numbers():
            check()
            self._finish(number, self._one(number, check))

    def _numbers(self) -> Iterator[int]:
        while True:
            with self._lock:
                number = next(self._todo, None)
            if number is None:
                return
            yield number

    def _one(self, number: int, check: Callable[[], None]) -> FileOutcome:
        path = self.paths[number]
        part = Part(
            self._job,
            checkpoint=self._inner.get(number),
            save=lambda checkpoint: self._keep(number, checkpoint),
            progress=self._progress_of(number),
            check=check,
            # Two files may aim at one name ("a.mkv" and "a.avi" at "a.mp4"): what is staged must differ.
            label=str(number + 1),
        )
        name = display(path.relative_to(self._folder))
        try:
            return FileOutcome(name=name, result=msgspec.to_builtins(self._work(part, path)))
        except TaskdeckError as error:
            if error.code == "disk.full":
                raise
            self._job.log(error.message, level="error")
            return FileOutcome(name=name, error=error.message, code=error.code)

    def _finish(self, number: int, outcome: FileOutcome) -> None:
        with self._lock:
            self._done[number] = outcome
            self._inner.pop(number, None)
            self._shares.pop(number, None)
        if time.monotonic() >= self._next_save:
            self._save()
        self._report(outcome.name, "")

    def _keep(self, number: int, checkpoint: Json) -> None:
        with self._lock:
            self._inner[number] = checkpoint
        self._save()

    def _save(self) -> None:
        """Save the folder's checkpoint."""
        started = time.monotonic()
        with self._lock:
            done: dict[str, Any] = {str(number): msgspec.to_builtins(row) for number, row in self._done.items()}
            inner = {str(number): checkpoint for number, checkpoint in self._inner.items()}
            self._job.save(
                {"batch": {"files": [to_uri(str(path)) for path in self.paths], "done": done, "inner": inner}}
            )
            ended = time.monotonic()
            self._next_save = ended + (ended - started) / _SAVING

    def _progress_of(self, number: int) -> Any:
        def progress(
            done: int, total: int | None = None, *, item: str = "", stage: str = "", unit: str = "bytes"
        ) -> None:
            with self._lock:
                self._shares[number] = min(1.0, done / total) if total else 0.0
            self._report(item, stage)

        return progress

    def _report(self, item: str, stage: str) -> None:
        """Progress of the folder in thousandths of a file."""
        count = len(self.paths)
        with self._lock:
            whole, shares = len(self._done), sum(self._shares.values())
            stage = f"{stage} {min(whole + 1, count)} of {count}".strip()
            self._job.progress(int((whole + shares) * 1000), count * 1000, item=item, stage=stage, unit="thousandths")


def _raise(done: set[Future[None]]) -> None:
    for future in done:
        future.result()


def failed(row: FileOutcome) -> str:
    """Why a file could not be done, with its name."""
    return row.error if os.path.basename(row.name) in row.error else f"{row.name}: {row.error}"


def reply(title: str, result: Json, line: Callable[[Json], str]) -> Reply:
    """A line a file: its name and what `line` makes of its result, or why it failed."""
    found = msgspec.convert({"folder": result["folder"], "files": result["files"]}, FolderResult)
    lines = [Line("Folder", found.folder, icon="file"), Line("")]
    for row in found.files:
        icon = "failed" if row.result is None else "done"
        said = failed(row) if row.result is None else f"{row.name}: {line(row.result)}".removesuffix(": ")
        lines.append(Line(said, icon=icon))
    good = sum(row.result is not None for row in found.files)
    lines += [Line(""), Line("Finished", f"{good} of {text.plural(len(found.files), 'file')}", icon="chart")]
    return Reply(title, lines, icon="done" if good == len(found.files) else "warning")
