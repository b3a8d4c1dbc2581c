"""Figures of the task engine: `python -m benchmarks.engine` prints the tables of docs/benchmarks.md.

Latencies are medians of many; compare inside one run only, since other work on the machine moves them all.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from engines import operations
from engines.model import Actor, Kind, TaskState
from engines.operations import OperationSpec
from engines.query import Query, Sort, parse_filter
from engines.settings import Settings, TasksSettings
from engines.tasks import ids, rows
from engines.tasks.api import Watch
from engines.tasks.record import Record
from engines.tasks.service import TaskService
from engines.tasks.store import Statement
from tests.support.operations import Act

ME = Actor("bench", "bench")
HISTORY = 100_000
LIVE = 10_000
MEMORY = Path("/dev/shm")
"""A file system in memory: what remains there is the engine's own time."""


ACT = OperationSpec(Act, Kind.INFO, run="tests.support.operations:run_act", reply="")


def median_ms(samples: list[float]) -> str:
    """Median and 95th percentile in milliseconds."""
    ordered = sorted(samples)
    return f"{statistics.median(ordered) * 1000:.1f} | {ordered[int(len(ordered) * 0.95)] * 1000:.1f}"


def service(folder: Path, **changes: object) -> TaskService:
    """A service over a new state folder."""
    (folder / "root").mkdir(exist_ok=True)
    base: dict[str, object] = {"warm_workers": 0, "parallel_info": 4, "disk_floor": 0}
    settings = Settings(roots=(str(folder / "root"),), tasks=TasksSettings(**{**base, **changes}))  # type: ignore[arg-type]
    return TaskService(folder / "state", settings)


async def latency(warm: int, rounds: int = 25, where: str | None = None) -> list[float]:
    """Seconds from the call of `submit` to the first line of the job's function; the state lies below `where`."""
    samples = []
    with tempfile.TemporaryDirectory(dir=where) as name:
        deck = service(Path(name), warm_workers=warm)
        await deck.start()
        for number in range(rounds):
            await asyncio.sleep(1.0 if warm else 0.05)  # the spare is made half a second after one was taken
            stamp = Path(name) / f"stamp{number}"
            begun = time.time()
            task = await deck.submit({"op": "act", "path": "stamp", "text": str(stamp)}, actor=ME)
            await deck.wait(task.id)
            samples.append(float(stamp.read_text()) - begun)
        await deck.stop()
    return samples


async def commits(rounds: int = 60) -> list[float]:
    """Seconds of one durable event, alone: what the disk does."""
    samples = []
    with tempfile.TemporaryDirectory() as name:
        deck = service(Path(name))
        await deck.start()
        for number in range(rounds):
            await asyncio.sleep(0.02)
            begun = time.perf_counter()
            await deck.store.write([("INSERT OR REPLACE INTO meta VALUES ('bench', ?)", (str(number),))])
            samples.append(time.perf_counter() - begun)
        await deck.stop()
    return samples


def forkserver(rounds: int = 25) -> list[float]:
    """Seconds from a request to a fork server, with the worker's modules loaded, to the child's first line."""
    ours, theirs = socket.socketpair()
    server = os.fork()
    if server == 0:
        ours.close()
        import engines.tasks.worker  # noqa: F401

        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while theirs.recv(1):
            if os.fork() == 0:
                theirs.send(repr(time.time()).encode().ljust(32))
                os._exit(0)
        os._exit(0)
    theirs.close()
    samples = []
    for _ in range(rounds):
        time.sleep(0.05)
        begun = time.time()
        ours.send(b"x")
        samples.append(float(ours.recv(32)) - begun)
    ours.close()
    os.waitpid(server, 0)
    return samples


async def fresh(rounds: int = 25) -> list[float]:
    """Seconds to start an interpreter with the worker's modules, without any engine round it."""
    samples = []
    code = "import sys; sys.path[:] = sys.argv[1:]; import engines.tasks.worker"
    for _ in range(rounds):
        begun = time.perf_counter()
        child = await asyncio.create_subprocess_exec(sys.executable, "-I", "-S", "-c", code, *filter(None, sys.path))
        await child.wait()
        samples.append(time.perf_counter() - begun)
    return samples


async def rates() -> list[tuple[str, str]]:
    """Submits, events and whole no-op tasks a second."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        deck = service(Path(name))
        await deck.start()
        deck.engine.paused_all = True
        count = 1000
        for label, width in (("submits/s, one after the other", 1), ("submits/s, 50 at once", 50)):
            begun = time.perf_counter()
            for _ in range(count // width):
                await asyncio.gather(*(deck.submit({"op": "act", "path": "x"}, actor=ME) for _ in range(width)))
            found.append((label, f"{count / (time.perf_counter() - begun):,.0f}"))
        record = next(iter(deck.board.records.values()))
        begun, count = time.perf_counter(), 20_000
        for start in range(0, count, 500):
            await asyncio.gather(
                *(deck.store.write([deck.journal.statement(record.id, "bench", ME, {"n": start})]) for _ in range(500))
            )
        found.append(("durable events/s through the store", f"{count / (time.perf_counter() - begun):,.0f}"))
        await deck.stop()
    return found


async def floods() -> tuple[str, str]:
    """Progress events a second that a service digests from one job that says as much as it can."""
    with tempfile.TemporaryDirectory() as name:
        deck = service(Path(name))
        await deck.start()
        begun = time.perf_counter()
        task = await deck.submit({"op": "act", "path": "flood", "number": 50_000}, actor=ME)
        await deck.wait(task.id)
        spent = time.perf_counter() - begun
        commits = deck.store.commits
        await deck.stop()
    return ("checkpoint events/s from one job, coalesced", f"{50_000 / spent:,.0f} ({commits / spent:.1f} commits/s)")


def fake(number: int, state: TaskState, now: float, source: random.Random) -> Record:
    """A task of an invented history."""
    ended = state in (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)
    return Record(
        id="".join(ids.ALPHABET[number // 31**place % 31] for place in range(6)),
        op={"op": "act", "path": "x"},
        op_name="act",
        kind=source.choice(list(Kind)),
        title=f"holiday {number} {source.random()}",
        state=state,
        created=now - number * 10,
        owner="local",
        face="cli",
        priority=0,
        position=number,
        max_attempts=3,
        resumable=True,
        writes=False,
        finished=now - number * 10 + 5 if ended else None,
        total=source.randrange(1 << 40),
    )


async def fill(deck: TaskService, count: int, live: bool) -> None:
    """Write an invented history, or queued tasks."""
    source = random.Random(1)
    now = time.time()
    ends = [TaskState.COMPLETED] * 8 + [TaskState.FAILED, TaskState.CANCELLED]
    statements: list[Statement] = []
    for number in range(count):
        record = fake(number, TaskState.QUEUED if live else source.choice(ends), now, source)
        statements += rows.insert(record)
        if len(statements) > 4000:
            await deck.store.write(statements)
            statements = []
    await deck.store.write(statements)


async def timed(work: Callable[[], Awaitable[object]], rounds: int = 15) -> list[float]:
    """Seconds of each of some calls."""
    samples = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await work()
        samples.append(time.perf_counter() - begun)
    return samples


async def history() -> list[tuple[str, str]]:
    """Milliseconds of questions to a history of 100,000 ended tasks."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        deck = service(Path(name))
        await fill(deck, HISTORY, live=False)
        await deck.stop()
        begun = time.perf_counter()
        deck = service(Path(name))
        await deck.start()
        found.append(("start of the service", f"{(time.perf_counter() - begun) * 1000:.0f} |"))
        found.append(("status (counts, totals)", median_ms(await timed(deck.stats))))
        for sort in Sort:
            for offset in (0, HISTORY - 50):
                query = Query(sort=sort, offset=offset)
                found.append((f"50 by {sort} at {offset:,}", median_ms(await timed(lambda q=query: deck.query(q)))))  # type: ignore[misc]
        for text in ("status:failed", "kind:zip", "holiday 77", "since:1d", "status:failed -holiday"):
            query = Query(filter=text)
            found.append((f"`{text}`", median_ms(await timed(lambda q=query: deck.query(q)))))  # type: ignore[misc]
        await deck.stop()
    return found


async def windows() -> list[tuple[str, str]]:
    """What watching costs with 10,000 live tasks of which 100 report progress and 5 a second change state."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        deck = service(Path(name))
        await fill(deck, LIVE, live=True)
        await deck.store.write([("INSERT INTO meta VALUES ('paused_all', '1')", ())])
        await deck.stop()
        deck = service(Path(name))
        await deck.start()
        records = sorted(deck.board.records.values(), key=lambda record: record.position)
        for sort, text in ((Sort.STATE, ""), (Sort.STATE, "holiday 7"), (Sort.CREATED, ""), (Sort.PROGRESS, "")):
            parse_filter(text)
            watcher = await deck.watch(Watch(Query(filter=text, sort=sort, limit=50), stats=False))
            updates = 0

            async def follow(w: object = watcher) -> None:
                nonlocal updates
                async for _ in w:  # type: ignore[attr-defined]
                    updates += 1

            following = asyncio.create_task(follow())
            await asyncio.sleep(1.0)
            cpu, begun, updates = time.process_time(), time.perf_counter(), 0
            for beat in range(25):
                for record in records[:100]:
                    record.done += 1000
                    deck.board.report(record)
                deck.board.touch(records[beat])
                await asyncio.sleep(0.2)
            spent = time.perf_counter() - begun
            used = (time.process_time() - cpu) / spent * 100
            found.append((f"by {sort}{f', `{text}`' if text else ''}", f"{used:.1f} | {updates / spent:.1f}"))
            await watcher.close()
            await following
        await deck.stop()
    return found


async def main() -> None:
    """Print every table."""
    operations.OPERATIONS["act"] = ACT
    print("| submit -> first line of the job | median ms | p95 ms |\n|---|---|---|")
    print(f"| new interpreter (no warm worker) | {median_ms(await latency(0))} |")
    print(f"| one warm worker | {median_ms(await latency(1))} |")
    if MEMORY.is_dir():  # noqa: ASYNC240 - once
        print(f"| one warm worker, state in memory | {median_ms(await latency(1, where=str(MEMORY)))} |")
    print(f"| one of the two commits in it, alone | {median_ms(await commits())} |")
    print("\n| making a process alone | median ms | p95 ms |\n|---|---|---|")
    print(f"| new interpreter with the worker's modules | {median_ms(await fresh())} |")
    print(f"| fork server with them preloaded | {median_ms(forkserver())} |")
    print("\n| throughput | |\n|---|---|")
    for label, value in [*await rates(), await floods()]:
        print(f"| {label} | {value} |")
    print(f"\n| {HISTORY:,} ended tasks | median ms | p95 ms |\n|---|---|---|")
    for label, value in await history():
        print(f"| {label} | {value} |")
    print(f"\n| watching {LIVE:,} live tasks at 2 Hz | % of a core | updates/s |\n|---|---|---|")
    for label, value in await windows():
        print(f"| {label} | {value} |")


if __name__ == "__main__":
    asyncio.run(main())
