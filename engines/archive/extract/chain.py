"""Several programs for one format: the first that can does the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from engines.archive.extract.run import Run
from engines.errors import TaskdeckError

T = TypeVar("T")

CANNOT: Final = frozenset({"unsupported", "tool.missing", "archive.not_archive"})
"""Faults of a program rather than of the archive: the next one may do better."""


def first_able(run: Run, attempts: Sequence[Callable[[Run], T]], again: Callable[[], None]) -> T:
    """What the first attempt gives that does not fail for want of ability.

    Args:
        again: Called between two attempts: forgets what the one before did.

    Raises:
        TaskdeckError: Of the first program when none can; else of the one that began in earnest.
    """
    first: TaskdeckError | None = None
    for attempt in attempts:
        if first is not None:
            run.job.log(f"trying another program: {first.message}", level="warning")
            again()
        try:
            return attempt(run)
        except TaskdeckError as error:
            if error.code not in CANNOT:
                raise
            first = first or error
    assert first is not None, "a chain has a link"
    raise first
