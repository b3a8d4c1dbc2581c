"""docs/errors.md is made from the table of codes."""

from __future__ import annotations

from engines.errors import CODES, Exit, TaskdeckError
from scripts.error_page import PAGE, page


def test_error_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: python -m scripts.error_page"


def test_every_exit_status_is_explained() -> None:
    for status in Exit:
        assert f"| {status.value} | " in page()


def test_an_error_is_one_safe_sentence() -> None:
    error = TaskdeckError("path.missing", "cannot find 'a\x1b[31m\nb'", "it does not exist", "check the spelling")
    assert error.message.endswith("check the spelling.")
    assert "\n" not in error.message
    assert "\x1b" not in error.message


def test_codes_have_http_error_statuses() -> None:
    assert all(400 <= info.http < 600 and info.exit is not Exit.OK for info in CODES.values())
