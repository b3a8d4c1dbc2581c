"""Doing what a key, a typed word or the palette asks: questions first, then the engine, then a toast."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from textual.notifications import SeverityLevel

from engines.errors import TaskdeckError
from engines.model import Action, Actor, Json, Outcome, TaskView
from engines.text import plural
from tui_app.actions import ACTIONS

if TYPE_CHECKING:
    from engines.tasks.api import Tasks
    from tui_app.mirror import Mirror

_PAST: Final = {
    Action.PAUSE: "Pausing",
    Action.RESUME: "Resuming",
    Action.CANCEL: "Cancelling",
    Action.RETRY: "Retrying",
    Action.REMOVE: "Removed",
}
_AT_ONCE: Final = 1000
"""Tasks a request is about: it has to be answered in time, and the engine takes 10,000 at most."""
_PROGRESS_PERIOD: Final = 0.5
"""Seconds between looks at a task whose result is waited for."""


class Stage(Protocol):
    """What a performer needs of the application."""

    mirror: Mirror

    @property
    def tasks(self) -> Tasks:
        """The task engine; raises TaskdeckError while the connection is down."""

    def key(self, name: str) -> str:
        """The first key of a row of the key table, as the user has it."""

    def say(self, text: str, *, severity: SeverityLevel = "information", seconds: float | None = None) -> None:
        """A toast."""

    def confirm(self, question: str, detail: str, *, yes: str, then: Callable[[], None]) -> None:
        """Ask first."""

    def pending_changed(self) -> None:
        """Cancels that can be undone changed."""

    def later(self, seconds: float, then: Callable[[], None]) -> None:
        """Run something after a while."""

    def work(self, work: Awaitable[None]) -> None:
        """Run something in the background."""


class Performer:
    """Asks, undoes and reports; holds cancels that are not sent yet.

    Attributes:
        later: Runs something after seconds; tests hold the clock here.
        pending: Ids of tasks whose cancel can still be undone.
    """

    def __init__(self, app: Stage, actor: Actor, *, undo_seconds: float = 5.0) -> None:
        self._app = app
        self.actor = actor
        self.undo_seconds = undo_seconds
        self.pending: dict[str, TaskView] = {}
        self.later: Callable[[float, Callable[[], None]], object] = app.later
        self._batches: list[list[TaskView]] = []

    # -- asking --------------------------------------------------------------------
    def ask(self, action_id: str, views: Sequence[TaskView], *, then: Callable[[], None] = lambda: None) -> None:
        """Do an action of the table to tasks, and then the other thing; says why when it fits none of them."""
        spec = ACTIONS[action_id]
        assert spec.verb is not None
        if not views:
            self._app.say("There is no task here.", severity="warning")
            return
        fitting = [view for view in views if spec.enabled(view) is None]
        if not fitting:
            reason = spec.enabled(views[0]) or ""
            self._app.say(reason[:1].upper() + reason[1:] + ".", severity="warning")
            return
        verb = spec.verb
        if not spec.destructive:
            self.start(self.control(fitting, verb))
            then()
            return

        def confirmed() -> None:
            self._confirmed(verb, fitting)
            then()

        what = _what(fitting)
        question = f"{spec.label.capitalize()} {what}?"
        self._app.confirm(
            question,
            self._consequence(verb, many=len(fitting) > 1),
            yes=spec.label.capitalize(),
            then=confirmed,
        )

    def _consequence(self, verb: Action, *, many: bool) -> str:
        """What a destructive action does, for the question before it."""
        if verb is Action.REMOVE:
            left = "They leave" if many else "It leaves"
            return f"{left} the list and the history. Files made by {'them' if many else 'it'} stay where they are."
        stops = "The jobs stop and their half outputs are" if many else "The job stops and its half output is"
        undo = f" You have {self.undo_seconds:.0f} seconds to undo." if self.undo_seconds > 0 else ""
        return f"{stops} removed.{undo}"

    def _confirmed(self, verb: Action, views: list[TaskView]) -> None:
        if verb is not Action.CANCEL or self.undo_seconds <= 0:
            self.start(self.control(views, verb))
            return
        batch = [view for view in views if view.id not in self.pending]
        self._batches.append(batch)
        self.pending.update({view.id: view for view in batch})
        key = self._app.key("task.undo")
        self._app.say(f"Cancelling {_what(batch)} in {self.undo_seconds:.0f} seconds; {key} takes it back.",
                      seconds=self.undo_seconds)  # fmt: skip
        self._app.pending_changed()
        self.later(self.undo_seconds, lambda: self._send(batch))

    def undo(self) -> None:
        """Take back the last cancel that was not sent yet."""
        if not self._batches:
            self._app.say("There is nothing to undo.", severity="warning")
            return
        batch = self._batches.pop()
        for view in batch:
            self.pending.pop(view.id, None)
        self._app.say(f"{_what(batch)} goes on." if len(batch) == 1 else f"{_what(batch)} go on.")
        self._app.pending_changed()

    def _send(self, batch: list[TaskView]) -> None:
        if not any(batch is waiting for waiting in self._batches):
            return
        self._batches = [waiting for waiting in self._batches if waiting is not batch]
        for view in batch:
            self.pending.pop(view.id, None)
        self._app.pending_changed()
        self.start(self.control(batch, Action.CANCEL))

    async def flush(self) -> None:
        """Send every cancel that still waits: leaving must not lose what was confirmed."""
        for batch in list(self._batches):
            self._batches.remove(batch)
            for view in batch:
                self.pending.pop(view.id, None)
            await self.control(batch, Action.CANCEL)

    # -- doing ---------------------------------------------------------------------
    def start(self, work: Awaitable[object]) -> None:
        """Run something that talks to the engine; a fault becomes a toast."""
        self._app.work(self._guarded(work))

    async def _guarded(self, work: Awaitable[object]) -> None:
        try:
            await work
        except TaskdeckError as error:
            self._app.say(error.coded, severity="error")

    async def control(self, views: Sequence[TaskView], verb: Action) -> None:
        """Ask the engine and report."""
        outcomes: list[Outcome] = []
        for first in range(0, len(views), _AT_ONCE):
            some = [view.id for view in views[first : first + _AT_ONCE]]
            outcomes += await self._app.tasks.control(some, verb, actor=self.actor)
        refused = [outcome.error.coded for outcome in outcomes if outcome.error is not None]
        done = len(outcomes) - len(refused)
        if done and (len(views) > 1 or verb in (Action.REMOVE, Action.RETRY)):
            self._app.say(f"{_PAST[verb]} {_what([v for v, o in zip(views, outcomes, strict=True) if o.ok])}.")
        for message in refused[:3]:
            self._app.say(message, severity="error")

    async def control_all(self) -> None:
        """Pause everything, or let everything go on."""
        paused = self._app.mirror.stats is not None and self._app.mirror.stats.paused_all
        await self._app.tasks.control_all(Action.RESUME if paused else Action.PAUSE, actor=self.actor)
        self._app.say("Everything goes on." if paused else "Everything pauses; nothing new is started.")

    async def reorder(self, views: Sequence[TaskView], *, priority: int = 0, move: int = 0) -> None:
        """Change the place of queued tasks."""
        for view in views:
            wanted = view.priority + priority if priority else None
            changed = await self._app.tasks.reorder(view.id, actor=self.actor, priority=wanted, move=move)
            if priority:
                self._app.say(f"{changed.title}: priority {changed.priority:+d}.")

    async def submit(self, data: Json, *, base: str) -> TaskView:
        """Queue an operation and say so."""
        view = await self._app.tasks.submit(data, actor=self.actor, base=base)
        self._app.say(f"{view.op} {view.title}: {view.state.value}, task {view.id}.")
        return view

    async def submit_each(self, data: Json, paths: Sequence[str], *, base: str) -> None:
        """Queue one task a path, and say so once."""
        for path in paths:
            view = await self._app.tasks.submit({**data, "path": path}, actor=self.actor, base=base)
        what = f"{view.title}: {view.state.value}, task {view.id}" if len(paths) == 1 else plural(len(paths), "task")
        self._app.say(f"{data['op']} {what}.")

    async def result(self, data: Json, base: str, on_progress: Callable[[TaskView], None] | None = None) -> Json:
        """Run a quick operation as a task like any other and give its result.

        Args:
            data: The operation.
            base: Where relative paths start.
            on_progress: Told how the task is, twice a second, until it has ended.

        Raises:
            TaskdeckError: the task's own error.
        """
        view = await self._app.tasks.submit(data, actor=self.actor, base=base)
        if on_progress is not None:
            on_progress(view)
            view = await self._follow(view, on_progress)
        else:
            view = await self._app.tasks.wait(view.id)
        if view.error is not None:
            raise TaskdeckError.from_info(view.error)
        found = (await self._app.tasks.detail(view.id, log_lines=0)).result
        if found is None:
            raise TaskdeckError("task.state", f"cannot show '{view.title}'", f"task {view.id} is {view.state.value}")
        return found

    async def _follow(self, view: TaskView, on_progress: Callable[[TaskView], None]) -> TaskView:
        ended = asyncio.ensure_future(self._app.tasks.wait(view.id))
        try:
            while not (await asyncio.wait({ended}, timeout=_PROGRESS_PERIOD))[0]:
                on_progress((await self._app.tasks.detail(view.id, log_lines=0)).view)
            return await ended
        finally:
            ended.cancel()

    async def again(self, views: Sequence[TaskView], *, then: Callable[[TaskView], None] | None = None) -> None:
        """Queue the same operations as new tasks; the engine knows them exactly, we only know what can be shown."""
        for view in views:
            new = await self._app.tasks.repeat(view.id, actor=self.actor)
            how = new.note.rstrip(".") or new.state.value
            self._app.say(f"{new.op} {new.title}: {how}, task {new.id}.")
            if then is not None:
                then(new)


def _what(views: Sequence[TaskView]) -> str:
    """ "movies.zip" or "3 tasks"."""
    return f"'{views[0].title}'" if len(views) == 1 else plural(len(views), "task")
