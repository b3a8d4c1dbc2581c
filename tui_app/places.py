"""Folders as the TUI sees them: for completion and the file picker. Local here; a remote daemon gives its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from engines.errors import TaskdeckError
from engines.paths import PathPolicy, from_uri, unreadable
from engines.text import natural

if TYPE_CHECKING:
    from tui_app.wire import FilesPage

_LIMIT = 2000


class Entry(msgspec.Struct, frozen=True):
    """One name in a folder. `name` is exact, not display-safe."""

    name: str
    folder: bool
    size: int = 0
    modified: float = 0.0


class Places(Protocol):
    """What the engine's machine has on its disks, inside the allowed roots."""

    async def roots(self) -> list[str]:
        """The allowed folders."""

    async def entries(self, folder: str) -> list[Entry]:
        """What a folder holds, folders first, by name.

        Raises:
            TaskdeckError: the folder is missing, unreadable or outside the roots.
        """

    def base(self) -> str:
        """The folder relative paths start from."""


class LocalPlaces:
    """This machine's disks, read in a thread: a dead network disk must not stop the picture."""

    def __init__(self, policy: PathPolicy, base: str | None = None) -> None:
        self._policy = policy
        self._base = base or os.getcwd()

    async def roots(self) -> list[str]:
        """The allowed folders."""
        return list(self._policy.roots)

    def base(self) -> str:
        """The folder the TUI was started in."""
        return self._base

    async def entries(self, folder: str) -> list[Entry]:
        """What a folder holds."""
        path = str(self._policy.source(folder, base=self._base))
        return await asyncio.to_thread(_scan, path)


def _scan(path: str) -> list[Entry]:
    found: list[Entry] = []
    try:
        with os.scandir(path) as scan:
            for item in scan:
                try:
                    folder = item.is_dir()
                    status = item.stat(follow_symlinks=False)
                    found.append(Entry(item.name, folder, status.st_size, status.st_mtime))
                except OSError:
                    found.append(Entry(item.name, False))
                if len(found) >= _LIMIT:
                    break
    except OSError as error:
        raise unreadable(path, error) from None
    return sorted(found, key=lambda entry: (not entry.folder, natural(entry.name)))


class RemotePlaces:
    """The disks of the daemon's machine.

    Args:
        files: `TaskClient.files`: (path, base) to a page; an empty path lists the roots.
    """

    def __init__(self, files: Callable[..., Awaitable[FilesPage]]) -> None:
        self._files = files
        self._base = "/"

    def base(self) -> str:
        """The folder relative paths start from: the first root, once the roots were asked for."""
        return self._base

    async def roots(self) -> list[str]:
        """The allowed folders."""
        roots = list((await self._files("")).roots)
        self._base = roots[0]
        return roots

    async def entries(self, folder: str) -> list[Entry]:
        """What a folder holds."""
        page = await self._files(folder, base=self.base())
        return [
            Entry(os.path.basename(from_uri(entry.uri)) if entry.uri else entry.name, entry.folder, entry.size,
                  entry.modified)
            for entry in page.entries
        ]  # fmt: skip


async def complete_path(places: Places, word: str, *, folders_only: bool = False) -> list[tuple[str, Entry]]:
    """Paths that begin with `word`, with their entries; hidden names only when the word asks for them."""
    head, _, tail = word.rpartition("/")
    folder = f"{head}/" if head or word.startswith("/") else ""
    where = _home(folder) or places.base()
    try:
        entries = await places.entries(where)
    except TaskdeckError:
        roots = await places.roots()
        return [(root, Entry(root, True)) for root in roots if root.startswith(word)]
    wanted = tail.casefold()
    return [
        (folder + entry.name + ("/" if entry.folder else ""), entry)
        for entry in entries
        if entry.name.casefold().startswith(wanted)
        and (entry.folder or not folders_only)
        and (tail.startswith(".") or not entry.name.startswith("."))
    ]


def _home(folder: str) -> str:
    return os.path.expanduser(folder)
