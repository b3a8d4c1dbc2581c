"""The command line's parsers, times, lines and completion, without a daemon."""

from __future__ import annotations

import io
import time

import pytest

from engines.errors import CODES, Exit, TaskdeckError
from engines.model import TaskState
from engines.operations import OPERATIONS, ArchiveFormat
from tests.support.fake_tasks import make_view
from tui_app.cli import complete, operate
from tui_app.cli.context import Context
from tui_app.cli.moments import duration, moment
from tui_app.cli.output import Meter, bar, cells, fit, pad, task_line
from tui_app.cli.parser import command_parser, exit_table, find_command, parse_program
from tui_app.cli.registry import commands


def parsed(*words: str) -> dict[str, object]:
    _, name, rest = parse_program(list(words))
    assert name is not None
    return operate.operation_data(name, command_parser(find_command(name)).parse_words(rest))[0]


def test_every_operation_of_the_table_is_a_command_with_its_examples() -> None:
    for name, spec in OPERATIONS.items():
        assert commands()[name].summary == spec.summary
        for example in spec.examples:
            if "\\" not in example and "*" not in example and "'" not in example:
                assert parsed(*example.split())["op"] == name


def test_options_may_stand_between_optional_positionals() -> None:
    wanted = {"op": "zip", "path": "a b", "format": "tar.gz", "level": 9, "exclude": ["*.o", "*.a"]}
    assert parsed("zip", "a b", "tar.gz", "9", "--exclude", "*.o", "--exclude", "*.a") == wanted
    assert parsed("zip", "--exclude", "*.o", "a b", "--detach", "tar.gz", "--exclude=*.a", "9") == wanted


def test_paths_that_look_like_options_follow_two_dashes() -> None:
    assert parsed("zip", "--", "-rf")["path"] == "-rf"
    assert parsed("zip", "--json", "--", "--json", "tar")["path"] == "--json"


def test_a_positional_that_was_skipped_can_be_an_option() -> None:
    assert parsed("zip", "x", "--level", "3") == {"op": "zip", "path": "x", "level": 3}
    with pytest.raises(TaskdeckError, match="twice"):
        parsed("zip", "x", "zip", "3", "--level", "3")


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["zip", "x", "zip", "10"], "value", "from 0 to 9"),
        (["zip", "x", "zip", "-1"], "value", "from 0 to 9"),
        (["zip", "x", "zip", "nine"], "value", "whole number"),
        (["zip", "x", "rar"], "value", "tar.zst"),
        (["zip"], "usage", "PATH"),
        (["zip", "x", "zip", "1", "extra"], "usage", "extra"),
        (["zpi", "x"], "usage", "taskdeck zip"),
        (["zip", "x", "--detatch"], "usage", "--detatch"),
    ],
)
def test_bad_words_are_refused_with_a_hint(words: list[str], code: str, why: str) -> None:
    with pytest.raises(TaskdeckError) as refused:
        parsed(*words)
    assert refused.value.code == code
    assert why in refused.value.message


def test_every_error_code_leads_to_a_documented_exit_status() -> None:
    documented = {status for status, _, _ in exit_table()}
    assert documented == {status.value for status in Exit}
    assert {info.exit.value for info in CODES.values()} <= documented


NOON = time.mktime((2026, 1, 30, 12, 0, 0, 0, 0, -1))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("14:00", 7200), ("11:59", 86340), ("10m", 600), ("1h30m", 5400), ("90", 90), ("2026-01-30T12:01", 60)],
)
def test_times_are_understood(text: str, seconds: float) -> None:
    assert moment(text, now=NOON) == NOON + seconds


@pytest.mark.parametrize("text", ["", "soon", "25:00", "-5m", "0", "2020-01-01", "nan", "inf"])
def test_times_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(TaskdeckError):
        moment(text, now=NOON)


def test_durations_are_positive() -> None:
    assert duration("1d") == 86400
    with pytest.raises(TaskdeckError):
        duration("0s")


def test_lines_fit_their_cells_whatever_the_script() -> None:
    for text in ("plain", "日本語のなまえ", "naïve – e\u0301", ""):
        for width in range(1, 20):
            assert cells(fit(text, width)) <= width
            assert cells(pad(text, width)) == width
    view = make_view(title="日本" * 30, state=TaskState.RUNNING, done=5, total=10)
    assert cells(task_line(view, width=60)) <= 60


def test_the_bar_is_full_only_when_the_task_is_done() -> None:
    assert "." in bar(make_view(state=TaskState.RUNNING, done=10, total=10))
    assert "." not in bar(make_view(state=TaskState.COMPLETED, done=10, total=10))


def test_without_a_terminal_the_meter_writes_a_line_a_change_of_state() -> None:
    stream = io.StringIO()
    meter = Meter(stream)
    for done in range(5):
        meter.show(make_view(state=TaskState.RUNNING, done=done, total=10))
    meter.show(make_view(state=TaskState.PAUSED, note="until 14:00"))
    meter.clear()
    assert stream.getvalue().count("\n") == 2
    assert "\r" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def words(*before: str, begun: str = "") -> list[str]:
    return [word for word, _ in complete.suggestions(Context(), list(before), begun)]


def test_completion_knows_commands_options_values_and_paths() -> None:
    assert "zip" in words(begun="zi")
    assert "__complete" not in words()
    assert words("zip") == [complete.PATHS]
    assert words("zip", "folder") == [item.value for item in ArchiveFormat]
    assert words("zip", "folder", "tar.gz") == [str(number) for number in range(10)]
    assert words("zip", "--output") == [complete.PATHS]
    assert "rename" in words("zip", "x", "--on-conflict")
    assert "--detach" in words("zip", "x", begun="--de")
    assert "status:" in words("status", begun="st")
    assert words("completions", begun="z") == ["zsh"]
    assert "web.port" in words("config", "set", begun="web.p")
    assert words("--config") == [complete.PATHS]
    assert words("nonsense", begun="x") == []


def test_the_progress_line_says_what_goes_on_before_anything_can_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = io.StringIO()
    meter = Meter(stream)
    meter._fancy = True
    view = make_view("abc", state=TaskState.RUNNING, done=0, total=None, speed=0.0, eta=None, item="", stage="listing")
    meter.show(view)
    assert stream.getvalue().startswith("\r[..................] running  listing")


def test_the_progress_line_has_room_for_every_figure_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stream = io.StringIO()
    meter = Meter(stream)
    meter._fancy = True
    meter.show(make_view(state=TaskState.RUNNING, done=555_550_000, total=999_990_000, speed=555.55e6, eta=5025.0))
    assert "55.6%  555.55 MB / 999.99 MB  555.55 MB/s  ETA 01:23:45" in stream.getvalue()


def test_plain_lines_keep_long_titles_whole() -> None:
    view = make_view("t1", title="x" * 60)
    assert "x" * 60 in task_line(view, whole=True) and "x" * 60 not in task_line(view)


def test_help_tells_defaults_and_what_may_be_repeated() -> None:
    text = " ".join(command_parser(find_command("zip")).format_help().split())
    assert "One of rename, overwrite, skip, fail. Default: rename." in text
    assert "Leave out what matches. May be given several times." in text
    assert "Keep hard links (tar); else each is a copy. Default: yes." in text
