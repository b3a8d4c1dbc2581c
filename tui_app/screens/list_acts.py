"""What keys do to the list: the cursor, marks, order, groups, density."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from engines.query import Query, Sort
from engines.tasks import walk
from tui_app.screens.board import GROUPS, Board
from tui_app.screens.line import LineDesk


class ListActs:
    """Moves serve whichever pane has the keyboard; everything else is about the list.

    Args:
        board: The board.
        line: Applies filters.
        show_details: Shows or hides the details.
    """

    def __init__(self, board: Board, line: LineDesk, show_details: Callable[[], None]) -> None:
        self._board, self._line, self._show_details = board, line, show_details

    def handlers(self) -> dict[str, Callable[[], None]]:
        """What runs for which action."""
        tasks = self._board.list
        return {
            "list.down": partial(self._move, 1),
            "list.up": partial(self._move, -1),
            "list.page_down": lambda: self._move(tasks.page),
            "list.page_up": lambda: self._move(-tasks.page),
            "list.top": self._top,
            "list.bottom": self._bottom,
            "list.mark": self._mark,
            "list.mark_all": lambda: self._board.deck.performer.start(self._mark_all()),
            "list.unmark": self._back,
            "list.sort": self._sort,
            "list.reverse": lambda: self._board.change_query(reverse=not self._board.watch_now.query.reverse),
            "list.group": self._next_group,
            "list.fold": self._fold,
            "list.dense": self._dense,
        }

    # -- the cursor ------------------------------------------------------------------------
    def _move(self, places: int) -> None:
        pane = self._board.detail
        if pane.has_focus:
            rows = places if abs(places) == 1 else (pane.size.height - 1) * (1 if places > 0 else -1)
            pane.scroll_relative(y=rows, animate=False)
        else:
            self._board.list.move(places)

    def _top(self) -> None:
        pane = self._board.detail
        if pane.has_focus:
            pane.scroll_home(animate=False)
        else:
            self._board.list.move_to(0)

    def _bottom(self) -> None:
        pane = self._board.detail
        if pane.has_focus:
            pane.scroll_end(animate=False)
        else:
            self._board.list.move_to(-1)

    # -- marks -----------------------------------------------------------------------------
    def _mark(self) -> None:
        tasks = self._board.list
        current = tasks.current
        if current is None:
            return
        if current.id in tasks.marks:
            del tasks.marks[current.id]
        else:
            tasks.marks[current.id] = current
        tasks.restyle()
        tasks.move(1)
        self._board.tell_header()

    async def _mark_all(self) -> None:
        query = Query(filter=self._board.watch_now.query.filter, sort=Sort.CREATED)
        self._board.list.marks = {
            view.id: view async for page in walk.pages(self._board.deck.tasks, query) for view in page
        }
        self._board.list.restyle()
        self._board.tell_header()

    def _back(self) -> None:
        """Escape backs out one step at a time."""
        board = self._board
        if board.prompt.display:
            self._line.shut()
        elif board.has_class("-details"):
            self._show_details()
        elif board.list.marks:
            board.unmark()
        elif board.filter:
            self._line.apply_filter("", final=True)
        else:
            board.set_focus(board.list)

    # -- order and groups ------------------------------------------------------------------
    def _sort(self) -> None:
        orders = list(Sort)
        following = orders[(orders.index(self._board.watch_now.query.sort) + 1) % len(orders)]
        self._board.change_query(sort=following, reverse=False)

    def _next_group(self) -> None:
        names = list(GROUPS)
        self.group(names[(names.index(self._board.group) + 1) % len(names)])

    def group(self, name: str) -> None:
        """Group the list by a name of `GROUPS`."""
        board = self._board
        board.group = name
        board.list.group_of = GROUPS[name]
        if name != "none":
            board.change_query(sort=Sort.STATE if name == "state" else Sort.KIND, reverse=False)
        board.list.restyle()
        board.deck.say("Not grouped." if name == "none" else f"Grouped by {name}.", seconds=2)

    def _fold(self) -> None:
        """Folding is a filter like any other: seen in the header, cleared by escape."""
        board = self._board
        current, group_of = board.list.current, board.list.group_of
        if current is None or group_of is None:
            board.deck.say("Group the list first; then this folds the group under the cursor away.", seconds=3)
            return
        key = "status" if board.group == "state" else "kind"
        self._line.apply_filter(f"{board.filter} -{key}:{group_of(current)}", final=True)

    def _dense(self) -> None:
        self._board.list.dense = not self._board.list.dense
        self._board.list.restyle()
