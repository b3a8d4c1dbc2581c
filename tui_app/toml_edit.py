"""Change one value in a TOML text and leave everything else, comments included, as it is."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from engines.errors import TaskdeckError

_TABLE = re.compile(r"\s*\[\s*([A-Za-z0-9_.-]+)\s*\]\s*(#.*)?$")
_ANY_TABLE = re.compile(r"\s*\[")


def set_value(text: str, key: str, value: Any) -> str:
    """The text with `key` ("web.port" or "roots") set to a bool, number, string, list or flat dict.

    The result is parsed again and compared: an edit that would change anything else is refused.

    Raises:
        TaskdeckError: `settings.invalid` when the file's layout is beyond this editor.
    """
    section, dot, name = key.rpartition(".")
    lines = text.splitlines()
    line = f"{name} = {literal(value)}"
    start, end = _section(lines, section if dot else "")
    if isinstance(value, dict) and _section(lines, key)[0] is not None:
        _fill_table(lines, key, value)
    elif start is None:
        if lines and lines[-1].strip():
            lines.append("")
        lines += [f"[{section}]", line]
    else:
        found = _assignment(lines, start, end, name)
        if found is not None:
            first, last = found
            lines[first:last] = [line]
        else:
            _append(lines, start, end, line)
    edited = "\n".join(lines) + "\n"
    _verify(text, edited, section if dot else "", name, value)
    return edited


def _fill_table(lines: list[str], table: str, value: dict[str, Any]) -> None:
    """Give a `[section.name]` table other entries; its comments stay."""
    for name in tomllib.loads("\n".join(lines)).get(table.split(".")[0], {}).get(table.split(".")[-1], {}):
        start, end = _section(lines, table)
        found = _assignment(lines, start or 0, end, name)
        if found is not None:
            first, last = found
            lines[first:last] = [f"{_quote(name)} = {literal(value[name])}"] if name in value else []
    for name, item in value.items():
        start, end = _section(lines, table)
        if _assignment(lines, start or 0, end, name) is None:
            _append(lines, start or 0, end, f"{_quote(name)} = {literal(item)}")


def _append(lines: list[str], start: int, end: int, line: str) -> None:
    """Put a line at the end of a section, before the blank lines there."""
    at = end
    while at > start and not lines[at - 1].strip():
        at -= 1
    lines.insert(at, line)


def literal(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quote(name)} = {literal(item)}" for name, item in value.items()) + "}"
    return _quote(str(value))


def _quote(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    body = "".join(
        escapes.get(char) or (f"\\u{ord(char):04x}" if ord(char) < 32 or ord(char) == 127 else char) for char in text
    )
    return f'"{body}"'


def _section(lines: list[str], section: str) -> tuple[int | None, int]:
    """First line after the section's header and the line where it ends; the root section starts at 0."""
    start: int | None = None if section else 0
    for number, line in enumerate(lines):
        if not _ANY_TABLE.match(line):
            continue
        if start is not None:
            return start, number
        match = _TABLE.match(line)
        if match and match[1] == section:
            start = number + 1
    return start, len(lines)


def _assignment(lines: list[str], start: int, end: int, name: str) -> tuple[int, int] | None:
    """The lines `[first, last)` of an assignment, which may span several (arrays)."""
    pattern = re.compile(rf"\s*(?:{re.escape(name)}|\"{re.escape(name)}\")\s*=")
    for first in range(start, end):
        if not pattern.match(lines[first]):
            continue
        for last in range(first + 1, len(lines) + 1):
            try:
                tomllib.loads("\n".join(lines[first:last]))
            except tomllib.TOMLDecodeError:
                continue
            return first, last
    return None


def _verify(before: str, after: str, section: str, name: str, value: Any) -> None:
    try:
        expected = tomllib.loads(before)
        (expected.setdefault(section, {}) if section else expected)[name] = value
        good = tomllib.loads(after) == expected
    except (tomllib.TOMLDecodeError, AttributeError, TypeError):
        good = False
    if not good:
        raise TaskdeckError(
            "settings.invalid",
            f"cannot change {section + '.' if section else ''}{name} in the settings file",
            "its layout is too unusual to edit safely",
            "edit it by hand (`taskdeck config path` tells where it is)",
        )
