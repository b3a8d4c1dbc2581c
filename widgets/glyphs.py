"""The glyphs widgets draw with: a Unicode set of safe width (no emoji, no variation selectors) and an ASCII one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set. Every string is one cell wide, but for `levels`, which holds one cell a level."""

    bar: str
    bar_half: str
    """A half filled cell, or "" when the set has none."""
    bar_rest: str
    bar_unknown: str
    cursor: str
    mark: str
    levels: str
    """Sparkline levels, lowest first."""
    rule: str
    ellipsis: str
    down: str
    up: str
    dot: str
    lock: str
    prompt: str
    wait: str


UNICODE: Final = Glyphs(
    bar="━",
    bar_half="╸",
    bar_rest="─",
    bar_unknown="╌",
    cursor="▌",
    mark="◆",
    levels="▁▂▃▄▅▆▇█",
    rule="─",
    ellipsis="…",
    down="↓",
    up="↑",
    dot="·",
    lock="■",
    prompt="❯",
    wait="○",
)
ASCII: Final = Glyphs(
    bar="#",
    bar_half="",
    bar_rest="-",
    bar_unknown=".",
    cursor=">",
    mark="*",
    levels="_.-=oO%#",
    rule="-",
    ellipsis="~",
    down="v",
    up="^",
    dot="-",
    lock="!",
    prompt=">",
    wait=".",
)


def bar(fraction: float | None, width: int, glyphs: Glyphs) -> tuple[str, str]:
    """The filled and the empty part of a bar, `width` cells together; None draws an unknown share."""
    width = max(0, width)
    if fraction is None:
        return "", glyphs.bar_unknown * width
    halves = int(min(1.0, max(0.0, fraction)) * width * 2)
    filled = glyphs.bar * (halves // 2)
    if halves % 2 and glyphs.bar_half:
        filled += glyphs.bar_half
    return filled, glyphs.bar_rest * (width - len(filled))


def sparkline(values: list[float], width: int, glyphs: Glyphs, *, top: float | None = None) -> str:
    """The last `width` values as one row of levels, right aligned.

    Args:
        values: Oldest first.
        width: Cells.
        glyphs: The set to draw with.
        top: The value of the highest level; None takes the largest shown.
    """
    shown = values[-width:] if width > 0 else []
    highest = max(shown, default=0.0) if top is None else top
    last = len(glyphs.levels) - 1
    drawn = "".join(
        glyphs.levels[round(min(1.0, max(0.0, value / highest)) * last) if highest > 0 else 0] for value in shown
    )
    return drawn.rjust(max(0, width))
