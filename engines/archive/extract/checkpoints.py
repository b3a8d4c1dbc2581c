"""What is unpacked for good: members counted once they are on the disk."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import Final

from engines.archive.extract.system import sync_filesystem
from engines.job import Job
from engines.model import Json

_CHECKPOINT_SECONDS: Final = 1.0


class Checkpoints:
    """Makes committed members durable and saves how many there are, at most once a second, in a thread of its own.

    A sync that takes long makes the next one wait four times as long, so that slow disks write rather than flush.

    Args:
        base: What every checkpoint holds besides the count.
    """

    def __init__(self, job: Job, folder: int, base: Json) -> None:
        self._job = job
        self._folder = folder
        self._base = base
        self._wanted = -1
        self._next = time.monotonic() + _CHECKPOINT_SECONDS
        self._wake = threading.Event()
        self._saving = threading.Lock()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def offer(self, count: int) -> None:
        """Note that `count` members are written; cheap."""
        self._wanted = count
        if time.monotonic() < self._next:
            return
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._work, args=(os.dup(self._folder),), name="checkpoint", daemon=True
            )
            self._thread.start()
        self._next = float("inf")
        self._wake.set()

    @property
    def closed(self) -> bool:
        """Whether nothing more is saved."""
        return self._stopping

    def close(self, *, final: bool = False) -> None:
        """Save nothing more; with `final` the last state is made durable first.

        A sync under way is not waited for: on a slow disk it takes seconds, and who cancels shall not.
        """
        with self._saving:
            self._stopping = True
        self._wake.set()
        if final:
            if self._thread is not None:
                self._thread.join()
            if self._wanted >= 0:
                self._save(self._folder, last=True)

    def _work(self, folder: int) -> None:
        """Takes over the descriptor: it may outlive the task by one sync."""
        try:
            while True:
                self._wake.wait()
                self._wake.clear()
                if self._stopping:
                    return
                began = time.monotonic()
                self._save(folder)
                took = time.monotonic() - began
                self._next = time.monotonic() + max(_CHECKPOINT_SECONDS, 4 * took)
        finally:
            os.close(folder)

    def _save(self, folder: int, *, last: bool = False) -> None:
        count = self._wanted
        with suppress(OSError):
            if sync_filesystem(folder):
                with self._saving:
                    if last or not self._stopping:
                        self._job.save({**self._base, "members": count})
