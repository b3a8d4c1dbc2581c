"""The client's copy of a window on the list of tasks: what the server said last, nothing more."""

from __future__ import annotations

from dataclasses import dataclass, field

from engines.model import TaskView


@dataclass(slots=True)
class TaskWindow:
    """`ids` are the tasks at `offset` of `total`; `views` has at least those."""

    total: int = 0
    offset: int = 0
    ids: list[str] = field(default_factory=list)
    views: dict[str, TaskView] = field(default_factory=dict)

    def at(self, index: int) -> TaskView | None:
        """The task at a place of the whole list, None outside the window."""
        place = index - self.offset
        return self.views.get(self.ids[place]) if 0 <= place < len(self.ids) else None

    def index_of(self, task_id: str) -> int | None:
        """The place of a task in the whole list, None when it is not in the window."""
        try:
            return self.offset + self.ids.index(task_id)
        except ValueError:
            return None

    def covers(self, first: int, last: int) -> bool:
        """Whether places `first` to `last` (exclusive, cut to the list) are in the window."""
        return first >= self.offset and min(last, self.total) <= self.offset + len(self.ids)
