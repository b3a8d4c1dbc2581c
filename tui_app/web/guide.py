"""The seed guide's formats: objects of its routes and messages of its WebSocket."""

from __future__ import annotations

import functools
import time
from datetime import UTC, datetime

import msgspec

from engines.model import Action, Json, Kind, Stats, TaskView, guide_status


def timestamp(at: float | None = None) -> str:
    """UTC with milliseconds, as the guide writes it: "2026-01-30T12:34:56.789Z"."""
    return _written(time.time() if at is None else at)


@functools.lru_cache(maxsize=4096)  # a task's times are asked for again with every list
def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TaskData(msgspec.Struct, frozen=True):
    """The `data` of a `task_status` message: percent, units a second, seconds, units."""

    status: str
    progress: float
    speed: int
    eta: int | None
    current_size: int
    total_size: int
    name: str
    unit: str
    kind: Kind
    operation: str
    actions: tuple[Action, ...]
    error: str | None


class TaskObject(TaskData, frozen=True):
    """A task in the answers of the guide's routes."""

    task_id: str
    id: str
    created_at: str
    finished_at: str | None
    output: str


class TaskList(msgspec.Struct, frozen=True):
    """The answer of `GET /api/tasks`."""

    tasks: list[TaskObject]
    total: int
    timestamp: str


class TaskStatus(msgspec.Struct, frozen=True, tag="task_status"):
    """The guide's message about one task."""

    task_id: str
    data: TaskData
    timestamp: str


class StatsData(msgspec.Struct, frozen=True):
    """The `data` of a `dashboard_stats` message: bytes a second, percent, seconds; uptime is the host's."""

    active_tasks: int
    total_downloads: int
    total_uploads: int
    total_speed: int
    cpu_usage: float
    memory_usage: float
    disk_usage: float
    uptime: int


class StatsAnswer(StatsData, frozen=True):
    """The answer of `GET /api/stats`."""

    timestamp: str


class DashboardStats(msgspec.Struct, frozen=True, tag="dashboard_stats"):
    """The guide's message of the stat panels."""

    data: StatsData
    timestamp: str


class AnnouncementData(msgspec.Struct, frozen=True):
    """The `data` of a `message`."""

    message: str
    level: str


class Announcement(msgspec.Struct, frozen=True, tag="message"):
    """The guide's message to people."""

    data: AnnouncementData
    timestamp: str


class TasksList(msgspec.Struct, frozen=True, tag="tasks_list"):
    """The answer to `get_tasks`."""

    tasks: list[TaskObject]
    timestamp: str


class Pong(msgspec.Struct, frozen=True, tag="pong"):
    """The answer to `ping`."""


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """A client asks whether we are there."""


class GetTasks(msgspec.Struct, frozen=True, tag="get_tasks"):
    """A client asks for all tasks again."""


ClientMessage = Ping | GetTasks
ServerMessage = TaskStatus | DashboardStats | Announcement | TasksList | Pong


def _data(view: TaskView) -> Json:
    fraction, error = view.fraction, view.error
    return {
        "status": guide_status(view),
        "progress": 0 if fraction is None else int(fraction * 1000 + 0.5) / 10,  # a fifth of what round(x, 1) costs
        "speed": round(view.speed),
        "eta": None if view.eta is None else round(view.eta),
        "current_size": view.done,
        "total_size": view.total or 0,
        "name": view.title,
        "unit": view.unit,
        "kind": view.kind,
        "operation": view.op,
        "actions": view.actions,
        "error": None if error is None else error.message,
    }


def task_status(view: TaskView) -> TaskStatus:
    """The guide's message about a task."""
    return TaskStatus(view.id, TaskData(**_data(view)), timestamp())


def task_object(view: TaskView) -> TaskObject:
    """A task as the guide's routes answer it."""
    return TaskObject(
        **_data(view),
        task_id=view.id,
        id=view.id,
        created_at=timestamp(view.created),
        finished_at=None if view.finished is None else timestamp(view.finished),
        output=view.output,
    )


def stats_data(stats: Stats) -> StatsData:
    """The figures of the stat panels."""
    host = stats.host
    return StatsData(
        active_tasks=stats.active_tasks,
        total_downloads=stats.total_downloads,
        total_uploads=stats.total_uploads,
        total_speed=round(stats.total_speed),
        cpu_usage=round(host.cpu, 1),
        memory_usage=round(host.memory, 1),
        disk_usage=round(host.disk, 1),
        uptime=int(host.uptime),
    )


def dashboard_stats(stats: Stats) -> DashboardStats:
    """The guide's message of the stat panels."""
    return DashboardStats(stats_data(stats), timestamp())


def broadcast(text: str, level: str = "info") -> Announcement:
    """The guide's message to people."""
    return Announcement(AnnouncementData(text, level), timestamp())
