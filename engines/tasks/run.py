"""One run of one task, whoever carries it out: a child process, an asyncio job in the daemon, later another machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from engines.errors import ErrorInfo
from engines.job import Stop
from engines.model import Json, Progress


class Ending(StrEnum):
    """How a run ended."""

    RESULT = "result"
    ERROR = "error"
    """The job said what is wrong."""
    STOPPED = "stopped"
    """It followed a request to stop."""
    CRASHED = "crashed"
    """It ended without a word."""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a run. `reason` is a crash in plain words; with an error, `result` is what was done all the same."""

    how: Ending
    result: Json | None = None
    error: ErrorInfo | None = None
    stop: Stop | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """What a run is given. `struct` and `function` are references "module:name"."""

    id: str
    attempt: int
    op: Json
    struct: str
    function: str
    checkpoint: Json | None
    secrets: Mapping[str, str] = field(repr=False)


class Sink(Protocol):
    """Where a run reports. Progress may be lost; `claim` and `release` return when they are durable."""

    def started(self) -> None:
        """The job's function is about to be called."""

    def progress(self, progress: Progress) -> None:
        """How far it is."""

    def checkpoint(self, checkpoint: Json) -> None:
        """From where a later run can go on."""

    def log(self, line: str) -> None:
        """A line for the task's log."""

    async def claim(self, path: Path) -> None:
        """A temporary path is about to be made."""

    async def release(self, path: Path) -> None:
        """A temporary path was published or removed."""


class Run(Protocol):
    """A run under way."""

    @property
    def pid(self) -> int | None:
        """The process whose tree does the work; None inside the daemon."""

    async def freeze(self) -> None:
        """Make it stand still; returns when it does."""

    def thaw(self) -> None:
        """Let it go on."""

    def stop(self, why: Stop) -> None:
        """Ask it to stop: at once, also when frozen."""

    def kill(self) -> None:
        """End it without asking."""

    async def end(self) -> End:
        """How it ended, once nothing of it is left."""
