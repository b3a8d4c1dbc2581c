"""External programs: argument lists only, scrubbed environment, no terminal, and they die with their parent."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Final

from engines.errors import TaskdeckError
from engines.names import display

_KEPT: Final = (
    "PATH",
    "HOME",
    "XDG_CACHE_HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TMPDIR",
    "TZ",
    "LD_LIBRARY_PATH",
    "TASKDECK_RUN",
)
_LONGEST_LINE: Final = 65536
"""Bytes of an error line that are kept; progress comes without line ends."""


def environment(**extra: str) -> dict[str, str]:
    """The environment given to children: what programs need to run, nothing that may hold a secret."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | {"LC_ALL": "C.UTF-8"} | extra


def readable(descriptor: int, seconds: float) -> bool:
    """Wait until there is something to read, the end included; False when there was nothing for so long.

    `select.select` would fail for descriptors from 1024 on, which a process with many files open has.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(1000 * seconds))


@cache
def _guard() -> tuple[str, ...]:
    """A prefix that makes the kernel end a child with its parent (util-linux), else empty."""
    import shutil

    path = shutil.which("setpriv")
    return (path, "--pdeathsig", "KILL", "--") if path else ()


class Tool:
    """A running external program.

    `stdout` is a byte stream the caller must read to its end; standard error is drained by a thread and its
    tail kept. Start it from the main thread: the death signal follows the thread that started it.

    Args:
        argv: Program and arguments; a program that is not found is `tool.missing`.
        stdin: Bytes to feed (a password), or a descriptor to read from (the caller closes it), else the program sees
            end of file.

    Attributes:
        on_errors: Called in a thread with each block of standard error as it comes: for programs whose output is data
            and whose progress goes there. Set it right after the start.
    """

    def __init__(
        self,
        argv: Sequence[str | bytes],
        *,
        cwd: Path | None = None,
        stdin: bytes | int | None = None,
        pass_fds: Sequence[int] = (),
        env: dict[str, str] | None = None,
    ) -> None:
        self.name = display(os.path.basename(argv[0]))
        given = environment() if env is None else env
        # Looked for here: behind the guard a missing program would only be an exit status.
        import shutil  # with the next one 6 ms that a job without tools need not spend
        import subprocess

        program = shutil.which(os.fsdecode(argv[0]), path=given.get("PATH", os.defpath))
        if program is None:
            raise TaskdeckError(
                "tool.missing", f"cannot run {self.name}", "it is not installed", "see `taskdeck doctor`"
            )
        try:
            self._process = subprocess.Popen(
                [*_guard(), program, *argv[1:]],
                cwd=cwd,
                stdin=subprocess.DEVNULL if stdin is None else stdin if isinstance(stdin, int) else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=tuple(pass_fds),
                env=given,
            )
        except OSError as error:
            raise TaskdeckError(
                "tool.failed", f"cannot run {self.name}", error.strerror or str(error), "see `taskdeck doctor`"
            ) from None
        self.on_errors: Callable[[bytes], None] = lambda _: None
        self._tail: deque[str] = deque(maxlen=50)
        self._drain = threading.Thread(target=self._read_errors, daemon=True)
        self._drain.start()
        if isinstance(stdin, bytes) and self._process.stdin is not None:
            try:
                self._process.stdin.write(stdin)
                self._process.stdin.close()
            except BrokenPipeError:
                pass

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def stdout(self) -> IO[bytes]:
        """Its standard output."""
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def errors(self) -> str:
        """The tail of its standard error, display-safe; complete after `wait`."""
        return "\n".join(self._tail)

    def chunks(self, separators: bytes = b"\r\n\b") -> Iterator[bytes]:
        """Its output split at any of these bytes, empty parts left out: for progress lines."""
        rest = b""
        table = bytes.maketrans(separators, b"\n" * len(separators))
        while block := self.stdout.read1(65536):  # type: ignore[attr-defined]
            *lines, rest = (rest + block).translate(table).split(b"\n")
            yield from filter(None, lines)
        if rest:
            yield rest

    def poll(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """The exit status once it has ended; -N when signal N ended it."""
        status = self._process.wait(timeout)
        self._drain.join(1)
        return status

    def kill(self, *, wait: bool = True) -> None:
        """End it now and wait for it; without `wait` call it again later (to end several at once)."""
        if self._process.poll() is None:
            self._process.kill()
        if not wait:
            return
        self._process.wait()
        self.stdout.close()

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        rest = b""
        while block := self._process.stderr.read1(65536):  # type: ignore[attr-defined]
            self.on_errors(block)
            *lines, rest = (rest + block).split(b"\n")
            self._tail += [display(line.rstrip(b"\r"), limit=500) for line in lines]
            rest = rest[-_LONGEST_LINE:]
        if rest:
            self._tail.append(display(rest.rstrip(b"\r"), limit=500))
