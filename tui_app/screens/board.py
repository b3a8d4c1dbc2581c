"""The board: the tasks screen's parts, the picture of the engine in them, and the window of the list it watches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from engines.errors import TaskdeckError
from engines.model import TaskView
from engines.query import Query, Sort, parse_filter
from engines.tasks.api import Watch
from engines.text import plural
from tui_app.actions import ACTIONS
from tui_app.link import LinkState
from tui_app.mirror import Changes
from tui_app.remembered import Remembered
from tui_app.screens.base import DeckScreen
from tui_app.screens.details import DetailFeed
from widgets.detail_pane import DetailPane
from widgets.footer import Hint, KeyBar
from widgets.header import Header
from widgets.prompt import Prompt
from widgets.stat_tiles import StatTiles
from widgets.system_panel import SystemPanel
from widgets.task_list import TaskList

_DETAIL_PERIOD: Final = 1.0
GROUPS: Final[dict[str, Callable[[TaskView], str] | None]] = {
    "none": None,
    "state": lambda view: view.state.value,
    "kind": lambda view: view.kind.value,
}
"""Ways to group the list, with the name of a task's group."""


class Board(DeckScreen):
    """Shows what the engine says; what keys do is the business of `TasksScreen`."""

    def __init__(self) -> None:
        super().__init__()
        self.group = "none"
        # Held, not looked up: updates come twice a second, and until the very end of the application.
        self.header = Header(id="header")
        self.tiles = StatTiles(id="tiles")
        self.system = (SystemPanel(id="system"), SystemPanel(id="side-system", tall=True))
        self.list = TaskList(id="list")
        self.detail = DetailPane(id="detail")
        self.prompt = Prompt(id="prompt")
        self.keys = KeyBar(id="footer")
        self.feed = DetailFeed(self, self.detail, lambda: self.list.current)

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield self.header
        yield self.tiles
        yield self.system[0]
        with Horizontal(id="body"):
            yield self.list
            with Vertical(id="side"):
                yield self.system[1]
                yield self.detail
        yield self.prompt
        yield self.keys
        yield Static("Taskdeck needs 40x10 cells.\nMake the window larger.", id="small", markup=False)

    def on_mount(self) -> None:
        """Wire the parts together."""
        self.dress()
        tasks = self.list
        tasks.window = self.deck.mirror.window
        tasks.hints = self._card_hints
        tasks.empty = ("Connecting ...",)
        self._recall()
        self.set_focus(tasks)
        self.tell_header()
        self.tell_footer()
        self.set_interval(_DETAIL_PERIOD, self.feed.refresh)

    # -- from visit to visit ----------------------------------------------------------------
    def _recall(self) -> None:
        """Go on as the last visit ended."""
        last = self.deck.memory.load()
        wanted = last.filter
        try:
            parse_filter(wanted, now=self.deck.clock())
        except TaskdeckError:
            wanted = ""
        query = Query(filter=wanted, sort=last.sort, reverse=last.reverse)
        self.deck.link.watch = Watch(query=query, hz=self.deck.settings.tui.hz)
        self.list.dense = last.dense
        self.group = last.group if last.group in GROUPS else "none"
        self.list.group_of = GROUPS[self.group]
        for mode, lines in (("command", last.commands), ("filter", last.filters)):
            self.prompt.history[mode].lines = list(lines)

    def on_unmount(self) -> None:
        """However it ends."""
        self.deck.memory.save(self.visit())

    def visit(self) -> Remembered:
        """What the next visit should know."""
        query, history = self.watch_now.query, self.prompt.history
        return Remembered(
            filter=query.filter,
            sort=query.sort,
            reverse=query.reverse,
            group=self.group,
            dense=self.list.dense,
            commands=history["command"].lines,
            filters=history["filter"].lines,
        )

    # -- parts ---------------------------------------------------------------------------
    @property
    def watch_now(self) -> Watch:
        """The window asked for."""
        return self.deck.link.watch

    @property
    def filter(self) -> str:
        """The filter in force."""
        return self.watch_now.query.filter

    # -- data in -----------------------------------------------------------------------
    def updated(self, changes: Changes) -> None:
        """An update was laid over the picture."""
        mirror, tasks = self.deck.mirror, self.list
        self._tell_empty()
        if changes.order:
            tasks.replaced()
            self.tell_header()
        elif changes.ids:
            tasks.changed(changes.ids)
        if changes.stats and mirror.stats is not None:
            self.tiles.tell(mirror.stats)
            for panel in self.system:
                panel.tell(mirror.stats.host)
        current = tasks.current
        if current is not None and current.id in changes.ids:
            self.tell_footer()
            self.feed.follow(current)

    def link_changed(self, state: LinkState) -> None:
        """The connection came up or was lost."""
        for view in (*self.system, *self.tiles.tiles, self.list, self.detail):
            view.set_stale(not state.up)
        self._tell_empty()
        self.tell_header()

    def _tell_empty(self) -> None:
        state = self.deck.link.state
        if not state.up or self.deck.mirror.stats is None:
            lines: tuple[str, ...] = ("Connecting ...", state.reason) if state.reason else ("Connecting ...",)
        elif self.filter:
            lines = ("Nothing matches the filter.", self.deck.hint(("list.unmark", "clears it")))
        else:
            key = self.deck.key("view.command")
            lines = (
                "No tasks yet.",
                "",
                f"{key}zip PATH packs a folder, {key}unzip PATH unpacks an archive",
                self.deck.hint(("app.help", "helps")),
            )
        if lines != self.list.empty:
            self.list.empty = lines
            self.list.refresh()

    def tell_header(self) -> None:
        """Filter, order and marks."""
        state, query = self.deck.link.state, self.watch_now.query
        alert = ""
        if not state.up and state.tried:
            key = self.deck.key("app.start")
            alert = f"connection lost: {state.reason}; trying again"
            if self.deck.start_engine is not None and key:
                alert = f"connection lost, {key} starts the daemon: {state.reason}"
        notes: list[str] = []
        if self.list.marks:
            notes.append(f"{len(self.list.marks)} marked")
        if query.filter:
            notes.append(f"/{query.filter}")
        if query.sort is not Sort.STATE or query.reverse:
            notes.append(f"by {query.sort.value}{' reversed' if query.reverse else ''}")
        if self.deck.mirror.stats is not None:
            notes.append(plural(self.deck.mirror.window.total, "task"))
        self.header.tell(self.deck.where, alert=alert, notes=tuple(notes))

    def on_resize(self) -> None:
        """The header is cut to the width."""
        self.call_after_refresh(self.tell_header)

    def settings_changed(self) -> None:
        """Keys, glyphs or the pace changed."""
        watch = msgspec.structs.replace(self.watch_now, hz=self.deck.settings.tui.hz)
        if watch != self.watch_now:
            self.deck.performer.start(self.deck.link.change(watch))
        self.list.restyle()
        self.tell_footer()

    def pending_changed(self) -> None:
        """Cancels that can be undone changed."""
        key = self.deck.key("task.undo")
        self.list.pending = dict.fromkeys(self.deck.performer.pending, f"{key} undoes")
        self.list.restyle()
        self.tell_footer()

    # -- footer and hints ----------------------------------------------------------------
    def tell_footer(self) -> None:
        """What the keys do for the task under the cursor."""
        key, current = self.deck.key, self.list.current
        shown = sorted((spec for spec in ACTIONS.values() if spec.footer), key=lambda spec: spec.footer)
        hints = []
        if self.deck.performer.pending:
            hints.append(Hint(key("task.undo"), "undo", "task.undo"))
        for spec in shown:
            off = spec.offered and (current is None or spec.enabled(current) is not None)
            if not off:
                hints.append(Hint(key(spec.id), spec.label, spec.id))
        self.keys.tell(tuple(hints))

    def _card_hints(self, view: TaskView) -> tuple[tuple[str, str, str], ...]:
        return tuple(
            (self.deck.key(spec.id), spec.label, spec.id)
            for spec in ACTIONS.values()
            if spec.offered and spec.enabled(view) is None
        )

    # -- the window ------------------------------------------------------------------------
    def change_query(self, **changes: object) -> None:
        """Watch another window, filter or order."""
        query = msgspec.structs.replace(self.watch_now.query, **changes)
        watch = msgspec.structs.replace(self.watch_now, query=query)
        if watch != self.watch_now:
            self.deck.performer.start(self.deck.link.change(watch))
            self.tell_header()

    def unmark(self) -> None:
        """Forget every mark."""
        self.list.marks = {}
        self.list.restyle()
        self.tell_header()
