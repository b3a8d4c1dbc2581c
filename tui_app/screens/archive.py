"""The archive browser: an archive's members as a tree; what is marked becomes `unzip --files`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Static

from engines.errors import TaskdeckError
from engines.model import Json
from engines.names import display
from engines.text import plural, size
from tui_app.screens.base import DeckDialog
from widgets.row_list import RowList
from widgets.spans import Row, Span, cut, fill


@dataclass(slots=True)
class Node:
    """A member, or a folder that members lie in. Names are display-safe; sizes of folders are sums."""

    name: str
    path: str = ""
    depth: int = 0
    folder: bool = False
    size: int = 0
    files: int = 0
    open: bool = False
    children: dict[str, Node] = field(default_factory=dict)


def tree_of(members: list[dict[str, Any]]) -> Node:
    """The tree of `ArchiveInfo.members`; folders that have no member of their own are made."""
    root = Node("", folder=True, depth=-1, open=True)
    for member in members:
        parts = [part for part in str(member["name"]).split("/") if part not in ("", ".")]
        count = int(member.get("size", 0))
        is_folder = member.get("kind", "file") == "folder"
        node = root
        for depth, part in enumerate(parts):
            node.size += count
            node.files += not is_folder
            last = depth == len(parts) - 1
            path = f"{node.path}/{part}" if node.path else part
            node = node.children.setdefault(part, Node(part, path, depth, folder=not last or is_folder))
        node.size += count
        node.folder = is_folder or bool(node.children)
    return root


def flat(node: Node) -> list[Node]:
    """The nodes in sight, folders first."""
    found: list[Node] = []
    for child in sorted(node.children.values(), key=lambda item: (not item.folder, item.name)):
        found.append(child)
        if child.open:
            found += flat(child)
    return found


def glob_of(path: str) -> str:
    """A glob for `unzip --files` that matches this member of the top and what lies in it, and no other.

    Characters that could not be shown (and the comma, which separates globs) match any one character.
    """
    escaped = "".join(f"[{char}]" if char in "*?[" else "?" if char in "\ufffd," else char for char in path)
    return f"/{escaped}"


class ArchiveBrowser(DeckDialog[Json]):
    """Gives the start of an `unzip` operation, or None.

    Args:
        path: The archive, exact.
    """

    BINDINGS: ClassVar = [
        Binding("space", "mark", "Mark", show=False, id="archive.mark"),
        Binding("l,right", "open(True)", "Open", show=False, id="archive.open"),
        Binding("h,left", "open(False)", "Shut", show=False, id="archive.shut"),
        Binding("x,u", "unpack", "Unpack", show=False, id="archive.unpack"),
        Binding("q", "leave", "Close", show=False, id="archive.close"),
    ]

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._root = Node("", folder=True)
        self._shown: list[Node] = []
        self._taken: dict[str, None] = {}
        self._facts = "Reading ..."
        self.rows = RowList(id="archive-rows")

    def compose(self) -> ComposeResult:
        """Name, facts, tree, keys."""
        with Vertical(classes="dialog -big"):
            yield Static(display(os.path.basename(self._path)), markup=False, classes="dialog-title")
            yield Static("", id="archive-facts", markup=False, classes="dialog-text")
            yield self.rows
            yield Static("enter opens  space marks  x unpacks the marked, or all  esc closes", markup=False,
                         classes="dialog-hint")  # fmt: skip

    def on_mount(self) -> None:
        """Ask the engine for the members."""
        self.rows.glyphs = self.deck.glyphs
        self.rows.empty = "Reading ..."
        self.set_focus(self.rows)
        self.run_worker(self._read(), group="archive")

    async def _read(self) -> None:
        try:
            found = await self.deck.performer.result({"op": "zipinfo", "path": self._path}, self.deck.places.base())
        except TaskdeckError as error:
            self.deck.say(error.message, severity="error")
            self.dismiss(None)
            return
        self._root = tree_of(found.get("members", []))
        if len(self._root.children) == 1:
            next(iter(self._root.children.values())).open = True
        shown, total = len(found.get("members", [])), int(found.get("total_members", 0))
        parts = (
            str(found.get("format", "")),
            plural(int(found.get("files", 0)), "file"),
            f"{size(int(found.get('size', 0)))} unpacked",
            "encrypted" if found.get("encrypted") else "",
            f"the first {shown:,} of {total:,} members" if found.get("truncated") else "",
        )
        self._facts = ", ".join(filter(None, parts))
        self.rows.empty = "The archive is empty."
        self._fill(0)

    def _fill(self, cursor: int) -> None:
        self._shown = flat(self._root)
        self.rows.fill(len(self._shown), self._draw, cursor=cursor)
        self.rows.marks = {n for n, node in enumerate(self._shown) if node.path in self._taken}
        self._tell()

    def _tell(self) -> None:
        marked = f"{len(self._taken)} marked, " if self._taken else ""
        self.query_one("#archive-facts", Static).update(marked + self._facts)

    def _draw(self, index: int, width: int) -> Row:
        node = self._shown[index]
        glyphs = self.deck.glyphs
        sign = ("- " if node.open else "+ ") if node.folder else "  "
        right = f"{plural(node.files, 'file'):>14}" if node.folder else ""
        right += f"{size(node.size):>11}"
        room = max(4, width - len(right) - 1 - 2 * node.depth - 2)
        name = cut(node.name + ("/" if node.folder else ""), room, glyphs.ellipsis)
        left = [Span("  " * node.depth + sign, "muted"), Span(name, "accent" if node.folder else "")]
        return fill(left, [Span(right, "muted")], width)

    @property
    def current(self) -> Node | None:
        """The node under the cursor."""
        return self._shown[self.rows.cursor] if self._shown else None

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        node = self.current
        if node is not None and node.folder:
            node.open = not node.open
            self._fill(self.rows.cursor)
        else:
            self.action_mark()

    def action_open(self, wanted: bool) -> None:
        """Open or shut the folder; shutting what is no open folder goes to the folder it lies in."""
        node = self.current
        if node is None:
            return
        if node.folder and node.open != wanted:
            node.open = wanted
            self._fill(self.rows.cursor)
        elif not wanted and "/" in node.path:
            above = node.path.rpartition("/")[0]
            self.rows.cursor = next(n for n, item in enumerate(self._shown) if item.path == above)

    def action_mark(self) -> None:
        """Mark the member, or the folder with all that lies in it."""
        node = self.current
        if node is None:
            return
        if node.path in self._taken:
            del self._taken[node.path]
        else:
            self._taken[node.path] = None
        self.rows.toggle_mark()
        self._tell()

    def action_unpack(self) -> None:
        """Go on to the form of `unzip`."""
        data: Json = {"path": self._path}
        if self._taken:
            data["files"] = [glob_of(path) for path in self._taken]
        self.dismiss(data)
