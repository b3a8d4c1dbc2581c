"""The TUI on a bare pseudo terminal: stalls, hang-ups, signals, colours, hostile names."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.support.terminal import DECK, Pty, until

ALT_SCREEN, MAIN_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"
HIDE_CURSOR, SHOW_CURSOR = b"\x1b[?25l", b"\x1b[?25h"
SGR = re.compile(rb"\x1b\[([0-9;]*)m")


def colours(output: bytes) -> list[bytes]:
    """SGR parameters that set a colour."""
    found = []
    for codes in SGR.findall(output):
        # 39 and 49 are the terminal's own colours.
        if any(
            (30 <= int(code or 0) <= 48 and code != b"39") or 90 <= int(code or 0) <= 107 for code in codes.split(b";")
        ):
            found.append(codes)
    return found


@pytest.mark.slow
def test_a_terminal_that_does_not_read_stops_nobody_and_is_repainted_afterwards(tmp_path: Path) -> None:
    beat = tmp_path / "beat"

    def beats() -> int:
        return len(beat.read_bytes()) if beat.exists() else 0

    with Pty([*DECK, "--tasks", "40", "--live", "--beat", str(beat)], size=(200, 60)) as terminal:
        terminal.expect("holiday pictures")
        # Not reading, and keys that repaint everything: the writer's queue fills in a moment.
        for _ in range(60):
            terminal.send("GgGgGgGg")
        before = beats()
        until(lambda: beats() >= before + 5, "the event loop goes on while the terminal is stalled")
        assert terminal.process.poll() is None
        terminal.read(1.0)
        terminal.output = b""
        terminal.send("z")
        terminal.expect("holiday pictures")
        terminal.send("q")
        assert terminal.wait() == 0
        assert terminal.output.rstrip().find(MAIN_SCREEN) >= 0


@pytest.mark.slow
def test_a_hung_up_terminal_ends_the_program() -> None:
    with Pty([*DECK, "--live"]) as terminal:
        terminal.expect("holiday pictures")
        terminal.hang_up()
        until(lambda: terminal.process.poll() is not None, "the program ends after a hang-up")
        assert terminal.process.returncode in (0, 128 + signal.SIGHUP)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_a_clean_terminal(number: signal.Signals) -> None:
    with Pty() as terminal:
        terminal.expect("holiday pictures")
        terminal.process.send_signal(number)
        assert terminal.wait() == 128 + number
        assert terminal.output.rfind(MAIN_SCREEN) > terminal.output.rfind(ALT_SCREEN)
        assert terminal.output.rfind(SHOW_CURSOR) > terminal.output.rfind(HIDE_CURSOR)
        assert b"\x1b[?1003l" in terminal.output, "the mouse is given back"
        assert b"Traceback" not in terminal.output


def test_leaving_says_what_goes_on_in_the_background() -> None:
    with Pty() as terminal:
        terminal.expect("holiday pictures")
        terminal.send("q")
        assert terminal.wait() == 0
        farewell = terminal.output[terminal.output.rfind(MAIN_SCREEN) :]
        assert b"running" in farewell and b"Come back with `taskdeck`" in farewell


def test_an_idle_picture_sends_nothing() -> None:
    with Pty() as terminal:
        terminal.expect("holiday pictures")
        # Whatever sent something at every tick would never be still for so long.
        until(lambda: terminal.read(2.5) == b"", "the line falls silent once the first picture is done")


def test_no_color_means_no_colour_at_all() -> None:
    with Pty(env={"NO_COLOR": "1"}) as terminal:
        terminal.expect("holiday pictures")
        terminal.read(0.5)
        assert colours(terminal.output) == []


def test_sixteen_colours_are_enough() -> None:
    with Pty(env={"TERM": "xterm", "COLORTERM": ""}) as terminal:
        terminal.expect("holiday pictures")
        terminal.read_until(lambda: bool(colours(terminal.output)), "there are colours")
        assert not re.search(rb"\x1b\[[0-9;]*[34]8;[25];", terminal.output)


def test_the_linux_console_gets_ascii_glyphs() -> None:
    with Pty([*DECK, "--tasks", "4"], env={"TERM": "linux", "COLORTERM": ""}) as terminal:
        terminal.expect("holiday pictures")
        terminal.expect("#####")
        terminal.read(0.5)
        assert "━".encode() not in terminal.output
        assert b"\x1b]2;" not in terminal.output


def test_a_hostile_name_cannot_reach_the_terminal() -> None:
    # The engine sanitises names; this is what the list itself does with one that was not.
    from engines.names import display

    name = display("evil\x1b]0;owned\x07\x1b[2J\u202e[b]\n.zip")
    with Pty([*DECK, "--tasks", "4", "--title", name]) as terminal:
        terminal.expect("evil")
        terminal.expect("[b]")  # markup is text
        terminal.read(0.5)
        assert b"]0;owned\x07" not in terminal.output
        assert "\u202e".encode() not in terminal.output


def test_the_title_tells_how_many_run() -> None:
    with Pty() as terminal:
        terminal.expect("\x1b]2;Taskdeck: ")
        terminal.expect("\x1b]9;4;1;")


def test_an_end_rings_and_notifies_when_that_is_wanted() -> None:
    with Pty([*DECK, "--tasks", "4", "--tell"]) as terminal:
        terminal.expect("\x1b]9;Taskdeck: zip holiday pictures 2025 completed\x07")
        terminal.expect("done.")
        # The bell itself, beside those that end control sequences.
        terminal.read_until(lambda: b"\x07" in re.sub(rb"\x1b\][^\x07]*\x07", b"", terminal.output), "it rings")


def test_the_mouse_is_taken_given_back_and_never_taken_when_unwanted() -> None:
    with Pty() as terminal:
        terminal.expect("holiday pictures")
        assert b"\x1b[?1000h" in terminal.output and b"\x1b[?1006h" in terminal.output
        terminal.send("%")
        terminal.expect("belongs to the terminal")
        assert terminal.output.rindex(b"\x1b[?1000l") > terminal.output.rindex(b"\x1b[?1000h")
        terminal.send("%")
        terminal.expect("The mouse works here")
        assert terminal.output.rindex(b"\x1b[?1000h") > terminal.output.rindex(b"\x1b[?1000l")
    with Pty([*DECK, "--no-mouse"]) as terminal:
        terminal.expect("holiday pictures")
        assert b"\x1b[?1000h" not in terminal.output


def test_pasted_addresses_of_files_start_a_command(tmp_path: Path) -> None:
    with Pty() as terminal:
        terminal.expect("holiday pictures")
        terminal.send("\x1b[200~file:///tmp/two%20words.txt\n'/tmp/it''s.bin'\n\x1b[201~")
        terminal.expect("two\\ words.txt")
        terminal.expect("--add")


@pytest.mark.parametrize(("term", "words"), [("dumb", b"TERM is dumb")])
def test_a_dumb_terminal_is_refused_with_a_way_out(term: str, words: bytes) -> None:
    with Pty(env={"TERM": term}) as terminal:
        assert terminal.wait() != 0
        assert words in terminal.output and b"status --watch" in terminal.output


def test_a_key_that_is_no_utf8_is_lost_and_nothing_else() -> None:
    with Pty() as terminal:
        terminal.expect("holiday pictures")
        os.write(terminal.master, b"\xff\xe9")  # a terminal set to Latin-1
        terminal.send("%")
        terminal.expect("belongs to the terminal")
        terminal.send("q")
        assert terminal.wait() == 0
