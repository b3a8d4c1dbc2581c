"""Browsers with one view share one watch; who comes late or missed something gets the whole window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import WSMessage, WSMsgType

from engines.model import TaskState
from engines.tasks.api import Update, Watch
from tests.support.fake_tasks import FakeTasks, seeded
from tests.support.station import SECONDS
from tests.support.web_server import site, until
from tui_app.web.guide_feed import BUSY, GuideFeed
from tui_app.web.hub import Hub


class Transport(asyncio.Transport):
    """A connection with as much unsent as a test says."""

    def __init__(self) -> None:
        super().__init__()
        self.unsent = 0
        self.cut = False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.cut

    def abort(self) -> None:
        self.cut = True


class Client:
    """What one browser was sent."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.seen: asyncio.Queue[Update] = asyncio.Queue()

    async def send(self, frame: bytes) -> None:
        message: dict[str, Any] = msgspec.json.decode(frame)
        assert message["type"] == "update"
        self.seen.put_nowait(msgspec.convert(message["update"], Update))

    async def next(self) -> Update:
        return await asyncio.wait_for(self.seen.get(), SECONDS)


def watches(tasks: FakeTasks) -> int:
    return sum(call[0] == "watch" for call in tasks.asked)


async def test_one_view_is_watched_once_and_ends_with_its_last_reader() -> None:
    tasks = FakeTasks(seeded(5))
    hub = Hub(tasks, 10)
    first, second = Client(), Client()
    one = await hub.join(Watch(), 1, first.send, first.transport)
    assert len((await first.next()).rows) == 5
    two = await hub.join(Watch(), 7, second.send, second.transport)
    late = await second.next()
    assert late.ids == [view.id for view in tasks.page(Watch().query).items]
    assert len(late.rows) == 5
    tasks.change("t000", done=5)
    assert [(await client.next()).ticks[0].done for client in (first, second)] == [5, 5]
    assert watches(tasks) == 1
    await one.close()
    assert not tasks.watchers[0].closed
    await two.close()
    assert tasks.watchers[0].closed


async def test_a_full_connection_is_skipped_and_then_gets_everything() -> None:
    tasks = FakeTasks(seeded(5))
    hub = Hub(tasks, 10)
    quick, slow = Client(), Client()
    for client in (quick, slow):
        await hub.join(Watch(), 1, client.send, client.transport)
        await client.next()
    slow.transport.unsent = 1 << 20
    tasks.change("t000", done=6)
    await quick.next()
    tasks.change("t001", state=TaskState.COMPLETED)
    while (await quick.next()).ended == []:
        pass
    assert slow.seen.empty()
    slow.transport.unsent = 0
    caught_up = await slow.next()
    assert [view.id for view in caught_up.ended] == ["t001"]
    assert {view.id: view.done for view in caught_up.rows}["t000"] == 6
    await hub.close()


async def test_a_connection_that_stands_still_is_cut() -> None:
    tasks = FakeTasks(seeded(2))
    hub = Hub(tasks, 0.2)
    client = Client()
    await hub.join(Watch(), 1, client.send, client.transport)
    await client.next()
    client.transport.unsent = 1 << 20
    tasks.change("t000", done=6)
    async with asyncio.timeout(SECONDS):
        while not client.transport.cut:  # noqa: ASYNC110 - told by nothing
            await asyncio.sleep(0.02)
    await hub.close()


async def test_moving_the_window_gives_the_other_window(tmp_path: Path) -> None:
    tasks = FakeTasks(seeded(5))
    hub = Hub(tasks, 10)
    client = Client()
    line = await hub.join(Watch(), 1, client.send, client.transport)
    await client.next()
    other = msgspec.structs.replace(Watch().query, filter="status:failed", limit=1)
    await line.change(Watch(other))
    moved = await client.next()
    assert moved.ids == [view.id for view in tasks.page(other).items]
    await hub.close()


async def test_asking_again_for_the_same_window_goes_on_with_it() -> None:
    tasks = FakeTasks(seeded(5))
    hub = Hub(tasks, 10)
    client = Client()
    line = await hub.join(Watch(), 1, client.send, client.transport)
    await client.next()
    await line.change(Watch())
    assert len((await client.next()).rows) == 5
    tasks.change("t000", done=5)
    assert (await client.next()).ticks[0].done == 5
    await hub.close()


class Flood:
    """A client of the guide's protocol that asks for the list again and again, and reads only when told."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.lists = 0
        self.closed = asyncio.Event()

    async def send_frame(self, frame: bytes, _: WSMsgType) -> None:
        self.transport.unsent += len(frame)
        self.lists += frame.startswith(b'{"type":"tasks_list"')

    async def __aiter__(self) -> AsyncIterator[WSMessage]:
        for _ in range(100):
            yield WSMessage(WSMsgType.TEXT, '{"type":"get_tasks"}', None)
        await self.closed.wait()


async def test_a_list_asked_for_often_is_not_piled_up(tmp_path: Path) -> None:
    async with site(FakeTasks(seeded(400)), tmp_path) as served:
        feed = GuideFeed(served.deck)
        transport = Transport()
        flood = Flood(transport)
        serving = asyncio.create_task(feed.serve(flood, transport))  # type: ignore[arg-type]
        await until(lambda: flood.lists > 0 or transport.unsent > BUSY)
        await asyncio.sleep(0)  # all hundred questions are there at once
        before = flood.lists
        assert before <= 1
        transport.unsent = 0  # it has read
        await until(lambda: flood.lists > before)
        assert flood.lists == before + 1
        flood.closed.set()
        await serving
        await feed.close()
