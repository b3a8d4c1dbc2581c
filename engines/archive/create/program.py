"""A program that packs pieces of an archive from memory to memory, as long as it serves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from engines.archive.create.memoryfile import MemoryFile
from engines.archive.create.session import Session
from engines.archive.create.space import Buffer
from engines.errors import TaskdeckError


class Program:
    """Runs one process for each piece; for threads. After the first failure it runs no more, and the log says so once.

    Attributes:
        turns: To be held while a piece is packed, by the program or in its place: at most as many are at once as the
            job may use threads, and whoever waits has its piece ready.
    """

    def __init__(self, session: Session, name: str) -> None:
        self.turns = threading.Semaphore(session.options.threads)
        self._session = session
        self._name = name
        self._telling = threading.Lock()
        self._failed = False

    def run(
        self,
        argv: Sequence[str],
        piece: MemoryFile,
        accept: Callable[[bytes], list[Buffer]],
        on_errors: Callable[[bytes], None] | None = None,
    ) -> list[Buffer]:
        """What the program makes of a piece; nothing when it failed, now or before.

        Args:
            accept: Takes what it wrote apart; raises ValueError when that is not what it should be.
            on_errors: see `Tool`.

        Raises:
            CancelledError: The session was closed.
        """
        if self._failed:
            return []
        piece.rewind()
        try:
            with self._session.tool(argv, stdin=piece.fd) as tool:
                if on_errors is not None:
                    tool.on_errors = on_errors
                packed = tool.stdout.read()
                status = tool.wait()
                why = tool.errors or f"status {status}"
            if not status:
                return accept(packed)
        except (TaskdeckError, ValueError) as error:
            why = str(error)
        self._session.step()  # a program that was ended by a cancel has not failed
        with self._telling:
            if not self._failed:
                self._session.job.log(f"going on without {self._name}: {why}", level="warning")
            self._failed = True
        return []
