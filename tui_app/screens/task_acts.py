"""What keys do to tasks beside the engine's own verbs: undo, passwords, places in the queue, copies."""

from __future__ import annotations

from collections.abc import Callable

from engines.model import TaskView
from engines.operations import OPERATIONS, fields
from tui_app.actions import ACTIONS
from tui_app.screens.board import Board
from tui_app.screens.password import PasswordDialog


class TaskActs:
    """Actions on the task under the cursor, or on the marked ones."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def handlers(self) -> dict[str, Callable[[], None]]:
        """What runs for which action."""
        performer = self._board.deck.performer
        return {
            "task.undo": performer.undo,
            "task.unlock": self._unlock,
            "task.raise": lambda: self._reorder("task.raise", priority=1),
            "task.lower": lambda: self._reorder("task.lower", priority=-1),
            "task.earlier": lambda: self._reorder("task.earlier", move=-1),
            "task.later": lambda: self._reorder("task.later", move=1),
            "task.again": self._again,
            "task.copy_command": self._copy_command,
            "task.copy_output": self._copy_output,
            "all.pause": lambda: performer.start(performer.control_all()),
        }

    def _fitting(self, action_id: str) -> TaskView | None:
        """The task under the cursor when the action fits it; else says why not."""
        current = self._board.list.current
        if current is None:
            return None
        reason = ACTIONS[action_id].enabled(current)
        if reason:
            self._board.deck.say(f"{reason.capitalize()}.", severity="warning")
            return None
        return current

    def _unlock(self) -> None:
        view = self._fitting("task.unlock")
        if view is not None:
            performer = self._board.deck.performer
            self._board.app.push_screen(
                PasswordDialog(view.title, "gives it to the task", "leaves it waiting"),
                lambda password: performer.start(self._give(view, password)) if password else None,
            )

    async def _give(self, view: TaskView, password: str) -> None:
        # The operation's own secret fields: one password opens them all.
        names = [field.name for field in fields(OPERATIONS[view.op].struct) if field.secret] or ["password"]
        deck = self._board.deck
        await deck.tasks.unlock(view.id, dict.fromkeys(names, password), actor=deck.performer.actor)

    def _reorder(self, action_id: str, *, priority: int = 0, move: int = 0) -> None:
        views = self._board.list.chosen()
        fitting = [view for view in views if ACTIONS[action_id].enabled(view) is None]
        performer = self._board.deck.performer
        if fitting:
            performer.start(performer.reorder(fitting, priority=priority, move=move))
        elif views:
            self._board.deck.say(f"{ACTIONS[action_id].enabled(views[0])}.".capitalize(), severity="warning")

    def _again(self) -> None:
        views = self._board.list.chosen()
        if views:
            performer = self._board.deck.performer
            performer.start(performer.again(views, then=lambda new: self._board.list.seek(new.id)))
            self._board.unmark()

    def _copy_command(self) -> None:
        current = self._board.list.current
        if current is not None:
            self._board.deck.performer.start(self._copy_command_of(current.id))

    async def _copy_command_of(self, task_id: str) -> None:
        detail = await self._board.deck.tasks.detail(task_id, log_lines=0)
        self._board.deck.copy(detail.command, "command")

    def _copy_output(self) -> None:
        view = self._fitting("task.copy_output")
        if view is not None:
            self._board.deck.copy(view.output, "path")
