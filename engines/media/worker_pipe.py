"""A child process that answers requests line by line, with a deadline and the task's controls looked at."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from engines.errors import TaskdeckError
from engines.media.runner import TICK, Patience, Runs
from engines.process import readable

_MEMORY: Final = 3 << 30
_LINE: Final = 1 << 26


class WorkerPipe:
    """One worker process. It leaves when its standard input closes, and so with its parent, whatever happens."""

    def __init__(self, runs: Runs, argv: Sequence[str], env: dict[str, str]) -> None:
        self._runs = runs
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
        )
        with suppress(ProcessLookupError, PermissionError, ValueError):
            resource.prlimit(self._process.pid, resource.RLIMIT_AS, (_MEMORY, _MEMORY))
            resource.prlimit(self._process.pid, resource.RLIMIT_CORE, (0, 0))
        self._rest = b""

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(self, request: str, timeout: float) -> Iterator[Any]:
        """The answers to a request: JSON values up to and with the first object; none when the worker died.

        Raises:
            TaskdeckError: `task.timeout`.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return
        patience = Patience(timeout)
        while (line := self._line(patience)) is not None:
            answer = json.loads(line)
            yield answer
            if isinstance(answer, dict):
                return
            patience.alive()

    def close(self) -> None:
        """End it and wait for it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()

    def _line(self, patience: Patience) -> bytes | None:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            self._runs.check()
            if patience.exhausted():
                self.close()
                raise TaskdeckError("task.timeout", "reading the media file took too long", "it may be damaged")
            if not readable(pipe, TICK):
                continue
            block = os.read(pipe, 1 << 16)
            if not block or len(self._rest) > _LINE:
                self.close()
                return None
            self._rest += block
        line, _, self._rest = self._rest.partition(b"\n")
        return line
