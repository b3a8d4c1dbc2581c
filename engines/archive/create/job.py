"""The worker of `zip`: lists, packs, tests, publishes; goes on after a crash; leaves nothing behind when stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import msgspec

from engines import files, text
from engines.archive.create import journal as journals
from engines.archive.create.conclusion import Archive, Conclusion, needs_members, never_stop, recalled
from engines.archive.create.journal import Journal, Packed
from engines.archive.create.listing import Listing
from engines.archive.create.output import Output, SingleOutput, SplitOutput, WriteBehind
from engines.archive.create.plan import Plan, filter_of, options_of, plans_of
from engines.archive.create.result import ZipResult, combined
from engines.archive.create.session import NOTES_LIMIT, Options, Session, Tally, note
from engines.archive.create.source import Entry, Tree
from engines.archive.create.staging import Staging
from engines.archive.formats import FORMATS
from engines.errors import TaskdeckError
from engines.job import Job, Part, Stopped
from engines.model import Json
from engines.names import display
from engines.operations import ArchiveFormat, Zip
from engines.paths import from_uri, to_uri, unreadable

_ENOUGH: Final = 16 << 20
"""Bytes of files with which packing begins while the others are listed."""
_OF_ONE_ITEM: Final = frozenset(("value", "path.unreadable", "path.missing"))
"""Errors with --each that say nothing of the other items: not there, not readable, nothing selected."""


class _Writer(Protocol):
    def run(self) -> None:
        """Pack everything."""


def _writer(session: Session) -> _Writer:
    """The writer of the session's format; the others' modules are not loaded."""
    match session.options.format:
        case ArchiveFormat.ZIP:
            from engines.archive.create.zipwriter import ZipWriter

            return ZipWriter(session)
        case ArchiveFormat.SEVENZIP:
            from engines.archive.create.sevenzipwriter import SevenZipWriter

            return SevenZipWriter(session)
    from engines.archive.create.tarwriter import TarWriter

    return TarWriter(session)


def run(op: Zip, job: Job) -> ZipResult:
    """Make the archives that the operation asks for.

    Raises:
        TaskdeckError: What a user can mend; nothing is left behind then.
    """
    options = options_of(op, job.settings, job.secrets)
    result = _run_each(op, options, job) if op.each else Packing(op, options, plans_of(op, job.settings)[0], job).run()
    tell_whole(result, job)
    return result


def tell_whole(result: ZipResult, job: Job) -> None:
    """Tell what it came to: a test counted packed bytes, and each of several archives its own."""
    job.progress(result.original, result.original)


def _run_each(op: Zip, options: Options, job: Job) -> ZipResult:
    """One archive for each item, in a folder that is made if need be; what cannot be packed is left out and told.

    The items are listed once: later attempts would take the archives made meanwhile for more of them.

    Raises:
        TaskdeckError: None of them can be packed.
    """
    saved = job.checkpoint or {}
    listed = [Path(from_uri(item)) for item in saved.get("items", [])]
    plans = plans_of(op, job.settings, listed or None)
    state: Json = {
        "items": [to_uri(str(plan.sources[0])) for plan in plans],
        "next": saved.get("next", 0) if listed else 0,
        "done": saved.get("done", []) if listed else [],
        "left": saved.get("left", []) if listed else [],
    }
    current = saved.get("current")
    first: TaskdeckError | None = None
    with _folder(op.output):
        for number in range(state["next"], len(plans)):
            before = {**state, "next": number}
            part = Part(
                job,
                checkpoint=current,
                save=partial(_save_part, job, before),
                progress=partial(_tell_part, job, f"{number + 1} of {len(plans)}, ") if len(plans) > 1 else None,
            )
            current = None
            try:
                result = Packing(op, options, plans[number], part).run()
                state["done"] = [*state["done"], msgspec.to_builtins(result)]
            except TaskdeckError as error:
                if error.code not in _OF_ONE_ITEM:
                    raise
                first = first or error
                job.log(error.message, level="warning")
                state["left"] = [*state["left"], error.message]
    done = msgspec.convert(state["done"], list[ZipResult])
    if first is not None and not done:
        raise first
    result = combined(done, display(plans[0].target.parent) if plans else "")
    result.skipped += len(state["left"])
    result.warnings = [*state["left"], *result.warnings][:NOTES_LIMIT]
    return result


@contextmanager
def _folder(path: str | None) -> Iterator[None]:
    """A folder that is made unless there is one, and removed again when it stays empty."""
    if path is None or os.path.lexists(path):
        yield
        return
    try:
        os.mkdir(path)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        yield
    finally:
        with suppress(OSError):
            os.rmdir(path)


def _save_part(job: Job, before: Json, checkpoint: Json) -> None:
    """Save one archive's checkpoint as a part of the whole one."""
    job.save({**before, "current": checkpoint})


def _tell_part(
    job: Job, place: str, done: int, total: int | None = None, *, item: str = "", stage: str = "", unit: str = "bytes"
) -> None:
    """Tell the progress of one archive, and which of them it is: the next one begins at nothing."""
    job.progress(done, total, item=item, stage=f"{place}{stage}", unit=unit)


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
        self._staging = Staging(job, plan.target, options.format, split=options.volume is not None)
        self._started = time.monotonic()
        self._before = 0.0

    def run(self) -> ZipResult:
        """Make it.

        Raises:
            TaskdeckError: What a user can mend.
        """
        try:
            result = self._run()
        except Stopped:
            if not (self._job.keep_partial() and self._staging.worth_keeping):
                self._staging.discard()
            raise
        except OSError as error:
            self._staging.discard()
            raise unreadable(self._plan.target, error) from error
        except BaseException:
            self._staging.discard()
            raise
        self._staging.discard()
        return result

    def _run(self) -> ZipResult:
        checkpoint = self._job.checkpoint if journals.resumable(self._job.checkpoint, self._key) else None
        try:
            archive = recalled(checkpoint, self._staging, self._plan.target.parent)
        except ValueError as error:
            self._job.log(f"starting anew: {error}", level="warning")
            archive = checkpoint = None
        if archive is None:
            archive = self._make(checkpoint)
        else:
            self._tally = Tally(notes=archive.result.warnings, hidden_notes=archive.result.more_warnings)
            self._staging.worth_keeping = True
        return Conclusion(
            self._op,
            self._options,
            self._plan,
            self._job,
            staging=self._staging,
            key=self._key,
            tally=self._tally,
            relist=self._relist,
        ).run(archive)

    def _make(self, checkpoint: Json | None) -> Archive:
        """List and pack.

        Raises:
            TaskdeckError: What a user can mend.
        """
        self._job.progress(0, None, stage="listing")
        committed, checkpoint = self._committed(checkpoint)
        if checkpoint is None and self._job.checkpoint is not None:
            self._job.save(journals.NOTHING)  # the old one must not be taken for the state of what is made now
            self._staging.commit()
        listing = self._list(resumes=checkpoint is not None)
        output = self._open(checkpoint)
        try:
            members, length = self._pack(listing, output, committed, checkpoint)
            output.sync()
        finally:
            output.close()
        return Archive(output.paths(), self._result(output.position), members, length, entries=listing.entries)

    def _list(self, *, resumes: bool) -> Listing:
        """What is to be packed: all when some of it is packed already, else enough to begin with.

        Raises:
            TaskdeckError: A source cannot be read, or nothing is selected.
        """
        tree = self._tree(check=self._job.check, warn=lambda message: note(self._job, self._tally, message))
        listing = Listing(lambda listing: self._walk(tree, listing, resumes=resumes))
        while (resumes or listing.size < _ENOUGH) and listing.more():
            pass
        if not listing.entries:
            what = f"cannot pack '{display(self._plan.sources[0])}'"
            if tree.reason:
                raise TaskdeckError("value", what, tree.reason)
            raise TaskdeckError("value", what, "nothing is selected", "relax the filters")
        return listing

    def _walk(self, tree: Tree, listing: Listing, *, resumes: bool) -> Iterator[None]:
        """List the sources, then judge whether there is room for the archive.

        Raises:
            TaskdeckError: A source cannot be read, or there is no room.
        """
        have = files.free_space(self._plan.target.parent)
        try:
            yield from tree.walk(self._plan.sources, listing.add)
        except OSError as error:
            named = (source for source in self._plan.sources if str(source) == error.filename)
            raise unreadable(next(named, self._plan.sources[0]), error) from error
        if not resumes:
            self._require_space(listing, have)

    def _relist(self) -> list[Entry]:
        """What is left of the sources; what cannot be read is told."""
        entries: list[Entry] = []
        tree = self._tree(check=never_stop, warn=lambda message: None)
        try:
            for _ in tree.walk(filter(os.path.lexists, self._plan.sources), entries.append):
                pass
        except OSError as error:
            note(self._job, self._tally, f"Not all that was packed is removed: {error.strerror}")
        return entries

    def _tree(self, *, check: Callable[[], None], warn: Callable[[str], None]) -> Tree:
        folder = os.stat(self._plan.target.parent)
        place = (folder.st_dev, folder.st_ino)
        mark = f".{self._job.id}."
        target = self._plan.target.name

        def mine(leaf: str) -> bool:
            return leaf == target or (leaf.startswith(".") and mark in leaf)

        return Tree(
            policy=self._job.policy,
            links=self._op.links,
            selection=filter_of(self._op),
            excluded=lambda where: mine if where == place else None,
            check=check,
            warn=warn,
        )

    def _committed(self, checkpoint: Json | None) -> tuple[list[Packed], Json | None]:
        """What an earlier attempt packed; the checkpoint is dropped when its files do not fit it."""
        if checkpoint is None or not self._info.resumable:
            return [], None
        staged = [self._staging.part(volume) for volume in range(len(checkpoint["volumes"]))]
        try:
            return journals.load(self._staging.journal, checkpoint, staged), checkpoint
        except ValueError as error:
            self._job.log(f"starting anew: {error}", level="warning")
            return [], None

    def _require_space(self, listing: Listing, have: int) -> None:
        """Refuse what cannot fit even if it shrinks as well as its samples."""
        overhead = len(listing.entries) * 512
        if listing.size + overhead + files.RESERVE <= have:
            return
        from engines.archive.create.estimate import sampled_ratio

        need = int(listing.size * sampled_ratio(listing, self._options, self._job.check)) + overhead
        target = self._plan.target
        files.require_space(target.parent, need, what=f"write '{display(target.name)}'", have=have)

    def _open(self, checkpoint: Json | None) -> Output:
        at = checkpoint["offset"] if checkpoint else 0
        if self._options.volume is None:
            return WriteBehind(SingleOutput(self._staging.part(), at))
        starts = checkpoint["volumes"] if checkpoint else ()
        return SplitOutput(self._staging.part, self._options.volume, starts, at)

    def _pack(
        self, listing: Listing, output: Output, committed: list[Packed], checkpoint: Json | None
    ) -> tuple[list[Packed], int]:
        """Write everything; the archive's members, and how much of the journal holds them if they are needed again."""
        state = checkpoint["state"] if checkpoint else None
        self._before = state.pop("seconds", 0.0) if state else 0.0
        entries = self._remaining(listing, committed) if committed else listing.entries
        if checkpoint is not None:
            self._job.log(f"going on after {len(committed)} members")
        journal = Journal(
            self._job,
            self._staging.journal,
            output,
            length=checkpoint["journal"] if checkpoint else 0,
            base=self._key,
        )
        session = Session(
            self._job,
            self._options,
            listing=listing,
            entries=entries,
            output=output,
            journal=journal,
            resumed=committed,
            state=state,
            tally=self._tally,
            elapsed=self._elapsed,
        )
        failed = True
        try:
            _writer(session).run()
            length = journal.finish(whole=needs_members(self._op))
            failed = False
        finally:
            session.close(failed=failed)
            journal.close(wait=not failed or self._job.keep_partial())
            self._staging.worth_keeping = journal.committed and self._info.resumable
        return session.members, length

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

    def _result(self, packed: int) -> ZipResult:
        tally, seconds = self._tally, self._elapsed()
        return ZipResult(
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
            tested=needs_members(self._op),
            resumed=self._before > 0,
            warnings=tally.notes,
            more_warnings=tally.hidden_notes,
        )
