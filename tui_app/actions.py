"""The ONE table of what can be done on the tasks screen: its keys, footer and palette are made from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engines.model import Action, TaskState, TaskView, WaitReason
from widgets.keys import KeySpec

Enabled = Callable[[TaskView], str | None]
"""None when an action fits a task, else why it does not."""


@dataclass(frozen=True, slots=True)
class ActionSpec(KeySpec):
    """One row: a key, and what it asks of tasks.

    Attributes:
        verb: What is asked of the engine, for actions on tasks.
        destructive: Whether it asks first.
        footer: Place in the footer, 0 for none.
    """

    verb: Action | None = None
    destructive: bool = False
    footer: int = 0

    @property
    def offered(self) -> bool:
        """Whether hints show it just for tasks that it fits."""
        return self.verb is not None or self.id == "task.unlock"

    def enabled(self, view: TaskView) -> str | None:
        """None when this fits the task, else why not, as a sentence without full stop."""
        if self.verb is not None and self.verb not in view.actions:
            return f"a task that is {view.state.value} cannot be asked to {self.verb.value}"
        if self.id in ("task.raise", "task.lower", "task.earlier", "task.later") and (
            view.state not in (TaskState.QUEUED, TaskState.WAITING, TaskState.PAUSED)
        ):
            return f"a task that is {view.state.value} has no place in the queue"
        if self.id == "task.unlock" and view.reason is not WaitReason.PASSWORD:
            return "the task waits for no password"
        if self.id == "task.copy_output" and not view.output:
            return "the task has no output yet"
        return None


_GROUPS: Final = ("Tasks", "List", "View", "Application")
_TASK, _LIST, _VIEW, _APP = _GROUPS

# fmt: off
ACTIONS: Final[dict[str, ActionSpec]] = {
    spec.id: spec
    for spec in (
        ActionSpec("task.pause", "p", "pause", "Pause the task; it goes on from its checkpoint later.", _TASK,
                   Action.PAUSE, footer=4),
        ActionSpec("task.resume", "r", "resume", "Let a paused task go on.", _TASK, Action.RESUME, footer=5),
        ActionSpec("task.cancel", "x", "cancel", "Cancel the task and remove its half output; 5 seconds to undo.",
                   _TASK, Action.CANCEL, destructive=True, footer=6),
        ActionSpec("task.undo", "u", "undo", "Take back a cancel that was not sent yet.", _TASK),
        ActionSpec("task.retry", "t", "retry", "Run a failed or cancelled task again.", _TASK, Action.RETRY, footer=7),
        ActionSpec("task.remove", "d,delete", "remove", "Take an ended task off the list; its files stay.", _TASK,
                   Action.REMOVE, destructive=True),
        ActionSpec("task.unlock", "U", "password", "Give the password a task waits for; it is never stored in clear.",
                   _TASK, footer=1),
        ActionSpec("task.raise", "plus", "raise priority", "Raise the priority of a queued task.", _TASK, shown="+"),
        ActionSpec("task.lower", "minus", "lower priority", "Lower the priority of a queued task.", _TASK, shown="-"),
        ActionSpec("task.earlier", "K,shift+up", "move up", "Move a queued task one place earlier.", _TASK),
        ActionSpec("task.later", "J,shift+down", "move down", "Move a queued task one place later.", _TASK),
        ActionSpec("task.again", "a", "run again", "Submit the same operation as a new task.", _TASK),
        ActionSpec("task.copy_command", "y", "copy command", "Copy the task as a shell command, without secrets.",
                   _TASK),
        ActionSpec("task.copy_output", "Y", "copy output path", "Copy the path of the task's output.", _TASK),
        ActionSpec("all.pause", "P", "pause all", "Pause everything, or let everything go on.", _TASK),
        ActionSpec("list.down", "j,down", "down", "Next task.", _LIST),
        ActionSpec("list.up", "k,up", "up", "Previous task.", _LIST),
        ActionSpec("list.page_down", "ctrl+f,pagedown", "page down", "One page down.", _LIST),
        ActionSpec("list.page_up", "ctrl+b,pageup", "page up", "One page up.", _LIST),
        ActionSpec("list.top", "g,home", "top", "First task.", _LIST),
        ActionSpec("list.bottom", "G,end", "bottom", "Last task.", _LIST),
        ActionSpec("list.mark", "space", "mark", "Mark the task for a bulk action, or unmark it.", _LIST),
        ActionSpec("list.mark_all", "asterisk", "mark all", "Mark every task the filter shows.", _LIST, shown="*"),
        ActionSpec("list.unmark", "escape", "back", "Unmark all, clear the filter, close the details.", _LIST),
        ActionSpec("list.sort", "s", "sort", "Sort by the next column.", _LIST),
        ActionSpec("list.reverse", "S", "reverse", "Turn the order round.", _LIST),
        ActionSpec("list.group", "b", "group", "Group by state, by kind, or not.", _LIST),
        ActionSpec("list.fold", "f", "fold group", "Fold the group under the cursor away, by a filter.", _LIST),
        ActionSpec("list.dense", "z", "one-row cards", "One row a task, or three.", _LIST),
        ActionSpec("view.filter", "slash", "filter", "Filter the list: status:failed kind:zip since:1d words.", _VIEW,
                   shown="/", footer=3, priority=True),
        ActionSpec("view.command", "colon", "command", "Type a command: zip, unzip, ... or any action.", _VIEW,
                   shown=":", footer=1, priority=True),
        ActionSpec("view.new", "n", "new task", "Open the form of an operation.", _VIEW),
        ActionSpec("view.browse", "o", "browse", "Look into an archive, or at the media of a folder; choose and go on.",
                   _VIEW),
        ActionSpec("view.details", "enter", "details", "Show or hide the task's details.", _VIEW, footer=2),
        ActionSpec("view.next_pane", "tab", "next pane", "Jump between the list and the details.", _VIEW),
        ActionSpec("view.history", "H", "history", "What has ended: filter, run again, export.", _VIEW),
        ActionSpec("view.planned", "L", "planned", "What waits for a time or another task; schedules and pipelines.",
                   _VIEW),
        ActionSpec("view.settings", "comma", "settings", "Every setting, what it does, and where its value came from.",
                   _VIEW),
        ActionSpec("view.faces", "W", "dashboard", "Dashboard and Telegram: on or off, address, login link.",
                   _VIEW),
        ActionSpec("view.keys", "ctrl+k", "keys", "Change the keys of any action.", _VIEW),
        ActionSpec("view.theme", "T", "theme", "Choose a colour theme; the one under the cursor is shown.", _VIEW),
        ActionSpec("view.mouse", "percent_sign", "mouse on/off", "Give the mouse back to the terminal, or take it.",
                   _VIEW, shown="%"),
        ActionSpec("app.help", "question_mark,f1", "help", "What the keys do here.", _APP, shown="?", footer=8),
        ActionSpec("app.palette", "ctrl+p", "palette", "Find any action by name.", _APP),
        ActionSpec("app.quit", "q", "quit", "Leave; tasks go on in the background.", _APP, footer=9),
        ActionSpec("app.start", "R", "start the daemon", "After a loss: start the daemon, or try again now.", _APP),
        ActionSpec("app.stop", "Q", "stop the daemon", "Stop the daemon; running tasks go on when it starts again.",
                   _APP, destructive=True),
    )
}
# fmt: on
