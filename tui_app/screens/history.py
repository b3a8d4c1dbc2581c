"""What has ended: a table of any length, filtered, sorted, run again, exported."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.widgets import Input

from engines.errors import TaskdeckError
from engines.model import Action, TaskState, TaskView, Totals
from engines.names import display
from engines.paths import unreadable
from engines.query import Query, Sort, parse_filter
from engines.tasks import walk
from engines.text import amount, clock, plural, size, uptime
from tui_app.keys import bindings
from tui_app.report import FORMATS, render, write_new
from tui_app.screens.base import DeckScreen
from tui_app.screens.confirm import Confirm
from tui_app.screens.detail import DetailDialog
from widgets.footer import KeyBar
from widgets.header import Header
from widgets.line_view import Lines
from widgets.prompt import Prompt, Suggestion, Suggestions
from widgets.row_list import RowList
from widgets.spans import Row, Span, cell_len, cut
from widgets.task_card import STATE_STYLES
from widgets.work import restart

_CHUNK: Final = 200
_MOST_EXPORTED: Final = 100_000
_SORTS: Final = (Sort.FINISHED, Sort.SIZE, Sort.NAME, Sort.KIND, Sort.CREATED)
_HINTS: Final = (
    ("rows.choose", "details", "open"),
    ("history.filter", "filter", "filter"),
    ("history.sort", "sort", "sort"),
    ("history.again", "run again", "again"),
    ("history.remove", "remove", "remove"),
    ("history.export", "export", "export"),
    ("history.back", "back", "back"),
)


class HistoryScreen(DeckScreen):
    """Chunks of the list are fetched when their rows come into sight."""

    BINDINGS: ClassVar = bindings("history")

    def __init__(self) -> None:
        super().__init__()
        self.header = Header(id="header")
        self.summary = Lines(id="history-summary")
        self.columns = Lines(id="history-columns")
        self.rows = RowList(id="history-rows")
        self.prompt = Prompt(id="prompt")
        self.keys = KeyBar(id="footer")
        self.filter = ""
        self.sort = Sort.FINISHED
        self.reverse = False
        self.total = 0
        self.totals: Totals | None = None
        self._chunks: dict[int, list[TaskView]] = {}
        self._asked: set[int] = set()

    def compose(self) -> ComposeResult:
        """Header, totals, table, prompt, keys."""
        yield self.header
        yield self.summary
        yield self.columns
        yield self.rows
        yield self.prompt
        yield self.keys

    def on_mount(self) -> None:
        """Fetch the first chunk."""
        self.dress()
        self.rows.empty = "Nothing has ended yet."
        self.prompt.suggest = {"export": self._suggest_export}
        self.keys.tell(self.hints(_HINTS))
        self.set_focus(self.rows)
        self.action_reload()

    def on_resize(self) -> None:
        """Column heads at the new width."""
        self.call_after_refresh(self._tell)

    # -- data ------------------------------------------------------------------------
    def action_reload(self) -> None:
        """Forget what was fetched and fetch anew."""
        self._chunks.clear()
        self._asked.clear()
        restart(self, "history", self._load, 0)
        restart(self, "history-totals", self._add_up)

    def _query(self, offset: int = 0) -> Query:
        return Query(f"-status:open {self.filter}".strip(), self.sort, self.reverse, offset, _CHUNK)

    async def _load(self, chunk: int) -> None:
        try:
            page = await self.deck.tasks.query(self._query(chunk * _CHUNK))
        except TaskdeckError as error:
            self.deck.say(error.coded, severity="error")
            return
        self._chunks[chunk] = page.items
        if page.total != self.total or chunk == 0:
            self.total = page.total
            self.rows.fill(page.total, self._draw, cursor=min(self.rows.cursor, max(0, page.total - 1)))
        else:
            self.rows.refresh()
        self._tell()

    async def _add_up(self) -> None:
        """What everything the filter lets through comes to."""
        with contextlib.suppress(TaskdeckError):  # the list itself tells what is wrong
            self.totals = await self.deck.tasks.totals(self.filter)
            self.summary.show([summary(self.totals)])

    def at(self, index: int) -> TaskView | None:
        """The task of a row; a chunk that is not here is asked for."""
        chunk, place = divmod(index, _CHUNK)
        items = self._chunks.get(chunk)
        if items is None:
            if chunk not in self._asked:
                self._asked.add(chunk)
                self.run_worker(self._load(chunk), group="history-chunk")
            return None
        return items[place] if place < len(items) else None

    @property
    def current(self) -> TaskView | None:
        """The task under the cursor."""
        return self.at(self.rows.cursor) if self.rows.count else None

    # -- drawing -----------------------------------------------------------------------
    def _tell(self) -> None:
        order = f"by {self.sort.value}{' reversed' if self.reverse else ''}"
        notes = [f"/{self.filter}"] if self.filter else []
        self.header.tell("History", notes=(*notes, order, plural(self.total, "task")))
        width = self.rows.scrollable_content_region.width
        if width:
            heads = _cells("ENDED", "TASK", "NAME", "SIZE", "TOOK", "STATE", width - 3, "")
            self.columns.show([[Span("   "), *(Span(span.text, "label") for span in heads)]])

    def _draw(self, index: int, width: int) -> Row:
        view = self.at(index)
        if view is None:
            return [Span("...", "faint")]
        ended = time.strftime("%Y-%m-%d %H:%M", time.localtime(view.finished)) if view.finished else ""
        took = clock(view.finished - view.started) if view.finished and view.started else ""
        total = amount(view.total if view.total is not None else view.done, view.unit)
        name = view.title
        if view.error is not None and view.state is TaskState.FAILED:
            name = f"{name}: {view.error.message}"
        return _cells(ended, view.op, name, total, took, view.state.value, width, STATE_STYLES[view.state],
                      self.deck.glyphs.ellipsis)  # fmt: skip

    # -- actions --------------------------------------------------------------------------
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys belong to the prompt while it is open."""
        if isinstance(self.focused, Input) and action in ("filter", "back"):
            return False
        return super().check_action(action, parameters)

    @on(KeyBar.Clicked)
    async def _clicked(self, event: KeyBar.Clicked) -> None:
        await self.run_action(event.action)

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        """Everything about the task."""
        if self.current is not None:
            self.app.push_screen(DetailDialog(self.current.id))

    def action_filter(self) -> None:
        """Type a filter."""
        self.prompt.open("filter", self.filter)

    def action_sort(self) -> None:
        """The next order."""
        self.sort = _SORTS[(_SORTS.index(self.sort) + 1) % len(_SORTS)]
        self.action_reload()

    def action_reverse(self) -> None:
        """The other way round."""
        self.reverse = not self.reverse
        self.action_reload()

    def action_again(self) -> None:
        """Submit the operation as a new task."""
        if self.current is not None:
            self.deck.performer.start(self.deck.performer.again([self.current]))

    def action_remove(self) -> None:
        """Take the task off the history, after a question."""
        view = self.current
        if view is None:
            return
        self.app.push_screen(
            Confirm(
                f"Remove '{view.title}'?", "It leaves the history. Files it made stay where they are.", yes="Remove"
            ),
            lambda yes: self.deck.performer.start(self._remove(view)) if yes else None,
        )

    async def _remove(self, view: TaskView) -> None:
        await self.deck.performer.control([view], Action.REMOVE)
        self.action_reload()

    def action_back(self) -> None:
        """To the tasks."""
        self.app.pop_screen()

    # -- export ----------------------------------------------------------------------------
    def action_export(self) -> None:
        """Ask for a file name; its end decides the format."""
        stamp = time.strftime("%Y-%m-%d", time.localtime(self.deck.clock()))
        self.prompt.history.setdefault("export", type(self.prompt.history["filter"])())
        self.prompt.open("export", os.path.join(os.path.expanduser("~"), f"taskdeck-history-{stamp}.csv"))

    async def _suggest_export(self, line: str) -> Suggestions:
        stem = os.path.splitext(line)[0]
        items = tuple(Suggestion(f"{stem}.{form}", f"as {form}") for form in FORMATS)
        return Suggestions(0, items, "file on this machine to write; it must not exist yet")

    async def _export(self, path: str) -> None:
        form = os.path.splitext(path)[1][1:].casefold()
        if form not in FORMATS:
            self.deck.say(
                f"The name must end in one of: {', '.join('.' + form for form in FORMATS)}.", severity="warning"
            )
            return
        views: list[TaskView] = []
        try:
            async for page in walk.pages(self.deck.tasks, self._query()):
                views += page
                if len(views) >= _MOST_EXPORTED:
                    break
            await asyncio.to_thread(lambda: write_new(path, render(views, form)))
        except TaskdeckError as error:
            self.deck.say(error.coded, severity="error")
        except FileExistsError:
            self.deck.say(f"{display(path)} exists already; choose another name.", severity="warning")
        except OSError as error:
            self.deck.say(unreadable(path, error).message, severity="error")
        else:
            self.deck.say(f"{plural(len(views), 'task')} written to {display(path)}.")

    @on(Prompt.Entered)
    def _entered(self, event: Prompt.Entered) -> None:
        line = event.line.strip()
        if event.mode == "filter":
            try:
                parse_filter(line, now=self.deck.clock())
            except TaskdeckError as error:
                self.deck.say(error.coded, severity="warning")
                return
            self.filter = line
            self.action_reload()
        elif line:
            self.run_worker(self._export(os.path.expanduser(line)), group="export")
        self._left()

    @on(Prompt.Left)
    def _left(self) -> None:
        self.prompt.shut()
        self.set_focus(self.rows)


def summary(totals: Totals) -> Row:
    """One line of what tasks come to."""
    row = [Span("   ")]
    for count, word, style in (
        (totals.completed, "completed", "completed"),
        (totals.failed, "failed", "failed"),
        (totals.cancelled, "cancelled", "cancelled"),
    ):
        row += [Span(f"{count:,}", style if count else "muted"), Span(f" {word}   ", "label")]
    row += [Span(size(totals.bytes)), Span(" done   ", "label")]
    if totals.saved > 0:
        row += [Span(size(totals.saved), "accent"), Span(" saved   ", "label")]
    return [*row, Span(uptime(totals.seconds)), Span(" of work", "label")] if totals.seconds >= 1 else row


def _cells(ended: str, op: str, name: str, total: str, took: str, state: str, width: int, style: str,
           ellipsis: str = "…") -> list[Span]:  # fmt: skip
    """One table row; columns are left out when it is narrow."""
    left = f"{ended:<18}" if width >= 70 else ""
    left += f"{cut(op, 11, ellipsis):<12}" if width >= 44 else ""
    right = f"{total:>12}" if width >= 56 else ""
    right += f"{took:>10}" if width >= 84 else ""
    tail = f"{state:>11} "
    room = max(4, width - len(left) - len(right) - len(tail) - 1)
    shown = cut(name, room, ellipsis)
    return [
        Span(left, "muted"),
        Span(shown + " " * (room - cell_len(shown) + 1)),
        Span(right, "muted"),
        Span(tail, style),
    ]
