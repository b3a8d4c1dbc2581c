"""Results in the guide's layouts: one description, rendered with emoji (web, chat) or plain (terminal)."""

from __future__ import annotations

from typing import Final

import msgspec

ICONS: Final[dict[str, str]] = {
    "done": "✅",
    "failed": "❌",
    "archive": "📦",
    "file": "📁",
    "disk": "💾",
    "chart": "📊",
    "ratio": "📈",
    "time": "⏱️",
    "clock": "⏱",
    "speed": "🚀",
    "signal": "📡",
    "video": "🎬",
    "codec": "📹",
    "audio": "🔊",
    "channels": "🎙️",
    "subtitle": "💬",
    "star": "⭐",
    "warning": "⚠️",
    "lock": "🔒",
    "info": "ℹ️",
}


class Line(msgspec.Struct, frozen=True):
    """One line: an icon key of `ICONS` (or ""), a label and a value; nesting by `indent` levels."""

    text: str
    value: str | None = None
    icon: str = ""
    indent: int = 0
    bullet: bool = False


class Reply(msgspec.Struct, frozen=True):
    """A titled list of lines; an empty `Line("")` is a blank line. All text must be display-safe."""

    title: str
    lines: list[Line]
    icon: str = ""
    image: str = ""
    """Path of a picture that faces show or send, "" for none."""

    def render(self, *, emoji: bool) -> str:
        """The reply as text; `emoji=False` for terminals (no icons, no wide glyphs)."""
        return "\n".join(
            [_render(Line(self.title, icon=self.icon), emoji), "", *(_render(x, emoji) for x in self.lines)]
        )


def _render(line: Line, emoji: bool) -> str:
    icon = f"{ICONS[line.icon]} " if emoji and line.icon else ""
    bullet = ("• " if emoji else "- ") if line.bullet else ""
    text = f"{line.text}: {line.value}" if line.value is not None else line.text
    return f"{'  ' * line.indent}{icon}{bullet}{text}".rstrip()
