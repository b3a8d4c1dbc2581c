"""Stories in a real terminal: typing fast, filtering, resizing, copying, leaving."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.terminal import DECK, Tmux, until

pytestmark = pytest.mark.slow


def test_a_command_typed_in_one_burst_becomes_a_task(tmp_path: Path) -> None:
    (tmp_path / "pxdq").mkdir()
    with Tmux(cwd=tmp_path) as terminal:
        terminal.expect("holiday pictures")
        terminal.type(":zip pxdq tar.gz")
        terminal.expect(":zip pxdq tar.gz")
        terminal.press("Enter")
        terminal.expect_told("zip pxdq: queued")
        terminal.type("/kind:zip pxdq")
        terminal.press("Enter")
        terminal.expect("1 task")
        until(lambda: "holiday" not in terminal.screen(), "the others are filtered out")
        terminal.expect("pxdq")


def test_keys_typed_before_the_first_picture_do_no_harm() -> None:
    with Tmux() as terminal:
        terminal.type("/xxdp")
        shown = terminal.expect("Taskdeck")
        assert "Cancel" not in shown and "Remove" not in shown
        terminal.press("Escape")
        terminal.expect("running")


def test_it_follows_the_size_of_the_window() -> None:
    with Tmux([*DECK, "--tasks", "30", "--live"]) as terminal:
        terminal.expect("ACTIVE")
        terminal.resize(50, 12)
        shown = terminal.expect("holiday pictur…")
        assert all(len(line) <= 50 for line in shown.splitlines())
        terminal.resize(38, 9)
        terminal.expect("needs 40x10")
        terminal.resize(130, 40)
        for part in ("Parameters", "ACTIVE", "LOAD"):
            terminal.expect(part)


def test_a_bulk_cancel_can_be_undone() -> None:
    with Tmux([*DECK, "--undo", "3600"]) as terminal:
        terminal.expect("holiday pictures")
        terminal.press("Space", "Space")
        terminal.expect("2 marked")
        terminal.press("x")
        terminal.expect("Cancel 2 tasks?")
        terminal.press("y")
        terminal.expect("u undoes")
        terminal.press("u")
        terminal.expect_told("2 tasks go on")
        until(lambda: "u undoes" not in terminal.screen(), "the cards show their state again")
        assert "cancelled" not in terminal.screen()


def test_copying_reaches_the_clipboard_of_the_terminal() -> None:
    with Tmux() as terminal:
        terminal.expect("holiday pictures")
        terminal.press("y")
        terminal.expect_told("Copied")
        assert terminal.run("show-buffer") == "taskdeck zip '/home/ada/holiday pictures 2025'"


def test_leaving_gives_the_shell_back() -> None:
    with Tmux() as terminal:
        terminal.expect("holiday pictures")
        terminal.press("q")
        shown = terminal.expect("status 0")
        assert "Come back with" in shown and "ACTIVE" not in shown
