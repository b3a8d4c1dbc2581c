"""The one sanitiser: nothing hostile passes, everything else stays as it is."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.names import REPLACEMENT, display, safe_component

HOSTILE = "\x00\x07\x1b\n\r\t\x7f\x9b\u200b\u200e\u202e\u2028\u2029\u2066\ufeff\ud800\U000e0041\xad\ufe0f"


def test_hostile_characters_are_replaced_one_by_one() -> None:
    assert display(f"a{HOSTILE}b") == "a" + REPLACEMENT * len(HOSTILE) + "b"


@pytest.mark.parametrize(
    "name", ["plain", "with space", "[b]markup[/b] <b>", "Straße", "日本語", "🎬", "-rf", "a'b\"c"]
)
def test_honest_names_stay(name: str) -> None:
    assert display(name) == name


def test_bytes_that_are_no_text_can_be_shown() -> None:
    assert display(b"caf\xe9") == "caf" + REPLACEMENT


@given(st.text(alphabet=st.characters(codec=None)), st.integers(min_value=4, max_value=60))
def test_shown_text_is_one_printable_line_within_its_limit(name: str, limit: int) -> None:
    shown = display(name, limit=limit)
    assert len(shown) <= limit
    assert len(shown.splitlines()) <= 1
    shown.encode()  # no lone surrogates
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in shown)


def test_long_name_keeps_head_and_tail() -> None:
    shown = display("a" * 100 + ".mkv", limit=20)
    assert shown.startswith("aaa") and shown.endswith(".mkv") and "…" in shown and len(shown) == 20


@pytest.mark.parametrize(
    ("given_name", "made"),
    [
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\evil.exe", "C:_evil.exe"),
        ("...hidden", "hidden"),
        ("", "file"),
        ("..", "file"),
        ("/", "_"),
        ("a\nb", "a_b"),
    ],
)
def test_foreign_name_becomes_one_harmless_component(given_name: str, made: str) -> None:
    assert safe_component(given_name) == made


@given(st.text())
def test_component_fits_the_file_system_and_leads_nowhere(name: str) -> None:
    made = safe_component(name)
    assert made not in ("", ".", "..") and "/" not in made and "\0" not in made
    assert len(os.fsencode(made)) <= 255


def test_cut_component_keeps_its_suffix() -> None:
    made = safe_component("é" * 300 + ".tar.gz")
    assert made.endswith(".gz") and len(made.encode()) <= 255
