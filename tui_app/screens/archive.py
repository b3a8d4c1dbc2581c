"""The archive browser: an archive's members as a tree, a page at a time; what is marked becomes `unzip --files`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from engines.errors import TaskdeckError
from engines.model import Json
from engines.names import display
from engines.paths import to_uri
from engines.text import plural, size
from tui_app.keys import bindings
from tui_app.screens.base import DeckDialog
from tui_app.screens.password import PasswordDialog
from widgets.row_list import RowList
from widgets.spans import Row, Span, cut, fill


@dataclass(slots=True)
class Node:
    """A member, a folder that members lie in, or (without a name) the rows of a folder that are not here yet.

    Names are display-safe; sizes of folders are sums. `rows` is how many rows a folder has, None before it was read.
    """

    name: str
    path: str = ""
    depth: int = -1
    folder: bool = False
    size: int = 0
    open: bool = False
    rows: int | None = None
    children: list[Node] = field(default_factory=list)

    def take(self, page: Json) -> None:
        """Add a page of this folder."""
        self.rows = int(page["total"])
        for row in page["rows"]:
            name = str(row["name"])
            path = f"{self.path}/{name}" if self.path else name
            folder = row.get("kind") == "folder"
            self.children.append(Node(name, path, self.depth + 1, folder, int(row.get("size", 0))))

    @property
    def missing(self) -> int:
        """Rows that were not read yet."""
        return 0 if self.rows is None else max(0, self.rows - len(self.children))

    def in_sight(self) -> Iterator[Node]:
        """What lies below as far as it is open, a nameless node where rows are missing."""
        for child in self.children:
            yield child
            if child.open:
                yield from child.in_sight()
        if self.missing:
            yield Node("", self.path, self.depth + 1)


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

    BINDINGS: ClassVar = bindings("archive", "dialog.close")

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._root = Node("", folder=True, open=True)
        self._folders = {"": self._root}
        self._shown: list[Node] = []
        self._taken: dict[str, None] = {}
        self._asked: set[tuple[str, int]] = set()
        self._facts = ""
        self._password: str | None = None
        self.rows = RowList(id="archive-rows")

    def compose(self) -> ComposeResult:
        """Name, facts, tree, keys."""
        with Vertical(classes="dialog -big"):
            yield Static(display(os.path.basename(self._path)), markup=False, classes="dialog-title")
            yield Static("", id="archive-facts", markup=False, classes="dialog-text")
            yield self.rows
            yield Static(self.deck.hint(("rows.choose", "opens"), ("archive.mark", "marks"),
                                   ("archive.unpack", "unpacks the marked, or all"), ("dialog.leave", "closes")),
                         markup=False, classes="dialog-hint")  # fmt: skip

    def on_mount(self) -> None:
        """Ask the engine for the first members."""
        self.rows.glyphs = self.deck.glyphs
        self.rows.empty = "Reading ..."
        self.set_focus(self.rows)
        self._read(self._root)

    # -- reading -----------------------------------------------------------------------
    def _read(self, folder: Node) -> None:
        """Ask for the next page of a folder, once."""
        page = (folder.path, len(folder.children))
        if page not in self._asked:
            self._asked.add(page)
            self.run_worker(self._page(folder), group="archive")

    async def _page(self, folder: Node) -> None:
        question: Json = {
            "op": "members",
            "path": to_uri(self._path),
            "folder": folder.path,
            "offset": len(folder.children),
            **({"password": self._password} if self._password else {}),
        }
        try:
            page = await self.deck.tasks.look(question, base=self.deck.places.base())
        except TaskdeckError as error:
            self._asked.discard((folder.path, len(folder.children)))
            self._failed(error)
            return
        folder.take(page)
        self._folders.update((child.path, child) for child in folder.children if child.folder)
        self._tell_of(page)
        only = folder.children[0] if len(folder.children) == 1 else None
        if only is not None and only.folder:  # what lies in a single folder is what one came to see
            self._open(only)
        self._fill(self.rows.cursor)

    def _failed(self, error: TaskdeckError) -> None:
        if error.code in ("password.needed", "password.wrong"):
            if error.code == "password.wrong":
                self.deck.say(error.message, severity="warning")
            name = display(os.path.basename(self._path))
            self.app.push_screen(PasswordDialog(name, "opens it", "closes it"), self._unlocked)
            return
        self.deck.say(error.coded, severity="error")
        if self._root.rows is None:
            self.dismiss(None)

    def _unlocked(self, password: str | None) -> None:
        if password is None:
            self.dismiss(None)
        else:
            self._password = password
            self._read(self._root)

    def _tell_of(self, page: Json) -> None:
        parts = (
            str(page.get("format", "")),
            plural(int(page.get("files", 0)), "file"),
            f"{size(int(page.get('size', 0)))} unpacked",
            "encrypted" if page.get("encrypted") else "",
        )
        self._facts = ", ".join(filter(None, parts))
        self.rows.empty = "The archive is empty."

    # -- drawing -----------------------------------------------------------------------
    def _fill(self, cursor: int) -> None:
        self._shown = list(self._root.in_sight())
        self.rows.fill(len(self._shown), self._draw, cursor=cursor)
        self.rows.marks = {n for n, node in enumerate(self._shown) if node.name and node.path in self._taken}
        self._tell()

    def _tell(self) -> None:
        marked = f"{len(self._taken)} marked, " if self._taken else ""
        self.query_one("#archive-facts", Static).update(marked + self._facts)

    def _draw(self, index: int, width: int) -> Row:
        node = self._shown[index]
        if not node.name:  # seen: then it is wanted
            self._read(self._folders[node.path])
            return [Span(f"{'  ' * node.depth}  {self._folders[node.path].missing:,} more ...", "faint")]
        sign = ("- " if node.open else "+ ") if node.folder else "  "
        lead = f"{'  ' * node.depth}{sign}"
        right = f"{size(node.size):>11}"
        name = cut(
            node.name + ("/" if node.folder else ""), width - len(lead) - len(right) - 2, self.deck.glyphs.ellipsis
        )
        return fill([Span(lead, "faint"), Span(name, "accent" if node.folder else "")], [Span(right, "muted")], width)

    # -- actions -----------------------------------------------------------------------
    @property
    def current(self) -> Node | None:
        """What is under the cursor; None in an empty archive and on rows that are not here yet."""
        node = self._shown[self.rows.cursor] if self._shown else None
        return node if node is not None and node.name else None

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        node = self.current
        if node is None:
            return
        if node.folder:
            self.action_open(not node.open)
        else:
            self.action_mark()

    def _open(self, node: Node) -> None:
        node.open = True
        if node.rows is None:
            self._read(node)

    def action_open(self, wanted: bool) -> None:
        """Open or shut the folder; shutting what is no open folder goes to the folder it lies in."""
        node = self.current
        if node is None:
            return
        if node.folder and node.open != wanted:
            if wanted:
                self._open(node)
            else:
                node.open = False
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
        if self._password:
            data["password"] = self._password
        self.dismiss(data)
