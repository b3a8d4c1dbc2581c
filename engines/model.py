"""The words everybody speaks: states, actions, progress and the view of a task that faces show.

Times are seconds since the epoch (UTC) as floats; sizes are bytes; speeds are units per second.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from engines.errors import ErrorInfo

Json = dict[str, Any]
"""A JSON object: what checkpoints, results and parameters are made of."""


class TaskState(StrEnum):
    """Where a task stands. `TERMINAL` states are final but for a retry."""

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL: Final = frozenset({TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED})
ACTIVE: Final = frozenset({TaskState.RUNNING, TaskState.PAUSING, TaskState.CANCELLING})


class Action(StrEnum):
    """What a user may ask of a task."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"
    REMOVE = "remove"


class Kind(StrEnum):
    """Families of operations; each has its own parallel limit."""

    INFO = "info"
    COMPRESS = "compress"
    EXTRACT = "extract"
    MEDIA = "media"
    TRANSCODE = "transcode"
    DOWNLOAD = "download"
    UPLOAD = "upload"


class WaitReason(StrEnum):
    """Why a task is `waiting` or `paused` without a user having asked."""

    NONE = ""
    SCHEDULE = "schedule"
    DEPENDENCY = "dependency"
    DISK = "disk"
    PASSWORD = "password"  # noqa: S105 - a word, not a secret
    RETRY = "retry"
    USER = "user"
    ALL_PAUSED = "all_paused"


class Actor(msgspec.Struct, frozen=True):
    """Who asks, and through which face: recorded with every transition."""

    name: str = "local"
    face: str = "cli"


class Progress(msgspec.Struct, frozen=True):
    """How far a job is. `total` is None while unknown; `item` is the member or file at work (display-safe)."""

    done: int = 0
    total: int | None = None
    unit: str = "bytes"
    item: str = ""
    stage: str = ""


class Usage(msgspec.Struct, frozen=True):
    """What the process tree of one task uses: percent of one core, bytes, bytes per second."""

    cpu: float = 0.0
    rss: int = 0
    read: float = 0.0
    write: float = 0.0


class TaskView(msgspec.Struct, frozen=True):
    """An immutable picture of a task, safe for display: the only thing widgets and pages ever see."""

    id: str
    op: str
    kind: Kind
    title: str
    state: TaskState
    created: float
    rev: int
    """Grows with every change of the service; a client that has seen `rev` has seen everything up to it."""
    owner: str = "local"
    face: str = "cli"
    priority: int = 0
    """Higher runs earlier; 0 is normal."""
    position: int = 0
    """Order inside one priority; smaller runs earlier."""
    attempt: int = 0
    started: float | None = None
    finished: float | None = None
    done: int = 0
    total: int | None = None
    unit: str = "bytes"
    item: str = ""
    stage: str = ""
    speed: float = 0.0
    """Units per second over a sliding window; 0 unless running."""
    eta: float | None = None
    """Seconds left, paused time excluded; None when unknown."""
    reason: WaitReason = WaitReason.NONE
    note: str = ""
    """One sentence for people about `reason` ("waits for a password", "disk below 1.00 GB")."""
    resumable: bool = True
    """False: pausing is fine, but after a crash or reboot the job starts from the beginning."""
    actions: tuple[Action, ...] = ()
    """What may be asked now."""
    error: ErrorInfo | None = None
    usage: Usage | None = None
    output: str = ""
    """The main output's path, display-safe, once there is one."""

    @property
    def fraction(self) -> float | None:
        """Share done between 0 and 1, None while the total is unknown; 1 only when completed."""
        if self.state is TaskState.COMPLETED:
            return 1.0
        if not self.total:
            return None
        return min(self.done / self.total, 0.999)

    @property
    def terminal(self) -> bool:
        """Whether the task has ended."""
        return self.state in TERMINAL


class TaskEvent(msgspec.Struct, frozen=True):
    """A recorded transition: who asked for what, and when."""

    seq: int
    at: float
    task: str
    type: str
    actor: str = ""
    face: str = ""
    data: Json = {}


class TaskDetail(msgspec.Struct, frozen=True):
    """Everything a task page shows."""

    view: TaskView
    params: Json
    """The operation's fields without secrets, paths display-safe."""
    command: str
    """The task as a shell command ("copy as command"), without secrets."""
    result: Json | None = None
    reply: str = ""
    """The result in the guide's layout, terminal glyphs."""
    events: list[TaskEvent] = []
    log: list[str] = []
    after: list[str] = []
    history: list[float] = []
    """Speeds of the last minutes, oldest first, for a graph."""


class HostMetrics(msgspec.Struct, frozen=True):
    """The machine, sampled. Percentages 0-100, bytes, bytes per second, seconds."""

    at: float = 0.0
    cpu: float = 0.0
    load: tuple[float, float, float] = (0.0, 0.0, 0.0)
    cores: int = 1
    memory: float = 0.0
    memory_used: int = 0
    memory_total: int = 0
    disk: float = 0.0
    disk_free: int = 0
    disk_total: int = 0
    net_in: float = 0.0
    net_out: float = 0.0
    io_read: float = 0.0
    io_write: float = 0.0
    uptime: float = 0.0


class Stats(msgspec.Struct, frozen=True):
    """The stat panels: counts by state, totals and the machine."""

    counts: dict[str, int]
    """Number of tasks by state, history included."""
    active_tasks: int
    total_speed: float
    """Bytes per second over all running tasks that count bytes."""
    total_downloads: int = 0
    total_uploads: int = 0
    completed_today: int = 0
    failed_today: int = 0
    paused_all: bool = False
    host: HostMetrics = HostMetrics()
    notices: tuple[str, ...] = ()
    """Sentences that whoever runs this server should see."""


class Totals(msgspec.Struct, frozen=True):
    """What ended tasks that match a filter come to."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    bytes: int = 0
    """Bytes that completed tasks worked through."""
    saved: int = 0
    """Bytes by which archives and conversions are smaller than what they were made of; larger ones count against."""
    seconds: float = 0.0
    """Time that completed tasks took, waiting and pauses included."""

    @property
    def tasks(self) -> int:
        """How many there are."""
        return self.completed + self.failed + self.cancelled


GUIDE_WORDS: Final[dict[Kind, str]] = {
    Kind.INFO: "analyzing",
    Kind.COMPRESS: "compressing",
    Kind.EXTRACT: "extracting",
    Kind.MEDIA: "analyzing",
    Kind.TRANSCODE: "transcoding",
    Kind.DOWNLOAD: "downloading",
    Kind.UPLOAD: "uploading",
}


def guide_status(view: TaskView) -> str:
    """The status word of the seed guide's routes: running by kind, failed as "error"."""
    if view.state is TaskState.RUNNING:
        return GUIDE_WORDS[view.kind]
    if view.state is TaskState.FAILED:
        return "error"
    return view.state.value


class SubmitOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a task should be queued, beside what it does."""

    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    after: tuple[str, ...] = ()
    """Ids of tasks that must have completed first."""
    not_before: Annotated[float, Meta(ge=0, lt=1e11)] | None = None
    key: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    """Idempotency key: the same key gives the same task."""
    paused: bool = False
    max_attempts: Annotated[int, Meta(ge=1, le=100)] | None = None
    roots: tuple[str, ...] = ()
    """Folders the task must stay in, inside those of the daemon; empty: all of them. Kept over retries and repeats."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of an action on one task."""

    id: str
    ok: bool
    view: TaskView | None = None
    error: ErrorInfo | None = None
