"""A command that waits for a task whose daemon is too busy to answer in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec
import pytest

from engines.errors import TaskdeckError
from engines.model import TaskState, TaskView, WaitReason
from tests.support.fake_tasks import make_view
from tui_app.cli import secret, waiting
from tui_app.client.local import LocalClient

ABSENT = TaskdeckError("daemon.absent", "cannot reach the daemon", "it does not answer")
LATE = TaskdeckError("task.state", "cannot unlock task t1", "it is running")


def at(state: TaskState, rev: int, reason: WaitReason = WaitReason.NONE) -> TaskView:
    return msgspec.structs.replace(make_view("t1", state=state), rev=rev, reason=reason)


ASKS = at(TaskState.WAITING, 3, WaitReason.PASSWORD)
STALE = at(TaskState.WAITING, 4, WaitReason.PASSWORD)
GOES_ON = at(TaskState.QUEUED, 5)
DONE = at(TaskState.COMPLETED, 6)


class BusyDaemon:
    """Answers by a list; an error stands for an answer that did not come."""

    locations = None

    def __init__(self, streams: list[list[TaskView | TaskdeckError]], unlocks: list[TaskView | TaskdeckError]) -> None:
        self.streams, self.unlocks = streams, unlocks
        self.given: list[str] = []

    def stream(self, path: str) -> Iterator[tuple[str, bytes]]:
        for item in self.streams.pop(0):
            if isinstance(item, TaskdeckError):
                raise item
            yield "task", msgspec.json.encode(item)

    def post(self, path: str, kind: Any, body: Any) -> TaskView:
        self.given.append(body.secrets["password"])
        answer = self.unlocks.pop(0)
        if isinstance(answer, TaskdeckError):
            raise answer
        return answer

    def get(self, path: str, kind: Any) -> Any:
        return type("Detail", (), {"view": GOES_ON})


@pytest.mark.parametrize(
    ("streams", "unlocks"),
    [
        ([[ASKS, STALE, DONE]], [GOES_ON]),
        ([[ASKS, ABSENT], [STALE, DONE]], [GOES_ON]),
        ([[ASKS, DONE]], [ABSENT, ABSENT, GOES_ON]),
        ([[ASKS, STALE, DONE]], [ABSENT, LATE]),
    ],
    ids=["an old announcement", "a new stream with an old announcement", "lost requests", "a lost answer"],
)
def test_a_password_is_asked_for_once(
    monkeypatch: pytest.MonkeyPatch, streams: list[list[TaskView | TaskdeckError]], unlocks: list[Any]
) -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "open sesame"

    monkeypatch.setattr(secret, "ask", ask)
    monkeypatch.setattr(waiting, "answers", lambda locations: True)
    daemon = BusyDaemon([list(stream) for stream in streams], list(unlocks))
    assert waiting.wait_for(cast("LocalClient", daemon), ASKS, quiet=True) == DONE
    assert len(asked) == 1
    assert daemon.given == ["open sesame"] * len(unlocks)
