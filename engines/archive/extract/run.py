"""One run of unpacking as the format readers see it: where to write, what is wanted, what became of each member."""

from __future__ import annotations

import os
import threading
from typing import Final

import msgspec

from engines import files
from engines.archive.containment import Parts, Tree, cannot_make, components
from engines.archive.detect import Found
from engines.archive.extract.checkpoints import Checkpoints
from engines.archive.extract.selection import Names, Selector
from engines.archive.limits import Budget
from engines.errors import TaskdeckError
from engines.job import Job
from engines.names import display
from engines.operations import Unzip

SHOWN: Final = 100
"""Members named in a result at most; counts are always complete."""
_STAGES: Final = {"unpack": "unpacking", "list": "reading", "test": "testing"}
"""What faces say a run is at."""


class Trouble(msgspec.Struct, frozen=True):
    """A member that was left out or could not be unpacked, and why. Safe for display."""

    name: str
    why: str


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
        verb: str = "unpack",
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
        self._testing = verb == "test"
        self._stage = _STAGES[verb]
        self.what = f"cannot {verb} '{display(found.path.name)}'"
        """How errors about the whole archive begin."""
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
        if self._testing and error.code == "archive.limit":
            raise error  # a bomb may be sound
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
            self.job.progress(done, total, item=item, stage=self._stage)

    def committed(self, count: int) -> None:
        """Members before this number are written in full."""
        if self.checkpoints is not None:
            self.checkpoints.offer(count)


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
