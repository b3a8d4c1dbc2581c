"""Commands as phones write them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import TaskdeckError
from tui_app.telegram.tokenizer import parse_command, tokenize


def words(text: str) -> list[str]:
    return [token.text for token in tokenize(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a b  c", ["a", "b", "c"]),
        ("'a b' c", ["a b", "c"]),
        ('"a b" c', ["a b", "c"]),
        ("“a b” c", ["a b", "c"]),
        ("„a b“ c", ["a b", "c"]),
        ("”a b” c", ["a b", "c"]),
        ("«a b» c", ["a b", "c"]),
        ("‘a b’ c", ["a b", "c"]),
        ("don't stop", ["don't", "stop"]),
        ("rock 'n' roll", ["rock", "n", "roll"]),
        ('5" disk', ['5"', "disk"]),
        ("a\\ b c", ["a b", "c"]),
        ('"a \\" b"', ['a " b']),
        ("a\nb\tc", ["a", "b", "c"]),
        ("no\u00a0break", ["no\u00a0break"]),
        ("—exclude x", ["--exclude", "x"]),
        ("“a”.zip", ["“a”.zip"]),
        ('""', [""]),
        ("C:\\x", ["C:\\x"]),
        ("日本 語", ["日本", "語"]),
    ],
)
def test_words(text: str, wanted: list[str]) -> None:
    assert words(text) == wanted


@pytest.mark.parametrize("text", ['"open', "a 'b c", '"a\\"'])
def test_a_quote_that_is_not_closed_is_an_error_not_a_guess(text: str) -> None:
    with pytest.raises(TaskdeckError, match="not closed"):
        tokenize(text)


def test_quoted_words_are_no_options() -> None:
    assert [token.option for token in tokenize("--a '--b' — --")] == [True, False, False, False]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("/zip a", "zip"),
        ("/ZIP a", "zip"),
        ("  /zip@Test_Bot a", "zip"),
        ("/zip\na", "zip"),
        ("/zip", "zip"),
        ("/zip@other_bot a", None),
        ("/zip@test_bot2 a", None),
        ("zip a", None),
        ("/ zip", None),
        ("/zip/x", None),
        ("/ziparc", "ziparc"),
        ("", None),
    ],
)
def test_command_names(text: str, name: str | None) -> None:
    command = parse_command(text, bot="test_bot")
    assert (command.name if command else None) == name


def test_joined_words_keep_the_spaces_that_were_typed() -> None:
    command = parse_command("/zip my  old   movies 9", bot="b")
    assert command is not None
    assert command.joined(0, 2) == "my  old   movies"


@given(st.text())
def test_any_text_gives_words_or_a_clear_error(text: str) -> None:
    try:
        tokens = tokenize(text)
    except TaskdeckError as error:
        assert error.code == "usage"
        return
    assert all(before.end <= after.start for before, after in itertools.pairwise(tokens))
    assert all(0 <= token.start < token.end <= len(text) for token in tokens)


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20), max_size=5))
def test_what_is_quoted_comes_back_exactly(given_words: list[str]) -> None:
    quoted = " ".join(
        '"' + word.replace("\\", "\\\\").translate({ord(c): "\\" + c for c in '"”“„'}) + '"' for word in given_words
    )
    assert words(quoted) == given_words
