"""The page of the terminal interface shows every picture that is drawn, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.screenshots import PICTURES

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_picture_is_drawn_and_shown() -> None:
    shown = set(re.findall(r"images/tui-([\w-]+)\.svg", (DOCS / "tui.md").read_text()))
    assert shown == set(PICTURES)
    assert shown == {path.stem.removeprefix("tui-") for path in (DOCS / "images").glob("tui-*.svg")}
