"""Limits on what an archive may do: each refusal is `archive.limit` and names the setting to change."""

from __future__ import annotations

import os
import threading
from typing import Final

import msgspec

from engines import text
from engines.errors import TaskdeckError
from engines.names import display
from engines.settings import ArchiveSettings

RATIO_FLOOR: Final = 1_000_000
"""Members smaller than this many bytes may have any ratio: a page of zeros is no bomb."""

_FREE_STEP: Final = 64 << 20  # bytes between two looks at the free space


class Limits(msgspec.Struct, frozen=True):
    """The limits of one run; 0 switches a limit off."""

    max_bytes: int = 0
    max_ratio: int = 2000
    max_entries: int = 5_000_000
    max_depth: int = 4
    max_name: int = 4096
    max_components: int = 256
    keep_free: int = 0
    """Bytes of the file system that must stay free."""

    @classmethod
    def of(cls, settings: ArchiveSettings, *, keep_free: int = 0) -> Limits:
        """The limits that the settings ask for."""
        return cls(
            max_bytes=settings.max_bytes,
            max_ratio=settings.max_ratio,
            max_entries=settings.max_entries,
            max_depth=settings.max_depth,
            max_name=settings.max_name,
            max_components=settings.max_components,
            keep_free=keep_free,
        )


def refuse(what: str, why: str, setting: str) -> TaskdeckError:
    """The error for a limit that was met."""
    return TaskdeckError("archive.limit", what, why, f"raise {setting} in the settings if you trust the archive")


class Budget:
    """Counts what one run has written and refuses to go past the limits. Thread-safe.

    Args:
        folder: An open descriptor on the file system that is written to.
    """

    def __init__(self, limits: Limits, folder: int) -> None:
        self.limits = limits
        self.folder = folder
        """The descriptor given."""
        self._lock = threading.Lock()
        self.written = 0
        self.entries = 0
        self._next_look = _FREE_STEP

    def declared(self, total: int, entries: int) -> None:
        """Refuse before the first byte what the archive itself says it holds.

        Raises:
            TaskdeckError: `archive.limit`, or `disk.full` with what is needed and what there is.
        """
        self._total(total)
        self._entries(entries)
        free = self.free()
        if total > free:
            raise TaskdeckError(
                "disk.full",
                "cannot unpack the archive",
                f"it needs {text.size(total)} and {text.size(max(0, free))} are free",
                "free some space or unpack elsewhere",
            )

    def free(self) -> int:
        """Bytes that may still be written to the file system; may be negative."""
        found = os.fstatvfs(self.folder)
        return found.f_bavail * found.f_frsize - self.limits.keep_free

    def entry(self, count: int = 1) -> None:
        """Count members; for readers, which see them in one thread.

        Raises:
            TaskdeckError: `archive.limit`.
        """
        self.entries += count
        if self.entries > self.limits.max_entries:
            self._entries(self.entries)

    def spend(self, count: int) -> None:
        """Count bytes that are about to be written.

        Raises:
            TaskdeckError: `archive.limit`, `disk.full`.
        """
        with self._lock:
            self.written += count
            if self.limits.max_bytes:
                self._total(self.written)
            if self.written < self._next_look:
                return
            self._next_look = self.written + _FREE_STEP
        if self.free() < 0:
            raise TaskdeckError(
                "disk.full",
                "cannot unpack the archive",
                f"less than {text.size(self.limits.keep_free)} would stay free",
                "free some space or unpack elsewhere",
            )

    def note(self, count: int) -> None:
        """Count bytes that are only looked at."""
        with self._lock:
            self.written += count

    def ratio(self, name: str, unpacked: int, packed: int) -> None:
        """Refuse a member that grows beyond the ratio.

        Raises:
            TaskdeckError: `archive.limit`.
        """
        top = self.limits.max_ratio
        if top and unpacked > RATIO_FLOOR and unpacked > top * max(1, packed):
            raise refuse(
                f"cannot unpack member '{display(name, limit=200)}'",
                f"each packed byte becomes more than {top:,} bytes, as in a decompression bomb",
                "archive.max_ratio",
            )

    def _total(self, count: int) -> None:
        top = self.limits.max_bytes
        if top and count > top:
            raise refuse(
                "cannot unpack the archive",
                f"it holds more than the limit of {text.size(top)}",
                "archive.max_bytes",
            )

    def _entries(self, count: int) -> None:
        top = self.limits.max_entries
        if top and count > top:
            raise refuse("cannot unpack the archive", f"it holds more than {top:,} members", "archive.max_entries")
