"""How long a cancel and a pause of packing take.

`python -m benchmarks.cancel [--formats zip:6,7z:5] [--rounds 7] [--work DIR] [--state DIR]`

Cancel: two ways for each format and level: `taskdeck zip ... --foreground`, from SIGTERM until the process is reaped,
and a task, from the call of `control(CANCEL)` until `wait` returns its final state, which the store holds by then. The
moment is chosen at random once the unfinished archive is there. After each cancel nothing may be left beside the
source.

Pause: a task, from the call of `control(PAUSE)` until it returns; by then the store holds the state and every process
of the job stands still, which is checked. The same task is then resumed, and cancelled for the figure above.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.archives import make_corpus
from engines.model import Action, Actor, TaskState
from engines.settings import Settings, TasksSettings
from engines.tasks.service import TaskService

_FORMATS = (
    "tar:6,zip:0,zip:1,zip:6,zip:9,tar.gz:6,tar.gz:9,tar.bz2:9,tar.xz:6,tar.xz:9,tar.zst:3,tar.zst:9,7z:1,7z:5,7z:9"
)
_ME = Actor("bench", "bench")
_DEADLINE = 30.0
_QUICK = ("tar:6", "zip:0")


def _delay(chance: random.Random, kind: str) -> float:
    """Seconds to let the packing go on: the quick ones are at their end soon."""
    return chance.uniform(0, 0.12 if kind in _QUICK else 0.5)


def _packing(folder: Path, seconds: float) -> None:
    """Wait until an unfinished archive is there, and so much longer."""
    limit = time.monotonic() + _DEADLINE
    while not os.listdir(folder) and time.monotonic() < limit:
        time.sleep(0.002)
    time.sleep(seconds)


def reaped(child: subprocess.Popen[bytes]) -> None:
    """Wait for a child's end. (`wait` with a timeout only looks after 32, 64 and 114 ms.)

    Raises:
        RuntimeError: It does not end.
    """
    if child.poll() is not None:
        return
    fd = os.pidfd_open(child.pid)
    try:
        if not select.select((fd,), (), (), _DEADLINE)[0]:
            raise RuntimeError("it does not end")
    finally:
        os.close(fd)
    child.wait()


def foreground(corpus: Path, folder: Path, kind: str, chance: random.Random, root: Path) -> float:
    """Seconds from SIGTERM to the end of the process.

    Raises:
        RuntimeError: It ended before, in another way, or left something.
    """
    form, level = kind.split(":")
    words = ["--root", str(root), "zip", str(corpus), form, level, "--output", str(folder / "out"), "--foreground"]
    with subprocess.Popen([sys.executable, "-m", "tui_app", *words], stderr=subprocess.PIPE) as child:
        _packing(folder, _delay(chance, kind))
        begun = time.perf_counter()
        os.kill(child.pid, signal.SIGTERM)
        reaped(child)
        spent = time.perf_counter() - begun
        said = child.stderr.read() if child.stderr else b""
    if b"task.cancelled" not in said or os.listdir(folder):
        raise RuntimeError(f"{kind}: status {child.returncode}, {said!r}, left {os.listdir(folder)}")
    return spent


async def task(deck: TaskService, corpus: Path, folder: Path, kind: str, chance: random.Random) -> tuple[float, float]:
    """Seconds from the request to pause a task until it is paused, and from that to cancel it until it is cancelled.

    Raises:
        RuntimeError: It was not paused, went on all the same, ended in another way, or left something.
    """
    form, level = kind.split(":")
    wish = {"op": "zip", "path": str(corpus), "output": str(folder / "out"), "format": form, "level": int(level)}
    view = await deck.submit(wish, actor=_ME)
    await asyncio.to_thread(_packing, folder, _delay(chance, kind) / 2)
    begun = time.perf_counter()
    (outcome,) = await deck.control([view.id], Action.PAUSE, actor=_ME)
    paused = time.perf_counter() - begun
    await asyncio.sleep(0.02)  # a thread ends the system call it is in before it stands still
    before = _grown(folder)
    await asyncio.sleep(0.1)
    if outcome.view is None or outcome.view.state is not TaskState.PAUSED or _grown(folder) != before:
        raise RuntimeError(f"{kind}: not paused but {outcome}")
    await deck.control([view.id], Action.RESUME, actor=_ME)
    await asyncio.sleep(_delay(chance, kind) / 2)
    begun = time.perf_counter()
    await deck.control([view.id], Action.CANCEL, actor=_ME)
    ended = await deck.wait(view.id)
    spent = time.perf_counter() - begun
    if ended.state is not TaskState.CANCELLED or os.listdir(folder):
        raise RuntimeError(f"{kind}: {ended.state}, left {os.listdir(folder)}")
    return paused, spent


def _grown(folder: Path) -> list[tuple[str, int]]:
    return sorted((entry.name, entry.stat().st_size) for entry in os.scandir(folder))


async def _tasks(
    kinds: list[str], rounds: int, corpus: Path, folder: Path, state: Path
) -> dict[str, list[tuple[float, float]]]:
    chance = random.Random(2)
    settings = Settings(roots=(str(corpus.parent),), tasks=TasksSettings(disk_floor=0))
    deck = TaskService(state, settings)
    await deck.start()
    try:
        return {kind: [await task(deck, corpus, folder, kind, chance) for _ in range(rounds)] for kind in kinds}
    finally:
        await deck.stop()


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--formats", default=_FORMATS, help="format:level, separated by commas")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--work", type=Path, default=Path("/dev/shm"), help="where corpus and archives lie")
    parser.add_argument("--state", type=Path, help="where the engine keeps its state (default: $TMPDIR)")
    arguments = parser.parse_args()
    kinds = arguments.formats.split(",")
    with (
        tempfile.TemporaryDirectory(dir=arguments.work) as name,
        tempfile.TemporaryDirectory(dir=arguments.state) as state,
    ):
        work = Path(name)
        corpus, folder = work / "corpus", work / "out"
        folder.mkdir()
        make_corpus(corpus)
        os.environ["TASKDECK_STATE"] = state
        chance = random.Random(1)
        here = {k: [foreground(corpus, folder, k, chance, work) for _ in range(arguments.rounds)] for k in kinds}
        tasks = asyncio.run(_tasks(kinds, arguments.rounds, corpus, folder, Path(state) / "deck"))
    print("Milliseconds, median and worst.\n")
    print("| format and level | cancel, process | | cancel, task | | pause, task | |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind in kinds:
        form, level = kind.split(":")
        paused, cancelled = zip(*tasks[kind], strict=True)
        both = (f(samples) * 1000 for samples in (here[kind], cancelled, paused) for f in (statistics.median, max))
        print(f"| {form} {level} | {' | '.join(f'{value:.0f}' for value in both)} |")


if __name__ == "__main__":
    main()
