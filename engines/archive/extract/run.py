"""One run of unpacking as the format readers see it: where to write, what is wanted, what became of each member."""

from __future__ import annotations

import ctypes
import fnmatch
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Final, Generic, TypeVar

import msgspec

from engines import files
from engines.archive.containment import Parts, Tree, cannot_make, components, folded
from engines.archive.detect import Found
from engines.archive.limits import Budget
from engines.errors import TaskdeckError
from engines.job import Job
from engines.model import Json
from engines.names import display
from engines.operations import Conflict, Unzip

T = TypeVar("T")

SHOWN: Final = 100
"""Members named in a result at most; counts are always complete."""
_CHECKPOINT_SECONDS: Final = 1.0
_TICK: Final = 0.02
_M_TRIM_THRESHOLD: Final = -1  # mallopt(3)
_M_MMAP_THRESHOLD: Final = -3


class Trouble(msgspec.Struct, frozen=True):
    """A member that was left out or could not be unpacked, and why. Safe for display."""

    name: str
    why: str


class Selector:
    """Which members the user wants: globs on whole names, on any parent, or (without a slash) on any part.

    A leading slash holds a glob to the top of the archive.
    """

    def __init__(self, globs: tuple[str, ...]) -> None:
        self.globs = globs
        whole, last = [], []
        for glob in globs:
            cleaned = glob.strip("/")
            whole.append(fnmatch.translate(cleaned))
            if "/" not in cleaned and not glob.startswith("/"):
                last.append(fnmatch.translate(cleaned))
        self._whole = re.compile("|".join(whole)) if whole else None
        self._last = re.compile("|".join(last)) if last else None
        self.hits = 0

    def __bool__(self) -> bool:
        return bool(self.globs)

    def wants(self, parts: Parts) -> bool:
        """Whether a member is wanted; without globs all are."""
        if self._whole is None:
            return True
        found = bool(self._last and any(self._last.match(part) for part in parts)) or any(
            self._whole.match("/".join(parts[:end])) for end in range(1, len(parts) + 1)
        )
        self.hits += found
        return found


class Names:
    """The names given out so far: equal ones are settled by the conflict policy, near-equal ones reported."""

    def __init__(self, conflict: Conflict) -> None:
        self._conflict = conflict
        self._taken: set[Parts] = set()
        self._folded: set[str] = set()
        self.collisions = 0
        self.replaced: set[Parts] = set()
        """Names given out more than once (policy `overwrite`): the later member replaces the earlier."""

    def give(self, parts: Parts, name: str) -> Parts | None:
        """The path for a member of this name; None when the policy leaves it out.

        Raises:
            TaskdeckError: `path.exists` under the policy `fail`.
        """
        if parts in self._taken:
            if self._conflict is Conflict.SKIP:
                return None
            if self._conflict is Conflict.FAIL:
                raise TaskdeckError(
                    "path.exists", f"cannot unpack member '{display(name, limit=200)}'", "the archive holds it twice"
                )
            if self._conflict is Conflict.RENAME:
                number = 2
                while (other := (*parts[:-1], files.numbered(parts[-1], number))) in self._taken:
                    number += 1
                parts = other
            else:
                self.replaced.add(parts)
        self._taken.add(parts)
        key = folded(parts)
        if key in self._folded:
            self.collisions += 1
        self._folded.add(key)
        return parts


class Run:
    """The context of one archive's unpacking.

    Attributes:
        skip: Members committed by an earlier attempt, in the reader's own order; they are not written again.
        password: The passwords to try, best first.
    """

    def __init__(
        self,
        job: Job,
        op: Unzip,
        found: Found,
        tree: Tree,
        budget: Budget,
        *,
        passwords: tuple[str, ...] = (),
        checkpoints: Checkpoints | None = None,
        skip: int = 0,
        quiet: bool = False,
    ) -> None:
        self.job = job
        self.op = op
        self.found = found
        self.tree = tree
        self.budget = budget
        self.limits = budget.limits
        self.passwords = passwords
        self.checkpoints = checkpoints
        self.skip = skip
        self.quiet = quiet
        self.select = Selector(op.files)
        self.names = Names(op.on_conflict)
        self.threads = job.settings.archive.threads or os.cpu_count() or 1
        self.files = self.folders = self.links = 0
        self.left_out: list[Trouble] = []
        self.broken: list[Trouble] = []
        self.broken_count = 0
        self.warnings: list[str] = []
        self.encoding = ""
        self._spent_before = budget.written, budget.entries
        self._lock = threading.Lock()

    def parts(self, name: str) -> Parts:
        """The safe path of a member (see `containment.components`)."""
        return components(name, max_name=self.limits.max_name, max_components=self.limits.max_components)

    def leave_out(self, name: str, why: str) -> None:
        """A member that is never made (a device, a link that leads outside): noted, not an error."""
        shown = display(name, limit=300)
        with self._lock:
            self.left_out.append(Trouble(shown, why))
            if len(self.left_out) <= 20:
                self.job.log(f"left out '{shown}': {why}", level="warning")

    def spoiled(self, name: str, error: TaskdeckError) -> None:
        """A member that cannot be unpacked: the end of the run unless broken archives are to be kept.

        Raises:
            TaskdeckError: The error itself.
        """
        if not self.op.keep_broken or error.code in ("disk.full", "password.needed", "password.wrong"):
            raise error
        with self._lock:
            self.broken_count += 1
            if len(self.broken) < 10_000:
                self.broken.append(Trouble(display(name, limit=300), error.why or error.message))

    def inner(self, found: Found, tree: Tree) -> Run:
        """The run of an archive inside this one: same limits and passwords, everything wanted."""
        op = msgspec.structs.replace(self.op, files=(), nested=False)
        return Run(self.job, op, found, tree, self.budget, passwords=self.passwords, quiet=True)

    def absorb(self, inner: Run) -> None:
        """Add what an inner run did."""
        self.files += inner.files
        self.folders += inner.folders
        self.links += inner.links
        self.left_out += inner.left_out
        self.broken += inner.broken
        self.broken_count += inner.broken_count
        self.warnings += inner.warnings

    def empty(self) -> None:
        """Remove everything from the tree."""
        for name in os.listdir(self.tree.root):
            files.remove_at(self.tree.root, name)
        self.tree.reset()

    def start_over(self) -> None:
        """Empty the tree and the counts: another program tries."""
        self.empty()
        self.forget()

    def forget(self) -> None:
        """Count from the beginning; what archives around this one spent stays spent."""
        self.files = self.folders = self.links = 0
        self.broken_count = 0
        self.budget.written, self.budget.entries = self._spent_before
        self.left_out.clear()
        self.broken.clear()
        self.names = Names(self.op.on_conflict)

    def wrote(self, count: int = 1) -> None:
        """Count files that are written in full."""
        with self._lock:
            self.files += count

    def warn(self, message: str) -> None:
        """Something the user should know."""
        shown = display(message, limit=500)
        self.warnings.append(shown)
        self.job.log(shown, level="warning")

    def progress(self, done: int, total: int | None, item: str = "") -> None:
        """Tell how far this archive is (inner archives stay silent: their total is not known)."""
        if not self.quiet:
            self.job.progress(done, total, item=item, stage="unpacking")

    def committed(self, count: int) -> None:
        """Members before this number are written in full."""
        if self.checkpoints is not None:
            self.checkpoints.offer(count)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def keep_freed_memory() -> None:
    """Let glibc's allocator keep what is freed for the next block instead of giving it back to the kernel.

    Blocks of up to a MiB come and go thousands of times; taking them anew costs a page fault for each 4 KiB (a third
    of all faults, a twelfth of the time of a tar.gz). Other C libraries have no such knob.
    """
    with suppress(AttributeError):
        _libc().mallopt(_M_TRIM_THRESHOLD, 64 << 20)
        _libc().mallopt(_M_MMAP_THRESHOLD, 8 << 20)


def sync_filesystem(descriptor: int) -> bool:
    """syncfs(2): make everything written to the file system durable; one call instead of one fsync a file."""
    try:
        return bool(_libc().syncfs(descriptor) == 0)
    except AttributeError:
        os.sync()
        return True


class Checkpoints:
    """Makes committed members durable and saves how many there are, at most once a second, in a thread of its own.

    A sync that takes long makes the next one wait four times as long, so that slow disks write rather than flush.

    Args:
        base: What every checkpoint holds besides the count.
    """

    def __init__(self, job: Job, folder: int, base: Json) -> None:
        self._job = job
        self._folder = folder
        self._base = base
        self._wanted = -1
        self._next = time.monotonic() + _CHECKPOINT_SECONDS
        self._wake = threading.Event()
        self._saving = threading.Lock()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def offer(self, count: int) -> None:
        """Note that `count` members are written; cheap."""
        self._wanted = count
        if time.monotonic() < self._next:
            return
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, args=(os.dup(self._folder),), name="checkpoint", daemon=True
            )
            self._thread.start()
        self._next = float("inf")
        self._wake.set()

    @property
    def closed(self) -> bool:
        """Whether nothing more is saved."""
        return self._stopping

    def close(self, *, final: bool = False) -> None:
        """Save nothing more; with `final` the last state is made durable first.

        A sync under way is not waited for: on a slow disk it takes seconds, and who cancels shall not.
        """
        with self._saving:
            self._stopping = True
        self._wake.set()
        if final:
            if self._thread is not None:
                self._thread.join()
            if self._wanted >= 0:
                self._save(self._folder, last=True)

    def _work(self, folder: int) -> None:
        """Takes over the descriptor: it may outlive the task by one sync."""
        try:
            while True:
                self._wake.wait()
                self._wake.clear()
                if self._stopping:
                    return
                began = time.monotonic()
                self._save(folder)
                took = time.monotonic() - began
                self._next = time.monotonic() + max(_CHECKPOINT_SECONDS, 4 * took)
        finally:
            os.close(folder)

    def _save(self, folder: int, *, last: bool = False) -> None:
        count = self._wanted
        with suppress(OSError):
            if sync_filesystem(folder):
                with self._saving:
                    if last or not self._stopping:
                        self._job.save({**self._base, "members": count})


class member_errors:  # noqa: N801 - reads as a clause; a class costs a third of a generator
    """OSErrors met while writing a member in our words."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise cannot_make((self._name,), error) from None


class Keeping:
    """Hands a member's failure to `Run.spoiled`."""

    __slots__ = ("_name", "_run")

    def __init__(self, run: Run, name: str) -> None:
        self._run, self._name = run, name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, TaskdeckError):
            return False
        self._run.spoiled(self._name, error)
        return True


class Batches(Generic[T]):
    """Runs batches of members in threads, in order of start, and knows up to where all are done.

    The calling thread only watches: it calls `tick(committed)` about 50 times a second, which may raise to stop.
    The first error of a batch ends the others at their next step.

    Args:
        lanes: 0 or 1 for each batch. Every second thread prefers the other lane: one that spends its time in
            Python and one that spends it in codecs work side by side, where two of the first kind would only
            wait for each other's GIL (measured: no gain at all from a second thread for small members).
    """

    def __init__(
        self,
        batches: Sequence[T],
        work: Callable[[T, threading.Event], None],
        threads: int,
        lanes: Sequence[int] | None = None,
    ) -> None:
        self._batches = batches
        self._work = work
        self._lock = threading.Lock()
        self._waiting: tuple[deque[int], deque[int]] = (deque(), deque())
        for number in range(len(batches)):
            self._waiting[lanes[number] if lanes else 0].append(number)
        self._prefix = 0
        self._finished: set[int] = set()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = max(1, min(threads, len(batches)))

    def run(self, tick: Callable[[int], None]) -> None:
        """Work until all is done.

        Raises:
            BaseException: Whatever a batch or `tick` raised first.
        """
        pool = [
            threading.Thread(target=self._loop, args=(n % 2,), name=f"unpack-{n}", daemon=True)
            for n in range(self._threads)
        ]
        for thread in pool:
            thread.start()
        try:
            while any(thread.is_alive() for thread in pool):
                self._wake.wait(_TICK)
                self._wake.clear()
                tick(self._prefix)
        except BaseException:
            self._stop.set()
            raise
        finally:
            for thread in pool:
                thread.join()
        if self._errors:
            raise self._errors[0]
        tick(self._prefix)

    def _take(self, lane: int) -> int | None:
        with self._lock:
            for waiting in (self._waiting[lane], self._waiting[1 - lane]):
                if waiting:
                    return waiting.popleft()
        return None

    def _loop(self, lane: int) -> None:
        try:
            while not self._stop.is_set():
                number = self._take(lane)
                if number is None:
                    return
                self._work(self._batches[number], self._stop)
                if not self._stop.is_set():
                    self._done(number)
        except BaseException as error:  # given to the thread that waits
            self._errors.append(error)
            self._stop.set()
        finally:
            self._wake.set()

    def _done(self, number: int) -> None:
        with self._lock:
            self._finished.add(number)
            while self._prefix in self._finished:
                self._finished.discard(self._prefix)
                self._prefix += 1
