"""What is to come: tasks that wait for a time, for another task, for space or a password, and what will wait here."""

from __future__ import annotations

import time
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult

from engines.errors import TaskdeckError
from engines.model import TaskView
from engines.query import Query, Sort
from engines.text import plural
from tui_app.keys import bindings
from tui_app.screens.base import DeckScreen
from tui_app.screens.detail import DetailDialog
from widgets.footer import KeyBar
from widgets.header import Header
from widgets.line_view import Lines
from widgets.row_list import RowList
from widgets.spans import Row, Span, cell_len, cut

_MOST: Final = 500
_HINTS: Final = (
    ("rows.choose", "details", "open"),
    ("planned.reload", "look again", "reload"),
    ("planned.back", "back", "back"),
)
_SLOTS: Final = (
    ("Schedules", "runs an operation at set times"),
    ("Watches", "runs an operation on what appears in a folder"),
    ("Pipelines", "runs operations one after another, each on the last one's output"),
)


class PlannedScreen(DeckScreen):
    """A table of tasks that wait, and the places of schedules, watches and pipelines."""

    BINDINGS: ClassVar = bindings("planned")

    def __init__(self) -> None:
        super().__init__()
        self.header = Header(id="header")
        self.rows = RowList(id="planned-rows")
        self.slots = Lines(id="planned-slots")
        self.keys = KeyBar(id="footer")
        self._views: list[TaskView] = []

    def compose(self) -> ComposeResult:
        """Header, waiting tasks, slots, keys."""
        yield self.header
        yield self.rows
        yield self.slots
        yield self.keys

    def on_mount(self) -> None:
        """Ask what waits."""
        self.dress()
        self.rows.empty = "No task waits for a time, another task, space or a password."
        self.keys.tell(self.hints(_HINTS))
        self.set_focus(self.rows)
        self.action_reload()

    def on_resize(self) -> None:
        """The header is cut to the width."""
        self.call_after_refresh(self._tell)

    def action_reload(self) -> None:
        """Ask again."""
        self.run_worker(self._load(), group="planned", exclusive=True)

    async def _load(self) -> None:
        try:
            page = await self.deck.tasks.query(Query("status:waiting", Sort.CREATED, reverse=True, limit=_MOST))
        except TaskdeckError as error:
            self.deck.say(error.coded, severity="error")
            return
        self._views = page.items
        self.rows.fill(len(self._views), self._draw, cursor=self.rows.cursor)
        self._tell()

    def _tell(self) -> None:
        self.header.tell("Planned", notes=(plural(len(self._views), "waiting task"),))
        rule = self.deck.glyphs.rule * max(0, self.slots.size.width - 23)
        heading: Row = [Span("   "), Span("Not in this version", "heading"), Span(f" {rule}", "rest")]
        self.slots.show([heading, *([Span(f"   {name:<12}", "label"), Span(text, "muted")] for name, text in _SLOTS)])

    def _draw(self, index: int, width: int) -> Row:
        view = self._views[index]
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(view.created))
        room = max(10, (width - 30) // 2)
        name = cut(view.title, room - 1, self.deck.glyphs.ellipsis)
        note = view.note or "waits"
        return [
            Span(f"{since:<18}{cut(view.op, 11, self.deck.glyphs.ellipsis):<12}", "muted"),
            Span(name + " " * (room - cell_len(name))),
            Span(cut(note, max(0, width - 30 - room), self.deck.glyphs.ellipsis), "muted"),
        ]

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        self.action_open()

    @on(KeyBar.Clicked)
    async def _clicked(self, event: KeyBar.Clicked) -> None:
        await self.run_action(event.action)

    def action_open(self) -> None:
        """Everything about the task."""
        if self._views:
            self.app.push_screen(DetailDialog(self._views[self.rows.cursor].id))

    def action_back(self) -> None:
        """To the tasks."""
        self.app.pop_screen()
