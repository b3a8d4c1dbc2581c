"""Folders as the TUI sees them: for completion and the file picker. Local here; a remote daemon gives its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote

import msgspec

from engines.errors import TaskdeckError
from engines.names import display
from engines.paths import PathPolicy, from_uri, unreadable
from engines.text import natural

if TYPE_CHECKING:
    from tui_app.wire import FilesPage

LIMIT: Final = 2000
"""Names read of a folder; the daemon gives as many."""


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

    async def entries(self, folder: str, *, prefix: str = "") -> list[Entry]:
        """What a folder holds of names that begin so, `LIMIT` of them at most; folders first, by name.

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

    async def entries(self, folder: str, *, prefix: str = "") -> list[Entry]:
        """What a folder holds."""
        return await asyncio.to_thread(lambda: _scan(str(self._policy.source(folder, base=self._base)), prefix))


def _scan(path: str, prefix: str) -> list[Entry]:
    found: list[Entry] = []
    try:
        with os.scandir(path) as scan:
            for item in scan:
                if not item.name.startswith(prefix):
                    continue
                try:
                    folder = item.is_dir()
                    status = item.stat(follow_symlinks=False)
                    found.append(Entry(item.name, folder, status.st_size, status.st_mtime))
                except OSError:
                    found.append(Entry(item.name, False))
                if len(found) >= LIMIT:
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

    async def entries(self, folder: str, *, prefix: str = "") -> list[Entry]:
        """What a folder holds."""
        page = await self._files(folder, base=self.base(), prefix=prefix)
        return [
            Entry(os.path.basename(from_uri(entry.uri)) if entry.uri else entry.name, entry.folder, entry.size,
                  entry.modified)
            for entry in page.entries
        ]  # fmt: skip


async def find(places: Places, path: str) -> Entry | None:
    """What stands at an absolute path, None for nothing.

    Raises:
        TaskdeckError: what reading the folder raises.
    """
    folder, name = os.path.split(path)
    return next((entry for entry in await places.entries(folder, prefix=name) if entry.name == name), None)


def typed(path: str, *, among: bool = False) -> str:
    """A path as a line of text can hold it: itself, or a file: address where the line would lose or show wrong things.

    Args:
        path: Exact.
        among: Whether the line holds several, with commas between.
    """
    plain = display(path, limit=len(path)) == path and path == path.strip() and not path.startswith("file:/")
    return path if plain and not (among and "," in path) else "file://" + quote(os.fsencode(path))


async def complete_path(places: Places, word: str, *, folders_only: bool = False) -> list[tuple[str, Entry]]:
    """Paths that begin with `word`, with their entries; hidden names only when the word asks for them."""
    head, _, tail = word.rpartition("/")
    folder = f"{head}/" if head or word.startswith("/") else ""
    where = _home(folder) or places.base()
    try:
        entries = await places.entries(where)
        if len(entries) >= LIMIT and tail:  # the right ones may be among those left out
            entries = list(dict.fromkeys([*entries, *await places.entries(where, prefix=tail)]))
    except TaskdeckError:
        try:
            roots = await places.roots()
        except TaskdeckError:  # of another machine that does not answer: nothing to suggest
            return []
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
