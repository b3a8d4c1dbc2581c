"""Points in time as people type them: "14:00", "10m", "2026-01-30T12:00"."""

from __future__ import annotations

import re
import time

from engines.errors import TaskdeckError
from engines.names import display
from engines.text import parse_duration

_FORMS = "write 14:00, 10m, 1h30m or 2026-01-30T12:00"
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")


def moment(text: str, *, now: float | None = None) -> float:
    """Seconds since the epoch: a clock time (the next one), a duration from now, or a local date and time.

    Raises:
        TaskdeckError: `value` for anything else, or a time that has passed.
    """
    at = time.time() if now is None else now
    cleaned = text.strip()
    if match := _CLOCK.fullmatch(cleaned):
        return _next_clock(at, int(match[1]), int(match[2]), int(match[3] or 0))
    for form in ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"):
        try:
            found = time.mktime(time.strptime(cleaned, form))
        except (ValueError, OverflowError):
            continue
        if found <= at:
            raise _not_a_time(text, "it has passed")
        return found
    if ":" in cleaned:
        raise _not_a_time(text, _FORMS)
    return at + duration(text)


def duration(text: str) -> float:
    """Seconds: "90", "10m", "1h30m".

    Raises:
        TaskdeckError: `value`.
    """
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 10 * 365 * 86400:
        raise _not_a_time(text, _FORMS)
    return seconds


def _next_clock(at: float, hour: int, minute: int, second: int) -> float:
    today = time.localtime(at)
    for days in (0, 1):
        found = time.mktime((today.tm_year, today.tm_mon, today.tm_mday + days, hour, minute, second, 0, 0, -1))
        if found > at:
            return found
    return found


def _not_a_time(text: str, why: str) -> TaskdeckError:
    return TaskdeckError("value", f"cannot use the time '{display(text, limit=60)}'", why)
