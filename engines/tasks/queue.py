"""The ready queue: which queued task starts next. Waiting for times and dependencies is the engine's business."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Final

from engines.model import Kind
from engines.settings import TasksSettings
from engines.tasks.record import Record

_Key = tuple[int, int, float, str]

LIMITS: Final = {
    Kind.INFO: "parallel_info",
    Kind.COMPRESS: "parallel_compress",
    Kind.EXTRACT: "parallel_extract",
    Kind.MEDIA: "parallel_media",
    Kind.TRANSCODE: "parallel_transcode",
    Kind.DOWNLOAD: "parallel_download",
    Kind.UPLOAD: "parallel_upload",
}


def limit(settings: TasksSettings, kind: Kind) -> int:
    """How many tasks of a family run at once."""
    return int(getattr(settings, LIMITS[kind]))


class ReadyQueue:
    """Queued tasks of each family: higher priority first, then position, then age."""

    def __init__(self) -> None:
        self._lists: dict[Kind, list[_Key]] = {kind: [] for kind in Kind}
        self._keys: dict[str, tuple[Kind, _Key]] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, record: Record) -> None:
        """Add a task, or move it to its present place."""
        self.drop(record.id)
        key = (-record.priority, record.position, record.created, record.id)
        insort(self._lists[record.kind], key)
        self._keys[record.id] = (record.kind, key)

    def drop(self, task_id: str) -> None:
        """Take a task out, if it is in."""
        if found := self._keys.pop(task_id, None):
            kind, key = found
            members = self._lists[kind]
            del members[bisect_left(members, key)]

    def waiting(self, kind: Kind) -> Iterator[str]:
        """Ids of a family, the next one first; safe to change the queue under."""
        return (key[3] for key in self._lists[kind].copy())
