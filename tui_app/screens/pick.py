"""The file picker: folders of the engine's machine inside the roots, several choices at once."""

from __future__ import annotations

import os
import time
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from engines.errors import TaskdeckError
from engines.names import display
from engines.text import size
from tui_app.keys import bindings
from tui_app.places import LIMIT, Entry
from tui_app.screens.base import DeckDialog
from widgets.row_list import RowList
from widgets.spans import Row, Span, cut, cut_middle, fill
from widgets.work import restart


class FilePicker(DeckDialog[list[str]]):
    """Gives exact absolute paths, or None.

    Args:
        folder: Where to start.
        folders_only: Show and choose folders alone.
        several: Whether more than one may be chosen.
    """

    BINDINGS: ClassVar = bindings("pick", "dialog.close")

    def __init__(self, folder: str, *, folders_only: bool = False, several: bool = True) -> None:
        super().__init__()
        self._folder = folder
        self._folders_only = folders_only
        self._several = several
        self._hidden = False
        self._entries: list[Entry] = []
        self._cut = False
        """Whether the folder has more names than are shown."""
        self._taken: dict[str, None] = {}
        """Marked paths, in order, over all folders visited."""

    def compose(self) -> ComposeResult:
        """Folder, names, keys."""
        with Vertical(classes="dialog -big"):
            yield Static("", id="pick-folder", markup=False, classes="dialog-title")
            yield RowList(id="pick-list")
            yield Static("", id="pick-hint", markup=False, classes="dialog-hint")

    def on_mount(self) -> None:
        """Read the first folder."""
        self.names.glyphs = self.deck.glyphs
        self.set_focus(self.names)
        self._go(self._folder)

    @property
    def names(self) -> RowList:
        """The list."""
        return self.query_one(RowList)

    def _go(self, folder: str, back_from: str = "") -> None:
        restart(self, "pick", self._read, folder, back_from)

    async def _read(self, folder: str, back_from: str) -> None:
        try:
            if folder:
                entries = await self.deck.places.entries(folder)
            else:
                entries = [Entry(root, True) for root in await self.deck.places.roots()]
        except TaskdeckError as error:
            if folder and not self._entries and not back_from:
                await self._read("", folder)
            else:
                self.deck.say(error.coded, severity="warning")
            return
        self._folder, self._cut = folder, len(entries) >= LIMIT
        self._entries = [
            entry
            for entry in entries
            if (self._hidden or not os.path.basename(entry.name).startswith("."))
            and (entry.folder or not self._folders_only)
        ]
        place = next((n for n, entry in enumerate(self._entries) if self._path(entry) == back_from), 0)
        self.names.empty = "This folder is empty."
        self.names.fill(len(self._entries), self._draw, cursor=place)
        self.names.marks = {n for n, entry in enumerate(self._entries) if self._path(entry) in self._taken}
        self._tell()

    def _path(self, entry: Entry) -> str:
        return os.path.join(self._folder, entry.name) if self._folder else entry.name

    def _draw(self, index: int, width: int) -> Row:
        entry = self._entries[index]
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.modified)) if entry.modified else ""
        right = f"{'' if entry.folder else size(entry.size):>11}  {when:>16}"
        name = display(entry.name) + ("/" if entry.folder else "")
        left = Span(cut(name, width - len(right) - 1, self.deck.glyphs.ellipsis), "accent" if entry.folder else "")
        return fill([left], [Span(right, "muted")], width)

    def _tell(self) -> None:
        where = display(self._folder) if self._folder else "Allowed folders"
        self.query_one("#pick-folder", Static).update(
            cut_middle(where, max(10, self.names.size.width - 2), self.deck.glyphs.ellipsis)
        )
        marks = f"{len(self._taken)} marked, " if self._taken else ""
        marks += f"only {LIMIT:,} names of this folder, " if self._cut else ""
        what = "the marked" if self._taken else "this"
        keys = [("rows.choose", "opens"), ("pick.mark", "marks"), ("pick.accept", f"takes {what}"), ("pick.up", "up"),
                ("pick.hidden", "hidden")]  # fmt: skip
        line = self.deck.hint(*(pair for pair in keys if self._several or pair[0] != "pick.mark"))
        self.query_one("#pick-hint", Static).update(f"{marks}{line}  {self.deck.key('dialog.leave')}")

    def action_mark(self) -> None:
        """Mark the path under the cursor."""
        if not self._several or not self._entries or not self._folder:
            return
        path = self._path(self._entries[self.names.cursor])
        if path in self._taken:
            del self._taken[path]
        else:
            self._taken[path] = None
        self.names.toggle_mark()
        self._tell()

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        self.action_enter()

    def action_enter(self) -> None:
        """Open a folder; a file is taken."""
        if not self._entries:
            return
        entry = self._entries[self.names.cursor]
        if entry.folder:
            self._go(self._path(entry))
        else:
            self.action_accept()

    def action_up(self) -> None:
        """To the folder above; above a root are the roots."""
        if self._folder:
            above = os.path.dirname(self._folder.rstrip("/"))
            restart(self, "pick", self._up, above, self._folder)

    async def _up(self, above: str, back_from: str) -> None:
        try:
            roots = await self.deck.places.roots()
        except TaskdeckError as error:
            self.deck.say(error.coded, severity="warning")
            return
        inside = any(above == root or above.startswith(root.rstrip("/") + "/") for root in roots)
        await self._read(above if inside else "", back_from)

    def action_roots(self) -> None:
        """The allowed folders."""
        self._go("")

    def action_hidden(self) -> None:
        """Show or hide names that begin with a dot."""
        self._hidden = not self._hidden
        self._go(self._folder)

    def action_accept(self) -> None:
        """Take what is marked, or what is under the cursor, or this folder when it is empty."""
        if self._taken:
            self.dismiss(list(self._taken))
        elif self._entries:
            self.dismiss([self._path(self._entries[self.names.cursor])])
        elif self._folder:
            self.dismiss([self._folder])
