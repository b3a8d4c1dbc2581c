"""The filter language of every face."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import ErrorInfo, TaskdeckError
from engines.model import Kind, TaskState, TaskView
from engines.query import Sort, parse_filter, sort_key


def view(**changes: object) -> TaskView:
    base: dict[str, object] = {
        "id": "abc234",
        "op": "zip",
        "kind": Kind.COMPRESS,
        "title": "Holiday photos",
        "state": TaskState.RUNNING,
        "created": 1000.0,
        "rev": 1,
        "owner": "ann",
        "face": "web",
    }
    return TaskView(**{**base, **changes})  # type: ignore[arg-type]


FAILED = view(state=TaskState.FAILED, error=ErrorInfo("disk.full", "The disk is full."))


@pytest.mark.parametrize(
    ("text", "running", "failed"),
    [
        ("", True, True),
        ("status:running", True, False),
        ("state:error", False, True),
        ("status:fail", False, True),
        ("status:active,failed", True, True),
        ("-status:ended", True, False),
        ("!status:active", False, True),
        ("kind:zip", True, True),
        ("kind:compress status:failed", False, True),
        ("op:unzip,zip", True, True),
        ("!kind:compress", False, False),
        ("owner:ann face:web", True, True),
        ("owner:bob", False, False),
        ("owner:Ann", True, True),
        ("!owner:ann", False, False),
        ("-owner:bob", True, True),
        ("!face:web", False, False),
        ("!face:tui,cli", True, True),
        ("-id:abc", False, False),
        ("!id:x", True, True),
        ("!since:1d", True, True),
        ("!before:1d", False, False),
        ("since:1d", False, False),
        ("id:abc", True, True),
        ("id:bc", False, False),
        ("HOLIDAY", True, True),
        ('"holiday photos"', True, True),
        ('"photos holiday"', False, False),
        ("disk", False, True),
        ("-disk", True, False),
        ("colon:word", False, False),
    ],
)
def test_filter_lets_through_what_it_says(text: str, running: bool, failed: bool) -> None:
    wanted = parse_filter(text)
    assert (wanted.matches(view()), wanted.matches(FAILED)) == (running, failed)


def test_times_are_ages_or_dates() -> None:
    now = 1_000_000_000.0
    assert parse_filter("since:1d", now=now).since == now - 86400
    assert parse_filter("before:90m", now=now).before == now - 5400
    since = parse_filter("since:2026-01-30").since
    assert since is not None and parse_filter("since:2026-01-30T12:00").since == since + 12 * 3600


@pytest.mark.parametrize("text", ["status:nonsense", "since:tomorrowish", "before:2026-99-99"])
def test_what_cannot_be_understood_is_told(text: str) -> None:
    with pytest.raises(TaskdeckError) as caught:
        parse_filter(text)
    assert caught.value.code == "value"


@given(st.text())
def test_no_typing_crashes_the_parser(text: str) -> None:
    try:
        parse_filter(text).matches(view())
    except TaskdeckError as error:
        assert error.code == "value"


@pytest.mark.parametrize("text", ['"half', "it's", "'", '"', "a\\", "since:", "status:"])
def test_half_typed_filters_are_no_error(text: str) -> None:
    parse_filter(text)


def test_what_moves_comes_first_then_what_waits_then_what_ended_last() -> None:
    views = [
        view(id="ended1", state=TaskState.COMPLETED, finished=5.0),
        view(id="ended2", state=TaskState.FAILED, finished=9.0),
        view(id="waits", state=TaskState.WAITING),
        view(id="second", state=TaskState.QUEUED, position=2),
        view(id="first", state=TaskState.QUEUED, position=1),
        view(id="urgent", state=TaskState.QUEUED, position=9, priority=1),
        view(id="paused", state=TaskState.PAUSED),
        view(id="runs"),
    ]
    ordered = sorted(views, key=lambda each: sort_key(each, Sort.STATE))
    assert [each.id for each in ordered] == [
        "runs", "paused", "urgent", "first", "second", "waits", "ended2", "ended1",
    ]  # fmt: skip


@pytest.mark.parametrize("sort", list(Sort))
def test_every_order_tells_any_two_tasks_apart(sort: Sort) -> None:
    keys = [sort_key(view(id=name), sort) for name in ("a", "b")]
    assert keys[0] < keys[1]


@pytest.mark.parametrize("text", ['"bob\'s file"', "bob's", "'", "a\\b", '"a\\b c"', "back\\"])
def test_apostrophes_and_backslashes_are_letters(text: str) -> None:
    assert parse_filter(text).words == (text.strip('"'),)


@pytest.mark.parametrize("text", ["since:nan", "before:inf", "since:nan:1"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(TaskdeckError) as caught:
        parse_filter(text)
    assert caught.value.code == "value"
