"""The worker of `zip`: lists, packs, tests, publishes; goes on after a crash; leaves nothing behind when stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from engines import files, text
from engines.archive.create import journal as journals
from engines.archive.create.journal import Journal, Packed
from engines.archive.create.output import Output, SingleOutput, SplitOutput
from engines.archive.create.plan import Plan, filter_of, options_of, plans_of
from engines.archive.create.result import ZipResult, combined
from engines.archive.create.session import Options, Session, Tally, note
from engines.archive.create.source import Entry, Identity, Listing, Tree
from engines.archive.create.tarwriter import TarWriter
from engines.archive.create.zipwriter import ZipWriter
from engines.archive.formats import FORMATS
from engines.errors import TaskdeckError
from engines.job import Job, Stopped
from engines.model import Json
from engines.names import display
from engines.operations import ArchiveFormat, Zip
from engines.paths import PathPolicy, to_uri, unreadable
from engines.process import Tool
from engines.settings import Settings


def run(op: Zip, job: Job) -> ZipResult:
    """Make the archives that the operation asks for.

    Raises:
        TaskdeckError: What a user can mend; nothing is left behind then.
    """
    options = options_of(op, job.settings, job.secrets)
    plans = plans_of(op, job.settings)
    if not op.each:
        return Packing(op, options, plans[0], job).run()
    done: list[ZipResult] = msgspec.convert((job.checkpoint or {}).get("done", []), list[ZipResult])
    for plan in plans[len(done) :]:
        done.append(Packing(op, options, plan, _OneOfMany(job, done)).run())
    return combined(done, display(plans[0].target.parent) if plans else "")


class _OneOfMany:
    """A job as one of several archives sees it: its checkpoint is a part of the whole one."""

    def __init__(self, job: Job, done: list[ZipResult]) -> None:
        self._job = job
        self._done: list[Json] = msgspec.to_builtins(done)
        saved = job.checkpoint or {}
        fits = len(saved.get("done", [])) == len(done)
        self.checkpoint: Json | None = saved.get("current") if fits else None

    @property
    def id(self) -> str:
        return self._job.id

    @property
    def attempt(self) -> int:
        return self._job.attempt

    @property
    def settings(self) -> Settings:
        return self._job.settings

    @property
    def policy(self) -> PathPolicy:
        return self._job.policy

    @property
    def secrets(self) -> Mapping[str, str]:
        return self._job.secrets

    @property
    def progress(self) -> Callable[..., None]:
        return self._job.progress

    @property
    def tool(self) -> Callable[..., Tool]:
        return self._job.tool

    def save(self, checkpoint: Json) -> None:
        self._job.save({"done": self._done, "current": checkpoint})

    def log(self, message: str, *, level: str = "info") -> None:
        self._job.log(message, level=level)

    def check(self) -> None:
        self._job.check()

    def keep_partial(self) -> bool:
        return self._job.keep_partial()

    def claim(self, path: Path) -> Path:
        return self._job.claim(path)

    def release(self, path: Path) -> None:
        self._job.release(path)


class Packing:
    """One archive from listing to publishing."""

    def __init__(self, op: Zip, options: Options, plan: Plan, job: Job) -> None:
        self._op = op
        self._options = options
        self._plan = plan
        self._job = job
        self._info = FORMATS[options.format]
        self._tally = Tally()
        self._key: Json = {"v": journals.VERSION, "target": to_uri(str(plan.target)), "format": options.format.value}
        self._claimed: list[Path] = []
        self._journal_path = self._claim(plan.target, "journal")
        self._started = time.monotonic()
        self._before = 0.0

    def _claim(self, target: Path, kind: str) -> Path:
        path = files.staged_path(self._job, target, kind=kind)
        if path not in self._claimed:
            self._claimed.append(path)
        return path

    def _staged(self, volume: int) -> Path:
        """The staged file of a volume."""
        return self._claim(self._plan.target, "part" if not volume else f"{volume}.part")

    def run(self) -> ZipResult:
        """Make it.

        Raises:
            TaskdeckError: What a user can mend.
        """
        try:
            result = self._run()
        except Stopped:
            if not self._job.keep_partial():
                self._discard()
            raise
        except OSError as error:
            self._discard()
            raise unreadable(self._plan.target, error) from error
        except BaseException:
            self._discard()
            raise
        self._discard()
        return result

    def _discard(self) -> None:
        """Remove whatever is still staged."""
        for path in self._claimed:
            with suppress(OSError):
                files.remove(path)
            self._job.release(path)

    def _run(self) -> ZipResult:
        checkpoint = self._job.checkpoint if journals.resumable(self._job.checkpoint, self._key) else None
        if checkpoint is not None and checkpoint.get("phase") == "publish":
            published = self._published(checkpoint)
            if published is not None:
                return published
            checkpoint = None
        self._job.progress(0, None, stage="listing")
        listing = self._list()
        committed, checkpoint = self._committed(checkpoint)
        if checkpoint is None:
            self._require_space(listing)
        output = self._open(checkpoint)
        try:
            members = self._pack(listing, output, committed, checkpoint)
            output.sync()
        finally:
            output.close()
        return self._publish(output, members)

    def _list(self) -> Listing:
        folder = os.stat(self._plan.target.parent)
        place = (folder.st_dev, folder.st_ino)
        mine = f".{self._job.id}."
        target = self._plan.target.name

        def excluded(where: Identity, leaf: str) -> bool:
            return where == place and (leaf == target or (leaf.startswith(".") and mine in leaf))

        tree = Tree(
            policy=self._job.policy,
            links=self._op.links,
            selection=filter_of(self._op),
            excluded=excluded,
            check=self._job.check,
            warn=lambda message: note(self._job, self._tally, message),
        )
        try:
            listing = tree.walk(self._plan.sources)
        except OSError as error:
            raise unreadable(self._plan.sources[0], error) from error
        if not listing.entries:
            raise TaskdeckError(
                "value", f"cannot pack '{display(self._plan.sources[0])}'", "nothing is selected", "relax the filters"
            )
        return listing

    def _committed(self, checkpoint: Json | None) -> tuple[list[Packed], Json | None]:
        """What an earlier attempt packed; the checkpoint is dropped when its files do not fit it."""
        if checkpoint is None or not self._info.resumable:
            return [], None
        staged = [self._staged(volume) for volume in range(len(checkpoint["volumes"]))]
        try:
            return journals.load(self._journal_path, checkpoint, staged), checkpoint
        except ValueError as error:
            self._job.log(f"starting anew: {error}", level="warning")
            return [], None

    def _require_space(self, listing: Listing) -> None:
        """Refuse what cannot fit even if it shrinks as well as its samples."""
        folder = self._plan.target.parent
        overhead = len(listing.entries) * 512
        if listing.size + overhead + files.RESERVE <= files.free_space(folder):
            return
        from engines.archive.create.estimate import sampled_ratio

        need = int(listing.size * sampled_ratio(listing, self._options, self._job.check)) + overhead
        files.require_space(folder, need, what=f"write '{display(self._plan.target.name)}'")

    def _open(self, checkpoint: Json | None) -> Output:
        at = checkpoint["offset"] if checkpoint else 0
        if self._options.volume is None:
            return SingleOutput(self._staged(0), at)
        starts = checkpoint["volumes"] if checkpoint else ()
        return SplitOutput(self._staged, self._options.volume, starts, at)

    def _pack(self, listing: Listing, output: Output, committed: list[Packed], checkpoint: Json | None) -> list[Packed]:
        """Write everything; the archive's members."""
        state = checkpoint["state"] if checkpoint else None
        self._before = state.pop("seconds", 0.0) if state else 0.0
        entries = self._remaining(listing, committed) if committed else listing.entries
        if checkpoint is not None:
            self._job.log(f"going on after {len(committed)} members")
        journal = Journal(
            self._job,
            self._journal_path,
            output,
            length=checkpoint["journal"] if checkpoint else 0,
            base=self._key,
        )
        session = Session(
            self._job,
            self._options,
            entries=entries,
            output=output,
            journal=journal,
            total=listing.size,
            resumed=committed,
            state=state,
            tally=self._tally,
            elapsed=self._elapsed,
        )
        failed = True
        try:
            writer = ZipWriter(session) if self._options.format is ArchiveFormat.ZIP else TarWriter(session)
            writer.run()
            journal.finish()
            failed = False
        finally:
            session.close(failed=failed)
            journal.close()
        return session.members

    def _elapsed(self) -> float:
        return self._before + time.monotonic() - self._started

    def _remaining(self, listing: Listing, committed: list[Packed]) -> list[Entry]:
        """What is still to be packed; what changed since it was packed is reported."""
        known = {member.name: member for member in committed}
        rest = []
        for entry in listing.entries:
            member = known.pop(entry.name, None)
            if member is None:
                rest.append(entry)
            elif entry.is_file and (entry.size, entry.mtime_ns) != (member.size, member.mtime_ns):
                self._tally.changed += 1
                note(
                    self._job,
                    self._tally,
                    f"'{entry.shown}' changed since it was packed; the archive holds its former content",
                )
        for member in known.values():
            note(
                self._job,
                self._tally,
                f"'{display(member.name)}' vanished since it was packed; the archive still holds it",
            )
        return rest

    def _publish(self, output: Output, members: list[Packed]) -> ZipResult:
        target = self._plan.target
        result = self._result(output, target)
        staged = output.paths()
        info = os.stat(staged[-1])
        self._job.save({**self._key, "phase": "publish", "ino": info.st_ino, "result": msgspec.to_builtins(result)})
        placed = files.publish(self._job, staged[0], target, self._op.on_conflict)
        if placed is None:
            result.written = False
        else:
            self._name(result, placed)
        del members
        return result

    def _result(self, output: Output, target: Path) -> ZipResult:
        tally, seconds = self._tally, self._elapsed()
        packed = output.position
        result = ZipResult(
            format=self._info.label,
            name="",
            path="",
            location="",
            original=tally.original,
            packed=packed,
            ratio=text.saved(tally.original, packed),
            seconds=seconds,
            speed=tally.original / seconds if seconds else 0.0,
            files=tally.files,
            folders=tally.folders,
            skipped=tally.skipped,
            changed=tally.changed,
            encrypted=self._options.password is not None,
            resumed=self._before > 0,
            warnings=tally.notes,
            more_warnings=tally.hidden_notes,
        )
        self._name(result, target)
        return result

    def _name(self, result: ZipResult, path: Path) -> None:
        result.name = display(path.name)
        result.path = to_uri(str(path))
        result.location = display(path)

    def _published(self, checkpoint: Json) -> ZipResult | None:
        """The result of an attempt that died while it published, if its archive has its final name already."""
        result = msgspec.convert(checkpoint["result"], ZipResult)
        with os.scandir(self._plan.target.parent) as entries:
            for entry in entries:
                if entry.inode() == checkpoint["ino"] and not entry.name.endswith(f".{self._job.id}.part"):
                    self._name(result, self._plan.target.with_name(entry.name))
                    return result
        return None
