"""How long a cancel of packing takes: `python -m benchmarks.cancel [--formats zip:6,7z:5] [--rounds 7] [--work DIR]`.

Two ways for each format and level: `taskdeck zip ... --foreground`, from SIGTERM until the process is reaped, and a
task, from the call of `control(CANCEL)` until `wait` returns its final state, which the store holds by then. The moment
is chosen at random once the unfinished archive is there. After each cancel nothing may be left beside the source.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
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
        child.wait(_DEADLINE)
        spent = time.perf_counter() - begun
        said = child.stderr.read() if child.stderr else b""
    if b"task.cancelled" not in said or os.listdir(folder):
        raise RuntimeError(f"{kind}: status {child.returncode}, {said!r}, left {os.listdir(folder)}")
    return spent


async def task(deck: TaskService, corpus: Path, folder: Path, kind: str, chance: random.Random) -> float:
    """Seconds from the request to cancel a task until it is cancelled.

    Raises:
        RuntimeError: It ended in another way, or left something.
    """
    form, level = kind.split(":")
    wish = {"op": "zip", "path": str(corpus), "output": str(folder / "out"), "format": form, "level": int(level)}
    view = await deck.submit(wish, actor=_ME)
    await asyncio.to_thread(_packing, folder, _delay(chance, kind))
    begun = time.perf_counter()
    await deck.control([view.id], Action.CANCEL, actor=_ME)
    ended = await deck.wait(view.id)
    spent = time.perf_counter() - begun
    if ended.state is not TaskState.CANCELLED or os.listdir(folder):
        raise RuntimeError(f"{kind}: {ended.state}, left {os.listdir(folder)}")
    return spent


async def _tasks(kinds: list[str], rounds: int, corpus: Path, folder: Path, state: Path) -> dict[str, list[float]]:
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
    print("| format and level | process: median ms | worst | task: median ms | worst |\n|---|---:|---:|---:|---:|")
    for kind in kinds:
        form, level = kind.split(":")
        cells = [f"{f(samples) * 1000:.0f}" for samples in (here[kind], tasks[kind]) for f in (statistics.median, max)]
        print(f"| {form} {level} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
