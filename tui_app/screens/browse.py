"""Which browser opens for what: an archive's members, or the media of a folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from engines.errors import TaskdeckError
from engines.model import TaskState, TaskView
from engines.names import display
from tui_app.screens.archive import ArchiveBrowser
from tui_app.screens.media import MediaTable
from tui_app.screens.pick import FilePicker

if TYPE_CHECKING:
    from tui_app.screens.tasks import TasksScreen

_MAKES_ARCHIVE: Final = ("zip", "convert")
_READS: Final = ("zipinfo", "ziptest", "unzip", "mediainfo", "mstats")
_UNSHOWN: Final = "\ufffd"


async def choose(screen: TasksScreen) -> None:
    """Browse what the task under the cursor is about, else ask for a path."""
    current = screen.list.current
    path = await _subject(screen, current) if current is not None else ""
    if path:
        await browse(screen, path)
        return
    screen.app.push_screen(
        FilePicker(screen.deck.places.base(), several=False),
        lambda paths: screen.browse(paths[0]) if paths else None,
    )


async def _subject(screen: TasksScreen, view: TaskView) -> str:
    """The archive or folder of a task; "" when it has none or its name cannot be shown exactly."""
    path = ""
    if view.op in _MAKES_ARCHIVE and view.state is TaskState.COMPLETED:
        path = view.output
    elif view.op in _READS:
        path = str((await screen.deck.tasks.detail(view.id, log_lines=0)).params.get("path", ""))
    return path if path.startswith("/") and _UNSHOWN not in path else ""


async def browse(screen: TasksScreen, path: str) -> None:
    """Open the browser that fits.

    Raises:
        TaskdeckError: `path.missing`, `path.outside` and what reading the folder raises.
    """
    places = screen.deck.places
    full = _full(places.base(), path)
    roots = {_full("/", root) for root in await places.roots()}
    if full not in roots:
        folder, name = os.path.split(full)
        entry = next((entry for entry in await places.entries(folder) if entry.name == name), None)
        if entry is None:
            raise TaskdeckError("path.missing", f"cannot look into '{display(full)}'", "it does not exist")
        if not entry.folder:
            screen.app.push_screen(ArchiveBrowser(full), lambda data: screen.open_form("unzip", data) if data else None)
            return
    screen.app.push_screen(MediaTable(full))


def _full(base: str, path: str) -> str:
    return os.path.normpath(os.path.join(base, os.path.expanduser(path)))
