"""Results in the details: columns, sections, trees; hostile names stay text."""

from __future__ import annotations

import pytest

from widgets.glyphs import UNICODE
from widgets.result_rows import reply_rows, tree_rows
from widgets.spans import row_text, row_width

REPORT = """Media Information

File: v.mp4
Duration: 00:00:02

Video Streams:
  Stream 1:
    - Codec: H.264 (High 4:4:4 Predictive Profile)
    - Resolution: 640x360 @ 25 FPS

Quality: Very Low (360p)
A sentence of its own about what deserves a warning and is longer than the line"""


def test_values_stand_in_one_column() -> None:
    rows = [row_text(row) for row in reply_rows(REPORT, 60)]
    assert rows[0] == "Media Information"
    columns = {row.index(value) for row in rows for value in ("v.mp4", "00:00:02", "H.264", "640x360", "Very Low (")
               if value in row}  # fmt: skip
    assert len(columns) == 1
    assert "Video Streams" in rows and "  Stream 1" in rows


@pytest.mark.parametrize("width", [10, 24, 40, 120])
def test_no_row_is_wider_than_the_pane(width: int) -> None:
    members = [{"name": "a/" * 30 + "long name " * 9, "size": 1 << 40}, {"name": "日本語" * 20, "size": 1}]
    assert all(row_width(row) <= max(width, 20) for row in reply_rows(REPORT, width))
    assert all(row_width(row) <= max(width, 41) for row in tree_rows({"members": members}, width, UNICODE))


def test_tree_has_folders_first_and_tells_what_it_leaves_out() -> None:
    members = [{"name": "z.txt", "size": 5}, {"name": "b/c/x", "size": 7}, {"name": "b/a", "size": 1}]
    rows = [row_text(row).split() for row in tree_rows({"members": members, "truncated": True}, 40, UNICODE)]
    assert [row[0] for row in rows] == ["b/", "c/", "x", "a", "z.txt", "and"]


@pytest.mark.parametrize("name", ["../../etc", "", "/", "a//b", "x\x1b[31m", "\u202egnp", "a/b", "a"])
def test_strange_names_are_shown_and_do_no_harm(name: str) -> None:
    members = [{"name": "a", "size": 1}, {"name": name, "size": 2}, {"name": "a/b", "size": 3}]
    text = "".join(row_text(row) for row in tree_rows({"members": members}, 40, UNICODE))
    assert "\x1b" not in text and "\u202e" not in text
