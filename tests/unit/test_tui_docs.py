"""The page of the terminal interface follows the action table."""

from __future__ import annotations

from pathlib import Path

from tui_app.keys import KEYS, key_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tui.md"


def test_the_key_table_of_the_docs_lists_every_key() -> None:
    text = PAGE.read_text()
    assert key_table() in text, "run scripts/make_docs.py"
    assert all(f"`{name}`" in text for name in KEYS)


def test_every_picture_of_the_docs_exists() -> None:
    names = [part.split(")")[0] for part in PAGE.read_text().split("](images/")[1:]]
    assert names
    for name in names:
        assert (PAGE.parent / "images" / name).is_file(), name
