"""Small members of a stream written by forked processes, while their parent reads on.

A stream has to be decompressed and its headers read in order, and writing a small file costs as much as both. So the
parent copies small members one behind the other into memory it shares with its children, and each child writes such
a batch as soon as it is full. Everything that depends on the order of members stays with the parent: it makes the
folders, links and large files, gives names out, counts and keeps the limits.

The processes are forked before anything is known about the archive but its size. One that is ended from outside costs
nothing but time: what was given out is still in memory, and the parent writes it itself.
"""

from __future__ import annotations

import marshal
import os
import select
import struct
from contextlib import suppress
from mmap import mmap
from typing import Final, NoReturn, Self

from engines.archive import forking
from engines.archive.containment import Parts, Tree
from engines.archive.extract.run import Run
from engines.archive.extract.writing import write_file
from engines.errors import TaskdeckError

_WORTH: Final = 1 << 20  # bytes of an archive from which children are worth their start (3 ms each)
_MOST: Final = 8
_LARGEST: Final = 1 << 19  # bytes of a member that is copied; larger ones are written from where they are
_LONGEST: Final = 1024  # characters of its name
_MEMBERS: Final = 256  # of a batch
_DATA: Final = 1 << 20  # bytes of a batch
_SLOT: Final = 3 << 20  # its data, and the plan: at most 256 names of 4 KiB in UTF-8 with 512 parts each
_AHEAD: Final = 4  # slots for each child
_PATIENCE: Final = 40  # milliseconds without an answer before the job is asked whether to stop
_REQUEST: Final = struct.Struct("<III")
_ANSWER: Final = struct.Struct("<II")

_Plan = list[tuple[Parts, int, int, int]]
"""Name, mode, time in nanoseconds and size of each member of a batch."""
_Failures = list[tuple[int, TaskdeckError]]
"""Places of members in a batch that could not be written, and why."""


class _Batch:
    """Members in one slot."""

    def __init__(self, slot: int, first: int) -> None:
        self.slot = slot
        self.first = first
        """Number of the first one in the archive."""
        self.size = 0
        self.plan: _Plan = []


class Writers:
    """Processes that write small members below the run's tree.

    Names given to `add` differ from each other and from all that is in the tree: ask with `wait_for` first.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._pids: list[int] = []
        self._pending: dict[Parts, _Batch] = {}
        self._given: dict[int, _Batch] = {}
        self._batch: _Batch | None = None
        self._free: list[int] = []
        self._descriptors: list[int] = []
        if _worth(run):
            self._begin(min(run.threads, _MOST))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes, whatever they do."""
        forking.end(self._pids)
        self._pids.clear()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()

    def take(self, size: int, name: str) -> bool:
        """Whether a member can be given to `add`."""
        return size <= _LARGEST and bool(self._pids) and len(name) <= _LONGEST

    def room(self, number: int, size: int) -> memoryview:
        """Where the content of member `number` belongs, before it is added."""
        batch = self._batch
        if batch is not None and (batch.size + size > _DATA or len(batch.plan) == _MEMBERS):
            self._dispatch(batch)
            batch = None
        if batch is None:
            while not self._free:
                self._wait()
            batch = self._batch = _Batch(self._free.pop(), number)
        start = batch.slot * _SLOT + batch.size
        return self._memory[start : start + size]

    def add(self, parts: Parts, mode: int, mtime_ns: int, size: int) -> None:
        """Take over the member whose content fills the room given last."""
        batch = self._batch
        assert batch is not None
        batch.size += size
        batch.plan.append((parts, mode, mtime_ns, size))
        self._pending[parts] = batch

    def wait_for(self, parts: Parts) -> None:
        """Return once the file of this name is written, if it was added at all."""
        batch = self._pending.get(parts)
        if batch is None:
            return
        if batch is self._batch:
            self._dispatch(batch)
        while parts in self._pending:
            self._wait()

    def settle(self) -> None:
        """Return once everything is written.

        Raises:
            TaskdeckError: A member could not be written.
            Stopped: see `Job.check`.
        """
        if self._batch is not None:
            self._dispatch(self._batch)
        while self._given:
            self._wait()

    def whole(self, reached: int) -> int:
        """How many of the members before number `reached` are written, without a gap."""
        firsts = [batch.first for batch in self._given.values()]
        if self._batch is not None:
            firsts.append(self._batch.first)
        return min(reached, *firsts) if firsts else reached

    def _begin(self, count: int) -> None:
        slots = _AHEAD * count
        self._memory = memoryview(mmap(-1, slots * _SLOT))
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self._descriptors = [self._requests, self._answers]
        try:
            for _ in range(count):
                self._pids.append(forking.fork(lambda: self._serve(requests, answers), self._descriptors))
        except OSError as error:  # as many processes as this user may have
            self._run.job.log(f"unpacking with {len(self._pids)} more processes: {error.strerror}", level="warning")
        os.close(requests)
        os.close(answers)
        os.set_blocking(self._answers, False)
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)
        self._free = list(range(slots))

    def _dispatch(self, batch: _Batch) -> None:
        self._batch = None
        self._given[batch.slot] = batch
        plan = marshal.dumps(batch.plan)
        start = batch.slot * _SLOT + batch.size
        self._memory[start : start + len(plan)] = plan
        with suppress(BrokenPipeError):  # met again by whoever waits for the answer
            os.write(self._requests, _REQUEST.pack(batch.slot, batch.size, len(plan)))
        self._collect()

    def _wait(self) -> None:
        """Take the next answers."""
        while not self._poll.poll(_PATIENCE):
            self._run.job.check()
            if forking.any_ended(self._pids):
                self._take_over()
                return
        if not self._collect():  # nobody is left who could answer
            self._take_over()

    def _collect(self) -> bool:
        """Take the answers that are there; False when there will be no more."""
        try:
            answers = os.read(self._answers, _ANSWER.size * _AHEAD * _MOST)
        except BlockingIOError:
            return True
        for slot, length in _ANSWER.iter_unpack(answers):
            start = slot * _SLOT
            self._done(self._given[slot], _loaded(self._memory[start : start + length]))
        return bool(answers)

    def _done(self, batch: _Batch, failures: _Failures) -> None:
        del self._given[batch.slot]
        self._free.append(batch.slot)
        for entry in batch.plan:
            del self._pending[entry[0]]
        self._run.wrote(len(batch.plan) - len(failures))
        for at, error in failures:
            self._run.spoiled("/".join(batch.plan[at][0]), error)

    def _take_over(self) -> None:
        """Somebody ended a process: write what was given out, and do without them from now on."""
        self._run.job.log("a process that unpacked was ended from outside: going on without it", level="warning")
        forking.end(self._pids)
        self._pids.clear()
        self._run.tree.replace = True  # the files they had begun
        while self._collect() and self._poll.poll(0):
            pass
        for batch in list(self._given.values()):
            self._run.job.check()
            start = batch.slot * _SLOT
            self._done(batch, _write(self._run.tree, self._memory[start : start + batch.size], batch.plan))

    def _serve(self, requests: int, answers: int) -> NoReturn:
        """The life of a child."""
        tree = self._run.tree
        while len(request := os.read(requests, _REQUEST.size)) == _REQUEST.size:
            slot, size, length = _REQUEST.unpack(request)
            start = slot * _SLOT
            data = self._memory[start : start + size]
            plan: _Plan = marshal.loads(self._memory[start + size : start + size + length])  # noqa: S302 - our parent's
            failures = _write(tree, data, plan)
            body = _dumped(failures)
            self._memory[start : start + len(body)] = body
            os.write(answers, _ANSWER.pack(slot, len(body)))
        os._exit(0)


def _worth(run: Run) -> bool:
    size = sum(os.stat(path).st_size for path in run.found.volumes if path not in run.found.missing)
    return size >= _WORTH and run.threads > 1 and forking.possible()


def _write(tree: Tree, data: memoryview, plan: _Plan) -> _Failures:
    """Write a batch; the places of members that cannot be written, and why."""
    failures = []
    end = 0
    for at, (parts, mode, mtime_ns, size) in enumerate(plan):
        start, end = end, end + size
        try:
            write_file(tree, parts, data[start:end], mode, mtime_ns)
        except TaskdeckError as error:
            failures.append((at, error))
    return failures


def _dumped(failures: _Failures) -> bytes:
    if not failures:
        return b""
    import pickle  # here, since it takes 2 ms that a sound archive need not spend

    return pickle.dumps(failures)


def _loaded(data: memoryview) -> _Failures:
    if not data:
        return []
    import pickle

    return list(pickle.loads(data))  # noqa: S301 - written by our own fork
