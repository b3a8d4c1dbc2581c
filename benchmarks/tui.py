"""What the TUI costs: CPU, bytes on the line, first frame, memory and key-to-paint, on a real pty over a real socket.

`python -m benchmarks.tui [--tasks 50,200,1000,10000]`. Three processes: this one owns the terminal and measures, one
serves a fake engine with every running task changing at 2 Hz through the daemon's own API on a Unix socket, and
one is the TUI with the daemon's own client, as a user has it.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import pty
import random
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks._attach import environment

HZ = 2.0
SECONDS = 8.0
KEYS = 60
STARTS = 5
_CURSOR = "▌".encode()


@dataclass(frozen=True, slots=True)
class Figures:
    """One run. Times in seconds, sizes in bytes."""

    tasks: int
    first_frame: float
    cpu: float
    bytes_per_tick: float
    idle_bytes: int
    rss: int
    key_p50: float
    key_p95: float


def serve(folder: Path, count: int) -> None:
    """The engine's side; a file named "still" in the folder stops the changes."""
    from engines.model import TaskState
    from engines.paths import PathPolicy
    from engines.settings import Settings
    from tests.support.fake_tasks import FakeTasks, make_view
    from tui_app.locations import Locations
    from tui_app.web.access import AccessBook
    from tui_app.web.audit import Audit
    from tui_app.web.context import Deck
    from tui_app.web.server import Server

    async def main() -> None:
        tasks = FakeTasks(
            [
                make_view(f"t{n:05d}", title=f"archive {n:05d}", position=n, state=TaskState.RUNNING)
                for n in range(count)
            ]
        )
        deck = Deck(
            tasks=tasks,
            settings=Settings(),
            policy=PathPolicy.of((str(folder),)),
            access=AccessBook(folder / "access.json"),
            audit=Audit(folder / "access.log"),
            stop=lambda _drain: None,
            reload=Settings,
        )
        deck.ready = True
        server = Server(deck)
        await server.start()
        await server.listen_unix(Locations.of(environment(folder)))
        chance = random.Random(5)
        (folder / "ready").touch()
        while True:
            await asyncio.sleep(1 / HZ)
            if not (folder / "still").exists():
                tasks.step(1 / HZ, chance=chance)

    asyncio.run(main())


class Terminal:
    """A pty with the TUI on it."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        variables = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        # As installed: compiled before, and with the colours of the terminal.
        for name in ("NO_COLOR", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"):
            variables.pop(name, None)
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._attach", str(folder)],
            stdin=slave, stdout=slave, stderr=slave, env=variables, start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def read(self, seconds: float, until: bytes = b"") -> bytes:
        """What arrives in that time, or up to a text."""
        got, deadline = b"", time.perf_counter() + seconds
        while (left := deadline - time.perf_counter()) > 0:
            if not select.select([self.master], [], [], left)[0]:
                break
            try:
                got += os.read(self.master, 1 << 16)
            except OSError:  # the program has ended
                break
            if until and until in got:
                break
        return got

    def key(self, key: bytes) -> float:
        """Seconds from a cursor key to the painted cursor."""
        started = time.perf_counter()
        os.write(self.master, key)
        self.read(2.0, until=_CURSOR)
        return time.perf_counter() - started


def first_frame(folder: Path, width: int, height: int) -> float:
    """Seconds from the start of the program to its first frame; it is left at once."""
    terminal = Terminal(folder, width, height)
    try:
        terminal.read(20, until=b"Taskdeck")
        took = time.perf_counter() - terminal.started
        terminal.read(1.0)
        os.write(terminal.master, b"q")
        terminal.read(1.0)
        terminal.process.wait(10)
        return took
    finally:
        if terminal.process.poll() is None:
            terminal.process.kill()
        os.close(terminal.master)


def measure(count: int, width: int, height: int) -> Figures:
    """One run with `count` tasks; the first frame is the median of five starts after one that does not count."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = subprocess.Popen([sys.executable, "-m", "benchmarks.tui", "--serve", name, "--tasks", str(count)])
        terminal = None
        try:
            while not (folder / "ready").exists():
                time.sleep(0.02)
            first_frame(folder, width, height)
            first = statistics.median(first_frame(folder, width, height) for _ in range(STARTS))
            terminal = Terminal(folder, width, height)
            terminal.read(20, until=b"archive 0000")
            terminal.read(3.0)
            process = psutil.Process(terminal.process.pid)
            before, started = process.cpu_times(), time.perf_counter()
            painted = len(terminal.read(SECONDS))
            after, took = process.cpu_times(), time.perf_counter() - started
            cpu = (after.user + after.system - before.user - before.system) / took * 100
            keys = []
            for number in range(KEYS):
                time.sleep(0.03)
                keys.append(terminal.key(b"j" if number % 8 < 4 else b"k"))
                terminal.read(0.02)
            (folder / "still").touch()
            terminal.read(2.5)
            idle = len(terminal.read(4.0))
            rss = process.memory_info().rss
            os.write(terminal.master, b"q")
            terminal.read(1.0)
            terminal.process.wait(10)
            keys.sort()
            return Figures(count, first, cpu, painted / (SECONDS * HZ), idle, rss, statistics.median(keys),
                           keys[int(len(keys) * 0.95)])  # fmt: skip
        finally:
            if terminal is not None and terminal.process.poll() is None:
                terminal.process.kill()
            server.kill()
            server.wait()


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", default="50,200,1000,10000")
    parser.add_argument("--size", default="80x24")
    parser.add_argument("--serve", type=Path)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve, int(options.tasks))
    else:
        width, _, height = options.size.partition("x")
        print("| tasks | first frame | CPU at 2 Hz | bytes a tick | idle bytes | RSS | key to paint p50 / p95 |")
        print("|---|---|---|---|---|---|---|")
        for count in map(int, options.tasks.split(",")):
            f = measure(count, int(width), int(height))
            print(
                f"| {f.tasks:,} | {f.first_frame:.2f} s | {f.cpu:.1f} % | {f.bytes_per_tick:,.0f} | {f.idle_bytes} "
                f"| {f.rss / 1e6:.0f} MB | {f.key_p50 * 1e3:.0f} / {f.key_p95 * 1e3:.0f} ms |",
                flush=True,
            )


if __name__ == "__main__":
    main()
