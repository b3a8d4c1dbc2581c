"""Results of unpacking, listing and testing in the guide's layouts."""

from __future__ import annotations

from typing import Any, Final

from engines import text
from engines.model import Json
from engines.names import display
from engines.operations import Unzip, ZipInfo, ZipTest
from engines.reply import Line, Reply

_NAMED: Final = 10
_TREE_LINES: Final = 200


def unzip_reply(op: Unzip, result: Json) -> Reply:
    """The guide's "Archive Extracted Successfully!", plus what deserves a word."""
    seconds = float(result["seconds"])
    broken = int(result["broken_count"])
    lines = [
        Line("Archive", result["archive"], icon="file"),
        Line("Files Extracted", f"{result['files'] + result['links']:,}", icon="archive"),
        Line("Total Size", text.size(result["size"]), icon="disk"),
        Line("Time Taken", text.elapsed(seconds), icon="time"),
        Line("Speed", text.rate(result["size"] / seconds if seconds > 0 else 0.0), icon="speed"),
        Line(""),
        Line("Destination", result["destination"], icon="file"),
    ]
    notes = [
        ("renamed", "Renamed because the name was taken"),
        ("skipped", "Skipped because they existed"),
        ("replaced", "Replaced"),
        ("nested", "Archives inside unpacked"),
    ]
    extra = [Line(label, f"{result[key]:,}") for key, label in notes if result.get(key)]
    if result.get("encoding"):
        extra.append(Line("Names read as", result["encoding"]))
    extra += _troubles("Left out", result["left_out"], result["left_out_count"])
    extra += _troubles("Damaged", result["broken"], broken)
    extra += [Line(warning, icon="warning") for warning in result["warnings"][:_NAMED]]
    if extra:
        lines += [Line(""), *extra]
    if broken:
        return Reply("Archive Extracted In Part", lines, icon="warning")
    return Reply("Archive Extracted Successfully!", lines, icon="done")


def _troubles(label: str, items: list[dict[str, Any]], count: int) -> list[Line]:
    if not count:
        return []
    lines = [Line(label, f"{count:,}", icon="warning")]
    lines += [Line(item["name"], item["why"], indent=1, bullet=True) for item in items[:_NAMED]]
    if count > _NAMED:
        lines.append(Line(f"and {count - _NAMED:,} more", indent=1, bullet=True))
    return lines


def zipinfo_reply(op: ZipInfo, result: Json) -> Reply:
    """The guide's "Archive Information"; `--files` and `--tree` add the members."""
    lines = [
        Line("File", result["archive"], icon="file"),
        Line("Files", f"{result['files']:,}", icon="chart"),
        Line("Original Size", text.size(result["size"]), icon="disk"),
        Line("Compressed Size", text.size(result["packed"]), icon="archive"),
        Line("Compression Ratio", text.ratio(result["ratio"]), icon="ratio"),
        Line("Format", result["format"].upper(), icon="info"),
    ]
    if result["encrypted"]:
        lines.append(Line("Encrypted", "yes", icon="lock"))
    if result["volumes"] > 1:
        lines.append(Line("Volumes", str(result["volumes"]), icon="archive"))
    if result.get("encoding"):
        lines.append(Line("Names read as", result["encoding"]))
    lines += [Line(warning, icon="warning") for warning in result["warnings"][:_NAMED]]
    if result.get("comment"):
        lines.append(Line("Comment", display(result["comment"], limit=300)))
    if result["show"]:
        shown = _tree(result["members"]) if result["show"] == "tree" else _table(result["members"])
        lines += [Line(""), *shown[:_TREE_LINES]]
        hidden = result["total_members"] - min(len(result["members"]), _TREE_LINES)
        if len(shown) > _TREE_LINES or result["truncated"]:
            lines.append(Line(f"… {max(1, hidden):,} more; --json shows up to 2,000"))
    lines += [Line(""), Line("Use unzip to extract this archive")]
    return Reply("Archive Information", lines, icon="archive")


def _table(members: list[dict[str, Any]]) -> list[Line]:
    width = max((len(text.size(item.get("size", 0))) for item in members), default=0)
    return [
        Line(f"{text.size(item.get('size', 0)):>{width}}  {item['name']}{_arrow(item)}")
        for item in members
        if item.get("kind", "file") != "folder"
    ]


def _arrow(item: dict[str, Any]) -> str:
    return f" -> {item['link']}" if item.get("link") else ""


def _tree(members: list[dict[str, Any]]) -> list[Line]:
    """Members as an indented tree; folders without a member of their own appear too."""
    root: dict[str, Any] = {}
    for item in members:
        node = root
        parts = [part for part in item["name"].split("/") if part not in ("", ".")]
        for part in parts[:-1]:
            below = node.setdefault(part, {})
            node = below if isinstance(below, dict) else {}
        if parts:
            leaf: Any = {} if item.get("kind") == "folder" else f"{text.size(item.get('size', 0))}{_arrow(item)}"
            node.setdefault(parts[-1], leaf)
    lines: list[Line] = []
    stack = [(name, value, 0) for name, value in sorted(root.items(), reverse=True)]
    while stack and len(lines) <= _TREE_LINES:
        name, value, depth = stack.pop()
        if isinstance(value, dict):
            lines.append(Line(f"{name}/", indent=min(depth, 20)))
            stack += [(child, below, depth + 1) for child, below in sorted(value.items(), reverse=True)]
        else:
            lines.append(Line(f"{name}  {value}", indent=min(depth, 20)))
    return lines


def ziptest_reply(op: ZipTest, result: Json) -> Reply:
    """What was verified."""
    seconds = float(result["seconds"])
    return Reply(
        "Archive Passed the Test",
        [
            Line("Archive", result["archive"], icon="file"),
            Line("Files Verified", f"{result['files']:,}", icon="archive"),
            Line("Total Size", text.size(result["size"]), icon="disk"),
            Line("Time Taken", text.elapsed(seconds), icon="time"),
            Line("Speed", text.rate(result["size"] / seconds if seconds > 0 else 0.0), icon="speed"),
        ],
        icon="done",
    )
