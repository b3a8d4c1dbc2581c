"""Folders inside the roots, for path completion. Opened by descriptor, checked again after opening."""

from __future__ import annotations

import asyncio
import errno
import os
import stat

from aiohttp import web

from engines.errors import TaskdeckError
from engines.names import display
from engines.paths import PathPolicy, from_uri, to_uri, unreadable
from tui_app import wire
from tui_app.web.bodies import text
from tui_app.web.context import DECK
from tui_app.web.problem import json_response

LIMIT = 2000


async def files(request: web.Request) -> web.Response:
    """GET /api/v1/files."""
    policy = request.app[DECK].policy
    path = from_uri(text(request, "path", limit=4096))
    base = from_uri(text(request, "base", limit=1024)) or policy.roots[0]
    page = await asyncio.to_thread(listing, policy, path, base, text(request, "prefix", limit=255))
    return json_response(page)


def listing(policy: PathPolicy, path: str, base: str, prefix: str = "") -> wire.FilesPage:
    """The content of a folder, folders first.

    Raises:
        TaskdeckError: `path.outside_roots`, `path.missing`, `path.kind`, `path.unreadable`.
    """
    roots = [display(root) for root in policy.roots]
    if not path:
        entries = [wire.FileEntry(display(root), True, uri=_uri(root)) for root in policy.roots]
        return wire.FilesPage("", entries, roots=roots)
    try:
        folder = policy.target(path, base=base)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise unreadable(path, error) from None
        what = f"cannot find '{display(path, limit=200)}'"
        raise TaskdeckError("path.missing", what, "no name is so long") from None
    try:
        if not policy.allows(os.readlink(f"/proc/self/fd/{descriptor}")):
            raise TaskdeckError(
                "path.outside_roots", f"cannot list '{display(path)}'", "it lies outside the allowed folders"
            )
        entries, truncated = _entries(descriptor, prefix)
    except OSError as error:
        raise unreadable(path, error) from None
    finally:
        os.close(descriptor)
    return wire.FilesPage(display(folder), entries, truncated, roots)


def _entries(descriptor: int, prefix: str) -> tuple[list[wire.FileEntry], bool]:
    found: list[wire.FileEntry] = []
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if not entry.name.startswith(prefix):
                continue
            if len(found) >= LIMIT:
                return _sorted(found), True
            try:
                info = entry.stat(follow_symlinks=False)
                folder = entry.is_dir()
            except OSError:
                continue
            size = info.st_size if stat.S_ISREG(info.st_mode) else 0
            found.append(wire.FileEntry(display(entry.name), folder, size, info.st_mtime, _uri(entry.name)))
    return _sorted(found), False


def _sorted(entries: list[wire.FileEntry]) -> list[wire.FileEntry]:
    return sorted(entries, key=lambda entry: (not entry.folder, entry.name.casefold()))


def _uri(name: str) -> str:
    """Empty for a name that can be shown as it is, else its exact bytes, percent-encoded."""
    if display(name) == name:
        return ""
    uri = to_uri(name)
    return uri if uri != name else name
