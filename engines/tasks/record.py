"""A live task as the engine holds it, and the picture of it that faces see."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engines.errors import ErrorInfo
from engines.model import Json, Kind, TaskState, TaskView, Usage, WaitReason
from engines.tasks.speed import SpeedMeter
from engines.tasks.states import ACTIONS

if TYPE_CHECKING:
    from engines.tasks.run import Run


@dataclass(slots=True)
class Record:
    """Everything known about one task that has not ended. Fields up to `error` are durable.

    Attributes:
        op: The operation as JSON, without secrets.
        secret_names: Secret parameters it was given; their values are in `secrets` until a restart.
        crashes: Runs that ended without a result; counts towards `max_attempts`.
        roots: Folders it must stay in, links resolved; empty: the daemon's.
        resume_at: When a pause ends by itself.
        rev: Revision of its last change; `srev` of its last change in more than progress.
    """

    id: str
    op: Json
    op_name: str
    kind: Kind
    title: str
    state: TaskState
    created: float
    owner: str
    face: str
    priority: int
    position: int
    max_attempts: int
    resumable: bool
    writes: bool
    after: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    not_before: float | None = None
    resume_at: float | None = None
    attempt: int = 0
    crashes: int = 0
    started: float | None = None
    finished: float | None = None
    done: int = 0
    total: int | None = None
    unit: str = "bytes"
    item: str = ""
    stage: str = ""
    reason: WaitReason = WaitReason.NONE
    note: str = ""
    secret_names: tuple[str, ...] = ()
    checkpoint: Json | None = None
    result: Json | None = None
    output: str = ""
    error: ErrorInfo | None = None

    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    missing_deps: set[str] = field(default_factory=set)
    disk_free: int = 0
    """Free bytes when the disk was found full: it must have grown before the task goes on."""
    run: Run | None = None
    frozen_at: float | None = None
    moved: float = 0.0
    """When its progress last changed."""
    usage: Usage | None = None
    meter: SpeedMeter = field(default_factory=SpeedMeter)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    stalled: bool = False
    """Its process is being ended because it showed no sign of life."""
    busy: bool = False
    """A step is under way; the scheduler leaves it alone."""
    log_count: int = 0
    """Log lines so far; `log_pending` are those not yet in the store, with their numbers."""
    log_pending: deque[tuple[int, str]] = field(default_factory=deque, repr=False)
    checkpoint_pending: bool = False
    rev: int = 0
    srev: int = 0
    _view: TaskView | None = None
    _view_key: tuple[int, float] = (-1, 0.0)

    def view(self, now: float) -> TaskView:
        """The picture of this moment; the same object as long as nothing changed. `now`: monotonic seconds."""
        running = self.state is TaskState.RUNNING
        speed = self.meter.speed(now) if running else 0.0
        key = (self.rev, speed)
        if self._view is None or key != self._view_key:
            self._view_key = key
            self._view = TaskView(
                id=self.id,
                op=self.op_name,
                kind=self.kind,
                title=self.title,
                state=self.state,
                created=self.created,
                rev=self.rev,
                owner=self.owner,
                face=self.face,
                priority=self.priority,
                position=self.position,
                attempt=self.attempt,
                started=self.started,
                finished=self.finished,
                done=self.done,
                total=self.total,
                unit=self.unit,
                item=self.item,
                stage=self.stage,
                speed=speed,
                eta=self.meter.eta(now, self.done, self.total) if running else None,
                reason=self.reason,
                note=self.note,
                resumable=self.resumable,
                actions=ACTIONS[self.state],
                error=self.error,
                usage=self.usage if running else None,
                output=self.output,
            )
        return self._view
