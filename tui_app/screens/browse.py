"""Which browser opens for what: an archive's members, or the media of a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from engines.errors import TaskdeckError
from engines.model import Json, TaskState, TaskView
from engines.names import display
from tui_app.deck import Deck
from tui_app.places import find
from tui_app.screens.archive import ArchiveBrowser
from tui_app.screens.media import MediaTable
from tui_app.screens.pick import FilePicker

_MAKES_ARCHIVE: Final = ("zip", "convert")
_READS: Final = ("zipinfo", "ziptest", "unzip", "mediainfo", "mstats")
_UNSHOWN: Final = "\ufffd"


async def choose(deck: Deck, current: TaskView | None, unpack: Callable[[Json], None]) -> None:
    """Browse what the task under the cursor is about, else ask for a path; see `browse`."""
    path = await _subject(deck, current) if current is not None else ""
    if path:
        await browse(deck, path, unpack)
        return
    deck.push_screen(
        FilePicker(deck.places.base(), several=False),
        lambda paths: deck.performer.start(browse(deck, paths[0], unpack)) if paths else None,
    )


async def _subject(deck: Deck, view: TaskView) -> str:
    """The archive or folder of a task; "" when it has none or its name cannot be shown exactly."""
    path = ""
    if view.op in _MAKES_ARCHIVE and view.state is TaskState.COMPLETED:
        path = view.output
    elif view.op in _READS:
        path = str((await deck.tasks.detail(view.id, log_lines=0)).params.get("path", ""))
    return path if path.startswith("/") and _UNSHOWN not in path else ""


async def browse(deck: Deck, path: str, unpack: Callable[[Json], None]) -> None:
    """Open the browser that fits; `unpack` gets the start of an `unzip` operation.

    Raises:
        TaskdeckError: `path.missing`, `path.outside_roots` and what reading the folder raises.
    """
    full = _full(deck.places.base(), path)
    roots = {_full("/", root) for root in await deck.places.roots()}
    if full not in roots:
        entry = await find(deck.places, full)
        if entry is None:
            raise TaskdeckError("path.missing", f"cannot look into '{display(full)}'", "it does not exist")
        if not entry.folder:
            deck.push_screen(ArchiveBrowser(full), lambda data: unpack(data) if data else None)
            return
    deck.push_screen(MediaTable(full))


def _full(base: str, path: str) -> str:
    return os.path.normpath(os.path.join(base, os.path.expanduser(path)))
