"""The virtualised list of task cards: paints the visible rows only, and of those only the cells that changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from engines.model import TaskView
from widgets.line_view import LineView, changed_cells
from widgets.spans import Span
from widgets.task_card import FULL_ROWS, Look, card, hint_at
from widgets.task_window import TaskWindow

_MARGIN = 10
"""Cards asked for beyond each edge of the screen, so that one step of scrolling needs no round trip."""
COMPACT_WIDTH = 60
COMPACT_HEIGHT = 16
"""Terminal sizes below which a task takes one row. The terminal's, not the list's: a pane that opens must not
change the cards."""
ROOMY_HEIGHT = 32


class TaskList(LineView, can_focus=True):
    """Shows a `TaskWindow`; asks for another window when it is scrolled."""

    DEFAULT_CSS = """
    TaskList { height: 1fr; overflow-y: auto; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = set()

    cursor = reactive(0, init=False)
    """Place of the cursor in the whole list."""

    @dataclass
    class WindowWanted(Message):
        """The visible places are not in the window."""

        offset: int
        limit: int

    @dataclass
    class Moved(Message):
        """The cursor stands on another task, or on none."""

        task_id: str | None

    @dataclass
    class Opened(Message):
        """The task was chosen by double click."""

        task_id: str

    @dataclass
    class HintClicked(Message):
        """An action on the cursor's card was clicked."""

        action: str

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.window = TaskWindow()
        self.marks: dict[str, TaskView] = {}
        self.pending: dict[str, str] = {}
        """Words shown in place of the state, by id."""
        self.dense = False
        """One row a task even where three fit."""
        self.hints: Callable[[TaskView], tuple[tuple[str, str, str], ...]] = lambda _view: ()
        self.group_of: Callable[[TaskView], str] | None = None
        self.empty: tuple[str, ...] = ()
        """Lines shown when there is nothing to list."""
        self._strips: dict[int, tuple[str, list[Strip]]] = {}
        """Painted cards by place, with the id they belong to."""
        self._followed: str | None = None
        self._sought: str | None = None
        self._asked: tuple[int, int] | None = None

    # -- data in ---------------------------------------------------------------
    def replaced(self) -> None:
        """The window's content or order changed."""
        self._asked = None
        size = Size(0, self.window.total * self.step)
        if size != self.virtual_size:
            self.virtual_size = size
        if not self._find():
            index = self.window.index_of(self._followed) if self._followed else None
            self._set_cursor(self.cursor if index is None else index)
        self._repaint_all()
        self.ask_window()

    def changed(self, ids: Iterable[str]) -> None:
        """These tasks look different now."""
        dirty = set(ids)
        if not self.is_attached or not self.size.height:
            return
        regions = []
        above = False
        for index in self._visible():
            view = self.window.at(index)
            here = view is not None and view.id in dirty
            if here or (above and self.group_of is not None):  # the heading of a group depends on the card above
                regions += self._repaint(index)
            above = here
        if regions:
            self.refresh(*regions)

    def restyle(self) -> None:
        """Marks, groups or density changed."""
        self.virtual_size = Size(0, self.window.total * self.step)
        self._repaint_all()
        self._scroll_to_cursor()
        self.ask_window()

    # -- geometry ----------------------------------------------------------------
    @property
    def compact(self) -> bool:
        """Whether a task takes one row."""
        terminal = self.app.size
        return self.dense or terminal.width < COMPACT_WIDTH or terminal.height < COMPACT_HEIGHT

    @property
    def step(self) -> int:
        """Rows of one task; in a tall terminal one of them is empty, to let the cards breathe."""
        if self.compact:
            return 1
        return FULL_ROWS + (self.app.size.height >= ROOMY_HEIGHT)

    def _visible(self) -> range:
        top = int(self.scroll_offset.y)
        return range(top // self.step, min(self.window.total, (top + max(1, self.size.height) - 1) // self.step + 1))

    def ask_window(self) -> None:
        """Ask for the window round what is visible unless it is there."""
        if not self.size.height:
            return
        visible = self._visible()
        page = self.size.height // self.step + 1
        limit = page + 2 * _MARGIN
        if self.window.covers(visible.start, visible.start + page) and len(self.window.ids) <= limit + _MARGIN:
            return
        wanted = (max(0, visible.start - _MARGIN), limit)
        if wanted != self._asked:
            self._asked = wanted
            self.post_message(self.WindowWanted(*wanted))

    # -- painting ------------------------------------------------------------------
    def forget(self) -> None:
        """Drop the strips."""
        self._strips.clear()

    def _repaint_all(self) -> None:
        self._strips.clear()
        self.refresh()

    def _repaint(self, index: int) -> list[Region]:
        """Paint a card anew and tell which cells differ."""
        before = self._strips.pop(index, None)
        after = self._card(index)
        y = index * self.step - int(self.scroll_offset.y)
        if before is None or len(before[1]) != len(after):
            return [Region(0, y, self.size.width, self.step)]
        regions = []
        for row, (old, new) in enumerate(zip(before[1], after, strict=True)):
            span = changed_cells(old, new)
            if span is not None and 0 <= y + row < self.size.height:
                regions.append(Region(span[0], y + row, span[1] - span[0], 1))
        return regions

    def look(self, view: TaskView, index: int) -> Look:
        """How this card is drawn now."""
        cursor = index == self.cursor
        group = ""
        if self.group_of is not None:
            above = self.window.at(index - 1)
            name = self.group_of(view)
            group = name if above is None or self.group_of(above) != name else ""
        return Look(
            width=self.scrollable_content_region.width,
            glyphs=self.glyphs,
            compact=self.compact,
            cursor=cursor,
            marked=view.id in self.marks,
            pending=self.pending.get(view.id, ""),
            hints=self.hints(view) if cursor and not self.compact else (),
            group=group,
        )

    def _card(self, index: int) -> list[Strip]:
        view = self.window.at(index)
        key = view.id if view is not None else ""
        known = self._strips.get(index)
        if known is not None and known[0] == key and len(known[1]) == self.step:
            return known[1]
        width = self.scrollable_content_region.width
        cursor = index == self.cursor
        if view is None:
            rows = [[Span(f"   {self.glyphs.dot * 3}", "faint")]] + [[Span("")]] * (self.step - 1)
            return [self.paint(row, width, cursor=cursor) for row in rows]
        look = self.look(view, index)
        strips = [self.paint(row, width, cursor=cursor) for row in card(view, look)]
        strips += [self.paint([], width)] * (self.step - len(strips))
        self._strips[index] = (key, strips)
        return strips

    def render_line(self, y: int) -> Strip:
        """One line of the list."""
        index, row = divmod(y + int(self.scroll_offset.y), self.step)
        if index < self.window.total:
            return self._card(index)[row]
        if not self.window.total:
            first = max(0, self.size.height // 2 - len(self.empty))
            if first <= y < first + len(self.empty):
                text = self.empty[y - first]
                lead = max(0, (self.size.width - len(text)) // 2)
                return self.paint([Span(" " * lead + text, "strong" if y == first else "muted")], self.size.width)
        return Strip.blank(self.size.width, self.style_of(""))

    # -- cursor ----------------------------------------------------------------------
    @property
    def current(self) -> TaskView | None:
        """The task under the cursor."""
        return self.window.at(self.cursor)

    def chosen(self) -> list[TaskView]:
        """What a bulk action is about: the marked tasks, or the one under the cursor."""
        if self.marks:
            return [self.window.views.get(task_id, view) for task_id, view in self.marks.items()]
        return [self.current] if self.current is not None else []

    def _set_cursor(self, index: int) -> None:
        index = max(0, min(index, self.window.total - 1))
        if index != self.cursor:
            self.cursor = index
        else:
            self._follow()

    def _follow(self) -> None:
        view = self.current
        followed = view.id if view is not None else None
        if followed != self._followed:
            self._followed = followed
            self.post_message(self.Moved(followed))

    def watch_cursor(self, before: int, after: int) -> None:
        """Repaint the two cards concerned and keep the cursor in sight."""
        regions = [region for index in (before, after) if index in self._visible() for region in self._repaint(index)]
        if regions:
            self.refresh(*regions)
        self._scroll_to_cursor()
        self._follow()

    def _scroll_to_cursor(self) -> None:
        top, height = int(self.scroll_offset.y), self.size.height
        first = self.cursor * self.step
        if first < top:
            self.scroll_to(y=first, animate=False)
        elif first + self.step > top + height:
            self.scroll_to(y=first + self.step - height, animate=False)

    def move(self, places: int) -> None:
        """Move the cursor by places."""
        self._sought = None
        self._set_cursor(self.cursor + places)

    def move_to(self, index: int) -> None:
        """Move the cursor to a place; -1 is the last."""
        self._sought = None
        self._set_cursor(self.window.total - 1 if index < 0 else index)

    def seek(self, task_id: str) -> None:
        """Put the cursor on a task as soon as the window shows it, unless the user moves before."""
        self._sought = task_id
        self._find()

    def _find(self) -> bool:
        index = self.window.index_of(self._sought) if self._sought else None
        if index is None:
            return False
        self._sought = None
        self._set_cursor(index)
        return True

    @property
    def page(self) -> int:
        """Tasks a page."""
        return max(1, self.size.height // self.step)

    # -- events ----------------------------------------------------------------------
    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Ask for what came into sight."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.ask_window()

    def on_resize(self) -> None:
        """Another size: other cards."""
        self._strips.clear()
        self.virtual_size = Size(0, self.window.total * self.step)
        self._scroll_to_cursor()
        self.ask_window()

    def on_click(self, event: events.Click) -> None:
        """Move the cursor; a second click opens, a click on a hint acts."""
        y = event.y + int(self.scroll_offset.y)
        index, row = divmod(y, self.step)
        view = self.window.at(index)
        if view is None:
            return
        if index == self.cursor and row == FULL_ROWS - 1 and not self.compact:
            action = hint_at(self.look(view, index), event.x)
            if action is not None:
                self.post_message(self.HintClicked(action))
                return
        self.move_to(index)
        if event.chain == 2:
            self.post_message(self.Opened(view.id))
