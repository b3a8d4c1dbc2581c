"""The one state machine: which step leads from which state to which. Everything else asks this table."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from engines.errors import TaskdeckError
from engines.model import Action, TaskState

_S = TaskState


class Step(StrEnum):
    """What can happen to a task; recorded as the type of its events."""

    SUBMIT = "submit"
    READY = "ready"
    """What it waited for has come."""
    WAIT = "wait"
    """It must wait: for a time, a dependency, disk space, a password, the next retry."""
    START = "start"
    PAUSE = "pause"
    PAUSED = "paused"
    """Its process group stands still."""
    KEEP = "keep"
    """It stays paused: until another time, or now because a user wants it."""
    HOLD = "hold"
    """Paused by the engine: the disk is full."""
    RESUME = "resume"
    SUSPEND = "suspend"
    """Its process is gone (shutdown, crash of the daemon); it goes on later from its checkpoint."""
    CANCEL = "cancel"
    CANCELLED = "cancelled"
    COMPLETE = "complete"
    FAIL = "fail"
    RETRY = "retry"
    REMOVE = "remove"
    UNLOCK = "unlock"
    """It was given a secret; its state changes in a step of its own."""


TRANSITIONS: Final[dict[Step, dict[TaskState, frozenset[TaskState]]]] = {
    Step.READY: {
        _S.WAITING: frozenset({_S.QUEUED}),
    },
    Step.WAIT: {
        _S.QUEUED: frozenset({_S.WAITING}),
        _S.RUNNING: frozenset({_S.WAITING}),
        _S.PAUSING: frozenset({_S.PAUSED}),
        _S.WAITING: frozenset({_S.WAITING}),
    },
    Step.START: {
        _S.QUEUED: frozenset({_S.RUNNING}),
    },
    Step.PAUSE: {
        _S.RUNNING: frozenset({_S.PAUSING}),
        _S.QUEUED: frozenset({_S.PAUSED}),
        _S.WAITING: frozenset({_S.PAUSED}),
    },
    Step.PAUSED: {
        _S.PAUSING: frozenset({_S.PAUSED}),
    },
    Step.KEEP: {
        _S.PAUSED: frozenset({_S.PAUSED}),
    },
    Step.HOLD: {
        _S.RUNNING: frozenset({_S.PAUSED}),
        _S.PAUSING: frozenset({_S.PAUSED}),
    },
    Step.RESUME: {
        _S.PAUSED: frozenset({_S.RUNNING, _S.QUEUED, _S.WAITING}),
    },
    Step.SUSPEND: {
        _S.RUNNING: frozenset({_S.QUEUED, _S.WAITING}),
        _S.QUEUED: frozenset({_S.WAITING}),
        _S.PAUSING: frozenset({_S.PAUSED}),
        _S.CANCELLING: frozenset({_S.CANCELLED}),
    },
    Step.CANCEL: {
        _S.QUEUED: frozenset({_S.CANCELLED, _S.CANCELLING}),
        _S.WAITING: frozenset({_S.CANCELLED, _S.CANCELLING}),
        _S.PAUSED: frozenset({_S.CANCELLED, _S.CANCELLING}),
        _S.RUNNING: frozenset({_S.CANCELLING}),
        _S.PAUSING: frozenset({_S.CANCELLING}),
    },
    Step.CANCELLED: {
        _S.CANCELLING: frozenset({_S.CANCELLED}),
    },
    Step.COMPLETE: {
        # A job that published its output before the request reached it has completed: that is the truth.
        _S.RUNNING: frozenset({_S.COMPLETED}),
        _S.PAUSING: frozenset({_S.COMPLETED}),
        _S.CANCELLING: frozenset({_S.COMPLETED}),
        # Frozen between its last word and its end.
        _S.PAUSED: frozenset({_S.COMPLETED}),
        _S.QUEUED: frozenset({_S.COMPLETED}),
    },
    Step.FAIL: {
        _S.RUNNING: frozenset({_S.FAILED}),
        _S.PAUSING: frozenset({_S.FAILED}),
        _S.QUEUED: frozenset({_S.FAILED}),
        _S.WAITING: frozenset({_S.FAILED}),
        _S.PAUSED: frozenset({_S.FAILED}),
    },
    Step.RETRY: {
        _S.FAILED: frozenset({_S.QUEUED, _S.WAITING}),
        _S.CANCELLED: frozenset({_S.QUEUED, _S.WAITING}),
    },
    Step.UNLOCK: {state: frozenset({state}) for state in (_S.WAITING, _S.QUEUED, _S.PAUSED)},
    Step.REMOVE: {
        _S.COMPLETED: frozenset(),
        _S.FAILED: frozenset(),
        _S.CANCELLED: frozenset(),
    },
}
"""Step -> state it starts from -> states it may lead to. `Step.SUBMIT` makes a task; see `FIRST`."""

FIRST: Final = frozenset({_S.QUEUED, _S.WAITING, _S.PAUSED})
"""States in which a task may be born."""

_ASKED: Final = {
    Action.PAUSE: Step.PAUSE,
    Action.RESUME: Step.RESUME,
    Action.CANCEL: Step.CANCEL,
    Action.RETRY: Step.RETRY,
    Action.REMOVE: Step.REMOVE,
}

ACTIONS: Final[dict[TaskState, tuple[Action, ...]]] = {
    state: tuple(action for action in Action if state in TRANSITIONS[_ASKED[action]]) for state in TaskState
}
"""What a user may ask of a task in each state."""

_WORDS: Final = {
    _S.WAITING: "it is waiting",
    _S.QUEUED: "it is in the queue",
    _S.RUNNING: "it is running",
    _S.PAUSING: "it is about to pause",
    _S.PAUSED: "it is paused",
    _S.CANCELLING: "it is being cancelled",
    _S.COMPLETED: "it has completed",
    _S.FAILED: "it has failed",
    _S.CANCELLED: "it was cancelled",
}


def step_of(action: Action) -> Step:
    """The step that a user's action asks for."""
    return _ASKED[action]


def demand(task_id: str, state: TaskState, step: Step) -> None:
    """Refuse a step that the state does not allow.

    Raises:
        TaskdeckError: `task.state`.
    """
    if state not in TRANSITIONS[step]:
        raise TaskdeckError("task.state", f"cannot {step.value} task {task_id}", _WORDS[state])


def demand_move(task_id: str, state: TaskState, step: Step, target: TaskState) -> None:
    """Refuse a move that is not in the table: a fault of the engine when the step itself was allowed.

    Raises:
        TaskdeckError: `task.state`.
    """
    demand(task_id, state, step)
    if target not in TRANSITIONS[step][state]:
        raise TaskdeckError("task.state", f"cannot {step.value} task {task_id}", f"{state} does not lead to {target}")
