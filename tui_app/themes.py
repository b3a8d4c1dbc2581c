"""Colour themes: a calm dark one (default), a light one, high contrast, and one in the terminal's own 16 colours."""

from __future__ import annotations

from typing import Final

from textual.theme import BUILTIN_THEMES, Theme

DEFAULT: Final = "taskdeck-dark"
ANSI: Final = "taskdeck-ansi"

VARIABLES: Final = {"rest": "#363b44", "cursor": "#2b3038", "faint": "#5c6472", "muted": "#8f97a6"}
"""Fall-backs of our own colour variables: the empty part of bars, the cursor's row, faint and muted text."""


def _variables(rest: str, cursor: str, faint: str, muted: str) -> dict[str, str]:
    return {
        "rest": rest,
        "cursor": cursor,
        "faint": faint,
        "muted": muted,
        "footer-background": "transparent",
        "scrollbar": rest,
        "scrollbar-hover": faint,
        "scrollbar-active": faint,
        "scrollbar-background": "transparent",
        "scrollbar-background-hover": "transparent",
        "scrollbar-background-active": "transparent",
        "scrollbar-corner-color": "transparent",
    }


# Greys keep a saturation (HLS) below 0.15: terminals of 256 colours then get them from the ramp of 24 greys, not from
# the coarse cube, where a bluish dark grey becomes navy or black.
THEMES: Final = (
    Theme(
        name=DEFAULT,
        primary="#6cb6ff",
        secondary="#5a7fa8",
        accent="#7dcfb6",
        foreground="#d5dae3",
        background="#14171b",
        surface="#1a1d22",
        panel="#20242a",
        success="#8bc98b",
        warning="#e5c07b",
        error="#f0808a",
        dark=True,
        variables=_variables("#363b44", "#2b3038", "#5c6472", "#8f97a6"),
    ),
    Theme(
        name="taskdeck-light",
        primary="#1f6fb8",
        secondary="#4a6d8c",
        accent="#0f766e",
        foreground="#1f2733",
        background="#fbfbf9",
        surface="#f4f4f1",
        panel="#ecece7",
        success="#2f7d32",
        warning="#8a5a00",
        error="#b3261e",
        dark=False,
        variables=_variables("#cfd3d6", "#e2e9f1", "#9aa1a9", "#5b6470"),
    ),
    Theme(
        name="taskdeck-contrast",
        primary="#5fd7ff",
        secondary="#ffffff",
        accent="#ffff00",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#000000",
        success="#5fff5f",
        warning="#ffd75f",
        error="#ff8787",
        dark=True,
        text_alpha=1.0,
        variables={
            **_variables("#8a8a8a", "#00005f", "#bcbcbc", "#e4e4e4"),
            "text-muted": "#e4e4e4",
            "text-disabled": "#bcbcbc",
        },
    ),
    Theme(
        name=ANSI,
        ansi=True,
        primary="ansi_blue",
        secondary="ansi_cyan",
        accent="ansi_cyan",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        success="ansi_green",
        warning="ansi_yellow",
        error="ansi_red",
        dark=True,
        variables={
            **BUILTIN_THEMES["ansi-dark"].variables,
            "rest": "ansi_bright_black",
            "cursor": "ansi_default",
            "faint": "ansi_bright_black",
            "muted": "ansi_default",
            "text-muted": "ansi_default",
            "text-primary": "ansi_blue",
            "text-warning": "ansi_yellow",
            "text-error": "ansi_red",
            "text-success": "ansi_green",
            "block-cursor-foreground": "ansi_black",
            "block-cursor-background": "ansi_white",
            "input-cursor-background": "ansi_white",
            "input-cursor-foreground": "ansi_black",
            "input-cursor-text-style": "reverse",
        },
    ),
)
NAMES: Final = tuple(theme.name for theme in THEMES)
