"""Archives that 7zz reads."""

from __future__ import annotations

from engines.archive.extract.run import Run
from engines.archive.member import Listing
from engines.errors import TaskdeckError


def extract(run: Run, size: int | None = None) -> None:
    """Not there yet."""
    raise TaskdeckError("unsupported", "cannot unpack the archive", "this format is not supported yet")


def listing(run: Run) -> Listing:
    """Not there yet."""
    raise TaskdeckError("unsupported", "cannot read the archive", "this format is not supported yet")


def test(run: Run) -> None:
    """Not there yet."""
    raise TaskdeckError("unsupported", "cannot test the archive", "this format is not supported yet")
