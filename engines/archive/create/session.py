"""One archive being made: what all format writers share."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Final

import msgspec

from engines.archive.create.journal import Journal, Packed
from engines.archive.create.lanes import Lanes, Work, possible
from engines.archive.create.listing import Listing
from engines.archive.create.output import Output
from engines.archive.create.pipeline import Pipeline
from engines.archive.create.source import Entry
from engines.job import Job
from engines.model import Json
from engines.names import display
from engines.operations import ArchiveFormat, Owner
from engines.process import Tool

FIXED_TIME: Final = 315532800
"""1980-01-01 00:00 UTC, the earliest time zip can say: the time of everything in reproducible archives."""
NOTES_LIMIT: Final = 100
"""Notes kept in the result; the log has more."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How an archive is made. `volume` is in bytes, None for one file."""

    format: ArchiveFormat
    level: int
    threads: int
    password: bytes | None = None
    encrypt_names: bool = False
    volume: int | None = None
    reproducible: bool = False
    single_member: bool = False
    store_compressed: bool = True
    hardlinks: bool = True
    sparse: bool = True
    xattrs: bool = False
    owner: Owner = Owner.AUTO
    hashed: bool = False
    """Whether SHA-256 sums are wanted."""

    @property
    def ahead(self) -> int:
        """Bytes under way for each thread. What is stored is written at once: more would only leave the caches."""
        stored = self.format is ArchiveFormat.TAR or not self.level
        return 2 << 20 if stored else 7 << 20

    def mode(self, entry: Entry) -> int:
        """The mode to store; in reproducible archives only who may execute counts."""
        if not self.reproducible:
            return entry.mode
        if entry.is_dir:
            return stat.S_IFDIR | 0o755
        if entry.is_link:
            return stat.S_IFLNK | 0o777
        return stat.S_IFREG | (0o755 if entry.mode & 0o100 else 0o644)

    def mtime(self, entry: Entry) -> int:
        """The modification time to store, in seconds."""
        return FIXED_TIME if self.reproducible else entry.mtime_ns // 1_000_000_000


class Tally(msgspec.Struct):
    """What came of it."""

    files: int = 0
    folders: int = 0
    original: int = 0
    """Bytes of file content in the archive."""
    skipped: int = 0
    changed: int = 0
    changed_names: set[bytes] = msgspec.field(default_factory=set)
    notes: list[str] = msgspec.field(default_factory=list)
    hidden_notes: int = 0


class Session:
    """The run of one archive.

    Args:
        listing: What is packed, as far as it is known.
        entries: What of it is still to be packed.
        resumed: Members an earlier attempt committed.
        state: Where it left off inside a member or stream.
    """

    def __init__(
        self,
        job: Job,
        options: Options,
        *,
        listing: Listing,
        entries: Sequence[Entry],
        output: Output,
        journal: Journal,
        resumed: Sequence[Packed] = (),
        state: Json | None = None,
        tally: Tally | None = None,
        elapsed: Callable[[], float] = float,
    ) -> None:
        self.job = job
        self.options = options
        self.entries = entries
        self.output = output
        self.journal = journal
        self.listing = listing
        self.state = state
        self.tally = tally or Tally()
        self.members: list[Packed] = list(resumed)
        """Everything in the archive, in order."""
        self.lanes: Lanes | None = None
        """Helper processes for batches of small files."""
        self._elapsed = elapsed
        self._halted = threading.Event()
        self._tools: list[Tool] = []
        self._starting = threading.Lock()
        self._count(resumed)
        self.done = sum(member.size for member in resumed if member.kind == "f")
        self._fed = self.done
        self._feeding = threading.Lock()
        self._item = entries[0].name if entries else b""
        self.pipeline = Pipeline(options.threads, options.threads * options.ahead, self.check, listing.more)
        self._report()

    def check(self) -> None:
        """Let the job stop here (main thread)."""
        self.job.check()

    def step(self, amount: int = 0) -> None:
        """Let slow work in a thread end once the job has stopped.

        Args:
            amount: Bytes a slow packer takes now: progress before the whole block is written.
        """
        if self._halted.is_set():
            raise CancelledError
        if amount:
            self.feed(amount)

    def feed(self, amount: int) -> None:
        """Report bytes that a slow packer took before their whole block is written; for threads."""
        with self._feeding:
            self._fed += amount
        self._report()

    @contextmanager
    def tool(self, argv: Sequence[str], *, stdin: int) -> Iterator[Tool]:
        """A running program that reads from a descriptor and ends with the session; for threads.

        Raises:
            CancelledError: The session was closed.
            TaskdeckError: It cannot be run.
        """
        with self._starting:
            self.step()
            tool = self.job.tool(argv, stdin=stdin)
            self._tools.append(tool)
        try:
            yield tool
        finally:
            tool.kill()
            self._tools.remove(tool)

    def close(self, *, failed: bool) -> None:
        """Stop all threads and programs; after a failure without waiting for what they are doing."""
        self._halted.set()
        if self.lanes is not None:
            self.lanes.close()
        with self._starting:
            tools = self._tools.copy()
        for tool in tools:  # all at once: the system takes 50 ms to take back half a gigabyte
            tool.kill(wait=False)
        for tool in tools:
            tool.kill()
        self.pipeline.close(wait=not failed)

    def note(self, message: str) -> None:
        """Tell the user something that does not stop the work; `message` is display-safe."""
        note(self.job, self.tally, message)

    def left_out(self, entry: Entry, error: OSError) -> None:
        """Report an entry that could not be read."""
        self.tally.skipped += 1
        gone = isinstance(error, FileNotFoundError)
        why = "it vanished before it was packed" if gone else (error.strerror or str(error))
        self.note(f"'{entry.shown}' is left out: {why}")
        self.advance(entry.size if entry.is_file else 0, entry.name)

    def changed(self, entry: Entry) -> None:
        """Report a file that was written to while it was read."""
        self.tally.changed += 1
        self.tally.changed_names.add(entry.name)
        self.note(f"'{entry.shown}' changed while it was read; the archive holds what was read")

    def open_lanes(self, size: int, work: Work) -> None:
        """Start helper processes if they are worth it, once all entries are known, which is what they know.

        No thread is at work then: it could hold a lock that would never be released in a helper.

        Args:
            size: Bytes that one packed batch may take.
            work: What they do.
        """
        while self.listing.more():
            self.pipeline.take_ready()
        self.pipeline.rest()
        if possible(len(self.entries)):
            self.lanes = Lanes(self.options.threads, size, work)

    def drain(self) -> None:
        """Wait for everything submitted. Nothing is submitted any more, so helpers end while the last is written."""
        self.pipeline.drain(None if self.lanes is None else self.lanes.dismiss)

    def each(self) -> Iterator[tuple[int, Entry]]:
        """What is still to be packed, numbered; it is listed as far as it is asked for."""
        number, entries = 0, self.entries
        while number < len(entries) or self.listing.more():
            while number < len(entries):
                yield number, entries[number]
                number += 1

    def packed(self, members: Sequence[Packed]) -> None:
        """Record members that are whole in the archive."""
        self._count(members)
        self.members += members
        self.journal.fresh += members

    def _count(self, members: Sequence[Packed]) -> None:
        folders = original = 0
        for member in members:
            if member.kind == "f":
                original += member.size
            elif member.kind == "d":
                folders += 1
        self.tally.folders += folders
        self.tally.files += len(members) - folders
        self.tally.original += original

    def advance(self, size: int, item: bytes) -> None:
        """Report what is written."""
        self.done += size
        self._item = item
        self._report()

    def _report(self) -> None:
        total, whole = self.listing.size, self.listing.whole
        reached = max(self.done, min(self._fed, total))
        stage = "packing" if whole else "listing"
        self.job.progress(reached, total if whole else None, item=display(self._item), stage=stage)

    def commit(self, state: Callable[[], Json] = dict) -> None:
        """Offer a checkpoint: what was written so far is `packed` members, or described by `state`."""
        self.journal.offer(lambda: {**state(), "seconds": self._elapsed()})


def note(job: Job, tally: Tally, message: str) -> None:
    """Log a warning and keep it for the result, up to a number."""
    job.log(message, level="warning")
    if len(tally.notes) < NOTES_LIMIT:
        tally.notes.append(message)
    else:
        tally.hidden_notes += 1


def packed_of(entry: Entry, *, sha256: bytes = b"", record: bytes = b"", kind: str = "") -> Packed:
    """The journal's line for an entry."""
    return Packed(entry.name, entry.size, entry.mtime_ns, entry.ino, kind or entry.kind, sha256, record)
