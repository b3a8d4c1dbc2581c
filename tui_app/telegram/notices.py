"""Which endings a user hears of, and when without sound."""

from __future__ import annotations

import re
import time
from enum import StrEnum
from typing import Final

from engines.errors import TaskdeckError
from engines.model import TaskState, TaskView
from engines.names import display

_HOURS: Final = re.compile(r"(\d{1,2}):(\d{2})\s*[-–—]\s*(\d{1,2}):(\d{2})")


class Level(StrEnum):
    """Which endings are told."""

    ALL = "all"
    """Of every task one may see, whoever started it and on whatever face."""
    OWN = "own"
    """Of one's own tasks."""
    FAILED = "failed"
    """Only own tasks that failed."""
    NONE = "none"
    """No endings; answers and the status message stay."""


def parse_level(text: str) -> Level:
    """A level by its name; raises TaskdeckError `value`."""
    try:
        return Level(text.casefold())
    except ValueError:
        known = ", ".join(level.value for level in Level)
        raise TaskdeckError("value", f"cannot notify '{display(text)}'", f"known are {known}") from None


def parse_quiet(text: str) -> tuple[int, int] | None:
    """Quiet hours "22:00-07:00" as minutes of the day, None for "" and "off"; raises TaskdeckError `value`."""
    if text.strip().casefold() in ("", "off", "none"):
        return None
    match = _HOURS.fullmatch(text.strip())
    if match:
        first, last = (int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4]))
        if int(match[1]) < 24 and int(match[3]) <= 24 and int(match[2]) < 60 and int(match[4]) < 60:
            return first, last % (24 * 60)
    raise TaskdeckError("value", f"cannot use '{display(text)}' as quiet hours", "", "write them like 22:00-07:00")


def is_quiet(hours: tuple[int, int] | None, now: float) -> bool:
    """Whether a moment (seconds since the epoch) lies in the quiet hours, by local time."""
    if hours is None:
        return False
    moment = time.localtime(now)
    minute = moment.tm_hour * 60 + moment.tm_min
    first, last = hours
    return first <= minute < last if first <= last else minute >= first or minute < last


def wants(level: Level, view: TaskView, *, own: bool) -> bool:
    """Whether an ending is told at a level. A task that was cancelled is told to nobody who did not start it."""
    if level is Level.NONE:
        return False
    if level is Level.FAILED:
        return own and view.state is TaskState.FAILED
    return own or (level is Level.ALL and view.state is not TaskState.CANCELLED)
