"""How long pause and cancel of unpacking take: `python -m benchmarks.control [--formats zip,tar.gz] [--rounds 9]`.

Cancel: from SIGTERM to `taskdeck unzip ... --foreground` until the process is reaped, at moments spread over the whole
run; nothing may be left then. Pause: of a task, from the call of `control(PAUSE)` until the task is paused in the store
and every process of it stands still (state T in /proc), which is looked at again a tenth of a second later.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.archives import make_corpus, make_small
from benchmarks.cancel import reaped
from engines.archive.backends import bundled_sevenzip
from engines.model import Action, Actor, TaskState, TaskView
from engines.settings import Settings, TasksSettings
from engines.tasks.service import TaskService

_PACKERS = {
    "zip": "zip -qr6 {out} corpus",
    "tar": "tar -cf {out} corpus",
    "tar.gz": "tar -czf {out} corpus",
    "tar.zst": "tar --zstd -cf {out} corpus",
    "tar.bz2": "tar -cjf {out} small",
    "7z": bundled_sevenzip() + " a -bso0 -bsp0 -mx1 {out} small",
}
_ME = Actor("bench", "bench")
_DEADLINE = 30.0


def _unpacking(archive: Path, folder: Path, root: Path) -> subprocess.Popen[bytes]:
    words = ["--root", str(root), "unzip", str(archive), str(folder / "out"), "--foreground"]
    return subprocess.Popen(
        [sys.executable, "-m", "tui_app", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def _whole(archive: Path, folder: Path, root: Path) -> float:
    """Seconds an unpacking takes; its result is removed."""
    begun = time.perf_counter()
    with _unpacking(archive, folder, root) as child:
        child.communicate()
    spent = time.perf_counter() - begun
    shutil.rmtree(folder / "out")
    return spent


def cancel(archive: Path, folder: Path, root: Path, after: float) -> float | None:
    """Seconds from SIGTERM to the end of the process; None when it had ended before.

    Raises:
        RuntimeError: It left something.
    """
    with _unpacking(archive, folder, root) as child:
        time.sleep(after)
        begun = time.perf_counter()
        child.send_signal(signal.SIGTERM)
        reaped(child)
        spent = time.perf_counter() - begun
        said = child.stderr.read() if child.stderr else b""
    if b"task.cancelled" in said and not os.listdir(folder):
        return spent
    if child.returncode == -signal.SIGTERM and not os.listdir(folder):
        return None  # the interpreter was still starting
    if child.returncode or b"task.cancelled" in said:
        raise RuntimeError(f"{archive.name}: status {child.returncode}, {said!r}, left {os.listdir(folder)}")
    shutil.rmtree(folder / "out")
    return None


def _states(group: int) -> list[str]:
    """The state letter of every process of a group."""
    found = []
    for entry in os.scandir("/proc"):
        with suppress(OSError, ValueError):
            fields = Path(f"/proc/{int(entry.name)}/stat").read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                found.append(fields[0])
    return found


async def pause(deck: TaskService, archive: Path, folder: Path, after: float) -> float | None:
    """Seconds from the request until the task is paused and stands still; None when it had ended before.

    Raises:
        RuntimeError: Something of it still ran.
    """
    wish = {"op": "unzip", "path": str(archive), "destination": str(folder / "out")}
    view = await deck.submit(wish, actor=_ME)
    await asyncio.to_thread(_begun, folder)
    await asyncio.sleep(after)
    begun = time.perf_counter()
    await deck.control([view.id], Action.PAUSE, actor=_ME)
    now = await _settled(deck, view.id)
    spent = time.perf_counter() - begun
    if now.state is TaskState.PAUSED:
        groups = {os.getpgid(pid) for pid in _children() if os.getpgid(pid) != os.getpgid(0)}
        letters = [letter for group in groups for letter in _states(group)]
        await deck.control([view.id], Action.CANCEL, actor=_ME)
        await deck.wait(view.id)
        if not letters or not set(letters) & {"T"}:
            raise RuntimeError(f"{archive.name}: paused and in states {letters}")
        return spent
    await deck.wait(view.id)
    await asyncio.to_thread(shutil.rmtree, folder / "out")
    return None


async def _settled(deck: TaskService, task: str) -> TaskView:
    while (now := await deck.view(task)).state is TaskState.PAUSING:  # noqa: ASYNC110 - the store is what is asked
        await asyncio.sleep(0.001)
    return now


def _children() -> list[int]:
    found = []
    for entry in os.scandir("/proc"):
        with suppress(OSError, ValueError):
            if int(Path(f"/proc/{int(entry.name)}/stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                found.append(int(entry.name))
    return found


def _begun(folder: Path) -> None:
    limit = time.monotonic() + _DEADLINE
    while not os.listdir(folder) and time.monotonic() < limit:
        time.sleep(0.001)


async def _pauses(archives: dict[str, Path], rounds: int, folder: Path, state: Path) -> dict[str, list[float]]:
    settings = Settings(roots=(str(folder.parent),), tasks=TasksSettings(disk_floor=0))
    deck = TaskService(state, settings)
    await deck.start()
    try:
        found: dict[str, list[float]] = {}
        for kind, archive in archives.items():
            samples = [await pause(deck, archive, folder, 0.3 * n / rounds) for n in range(rounds)]
            found[kind] = [sample for sample in samples if sample is not None]
        return found
    finally:
        await deck.stop()


def _cell(samples: list[float]) -> str:
    if not samples:
        return " | "
    return f"{statistics.median(samples) * 1000:.0f} | {max(samples) * 1000:.0f}"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--formats", default=",".join(_PACKERS))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--work", type=Path, default=Path("/dev/shm"), help="where corpus and archives lie")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.work) as name, tempfile.TemporaryDirectory() as state:
        work = Path(name)
        folder = work / "folder"
        folder.mkdir()
        make_corpus(work / "corpus")
        make_small(work / "corpus", work / "small")
        os.environ["TASKDECK_STATE"] = state
        archives = {kind: work / f"a.{kind}" for kind in given.formats.split(",")}
        cancels: dict[str, list[float]] = {}
        for kind, archive in archives.items():
            subprocess.run(_PACKERS[kind].format(out=archive), shell=True, cwd=work, check=True)
            took = min(_whole(archive, folder, work) for _ in range(2))
            moments = [0.1 + (took - 0.1) * n / given.rounds for n in range(given.rounds)]
            cancels[kind] = [s for s in (cancel(archive, folder, work, at) for at in moments) if s is not None]
        pauses = asyncio.run(_pauses(archives, given.rounds, folder, Path(state) / "deck"))
    print("| format | cancel: median ms | worst | pause: median ms | worst |\n|---|---:|---:|---:|---:|")
    for kind in archives:
        print(f"| {kind} | {_cell(cancels[kind])} | {_cell(pauses[kind])} |")


if __name__ == "__main__":
    main()
