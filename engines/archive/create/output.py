"""Where an archive is written: one staged file, or volumes of a given size."""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec

from engines.archive.create.space import Buffer
from engines.filecopy import SourceError, copied, write_all

_IOV_MAX: Final = 512
_BEHIND: Final = 3
"""Writes that may wait for the one under way."""
_ZEROS: Final = bytes(1 << 20)
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_MODE: Final = 0o666


class Output(Protocol):
    """Bytes in order, addressed by their position in the whole."""

    @property
    def position(self) -> int:
        """Bytes written."""

    def write(self, buffers: Sequence[Buffer], written: Callable[[], None] | None = None) -> None:
        """Append buffers; they must not change until `written` is called, from any thread."""

    def patch(self, at: int, data: bytes) -> None:
        """Replace bytes that were written together."""

    def keep_together(self, length: int) -> None:
        """Start a new volume unless this many bytes fit the current one."""

    def locate(self, at: int) -> tuple[int, int]:
        """Volume number and offset inside it."""

    def read(self, at: int, length: int) -> bytes:
        """Bytes written before."""

    def rewind(self, at: int) -> None:
        """Drop everything from a position on."""

    def sync(self) -> None:
        """Make what was written durable. May be called from another thread."""

    def state(self) -> list[int]:
        """Starts of volumes, for a checkpoint."""

    def paths(self) -> list[Path]:
        """The staged files in order."""

    def close(self) -> None:
        """Close the files."""


def _write_all(fd: int, buffers: Sequence[Buffer]) -> int:
    """writev(2) until everything is written; the bytes written."""
    total = 0
    for start in range(0, len(buffers), _IOV_MAX):
        part = buffers[start : start + _IOV_MAX]
        want = sum(map(len, part))
        done = os.writev(fd, part) if want else 0
        total += done
        if done < want:  # a nearly full disk or a signal: finish one by one
            write_all(fd, memoryview(b"".join(part))[done:])
            total += want - done
    return total


class SingleOutput:
    """One staged file.

    Args:
        at: Bytes to keep of a file an earlier attempt left; 0 starts anew.
    """

    def __init__(self, path: Path, at: int = 0) -> None:
        self._path = path
        self._fd = os.open(path, _FLAGS | (0 if at else os.O_TRUNC), _MODE)
        self.position = at
        if at:
            os.ftruncate(self._fd, at)
            os.lseek(self._fd, at, os.SEEK_SET)

    def write(self, buffers: Sequence[Buffer], written: Callable[[], None] | None = None) -> None:
        """See `Output`."""
        self.position += _write_all(self._fd, buffers)
        if written is not None:
            written()

    def copy(self, source: int, at: int, length: int, go_on: Callable[[], bool]) -> int:
        """Append a stretch of another file, zeros where it ends before or cannot be read; how many bytes are real.

        It is left off once `go_on` says no.
        """
        real = 0
        with suppress(SourceError):
            for step in copied(source, self._fd, at, length):
                real += step
                if not go_on():
                    return real
        for left in range(length - real, 0, -len(_ZEROS)):
            write_all(self._fd, _ZEROS[:left])
        self.position += length
        return real

    def patch(self, at: int, data: bytes) -> None:
        """See `Output`."""
        os.pwrite(self._fd, data, at)

    def keep_together(self, length: int) -> None:
        """See `Output`."""

    def locate(self, at: int) -> tuple[int, int]:
        """See `Output`."""
        return 0, at

    def read(self, at: int, length: int) -> bytes:
        """See `Output`."""
        return os.pread(self._fd, length, at)

    def rewind(self, at: int) -> None:
        """See `Output`."""
        os.ftruncate(self._fd, at)
        os.lseek(self._fd, at, os.SEEK_SET)
        self.position = at

    def sync(self) -> None:
        """See `Output`."""
        os.fdatasync(self._fd)

    def state(self) -> list[int]:
        """See `Output`."""
        return [0]

    def paths(self) -> list[Path]:
        """See `Output`."""
        return [self._path]

    def close(self) -> None:
        """See `Output`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Task(msgspec.Struct):
    """Bytes to be appended. `future` is what somebody waits for."""

    size: int
    work: Callable[[], None]
    future: Future[int] | None = None


class WriteBehind:
    """Writes to one file from a thread of its own, while the caller goes on; everything else waits for it.

    A failed write is raised by the next call.
    """

    def __init__(self, output: SingleOutput) -> None:
        self._output = output
        self.position = output.position
        self._queue: deque[_Task] = deque()
        self._reached = output.position
        self._turn = threading.Condition()
        self._error: OSError | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="write", daemon=True)
        self._thread.start()

    def write(self, buffers: Sequence[Buffer], written: Callable[[], None] | None = None) -> None:
        """See `Output`."""
        self._put(_Task(sum(map(len, buffers)), lambda: self._output.write(buffers, written)))

    def copy(self, source: int, at: int, length: int) -> Future[int]:
        """Append a stretch of another file, zeros where it ends before or cannot be read; how many bytes are real."""
        real: Future[int] = Future()

        def work() -> None:
            real.set_result(self._output.copy(source, at, length, lambda: not self._closed))

        self._put(_Task(length, work, real))
        return real

    def _put(self, task: _Task) -> None:
        with self._turn:
            while len(self._queue) >= _BEHIND and self._error is None:
                self._turn.wait()
            self._raise()
            self._queue.append(task)
            self.position += task.size
            self._turn.notify_all()

    def _work(self) -> None:
        while True:
            with self._turn:
                while not self._queue:
                    if self._closed:
                        return
                    self._turn.wait()
                task = self._queue[0]
            try:
                task.work()
            except OSError as error:
                with self._turn:
                    self._error = error
                    for waited_for in self._queue:
                        if waited_for.future is not None:
                            waited_for.future.set_exception(error)
                    self._queue.clear()
                    self._turn.notify_all()
                return
            with self._turn:
                self._queue.popleft()
                self._reached += task.size
                self._turn.notify_all()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _settle(self) -> None:
        """Wait until everything is written that was given so far; more may come meanwhile."""
        with self._turn:
            target = self.position
            while self._reached < target and self._error is None:
                self._turn.wait()
            self._raise()

    def patch(self, at: int, data: bytes) -> None:
        """See `Output`."""
        self._settle()
        self._output.patch(at, data)

    def keep_together(self, length: int) -> None:
        """See `Output`."""

    def locate(self, at: int) -> tuple[int, int]:
        """See `Output`."""
        return 0, at

    def read(self, at: int, length: int) -> bytes:
        """See `Output`."""
        self._settle()
        return self._output.read(at, length)

    def rewind(self, at: int) -> None:
        """See `Output`."""
        self._settle()
        self._output.rewind(at)
        self.position = self._reached = at

    def sync(self) -> None:
        """See `Output`."""
        self._settle()
        self._output.sync()

    def state(self) -> list[int]:
        """See `Output`."""
        return [0]

    def paths(self) -> list[Path]:
        """See `Output`."""
        return self._output.paths()

    def close(self) -> None:
        """Close the files; what is not written is dropped."""
        with self._turn:
            while len(self._queue) > 1:
                self._queue.pop()  # the first is under way
                self._error = OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))  # nobody waits for what is dropped
            self._closed = True
            self._turn.notify_all()
        self._thread.join()
        self._output.close()


class SplitOutput:
    """Volumes of at most `size` bytes.

    Args:
        name: The claimed staged path of volume n, counted from 0.
        starts: Starts of the volumes an earlier attempt left.
        at: Bytes of them to keep.
    """

    def __init__(self, name: Callable[[int], Path], size: int, starts: Sequence[int] = (), at: int = 0) -> None:
        self._name = name
        self._size = size
        self._starts: list[int] = []
        self._paths: list[Path] = []
        self._fds: list[int] = []
        self.position = at
        for start in starts or (0,):
            self._open(start, keep=bool(at))
        if at:
            self.rewind(at)

    def _open(self, start: int, *, keep: bool = False) -> None:
        path = self._name(len(self._fds))
        self._fds.append(os.open(path, _FLAGS | (0 if keep else os.O_TRUNC), _MODE))
        self._starts.append(start)
        self._paths.append(path)

    def _left(self) -> int:
        return self._starts[-1] + self._size - self.position

    def write(self, buffers: Sequence[Buffer], written: Callable[[], None] | None = None) -> None:
        """See `Output`."""
        for buffer in buffers:
            view = memoryview(buffer)
            while view:
                if not self._left():
                    self._open(self.position)
                part = view[: self._left()]
                self.position += _write_all(self._fds[-1], [part])
                view = view[len(part) :]
        if written is not None:
            written()

    def patch(self, at: int, data: bytes) -> None:
        """See `Output`."""
        volume, offset = self.locate(at)
        os.pwrite(self._fds[volume], data, offset)

    def keep_together(self, length: int) -> None:
        """See `Output`."""
        if self._left() < length and self.position > self._starts[-1]:
            self._open(self.position)

    def locate(self, at: int) -> tuple[int, int]:
        """See `Output`."""
        volume = next(n for n in range(len(self._starts) - 1, -1, -1) if self._starts[n] <= at)
        return volume, at - self._starts[volume]

    def read(self, at: int, length: int) -> bytes:
        """See `Output`."""
        parts = []
        while length:
            volume, offset = self.locate(at)
            part = os.pread(self._fds[volume], length, offset)
            if not part:
                break
            parts.append(part)
            at += len(part)
            length -= len(part)
        return b"".join(parts)

    def rewind(self, at: int) -> None:
        """See `Output`."""
        while len(self._starts) > 1 and self._starts[-1] >= at:
            os.close(self._fds.pop())
            os.unlink(self._paths.pop())
            self._starts.pop()
        offset = at - self._starts[-1]
        os.ftruncate(self._fds[-1], offset)
        os.lseek(self._fds[-1], offset, os.SEEK_SET)
        self.position = at

    def sync(self) -> None:
        """See `Output`."""
        for fd in list(self._fds):
            os.fdatasync(fd)

    def state(self) -> list[int]:
        """See `Output`."""
        return list(self._starts)

    def paths(self) -> list[Path]:
        """See `Output`."""
        return list(self._paths)

    def close(self) -> None:
        """See `Output`."""
        while self._fds:
            os.close(self._fds.pop())
