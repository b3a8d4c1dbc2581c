"""The one formatter of numbers, and the readers of what people type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import text


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 KB"),
        (4_520_000_000, "4.52 GB"),
        (999_999, "1.00 MB"),
        (10**21, "1000.00 EB"),
    ],
)
def test_sizes_are_decimal_with_two_digits(count: int, shown: str) -> None:
    assert text.size(count) == shown


def test_rates_and_amounts_name_their_unit() -> None:
    assert text.rate(5_200_000) == "5.20 MB/s"
    assert text.rate(24, "frames") == "24.0 frames/s"
    assert text.amount(3661, "seconds") == "01:01:01"
    assert text.amount(1234567, "frames") == "1,234,567 frames"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "00:00:00"), (59.9, "00:00:59"), (108000, "30:00:00"), (-5, "00:00:00")]
)
def test_clock_rounds_down_and_counts_days_as_hours(seconds: float, shown: str) -> None:
    assert text.clock(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (45, "45 seconds"),
        (1, "1 second"),
        (12_000, "3 hours 20 minutes"),
        (12 * 86400 + 5 * 3600 + 59, "12 days 5 hours"),
    ],
)
def test_uptime_has_at_most_two_parts(seconds: float, shown: str) -> None:
    assert text.uptime(seconds) == shown


def test_saved_share_follows_the_guide() -> None:
    assert text.saved(1000, 250) == 75.0
    assert text.saved(0, 10) == 0.0
    assert text.saved(100, 110) == pytest.approx(-10)


@pytest.mark.parametrize(
    ("typed", "count"),
    [
        ("700", 700),
        ("1.5GB", 1_500_000_000),
        ("2000 MB", 2_000_000_000),
        ("512MiB", 512 << 20),
        ("1k", 1000),
        ("3B", 3),
    ],
)
def test_sizes_are_read_as_people_write_them(typed: str, count: int) -> None:
    assert text.parse_size(typed) == count


@pytest.mark.parametrize("typed", ["", "many", "-5", "nan", "inf GB", "5 XB"])
def test_what_is_no_size_is_refused(typed: str) -> None:
    with pytest.raises(ValueError):
        text.parse_size(typed)


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("90", 90), ("45s", 45), ("10m", 600), ("1h30m", 5400), ("2d", 172800), ("00:01:30", 90), ("1:00:00", 3600)],
)
def test_durations_are_read_as_people_write_them(typed: str, seconds: float) -> None:
    assert text.parse_duration(typed) == seconds


@pytest.mark.parametrize("typed", ["soon", "1x", "::", "h"])
def test_what_is_no_duration_is_refused(typed: str) -> None:
    with pytest.raises(ValueError):
        text.parse_duration(typed)


@given(st.integers(min_value=0, max_value=10**18))
def test_size_read_back_is_near_what_was_shown(count: int) -> None:
    assert text.parse_size(text.size(count)) == pytest.approx(count, rel=0.006, abs=1)


def test_a_ratio_is_never_minus_nothing() -> None:
    assert text.ratio(-0.01) == "0.0%"
    assert text.ratio(30.46) == "30.5%"
    assert text.ratio(-3.0) == "-3.0%"
