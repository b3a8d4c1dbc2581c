"""Windows on the task list: complete at first, then only what changed; the same tasks whoever asks."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import msgspec
import pytest

from engines.model import Action, Kind, SubmitOptions, TaskState, TaskView
from engines.query import Query, Sort, parse_filter, sort_key
from engines.tasks import rows
from engines.tasks.api import Update, Watch
from engines.tasks.board import Board
from engines.tasks.ids import ALPHABET
from engines.tasks.record import Record
from engines.tasks.watcher import LocalWatcher
from tests.support.fake_tasks import make_view
from tests.support.workbench import DEADLINE, Deck, running


class Mirror:
    """What a reader knows who applies every update in the documented order."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.views: dict[str, TaskView] = {}
        self.total = 0
        self.ended: list[str] = []

    def apply(self, update: Update) -> None:
        self.total = update.total
        if update.ids is not None:
            self.ids = update.ids
        self.views.update({view.id: view for view in update.rows})
        for tick in update.ticks:
            self.views[tick.id] = msgspec.structs.replace(
                self.views[tick.id], rev=tick.rev, done=tick.done, total=tick.total, item=tick.item
            )
        self.ended += [view.id for view in update.ended]

    @property
    def window(self) -> list[tuple[str, TaskState, int]]:
        return [(i, self.views[i].state, self.views[i].done) for i in self.ids]


async def shown(deck: Deck, query: Query) -> list[tuple[str, TaskState, int]]:
    page = await deck.service.query(query)
    return [(view.id, view.state, view.done) for view in page.items]


@pytest.mark.parametrize("sort", [Sort.STATE, Sort.CREATED, Sort.PROGRESS])
async def test_reader_of_updates_ends_with_what_a_query_shows(tmp_path: Path, sort: Sort) -> None:
    query = Query(sort=sort, limit=6)
    async with running(tmp_path, parallel_info=2) as deck:
        watcher = await deck.service.watch(Watch(query, hz=10))
        mirror = Mirror()

        async def follow() -> None:
            async for update in watcher:
                mirror.apply(update)

        following = asyncio.create_task(follow())
        tasks = [await deck.act("sleep", number=0.2) for _ in range(5)]
        steps = await deck.steps(count=20)
        await deck.until(tasks[0].id, TaskState.RUNNING)
        await deck.ask(tasks[0].id, Action.PAUSE)
        await deck.ask(tasks[4].id, Action.CANCEL)
        await deck.ask(tasks[0].id, Action.RESUME)
        for task in (*tasks, steps):
            await deck.ended(task.id)
        deadline = time.monotonic() + DEADLINE
        while mirror.window != await shown(deck, query):
            assert time.monotonic() < deadline, (mirror.window, await shown(deck, query))
            await asyncio.sleep(0.05)
        assert mirror.total == 6
        assert sorted(mirror.ended) == sorted(task.id for task in (*tasks, steps))
        await watcher.close()
        await asyncio.wait_for(following, DEADLINE)


async def test_nothing_is_sent_while_nothing_changes(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        await deck.act("nothing", options=SubmitOptions(paused=True))
        watcher = await deck.service.watch(Watch(hz=10, stats=False))
        first = await anext(aiter(watcher))
        assert first.ids is not None and len(first.rows) == 1
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(aiter(watcher)), 1.0)
        await watcher.close()


async def test_progress_comes_as_ticks_and_not_as_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as deck:
        monkeypatch.setattr(deck.service.gauges, "sample_if_due", lambda: None)  # what its process uses comes as rows
        task = await deck.steps(count=10_000)
        await deck.until(task.id, TaskState.RUNNING)
        watcher = await deck.service.watch(Watch(hz=10, stats=False))
        updates = [await anext(aiter(watcher)) for _ in range(8)]
        assert [len(update.rows) for update in updates] == [1, 0, 0, 0, 0, 0, 0, 0]
        done = [tick.done for update in updates[1:] for tick in update.ticks]
        assert done == sorted(done) and done[0] < done[-1]
        await watcher.close()


async def test_state_change_is_sent_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        task = await deck.act("nothing", options=SubmitOptions(paused=True))
        watcher = await deck.service.watch(Watch(hz=0.05, stats=False))  # the next tick is 20 s away
        await anext(aiter(watcher))
        await deck.ask(task.id, Action.CANCEL)
        update = await asyncio.wait_for(anext(aiter(watcher)), 15)
        assert update.ended[0].state is TaskState.CANCELLED
        await watcher.close()


async def test_window_can_be_moved(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        tasks = [await deck.act("nothing", options=SubmitOptions(paused=True)) for _ in range(10)]
        watcher = await deck.service.watch(Watch(Query(limit=3), stats=False))
        first = await anext(aiter(watcher))
        assert first.ids == [task.id for task in tasks[:3]] and first.total == 10
        await watcher.change(Watch(Query(limit=3, offset=7), stats=False))
        moved = await asyncio.wait_for(anext(aiter(watcher)), DEADLINE)
        assert moved.ids == [task.id for task in tasks[7:]] and moved.offset == 7
        assert [view.id for view in moved.rows] == moved.ids
        await watcher.close()


def invented(source: random.Random, number: int) -> Record:
    state = source.choice([s for s in TaskState if s not in (TaskState.RUNNING, TaskState.PAUSING)])
    ended = state in (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)
    return Record(
        id="".join(source.choices(ALPHABET, k=6)),
        op={"op": source.choice(["zip", "act"]), "path": "x"},
        op_name=source.choice(["zip", "act"]),
        kind=source.choice(list(Kind)),
        title=source.choice(["Straße", "holiday b", "Holiday 1", "100%_x", "ÄRGER", "it's"]),
        state=state,
        created=source.choice([1e9, 2e9, 2e9 + number]),
        owner=source.choice(["ann", "bob"]),
        face=source.choice(["cli", "web"]),
        priority=source.randrange(3),
        position=number,
        max_attempts=3,
        resumable=True,
        writes=False,
        finished=2e9 + number if ended else None,
        total=source.choice([None, 0, 5, 10**12]),
        done=3,
        output=source.choice(["", "/o/HOLIDAY.zip"]),
    )


FILTERS = [
    "", "status:failed", "status:open", "!status:ended", "kind:zip", "!kind:zip,media", "owner:ann face:web",
    "holiday", "STRASSE", "ärger", "-holiday 100%", "since:2001-10-01", "before:2030-01-01 status:done,queued",
    "id:a,b kind:act", "it's", "owner:ANN", "!owner:Ann", "!face:web", "-id:a,b", "!since:2001-10-01", "!owner:ann,bob",
]  # fmt: skip


async def test_store_and_memory_agree_on_filters_and_orders(tmp_path: Path) -> None:
    source = random.Random(5)
    everything = [invented(source, number) for number in range(400)]
    async with running(tmp_path) as deck:
        await deck.service.store.write([statement for record in everything for statement in rows.insert(record)])
        await deck.service.store.write([("INSERT OR REPLACE INTO meta (name, value) VALUES ('paused_all', '1')", ())])
    async with running(tmp_path) as deck:
        views = [(await deck.service.view(record.id)) for record in everything]
        for text in FILTERS:
            wanted = parse_filter(text)
            expected = {view.id for view in views if wanted.matches(view)}
            for sort in Sort:
                page = await deck.service.query(Query(filter=text, sort=sort, limit=1000))
                assert {view.id for view in page.items} == expected, (text, sort)
                assert page.total == len(expected) == len(page.items)
                back = await deck.service.query(Query(filter=text, sort=sort, limit=1000, reverse=True))
                assert [view.id for view in back.items] == [view.id for view in page.items][::-1]
                pieces = [
                    view.id
                    for offset in range(0, len(expected) + 7, 7)
                    for view in (await deck.service.query(Query(filter=text, sort=sort, offset=offset, limit=7))).items
                ]
                assert pieces == [view.id for view in page.items], (text, sort)
        for sort in (Sort.STATE, Sort.CREATED, Sort.NAME, Sort.KIND, Sort.SIZE):
            page = await deck.service.query(Query(sort=sort, limit=1000))
            keys = [sort_key(view, sort) for view in page.items]
            if sort is Sort.NAME:  # equal names may come by output first
                keys = [key[:1] for key in keys]
            if sort is Sort.STATE:
                keys = keys[: sum(1 for view in page.items if not view.terminal)]
            assert keys == sorted(keys), sort


async def test_a_change_elsewhere_swallows_no_progress() -> None:
    board = Board(1)
    for number in range(3):
        view = make_view(f"t{number}")
        board.add(
            Record(id=view.id, op={}, op_name="zip", kind=view.kind, title="x", state=TaskState.RUNNING, created=0.0,
                   owner="", face="", priority=0, position=number, max_attempts=1, resumable=True, writes=True,
                   total=100)
        )  # fmt: skip

    async def window(query: Query, wanted: object) -> tuple[list[TaskView], int]:
        return [record.view(time.monotonic()) for record in board.records.values()], 3

    watcher = LocalWatcher(Watch(hz=10, stats=False), board, window, lambda: None, lambda: None)  # type: ignore[arg-type,return-value]
    updates = aiter(watcher)
    await anext(updates)
    board.records["t0"].done = 50
    board.report(board.records["t0"])
    board.touch(board.records["t1"])
    update = await asyncio.wait_for(anext(updates), DEADLINE)
    assert [row.id for row in update.rows] == ["t1"]
    assert [(tick.id, tick.done) for tick in update.ticks] == [("t0", 50)]
    await watcher.close()
