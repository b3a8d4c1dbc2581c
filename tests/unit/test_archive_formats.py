"""The table of archive formats."""

from __future__ import annotations

from engines.archive.formats import FORMATS, format_of_name, strip_suffix
from engines.operations import ArchiveFormat


def test_every_format_that_can_be_made_has_a_row() -> None:
    assert set(FORMATS) == set(ArchiveFormat)


def test_suffixes_lead_back_to_their_format() -> None:
    for row in FORMATS.values():
        for suffix in row.suffixes:
            assert format_of_name("X" + suffix.upper()) is row.format
            assert strip_suffix("movies.v2" + suffix) == "movies.v2"


def test_other_names_ask_for_no_format_and_keep_their_suffix() -> None:
    assert format_of_name("movie.mkv") is None
    assert format_of_name(".zip") is None
    assert strip_suffix(".zip") == ".zip"
    assert strip_suffix("a.b") == "a.b"
