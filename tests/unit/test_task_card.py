"""Cards as golden text: every state, several widths, names that try to break out."""

from __future__ import annotations

import pytest

from engines.errors import ErrorInfo
from engines.model import TaskState
from engines.names import display
from tests.support.fake_tasks import make_view
from widgets.glyphs import ASCII, UNICODE, bar, sparkline
from widgets.spans import cell_len, cut, cut_middle, row_text, wrap
from widgets.task_card import Look, card, hint_at

HINTS = (("p", "pause", "task.pause"), ("x", "cancel", "task.cancel"))


def drawn(look: Look, **changes: object) -> list[str]:
    return [row_text(row) for row in card(make_view(**changes), look)]  # type: ignore[arg-type]


def test_running_card_at_80_columns() -> None:
    assert drawn(Look(78, cursor=True, hints=HINTS)) == [
        "▌  movies                                                     zip     running ",
        "▌  ━━━━━━━━━━━───────────────────────────────   26.5%   12.40 MB/s   00:04:27 ",
        "▌  1.20 GB of 4.52 GB     season 1/episode 04.mkv           p pause  x cancel ",
    ]


def test_marked_one_row_card() -> None:
    assert drawn(Look(50, compact=True, marked=True)) == [" ◆ movies            ━━╸───────  26.5%    running "]


def test_failed_card_says_why() -> None:
    rows = drawn(
        Look(78), state=TaskState.FAILED, error=ErrorInfo("disk.full", "cannot write 'a.zip': the disk is full.")
    )
    assert rows[2].strip() == "cannot write 'a.zip': the disk is full."


def test_completed_card_shows_size_and_place() -> None:
    rows = drawn(Look(78), state=TaskState.COMPLETED, finished=1.0, started=0.0, output="/home/ada/movies.zip")
    assert "100.0%" in rows[1]
    assert rows[2].strip() == "4.52 GB  /home/ada/movies.zip"


@pytest.mark.parametrize("state", list(TaskState))
def test_state_is_always_a_word(state: TaskState) -> None:
    assert state.value in drawn(Look(60), state=state)[0]
    assert state.value in drawn(Look(44, compact=True), state=state)[0]


@pytest.mark.parametrize("width", [40, 44, 50, 60, 80, 120, 200])
@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "日本語の映画 第一話.mkv",
        "⚠️ ❤️ 👍🏽 family 👨‍👩‍👧 flag 🇩🇪",
        "evil\x1b]0;owned\x07\x1b[2J\nname",
        "[@click=app.quit]evil[/]",
        "\u202egpj.exe",
        "x" * 300,
        "\udcff broken",
    ],
)
@pytest.mark.parametrize("compact", [False, True])
def test_every_row_is_exactly_as_wide_as_asked(width: int, name: str, compact: bool) -> None:
    title = display(name)
    for cursor in (False, True):
        for text in drawn(Look(width, compact=compact, cursor=cursor, hints=HINTS), title=title, item=title):
            assert cell_len(text) <= width
            assert "\x1b" not in text and "\n" not in text and "\u202e" not in text


def test_bar_is_readable_without_colour() -> None:
    for glyphs in (UNICODE, ASCII):
        filled, rest = bar(0.5, 10, glyphs)
        assert len(filled + rest) == 10
        assert set(filled).isdisjoint(rest)


def test_bar_of_unknown_share_has_a_glyph_of_its_own() -> None:
    assert bar(None, 4, UNICODE) == ("", "╌╌╌╌")


def test_ascii_set_is_ascii() -> None:
    look = Look(78, glyphs=ASCII, cursor=True, marked=True, hints=HINTS)
    assert all(text.isascii() for text in drawn(look, title="a" * 200))
    assert sparkline([1, 2, 3], 5, ASCII).isascii()


def test_compact_card_is_one_row() -> None:
    assert len(drawn(Look(50, compact=True))) == 1


def test_clicks_find_the_hint_under_them() -> None:
    look = Look(78, cursor=True, hints=HINTS)
    text = drawn(look)[2]
    assert hint_at(look, text.index("pause")) == "task.pause"
    assert hint_at(look, text.index("cancel")) == "task.cancel"
    assert hint_at(look, 10) is None


def test_pending_word_replaces_the_state() -> None:
    assert "u undoes" in drawn(Look(78, pending="u undoes"))[0]


def test_cut_counts_cells_not_characters() -> None:
    assert cell_len(cut("日本語の映画", 7)) <= 7
    assert cut_middle("/home/ada/pictures/2025/holiday.zip", 20).endswith("holiday.zip")


def test_wrap_breaks_long_words_and_keeps_everything() -> None:
    lines = wrap("a " + "b" * 25 + " 日本語", 10)
    assert all(cell_len(line) <= 10 for line in lines)
    assert "".join(lines).replace(" ", "") == "a" + "b" * 25 + "日本語"


def test_sparkline_levels_follow_values() -> None:
    assert sparkline([0, 50, 100], 3, UNICODE, top=100) == "▁▅█"
    assert sparkline([], 3, UNICODE) == "   "
