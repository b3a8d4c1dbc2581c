"""The `unzip` task: recognise, stage, unpack, make durable, publish; nothing stays behind when that fails."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from engines import files
from engines.archive import passwords
from engines.archive.containment import Parts, Tree
from engines.archive.detect import Found, detect
from engines.archive.extract import readers
from engines.archive.extract.checkpoints import Checkpoints
from engines.archive.extract.discarding import remove_large
from engines.archive.extract.joined import without_gaps
from engines.archive.extract.naming import stem
from engines.archive.extract.nested import unpack_nested
from engines.archive.extract.publish import (
    Published,
    StrictFolders,
    become,
    inode_below,
    lock_published,
    merge_into,
)
from engines.archive.extract.run import SHOWN, Run, Trouble
from engines.archive.extract.system import keep_freed_memory, sync_filesystem
from engines.archive.limits import Budget, Limits
from engines.archive.volumes import missing
from engines.errors import TaskdeckError
from engines.job import Job, Stopped
from engines.model import Json
from engines.names import display
from engines.operations import Conflict, Unzip
from engines.paths import from_uri, to_uri, unreadable

_LIST_NAME = "NOT-UNPACKED.txt"


class Unpacked(msgspec.Struct, kw_only=True):
    """The result of `unzip`. Texts are safe for display; sizes are bytes."""

    archive: str
    format: str
    destination: str
    """Display-safe; `location` is exact."""
    location: str
    """The destination as a path, or a file: URI when its bytes are no UTF-8."""
    files: int
    folders: int
    links: int
    size: int
    """Bytes written by this task."""
    seconds: float
    volumes: int = 1
    encoding: str = ""
    renamed: int = 0
    skipped: int = 0
    replaced: int = 0
    nested: int = 0
    """Archives inside that were unpacked too."""
    left_out: list[Trouble] = []
    left_out_count: int = 0
    broken: list[Trouble] = []
    broken_count: int = 0
    warnings: list[str] = []


class Place(msgspec.Struct, frozen=True):
    """Where the archive goes: an explicit folder, or beside the archive under a name that depends on its content."""

    folder: Path
    """Holds the staging folder, so that publishing is a rename."""
    target: Path
    """The destination given, else the sub-folder for archives with several roots."""
    explicit: bool

    @classmethod
    def of(cls, op: Unzip, found: Found) -> Place:
        """Decide from the task; nothing is made yet.

        Raises:
            TaskdeckError: `path.kind` when the destination is a file.
        """
        if op.destination is None:
            return cls(found.path.parent, found.path.parent / stem(found), False)
        target = Path(op.destination)
        if target.is_dir():
            return cls(target, target, True)
        if os.path.lexists(target):
            raise TaskdeckError("path.kind", f"cannot unpack to '{display(target)}'", "it is no folder")
        folder = target.parent
        while not folder.is_dir():
            if os.path.lexists(folder):
                raise TaskdeckError("path.kind", f"cannot unpack to '{display(target)}'", "its parent is no folder")
            folder = folder.parent
        return cls(folder, target, True)

    def may_hold(self, staging: Path) -> bool:
        """Whether an earlier attempt may have staged there: the folders on the way may have been made since."""
        return staging.parent == self.folder or (self.explicit and staging.parent in self.target.parents)


def run(op: Unzip, job: Job) -> Unpacked:
    """Unpack an archive.

    Raises:
        TaskdeckError: `archive.not_archive`, `archive.damaged`, `archive.escape`, `archive.limit`,
            `archive.volume`, `archive.member` (no glob matches), `password.needed`, `password.wrong`,
            `path.exists`, `path.kind`, `disk.full`, `disk.io`, `tool.missing`, `unsupported`.
        Stopped: The task was cancelled or suspended.
    """
    started = time.monotonic()
    keep_freed_memory()
    found = detect(Path(op.path), job.policy, gaps=op.keep_broken)
    place = Place.of(op, found)
    there = [os.stat(path) for path in found.volumes if path not in found.missing]
    identity = [[info.st_size, info.st_mtime_ns] for info in there]
    if (finished := _published_before(job, place, identity)) is not None:
        return finished
    staging, state = _resume(job, place, identity)
    if staging is None:
        staging = _stage(job, place)
        state = {}
    base: Json = {"staging": to_uri(str(staging)), "identity": identity, "again": bool(state)}
    try:
        with without_gaps(job, found, staging) as readable:
            result = _unpack(op, job, readable, place, staging, base, state)
    except Stopped:
        if not job.keep_partial():
            _discard(job, staging)
        raise
    except BaseException:
        _discard(job, staging)
        raise
    result.seconds = time.monotonic() - started
    return result


def _unpack(op: Unzip, job: Job, found: Found, place: Place, staging: Path, base: Json, state: Json) -> Unpacked:
    strict: dict[Parts, int] = {}
    if state.get("stage") == "publish":
        report = msgspec.convert(state["result"], Unpacked)
        strict.update((parts, mode) for parts, mode, _inode in _strict_folders(state))
    else:
        report = _fill(op, job, found, staging, base, int(state.get("members", 0)), strict)
        kept = [[to_uri(f"/{'/'.join(parts)}"), mode, inode_below(staging, parts)] for parts, mode in strict.items()]
        source = _source(op, staging)
        mark = {"ino": [*_inode(source)], "names": [to_uri(f"/{name}") for name in os.listdir(source)[:1000]]}
        job.save({**base, **mark, "stage": "publish", "result": msgspec.to_builtins(report), "strict": kept})
    job.check()
    job.progress(report.size, report.size, stage="publishing")
    with StrictFolders(staging, strict) as folders:
        published = _publish(op, job, place, staging, broken=bool(report.broken_count))
        _discard(job, staging)
        folders.apply()
    if state.get("stage") == "publish":
        lock_published({published.destination, place.target, place.folder}, _strict_folders(state))
    report.destination = display(published.destination)
    report.location = to_uri(str(published.destination))
    report.renamed, report.skipped, report.replaced = published.renamed, published.skipped, published.replaced
    return report


def _fill(
    op: Unzip, job: Job, found: Found, staging: Path, base: Json, skip: int, strict: dict[Parts, int]
) -> Unpacked:
    """Unpack into the staging folder and make that durable; `strict` is filled (see `Tree.strict`)."""
    with files.open_folder(staging) as folder:
        checkpoints = Checkpoints(job, folder, base)
        suspended = False

        def begin_nested() -> None:
            checkpoints.close()
            job.save({**base, "stage": "nested"})

        try:
            with Tree(folder, replace=bool(base.get("again"))) as tree:
                limits = Limits.of(job.settings.archive, keep_free=files.RESERVE)
                context = Run(
                    job,
                    op,
                    found,
                    tree,
                    Budget(limits, folder),
                    passwords=passwords.candidates(job, op.password_file),
                    checkpoints=checkpoints,
                    skip=skip,
                )
                readers.extract(context)
                for volume in found.missing:
                    context.spoiled(volume.name, missing(found.path, volume.name))
                tree.finish(context.spoiled)
                strict.update(tree.strict)
                nested = 0
                if op.nested:
                    nested = unpack_nested(context, begin_nested)
        except Stopped:
            suspended = job.keep_partial() and not checkpoints.closed
            raise
        finally:
            checkpoints.close(final=suspended)
        if context.select and not context.select.hits:
            raise TaskdeckError(
                "archive.member",
                f"cannot unpack from '{display(found.path.name)}'",
                "no member matches",
                "list them with `taskdeck zipinfo --files`",
            )
        job.check()
        job.progress(context.budget.written, context.budget.written, stage="saving")
        _list_broken(staging, context)
        sync_filesystem(folder)
    return _report(context, nested)


def _report(run: Run, nested: int) -> Unpacked:
    if run.names.collisions:
        run.warn(
            f"{run.names.collisions} names differ only in case or Unicode form: "
            "they would overwrite each other on Windows or macOS"
        )
    return Unpacked(
        archive=display(run.found.path.name),
        format=run.found.format,
        destination="",
        location="",
        files=run.files,
        folders=run.folders,
        links=run.links,
        size=run.budget.written,
        seconds=0.0,
        volumes=len(run.found.volumes),
        encoding="" if run.encoding == "utf-8" else run.encoding,
        nested=nested,
        left_out=run.left_out[:SHOWN],
        left_out_count=len(run.left_out),
        broken=run.broken[:SHOWN],
        broken_count=run.broken_count,
        warnings=run.warnings[:SHOWN],
    )


def _list_broken(staging: Path, run: Run) -> None:
    """With --keep-broken the folder itself says what is not in it."""
    if not run.broken_count:
        return
    lines = [f"Not unpacked from {display(run.found.path.name)}: {run.broken_count}", ""]
    lines += [f"{item.name}: {item.why}" for item in run.broken]
    path = files.free_path(staging / _LIST_NAME)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as out:
        out.write("\n".join(lines) + "\n")


def _publish(op: Unzip, job: Job, place: Place, staging: Path, *, broken: bool) -> Published:
    if broken:  # marked, in a folder of its own, whatever is there already
        base = place.target if not (place.explicit and place.target.is_dir()) else place.target / _only_name(op)
        return become(staging, base.with_name(f"{base.name} (incomplete)"), Conflict.RENAME, job.check)
    old = staging.with_name(f"{staging.name}.old")
    if os.path.lexists(old):  # an attempt that was killed: what it replaced stays replaced
        files.remove(old)
    job.claim(old)  # and with it the checkpoint is durable: nothing is published twice
    try:
        return _publish_whole(op, job, place, staging, old if op.on_conflict is Conflict.OVERWRITE else None)
    finally:
        if not os.path.lexists(old):
            job.release(old)


def _publish_whole(op: Unzip, job: Job, place: Place, staging: Path, old: Path | None) -> Published:
    source = _source(op, staging)
    names = os.listdir(source)
    single = len(names) == 1 and source == staging
    if place.explicit or not single:
        if place.explicit and place.target == place.folder:
            return merge_into(source, place.target, op.on_conflict, job.check, old)
        return become(source, place.target, op.on_conflict, job.check, old)
    published = merge_into(source, place.folder, op.on_conflict, job.check, old)
    published.destination = place.folder / published.roots.get(names[0], names[0]) if single else place.folder
    return published


def _source(op: Unzip, staging: Path) -> Path:
    """What is published: the staging folder, or with --strip-root the single folder in it."""
    names = os.listdir(staging) if op.strip_root else []
    if len(names) == 1 and (staging / names[0]).is_dir() and not (staging / names[0]).is_symlink():
        return staging / names[0]
    return staging


def _only_name(op: Unzip) -> str:
    return stem(detect(Path(op.path), gaps=op.keep_broken))


def _stage(job: Job, place: Path | Place) -> Path:
    folder = place.folder if isinstance(place, Place) else place
    for number in range(1000):
        path = folder / f".taskdeck-{job.id}-{job.attempt}{f'-{number}' if number else ''}.unpack"
        if os.path.lexists(path):
            continue
        job.claim(path)
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            job.release(path)
            continue
        except OSError as error:
            job.release(path)
            raise unreadable(folder, error) from None
        return path
    raise TaskdeckError("path.exists", f"cannot unpack in '{display(folder)}'", "too many left-overs lie there")


def _published_before(job: Job, place: Place, identity: list[list[int]]) -> Unpacked | None:
    """The result of an attempt that was killed after it had published everything, before it could say so."""
    state = job.checkpoint or {}
    staging = Path(from_uri(str(state.get("staging", ""))))
    if state.get("stage") != "publish" or state.get("identity") != identity:
        return None
    if state.get("names"):
        with suppress(OSError):
            staging.rmdir()  # empty: all of it had been moved to its place
    if os.path.lexists(staging):
        return None
    destination = place.target if place.explicit else place.folder
    names = [from_uri(uri)[1:] for uri in state.get("names", ())]
    with os.scandir(place.target.parent if place.target.parent.is_dir() else place.folder) as entries:
        became = next((entry.path for entry in entries if [*_inode(entry.path)] == state.get("ino")), None)
    if became is not None:
        destination = Path(became)
    elif not all(os.path.lexists(destination / name) for name in names):
        return None  # somebody removed the staging folder
    elif not place.explicit and len(names) == 1:
        destination = destination / names[0]
    lock_published({destination, place.target, place.folder}, _strict_folders(state))
    job.log("everything was in place already when the last attempt ended")
    report = msgspec.convert(state["result"], Unpacked)
    report.destination, report.location = display(destination), to_uri(str(destination))
    job.release(staging)
    return report


def _strict_folders(state: Json) -> list[tuple[Parts, int, int]]:
    """Path below the staging folder, mode and inode number of folders that lock their owner out."""
    return [(tuple(from_uri(uri)[1:].split("/")), mode, inode) for uri, mode, inode in state.get("strict", ())]


def _inode(path: str | Path) -> tuple[int, int]:
    info = os.lstat(path)
    return info.st_dev, info.st_ino


def _resume(job: Job, place: Place, identity: list[list[int]]) -> tuple[Path | None, Json]:
    """The staging folder of an earlier attempt, when archive and place are still the same."""
    state = job.checkpoint
    if not state:
        return None, {}
    staging = Path(from_uri(str(state.get("staging", ""))))
    usable = place.may_hold(staging) and staging.is_dir() and not staging.is_symlink()
    if usable and state.get("identity") == identity and state.get("stage") != "nested":
        return staging, state
    if usable and state.get("stage") == "nested":
        job.log("the last attempt ended between archives inside this one: starting again", level="warning")
        _discard(job, staging)
    elif usable:
        job.log("the archive changed since the last attempt: starting again", level="warning")
        _discard(job, staging)
    return None, {}


def _discard(job: Job, staging: Path) -> None:
    try:
        remove_large(staging)
    except OSError as error:
        job.log(f"could not remove '{display(staging)}': {error.strerror}", level="warning")
        return
    job.release(staging)
