"""What of a tree is packed: globs, .gitignore files, sizes and dates."""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Final

from engines import text
from engines.errors import TaskdeckError
from engines.names import display

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_IGNORE_LIMIT: Final = 1 << 20
"""Bytes of a .gitignore that are read."""


class Filter:
    """Globs follow .gitignore rules: a name without a slash matches at any depth, `**` any number of folders.

    `include` and the size and date bounds judge files only; folders without a wanted file are then left out.
    Times are seconds since the epoch, sizes bytes.
    """

    def __init__(
        self,
        *,
        exclude: list[str] | tuple[str, ...] = (),
        include: list[str] | tuple[str, ...] = (),
        gitignore: bool = False,
        newer: float | None = None,
        older: float | None = None,
        min_size: int | None = None,
        max_size: int | None = None,
    ) -> None:
        self._excluding = _compile(exclude) if exclude else None
        self._including = _compile(include) if include else None
        self._gitignore = gitignore
        self._newer, self._older = newer, older
        self._min_size, self._max_size = min_size, max_size
        self._bounded = not (newer is older is min_size is max_size is None)
        self._ignores: dict[str, GitIgnoreSpec] = {}

    @property
    def takes_all(self) -> bool:
        """Whether nothing is left out."""
        return self._excluding is None and self._including is None and not (self._gitignore or self._bounded)

    @property
    def drops_empty(self) -> bool:
        """Whether folders without a selected file are left out."""
        return self._including is not None or self._bounded

    def wants(self, path: str, info: os.stat_result) -> bool:
        """Whether the file or folder is packed. Patterns see the path below the source's own name and with it."""
        folder = stat.S_ISDIR(info.st_mode)
        shown = path + "/" if folder else path
        if self._excluding is not None and _matches(self._excluding, shown):
            return False
        if self._gitignore and self._ignored(shown):
            return False
        if folder:
            return True
        if self._including is not None and not _matches(self._including, shown):
            return False
        return not self._bounded or self._in_bounds(info)

    def enter(self, path: str, fd: int) -> None:
        """Read the folder's .gitignore."""
        if not self._gitignore:
            return
        with suppress(OSError):
            file = os.open(".gitignore", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
            try:
                lines = os.read(file, _IGNORE_LIMIT).decode("utf-8", "surrogateescape").splitlines()
            finally:
                os.close(file)
            self._ignores[path] = _compile(lines)

    def _ignored(self, path: str) -> bool:
        """The deepest .gitignore that says something about the path decides."""
        if os.path.basename(path.rstrip("/")) == ".git":
            return True
        at = path.rstrip("/").rfind("/")
        while at >= 0:
            spec = self._ignores.get(path[: at + 1])
            if spec is not None:
                verdict = spec.check_file(path[at + 1 :]).include
                if verdict is not None:
                    return verdict
            at = path.rfind("/", 0, at)
        return False

    def _in_bounds(self, info: os.stat_result) -> bool:
        if not stat.S_ISREG(info.st_mode):
            return True
        return (
            (self._newer is None or info.st_mtime >= self._newer)
            and (self._older is None or info.st_mtime < self._older)
            and (self._min_size is None or info.st_size >= self._min_size)
            and (self._max_size is None or info.st_size <= self._max_size)
        )


def _compile(patterns: list[str] | tuple[str, ...]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(patterns)


def _matches(spec: GitIgnoreSpec, path: str) -> bool:
    """Whether a pattern means the path, given from the archive's top or from inside the source."""
    if spec.match_file(path):
        return True
    _, _, below = path.partition("/")
    return bool(below) and spec.match_file(below)


def parse_moment(given: str, *, what: str) -> float:
    """Seconds since the epoch from a local date or time (ISO 8601) or an age ("7d", "12h").

    Raises:
        TaskdeckError: `value`.
    """
    try:
        return datetime.fromisoformat(given).timestamp()
    except ValueError:
        pass
    try:
        return time.time() - text.parse_duration(given)
    except ValueError:
        raise TaskdeckError(
            "value",
            f"cannot understand {what} '{display(given)}'",
            "it is neither a date nor an age",
            "write 2025-01-31, 2025-01-31T12:00 or 7d",
        ) from None


def parse_bytes(given: str, *, what: str) -> int:
    """Bytes from "700MB".

    Raises:
        TaskdeckError: `value`.
    """
    try:
        return text.parse_size(given)
    except ValueError:
        raise TaskdeckError(
            "value", f"cannot understand {what} '{display(given)}'", "it is no size", "write 700MB or 4GiB"
        ) from None
