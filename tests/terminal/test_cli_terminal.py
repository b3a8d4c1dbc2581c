"""The command line on a real pseudo-terminal: the progress line, Ctrl-C that asks, passwords that are not shown."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.errors import Exit
from tests.support.station import SECONDS, Station
from tests.support.terminal import Pty

pytestmark = pytest.mark.slow


class Terminal:
    """A command as the leader of a session on a pseudo-terminal."""

    def __init__(self, station: Station, *words: str, term: str = "xterm") -> None:
        environment = station.environment | {"TERM": term, "COLUMNS": "80", "LINES": "24"}
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(station.root)
            argv = station.argv(*words)
            os.execve(argv[0], argv, environment)

    def expect(self, text: bytes) -> None:
        """Read until this appears."""
        deadline = time.monotonic() + SECONDS
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            assert self._read(0.5) or time.monotonic() < deadline, self.seen

    def _read(self, seconds: float) -> bool:
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            block = os.read(self.fd, 65536)
        except OSError:  # the other end is closed
            return False
        self.seen += block
        return bool(block)

    def send(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def end(self) -> int:
        """Read to the end; the exit status."""
        deadline = time.monotonic() + SECONDS
        while self._read(0.2):
            assert time.monotonic() < deadline, self.seen
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self._read(0)
                return os.waitstatus_to_exitcode(status)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """With a folder to pack and everything paused, so that a command waits for as long as the test wants."""
    found = Station(tmp_path)
    (found.root / "films").mkdir()
    (found.root / "films" / "a.bin").write_bytes(os.urandom(100_000))
    with found.serving():
        found.run("pause", "--all")
        yield found


def task_of(station: Station) -> dict[str, str]:
    view = station.json("status")["tasks"][0]
    assert isinstance(view, dict)
    return view


def test_ctrl_c_asks_and_detaches(station: Station) -> None:
    terminal = Terminal(station, "zip", "films")
    terminal.expect(b"[....")
    terminal.send(b"\x03")
    terminal.expect(b"[d]etach, [c]ancel it, or [w]ait on? ")
    terminal.send(b"d\n")
    assert terminal.end() == Exit.DETACHED
    assert task_of(station)["state"] in ("queued", "waiting", "paused")


def test_ctrl_c_asks_and_cancels(station: Station) -> None:
    terminal = Terminal(station, "zip", "films")
    terminal.expect(b"[....")
    terminal.send(b"\x03")
    terminal.expect(b"ait on? ")
    terminal.send(b"c\n")
    assert terminal.end() == Exit.CANCELLED
    assert task_of(station)["state"] == "cancelled"


def test_a_second_ctrl_c_detaches(station: Station) -> None:
    terminal = Terminal(station, "zip", "films")
    terminal.expect(b"[....")
    terminal.send(b"\x03")
    terminal.expect(b"ait on? ")
    terminal.send(b"\x03")
    assert terminal.end() == Exit.DETACHED


def test_the_line_is_redrawn_and_taken_away_for_the_result(station: Station) -> None:
    terminal = Terminal(station, "zip", "films")
    terminal.expect(b"[....")
    station.run("resume", "--all")
    assert terminal.end() == 0
    assert b"\r" in terminal.seen
    assert b"\x1b[K" in terminal.seen
    assert b"Archive Created Successfully!" in terminal.seen.rpartition(b"\x1b[K")[2]


def test_a_dumb_terminal_gets_plain_lines(station: Station) -> None:
    station.run("resume", "--all")
    terminal = Terminal(station, "zip", "films", term="dumb")
    assert terminal.end() == 0
    assert b"\x1b" not in terminal.seen


def test_a_password_is_asked_for_and_not_shown(station: Station) -> None:
    station.run("resume", "--all")
    terminal = Terminal(station, "zip", "films", "7z", "--password")
    terminal.expect(b"Password: ")
    terminal.send(b"open sesame\n")
    assert terminal.end() == 0
    assert b"sesame" not in terminal.seen
    assert station.run("unzip", "films.7z", "out", "--password-stdin", stdin=b"open sesame\n").returncode == 0


def test_a_missing_password_is_asked_for_once(station: Station) -> None:
    station.run("resume", "--all")
    station.run("zip", "films", "7z", "--password-stdin", stdin=b"open sesame\n")
    terminal = Terminal(station, "unzip", "films.7z", "out")
    terminal.expect(b"Password for")
    for value in ("3", "4"):  # each is announced while the task still waits for the password
        assert station.run("priority", task_of(station)["id"], value).returncode == 0
    terminal.send(b"open sesame\n")
    assert terminal.end() == 0
    assert terminal.seen.count(b"Password for") == 1
    assert b"Archive Extracted Successfully!" in terminal.seen


def test_the_daemon_survives_the_hang_up_of_the_terminal_that_started_it(tmp_path: Path) -> None:
    station = Station(tmp_path)
    try:
        terminal = Terminal(station, "status", "--watch")
        terminal.expect(b"active")
        os.close(terminal.fd)  # the kernel sends SIGHUP to the session
        os.waitpid(terminal.pid, 0)
        os.kill(station.pid, 0)
        assert station.run("status").returncode == 0
    finally:
        station.stop()


@pytest.mark.parametrize(
    ("begun", "shown"),
    [("a\\*", r"a\*b.zip"), ("films\\ a", r"films\ and\ more"), ("ne", r"$'new\nline'"), ("\\$", r"\$\(x\)")],
)
def test_bash_completes_every_name(station: Station, tmp_path: Path, begun: str, shown: str) -> None:
    for other in ("a*b.zip", "axb.zip", "films and more", "new\nline", "$(x)"):
        (station.root / other).touch()
    program = tmp_path / "taskdeck"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m tui_app "$@"\n')
    program.chmod(0o755)
    environment = station.environment | {"PATH": f"{tmp_path}:{station.environment['PATH']}", "TERM": "dumb"}
    with Pty(["bash", "--norc", "--noprofile"], env=environment) as shell:
        shell.send(f'cd {station.root}; eval "$(taskdeck completions bash)"; echo rea"dy"\n')
        shell.expect("ready")
        shell.send(f"taskdeck zip {begun}\t")
        shell.send("\x01printf '<%q>' \n")  # at the beginning of the line, so that the words are shown
        shell.expect(f"<taskdeck><zip><{shown}>")
