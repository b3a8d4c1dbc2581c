"""The client's picture of the task engine: updates of a watched window laid over the last picture."""

from __future__ import annotations

import msgspec

from engines.model import Stats, TaskView
from engines.tasks.api import Update
from widgets.task_window import TaskWindow


class Changes(msgspec.Struct):
    """What an update changed in the picture."""

    ids: set[str] = msgspec.field(default_factory=set)
    """Tasks that look different."""
    order: bool = False
    """Whether the window's content, order or extent changed."""
    stats: bool = False
    ended: list[TaskView] = msgspec.field(default_factory=list)


class Mirror:
    """Window and stats as of the last update."""

    def __init__(self) -> None:
        self.window = TaskWindow()
        self.stats: Stats | None = None
        self.rev = 0
        self._fresh = True

    def restart(self) -> None:
        """A new subscription begins: its first update is complete, nothing older counts."""
        self._fresh = True
        self.rev = 0

    def apply(self, update: Update) -> Changes:
        """Lay an update over the picture."""
        window = self.window
        changes = Changes(ended=update.ended)
        if self._fresh:
            window.views.clear()
            self._fresh = False
        self.rev = max(self.rev, update.rev)
        for view in update.rows:
            window.views[view.id] = view
            changes.ids.add(view.id)
        for tick in update.ticks:
            known = window.views.get(tick.id)
            if known is None or tick.rev < known.rev:
                continue
            window.views[tick.id] = msgspec.structs.replace(
                known,
                rev=tick.rev,
                done=tick.done,
                total=tick.total,
                speed=tick.speed,
                eta=tick.eta,
                item=tick.item,
                stage=tick.stage,
            )
            changes.ids.add(tick.id)
        if update.ids is not None:
            changes.order = update.ids != window.ids or update.offset != window.offset
            window.ids, window.offset = update.ids, update.offset
            kept = set(update.ids)
            for gone in [task_id for task_id in window.views if task_id not in kept]:
                del window.views[gone]
        if update.total != window.total:
            window.total, changes.order = update.total, True
        if update.stats is not None:
            self.stats, changes.stats = update.stats, True
        return changes
