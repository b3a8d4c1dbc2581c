"""The one sanitiser of foreign names: file names, tags and tool output are hostile text on every face."""

from __future__ import annotations

import os
import re
from typing import Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"

# C0 and C1 controls, line and paragraph separators, bidirectional controls, zero-width and invisible
# characters, variation selectors, tags, emoji modifiers (their width differs between terminals), lone surrogates.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f"
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\ud800-\udfff"
    "\U0001f3fb-\U0001f3ff\U000e0000-\U000e0fff]"
)
_COMPONENT_LIMIT: Final = 255  # bytes; NAME_MAX of every common Linux file system


def display(name: str | bytes | os.PathLike[str], *, limit: int = 4096) -> str:
    """A name as any face may show it: one line, no control, bidi or invisible characters.

    Markup ("[b]", "<b>") stays as it is; faces print it as plain text or escape it.

    Args:
        limit: Longest result in characters; longer names keep their head and tail round an ellipsis.
    """
    text = os.fsdecode(name)
    if not text.isascii() or not text.isprintable():
        text = _UNSAFE.sub(REPLACEMENT, text)
    if len(text) > limit:
        tail = max(1, limit // 3)
        text = f"{text[: limit - tail - 1]}…{text[-tail:]}"
    return text


def safe_component(name: str, *, fallback: str = "file") -> str:
    """A file name for a name that came from outside (a URL, a header, a chat): one path component.

    Slashes and controls become "_", leading dots are dropped, the result fits 255 bytes with its suffix kept.
    """
    name = _UNSAFE.sub("_", name).replace("/", "_").replace("\\", "_").strip().lstrip(".")
    if not name:
        name = fallback
    raw = os.fsencode(name)
    if len(raw) <= _COMPONENT_LIMIT:
        return name
    stem, suffix = os.path.splitext(name)
    suffix = suffix if len(os.fsencode(suffix)) <= 32 else ""
    room = _COMPONENT_LIMIT - len(os.fsencode(suffix))
    return os.fsencode(stem)[:room].decode("utf-8", "ignore") + suffix
