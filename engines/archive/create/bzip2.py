"""bzip2 by the program lbzip2: the same blocks as libbz2's for two thirds of its processor time.

Each segment of a few blocks goes through a program of its own and comes back as a complete stream, so that a job goes
on after any of them as it does after those of libbz2.
"""

from __future__ import annotations

import os
import threading
from typing import Final

from engines.archive import backends, levels
from engines.archive.create import codecs
from engines.archive.create.session import Session
from engines.archive.create.space import Buffer
from engines.errors import TaskdeckError

_SEGMENT: Final = 3_440_000
"""Bytes of input for one program, whose start costs 1 % of them: with padding four blocks of level 9."""
_LEAST: Final = 900_000
"""Bytes of the last segments: so that all cores end together."""
_WORTH: Final = 4 * _SEGMENT
"""Bytes of input from which programs are worth it."""


def worthwhile(session: Session) -> bool:
    """Whether the program is there and there is enough to do; reproducible archives depend on no program."""
    return session.total >= _WORTH and not session.options.reproducible and bool(backends.lbzip2())


class Bzip2Program:
    """Packs segments; for threads.

    At most as many programs run at once as the job may use threads; whoever waits has its segment ready.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._block = levels.BZIP2[session.options.level]
        self._turns = threading.Semaphore(session.options.threads)
        self._telling = threading.Lock()
        self._broken = False

    def segment(self, left: int) -> int:
        """Bytes for the next program when so many are left."""
        return max(_LEAST, min(_SEGMENT, left // (2 * self._session.options.threads)))

    def pack(self, data: Buffer) -> list[Buffer]:
        """A complete stream of a segment; libbz2 makes it when the program fails.

        Raises:
            CancelledError: The session was closed.
        """
        fd = os.memfd_create("segment", os.MFD_CLOEXEC)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            os.lseek(fd, 0, os.SEEK_SET)
            with self._turns:
                packed = b"" if self._broken else self._run(fd)
                return [packed] if packed else codecs.bzip2_stream(data, self._session.options.level)
        finally:
            os.close(fd)

    def _run(self, fd: int) -> bytes:
        """What the program makes of a file; empty when it failed."""
        try:
            with self._session.tool([backends.lbzip2(), "-n1", f"-{self._block}", "-c"], stdin=fd) as tool:
                packed = tool.stdout.read()
                status = tool.wait()
                why = tool.errors or f"status {status}"
        except TaskdeckError as error:
            status, why, packed = 1, error.message, b""
        self._session.step()  # a program that was ended by a cancel has not failed
        if not status:
            return packed
        with self._telling:
            if not self._broken:
                self._session.job.log(f"going on without lbzip2: {why}", level="warning")
            self._broken = True
        return b""
