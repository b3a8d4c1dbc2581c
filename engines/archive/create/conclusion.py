"""From a packed archive to its final name: test, manifest, publication, removal of the sources.

A checkpoint stands for the whole archive before each of them, so that a kill costs none of the packing, and what was
begun is finished: an archive never lacks the manifest or the volumes that belong to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

from engines import files
from engines.archive.create import journal as journals
from engines.archive.create.journal import Packed
from engines.archive.create.plan import Plan
from engines.archive.create.publishing import publish_volumes
from engines.archive.create.removal import remove_sources
from engines.archive.create.result import ZipResult
from engines.archive.create.session import Options, Tally, note
from engines.archive.create.source import Entry
from engines.archive.create.staging import Staging
from engines.archive.manifest import SUFFIX
from engines.archive.manifest import write as write_manifest
from engines.job import Job
from engines.model import Json
from engines.names import display
from engines.operations import ArchiveFormat, Conflict, Zip
from engines.paths import to_uri


class Phase(StrEnum):
    """What is still to be done with a packed archive."""

    TEST = "test"
    """Everything."""
    PUBLISH = "publish"
    """It was tested if it was to be, and its manifest is written."""
    NOTHING = "nothing"
    """Its sources are removed."""


class Archive(msgspec.Struct):
    """A packed archive.

    Attributes:
        parts: Its file or volumes, where they are now.
        journal: Bytes of the journal that hold all members; 0 when nothing will need them again.
        entries: What was packed, as it was found; None for an archive of an earlier attempt.
    """

    parts: list[Path]
    result: ZipResult
    members: Sequence[Packed] = ()
    journal: int = 0
    phase: Phase = Phase.TEST
    entries: Sequence[Entry] | None = None


class _Checkpoint(msgspec.Struct):
    """What a checkpoint says of a packed archive."""

    phase: Phase
    parts: list[files.Mark]
    journal: int
    result: ZipResult


def recalled(checkpoint: Json | None, staging: Staging, folder: Path) -> Archive | None:
    """The archive that a checkpoint stands for; None when it is one of an unfinished packing.

    Args:
        folder: Where it is to be.

    Raises:
        ValueError: It was packed, but is not there any more.
    """
    if checkpoint is None or "phase" not in checkpoint:
        return None
    known = msgspec.convert(checkpoint, _Checkpoint)
    staging.expect(len(known.parts))
    parts = files.find_marked(folder, known.parts)
    if parts is None:
        raise ValueError("the packed archive is gone")
    try:
        members = list(journals.read_journal(staging.journal, known.journal)) if known.journal else []
    except OSError as error:
        raise ValueError(f"the list of what was packed cannot be read: {error.strerror}") from None
    known.result.resumed = True
    return Archive(parts, known.result, members, known.journal, known.phase)


def needs_members(op: Zip) -> bool:
    """Whether the members are needed once the archive is packed."""
    return op.test or op.delete_source


class Conclusion:
    """What is done with a packed archive.

    Args:
        key: Constant part of every checkpoint.
        tally: Its notes are told with the result.
        relist: Lists what is left of the sources, for an archive of an earlier attempt.
    """

    def __init__(
        self,
        op: Zip,
        options: Options,
        plan: Plan,
        job: Job,
        *,
        staging: Staging,
        key: Json,
        tally: Tally,
        relist: Callable[[], Sequence[Entry]],
    ) -> None:
        self._op = op
        self._options = options
        self._target = plan.target
        self._job = job
        self._staging = staging
        self._key = key
        self._tally = tally
        self._relist = relist

    def run(self, archive: Archive) -> ZipResult:
        """Test, publish and tidy up, as far as that was not done before.

        Raises:
            TaskdeckError: `archive.damaged` when the test fails, `path.exists`, or a fault of the disk.
        """
        if archive.phase is Phase.TEST:
            if needs_members(self._op):
                self._keep(archive)
                self._test(archive)
            if self._wants_manifest:
                write_manifest(self._staging.manifest(), _sums(archive.members))
            archive.phase = Phase.PUBLISH
            if not self._op.delete_source:
                archive.journal = 0  # nothing needs it any more
            self._keep(archive)
        result = archive.result
        if any(map(self._staging.holds, archive.parts)):
            placed = self._publish(self._staging.finish(archive.parts))
            result.written = placed is not None
            archive.parts = placed or [self._target]
        self._name(archive)
        if not result.written:
            return result
        if self._wants_manifest:
            result.manifest = display(self._publish_manifest(archive.parts[-1]))
        if self._op.delete_source and archive.phase is Phase.PUBLISH:
            self._remove_sources(archive)
            archive.phase, archive.journal = Phase.NOTHING, 0
            self._keep(archive)
        return result

    @property
    def _wants_manifest(self) -> bool:
        return self._op.manifest or self._op.delete_source

    def _keep(self, archive: Archive) -> None:
        """Let later attempts begin here."""
        known = _Checkpoint(
            archive.phase, [files.mark_of(path) for path in archive.parts], archive.journal, archive.result
        )
        self._job.save({**self._key, **msgspec.to_builtins(known)})
        self._staging.commit()
        self._staging.worth_keeping = True

    def _test(self, archive: Archive) -> None:
        from engines.archive.create.verify import verify

        archive.parts = self._staging.finish(archive.parts)
        form, password_file = self._options.format, self._op.password_file
        verify(archive.parts, form, archive.members, self._job, password_file=password_file)

    def _publish(self, staged: list[Path]) -> list[Path] | None:
        """Give the archive its final name; None when it exists and is not to be replaced."""
        conflict = self._op.on_conflict
        if self._options.volume is not None:
            return publish_volumes(self._job, staged, self._target, self._options.format, conflict)
        placed = files.publish(self._job, staged[0], self._target, conflict)
        return None if placed is None else [placed]

    def _publish_manifest(self, archive: Path) -> Path:
        """Give the manifest the name that goes with the archive's, unless an earlier attempt did."""
        target = archive.with_name(files.fit_name(archive.name, after=SUFFIX))
        staged = self._staging.manifest()
        if staged.exists():
            files.publish(self._job, staged, target, Conflict.OVERWRITE)
        return target

    def _name(self, archive: Archive) -> None:
        """Tell where the archive is."""
        result, first = archive.result, archive.parts[-1 if self._options.format is ArchiveFormat.ZIP else 0]
        result.name, result.path, result.location = display(first.name), to_uri(str(first)), display(first)
        if len(archive.parts) > 1:
            result.volumes = [display(path.name) for path in archive.parts]

    def _remove_sources(self, archive: Archive) -> None:
        """Remove what was packed, and tell what stays."""
        gone = 0
        entries = archive.entries
        if entries is None:
            entries = self._relist()
            gone = len({member.name for member in archive.members} - {entry.name for entry in entries})
        removed = remove_sources(
            entries, archive.members, changed=self._tally.changed_names, check=never_stop, keep=self._stays
        )
        result, tally = archive.result, self._tally
        result.deleted, result.warnings, result.more_warnings = gone + removed, tally.notes, tally.hidden_notes

    def _stays(self, entry: Entry, why: str) -> None:
        note(self._job, self._tally, f"'{entry.shown}' is not removed: {why}")


def _sums(members: Sequence[Packed]) -> Iterator[tuple[bytes, bytes]]:
    """Name and digest of every file; a hard link has the digest of what it links to."""
    known = {member.name: member.sha256 for member in members if member.kind == "f"}
    for member in members:
        digest = member.sha256 if member.kind == "f" else known.get(member.record, b"")
        if member.kind in "fh" and digest:
            yield member.name, digest


def never_stop() -> None:
    """Removing sources is not interrupted: the archive that holds them is published already."""
