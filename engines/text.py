"""The one formatter of numbers. Sizes are decimal (1 MB = 10^6 bytes); binary units are labelled MiB."""

from __future__ import annotations

import math
import re
from typing import Final

_DECIMAL: Final = ("B", "KB", "MB", "GB", "TB", "PB", "EB")

_DIGITS: Final = re.compile(r"([0-9]+)")


def size(count: float, *, digits: int = 2) -> str:
    """Bytes for people: 999 -> "999 B", 4_520_000_000 -> "4.52 GB"."""
    value = float(count)
    for unit in _DECIMAL:
        if abs(value) < 999.995 or unit == _DECIMAL[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.{digits}f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def rate(per_second: float, unit: str = "bytes") -> str:
    """Speed for people: bytes give "5.20 MB/s", media seconds "2.4x" (of real time), other units "24.0 frames/s"."""
    if unit == "bytes":
        return f"{size(per_second)}/s"
    if unit == "seconds":
        return f"{per_second:.1f}x"
    return f"{per_second:.1f} {unit}/s"


def bit_rate(per_second: float) -> str:
    """Bits per second for people, decimal: 3_800_000 -> "3.8 Mbps", 320_000 -> "320 Kbps"."""
    if per_second < 999.5:
        return f"{per_second:.0f} bps"
    if per_second < 999_500:
        return f"{per_second / 1000:.0f} Kbps"
    return f"{per_second / 1e6:.1f} Mbps"


def amount(count: float, unit: str = "bytes") -> str:
    """A quantity in its unit: bytes as a size, seconds as a clock, anything else as a whole number."""
    if unit == "bytes":
        return size(count)
    if unit == "seconds":
        return clock(count)
    return f"{count:,.0f} {unit.removesuffix('s') if count == 1 else unit}"


def clock(seconds: float) -> str:
    """A duration as HH:MM:SS, rounded down; days count as hours ("30:00:00")."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02d}:{whole % 3600 // 60:02d}:{whole % 60:02d}"


def elapsed(seconds: float) -> str:
    """A measured time as the guide prints it: "45.23s"."""
    return f"{seconds:.2f}s"


def uptime(seconds: float) -> str:
    """A long time in words: "12 days 5 hours", "3 hours 20 minutes", "45 seconds"."""
    whole = max(0, int(seconds))
    parts = [
        (whole // 86400, "day"),
        (whole % 86400 // 3600, "hour"),
        (whole % 3600 // 60, "minute"),
        (whole % 60, "second"),
    ]
    while len(parts) > 1 and parts[0][0] == 0:
        parts.pop(0)
    return " ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in parts[:2])


def saved(original: int, packed: int) -> float:
    """The guide's compression ratio in percent: (1 - packed / original) * 100; 0 for nothing."""
    return (1 - packed / original) * 100 if original else 0.0


def ratio(percentage: float) -> str:
    """A compression ratio as the guide prints it: "30.5%"; what hardly grew is "0.0%", never "-0.0%"."""
    return f"{round(percentage, 1) + 0.0:.1f}%"


def percent(fraction: float, *, digits: int = 1) -> str:
    """A share between 0 and 1 as "45.3%"."""
    return f"{fraction * 100:.{digits}f}%"


def natural(name: str) -> tuple[tuple[tuple[int, str], ...], str]:
    """A sort key as people order names: f1, f2, f10; without regard to case, then exact."""
    parts = _DIGITS.split(name.casefold())
    return tuple((len(part.lstrip("0")) if n % 2 else 0, part.lstrip("0") if n % 2 else part)
                 for n, part in enumerate(parts)), name  # fmt: skip


def plural(count: int, word: str) -> str:
    """ "1 file", "2,400 files"."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def parse_size(text: str) -> int:
    """Bytes from "700", "1.5GB", "2000 MB", "512MiB"; raises ValueError otherwise."""
    cleaned = text.strip().replace(" ", "").replace("_", "")
    lowered = cleaned.lower()
    for power, letter in enumerate("kmgtpe", 1):
        for suffix, base in ((f"{letter}ib", 1024), (f"{letter}b", 1000), (letter, 1000)):
            if lowered.endswith(suffix):
                return _positive(cleaned[: -len(suffix)], base**power)
    return _positive(cleaned.removesuffix("b").removesuffix("B"), 1)


def parse_duration(text: str) -> float:
    """Seconds from "90", "45s", "10m", "1h30m", "2d", "00:01:30"; raises ValueError otherwise."""
    seconds = _duration(text.strip().lower())
    if not math.isfinite(seconds):
        raise ValueError(f"not a duration: {text!r}")
    return seconds


def _duration(cleaned: str) -> float:
    if ":" in cleaned:
        seconds = 0.0
        for part in cleaned.split(":"):
            seconds = seconds * 60 + float(part)
        return seconds
    units = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
    total, number = 0.0, ""
    for char in cleaned:
        if char in units:
            total += float(number) * units[char]
            number = ""
        else:
            number += char
    return total + (float(number) if number else 0.0)


def _positive(number: str, factor: int) -> int:
    value = float(number) * factor
    if value < 0 or value != value or value == float("inf"):
        raise ValueError(f"not a size: {number!r}")
    return int(value)
