"""What every face may ask of the task engine: implemented in the daemon by `TaskService`, remotely by `TaskClient`.

Faces are written against this protocol alone, so that the TUI runs the same attached to a daemon, to another
machine, or in one process with the engine (`--solo`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import msgspec

from engines.model import Action, Actor, Json, Outcome, Stats, SubmitOptions, TaskDetail, TaskEvent, TaskView, Totals
from engines.query import Page, Query


class Watch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A subscription: a window on the list, and how often it may change."""

    query: Query = Query()
    hz: float = 2.0
    stats: bool = True


class Tick(msgspec.Struct, frozen=True, array_like=True):
    """The fast-changing part of a running task, to be laid over its last `TaskView`."""

    id: str
    rev: int
    done: int
    total: int | None
    speed: float
    eta: float | None
    item: str
    stage: str

    def over(self, view: TaskView) -> TaskView:
        """The view with this laid over it."""
        return msgspec.structs.replace(
            view,
            rev=self.rev,
            done=self.done,
            total=self.total,
            speed=self.speed,
            eta=self.eta,
            item=self.item,
            stage=self.stage,
        )


class Update(msgspec.Struct, frozen=True, omit_defaults=True):
    """What changed in a watched window since the last update. The first one of a watch is complete.

    Apply in this order: `ids` (when not None the window's new content and order), `rows`, `ticks`.
    """

    rev: int
    total: int = 0
    """Tasks that match the filter."""
    offset: int = 0
    ids: list[str] | None = None
    rows: list[TaskView] = []
    """Tasks that are new in the window or changed in more than progress."""
    ticks: list[Tick] = []
    stats: Stats | None = None
    ended: list[TaskView] = []
    """Tasks anywhere that ended since the last update: for toasts and notifications."""


class Watcher(Protocol):
    """A live window. Slow readers lose intermediate updates, never the last one."""

    def __aiter__(self) -> AsyncIterator[Update]:
        """Updates, at most `hz` a second, state changes at once (at most 10 a second)."""

    async def change(self, watch: Watch) -> None:
        """Move the window: scroll, sort, filter."""

    async def close(self) -> None:
        """End the subscription."""


class Tasks(Protocol):
    """The task engine as faces see it. Every method raises TaskdeckError for what a user can mend."""

    async def submit(
        self, op: Json, *, actor: Actor, options: SubmitOptions = SubmitOptions(), base: str | None = None
    ) -> TaskView:
        """Queue an operation given as JSON; returns once that is durable. `base`: directory of relative paths."""

    async def repeat(self, task_id: str, *, actor: Actor) -> TaskView:
        """Queue a task's operation again as a new task, exactly as it was stored.

        The new task waits for its secrets when the old one had some: they are never stored.
        """

    async def control(
        self, ids: Sequence[str], action: Action, *, actor: Actor, until: float | None = None
    ) -> list[Outcome]:
        """Pause (until a time), resume, cancel, retry or remove tasks; one outcome for each id, in order."""

    async def control_all(self, action: Action, *, actor: Actor, finish_current: bool = False) -> Stats:
        """Pause everything and start nothing more, or resume. `finish_current`: what runs may finish."""

    async def reorder(self, task_id: str, *, actor: Actor, priority: int | None = None, move: int = 0) -> TaskView:
        """Change a queued task's priority or move it by places (negative: earlier) inside its priority."""

    async def unlock(self, task_id: str, secrets: Mapping[str, str], *, actor: Actor) -> TaskView:
        """Give secrets to a task that waits for them."""

    async def view(self, task_id: str) -> TaskView:
        """One task by id or unique prefix of it."""

    async def detail(self, task_id: str, *, log_lines: int = 100) -> TaskDetail:
        """Everything about one task."""

    async def query(self, query: Query) -> Page:
        """A window of the list of all tasks, history included."""

    async def log(self, task_id: str, *, after: int = 0) -> tuple[int, list[str]]:
        """Log lines after a number of lines already seen; returns the new number and the lines."""

    async def events(self, *, after: int = 0, task_id: str | None = None, limit: int = 1000) -> list[TaskEvent]:
        """Recorded transitions after a sequence number."""

    async def stats(self) -> Stats:
        """The stat panels."""

    async def totals(self, filter: str = "") -> Totals:  # noqa: A002
        """What the ended tasks that match a filter come to."""

    async def look(self, question: Json, *, base: str | None = None) -> Json:
        """Answer a quick question about files (`engines.looks`) without making a task."""

    async def wait(self, task_id: str) -> TaskView:
        """The task once it has ended."""

    async def watch(self, watch: Watch) -> Watcher:
        """Follow a window of the list."""
