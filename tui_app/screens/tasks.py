"""The tasks screen: the board with its keys, and everything they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events, on
from textual.binding import BindingType
from textual.widgets import Input

from tui_app.actions import ACTIONS
from tui_app.screens.board import Board
from tui_app.screens.line import LineDesk
from tui_app.screens.list_acts import ListActs
from tui_app.screens.task_acts import TaskActs
from tui_app.screens.view_acts import ViewActs
from widgets.footer import KeyBar
from widgets.keys import bindings
from widgets.prompt import Prompt
from widgets.task_list import TaskList


class TasksScreen(Board):
    """The main screen: keys, clicks and typed lines become actions of the table."""

    BINDINGS: ClassVar[list[BindingType]] = bindings(ACTIONS.values())

    def __init__(self) -> None:
        super().__init__()
        self.views = ViewActs(self)
        self.line = LineDesk(
            self,
            act=self.act,
            submit=self.views.submit,
            browse=self.views.browse,
            group=lambda name: self.lists.group(name),
        )
        self.lists = ListActs(self, self.line, self.views.details)
        self.handlers: dict[str, Callable[[], None]] = {}
        """What runs for each action that is no verb of the engine's."""

    def on_mount(self) -> None:
        """Wire the actions."""
        super().on_mount()
        self.line.ready()
        self.handlers = TaskActs(self).handlers() | self.lists.handlers() | self.views.handlers(self.line)

    # -- actions -------------------------------------------------------------------------
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Priority keys must not take characters from an input that has the keyboard."""
        if action == "act" and isinstance(self.focused, Input):
            return False
        return super().check_action(action, parameters)

    def action_act(self, action_id: str) -> None:
        """Keys come here."""
        self.act(action_id)

    def act(self, action_id: str) -> None:
        """Run an action of the table."""
        if ACTIONS[action_id].verb is None:
            self.handlers[action_id]()
            return
        self.deck.performer.ask(action_id, self.list.chosen(), then=self._done_with_marks)

    def _done_with_marks(self) -> None:
        if self.list.marks:
            self.unmark()

    def open_prompt(self, mode: str, value: str = "") -> None:
        """Open the command line or the filter."""
        self.line.open(mode, value)

    # -- what the parts tell ---------------------------------------------------------------
    @on(KeyBar.Clicked)
    def _footer_clicked(self, event: KeyBar.Clicked) -> None:
        self.act(event.action)

    @on(TaskList.HintClicked)
    def _hint_clicked(self, event: TaskList.HintClicked) -> None:
        self.act(event.action)

    @on(TaskList.Opened)
    def _opened(self) -> None:
        self.act("view.details")

    @on(TaskList.Moved)
    def _moved(self) -> None:
        self.tell_footer()
        self.feed.refresh()

    @on(TaskList.WindowWanted)
    def _window_wanted(self, event: TaskList.WindowWanted) -> None:
        self.change_query(offset=event.offset, limit=event.limit)

    @on(Prompt.Edited)
    def _edited(self, event: Prompt.Edited) -> None:
        self.line.edited(event)

    @on(Prompt.Left)
    def _left(self, event: Prompt.Left) -> None:
        self.line.left(event)

    @on(Prompt.Entered)
    def _entered(self, event: Prompt.Entered) -> None:
        self.line.entered(event)

    def on_paste(self, event: events.Paste) -> None:
        """Paths dropped or pasted on the list become the start of a command."""
        if not isinstance(self.focused, Input):
            event.stop()
            event.prevent_default()
            self.line.paste(event.text)
