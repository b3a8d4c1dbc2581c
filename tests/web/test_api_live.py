"""Live updates: `taskdeck.v1` and the guide's messages over WebSocket, server-sent events, stalled clients."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import socket
import time
from datetime import datetime
from typing import Any

import aiohttp
import msgspec
import pytest

from engines.errors import TaskdeckError
from engines.model import Action, Actor, SubmitOptions, TaskState
from engines.query import Query
from engines.tasks.api import Watch
from tests.support.station import SECONDS, Station
from tui_app import wire
from tui_app.daemon import Daemon

ACTOR = Actor("somebody", "api")


async def make(daemon: Daemon, name: str = "a.bin", paused: bool = False, **fields: Any) -> str:
    op = {"op": "steps", "path": f"{daemon.settings.roots[0]}/{name}", "count": 3, "pause": 0, **fields}
    return (await daemon.tasks.submit(op, actor=ACTOR, options=SubmitOptions(paused=paused))).id


async def test_guide_client_gets_the_first_state_at_once(station: Station, daemon: Daemon) -> None:
    ids = {await make(daemon, f"{number}.bin", paused=True) for number in range(3)}
    async with station.http() as http, http.ws_connect("/ws/dashboard") as live:
        first = await live.receive_json(timeout=SECONDS)
        statuses = [await live.receive_json(timeout=SECONDS) for _ in ids]
    assert first["type"] == "dashboard_stats"
    assert set(first["data"]) == {
        "active_tasks", "total_downloads", "total_uploads", "total_speed",
        "cpu_usage", "memory_usage", "disk_usage", "uptime",
    }  # fmt: skip
    assert {status["task_id"] for status in statuses} == ids
    for status in statuses:
        assert status["type"] == "task_status"
        assert {"status", "progress", "speed", "eta", "current_size", "total_size", "name"} <= status["data"].keys()
        assert status["timestamp"].endswith("Z")


async def test_guide_client_gets_at_most_one_message_a_task_a_second(station: Station, daemon: Daemon) -> None:
    task = await make(daemon, count=150, pause=0.02)
    seen: list[float] = []
    async with station.http() as http, http.ws_connect("/ws/dashboard") as live:
        async with asyncio.timeout(SECONDS):
            async for message in live:
                body = json.loads(message.data)
                if body["type"] == "task_status" and body["task_id"] == task:
                    seen.append(datetime.fromisoformat(body["timestamp"]).timestamp())
                    if body["data"]["status"] == "completed":
                        break
    gaps = [later - earlier for earlier, later in itertools.pairwise(seen[1:])]
    assert len(seen) >= 3
    assert min(gaps) > 0.99  # by the sender's clock: a busy receiver sees them closer together


async def test_guide_client_may_ping_and_ask_for_tasks(station: Station, daemon: Daemon) -> None:
    task = await make(daemon, paused=True)
    async with station.http() as http, http.ws_connect("/ws/dashboard") as live:
        await live.send_str('{"type":"ping"}')
        await live.send_str("not json")
        await live.send_str('{"type":"get_tasks"}')
        found: dict[str, Any] = {}
        async with asyncio.timeout(SECONDS):
            while "tasks_list" not in found:
                body = await live.receive_json()
                found[body["type"]] = body
    assert "pong" in found
    assert [item["task_id"] for item in found["tasks_list"]["tasks"]] == [task]


async def test_client_watches_a_task_to_its_end(station: Station, daemon: Daemon) -> None:
    task = await make(daemon, count=20, pause=0.02)
    async with station.client() as client:
        watcher = await client.watch(Watch(Query(limit=10), hz=10))
        updates = []
        async with asyncio.timeout(SECONDS):
            async for update in watcher:
                updates.append(update)
                if any(view.id == task for view in update.ended):
                    break
        assert updates[0].ids == [task]
        assert updates[0].stats is not None
        assert updates[-1].ended[0].state is TaskState.COMPLETED
        await watcher.close()


async def test_relative_paths_start_from_the_first_root_unless_told_otherwise(station: Station, daemon: Daemon) -> None:
    (station.root / "films" / "new").mkdir(parents=True)
    op = {"op": "steps", "path": "films/x.bin", "count": 1, "pause": 0}
    async with station.client() as client:
        for base, path in ((None, "films/x.bin"), (str(station.root / "films"), "films/films/x.bin")):
            view = await client.submit(op, actor=ACTOR, base=base)
            detail = await client.detail(view.id)
            assert detail.params["path"] == str(station.root / path)
        assert [entry.name for entry in (await client.files("films")).entries] == ["new"]
        (station.root / "a.txt").write_text("a")
        assert (await client.look({"op": "estimate", "path": "a.txt"}))["files"] == 1


async def test_client_speaks_the_whole_protocol(station: Station, daemon: Daemon) -> None:
    async with station.client(face="tui") as client:
        op = {"op": "steps", "path": "x.bin", "count": 10_000, "pause": 0.05}
        view = await client.submit(op, actor=ACTOR, base=str(station.root))
        assert view.face == "tui"
        assert (await client.view(view.id)).id == view.id
        assert (await client.query(Query(filter="x.bin"))).total == 1
        outcomes = await client.control([view.id, "zzzz"], Action.PAUSE, actor=ACTOR)
        assert [outcome.ok for outcome in outcomes] == [True, False]
        assert (await client.control_all(Action.PAUSE, actor=ACTOR)).paused_all
        assert not (await client.control_all(Action.RESUME, actor=ACTOR)).paused_all
        await client.control([view.id], Action.CANCEL, actor=ACTOR)
        assert (await client.wait(view.id)).state is TaskState.CANCELLED
        assert (await client.events(task_id=view.id))[0].type == "submit"
        assert (await client.log(view.id))[1] == []
        assert (await client.detail(view.id)).view.id == view.id
        assert (await client.stats()).counts["cancelled"] == 1
        assert (await client.files("")).roots == [str(station.root)]
        with pytest.raises(TaskdeckError) as missing:
            await client.view("zzzzzz")
        assert missing.value.code == "task.missing"


async def test_a_bad_filter_ends_the_watch_with_its_error(station: Station, daemon: Daemon) -> None:
    async with station.client() as client:
        watcher = await client.watch(Watch(Query(filter="status:nonsense")))
        with pytest.raises(TaskdeckError, match="status"):
            async with asyncio.timeout(SECONDS):
                async for _ in watcher:
                    pass


async def test_a_watch_comes_back_after_the_daemon_was_restarted(station: Station, operations: None) -> None:
    states: list[bool] = []
    async with station.client(on_state=states.append) as client:
        async with station.daemon() as first:
            task = await make(first, paused=True)
            watcher = await client.watch(Watch(Query(limit=5), hz=10))
            updates = aiter(watcher)
            async with asyncio.timeout(SECONDS):
                assert (await anext(updates)).ids == [task]
        async with station.daemon(), asyncio.timeout(SECONDS):
            while True:
                update = await anext(updates)
                if states[-1] and len(states) >= 3 and update.ids == [task]:
                    break
    assert states[:2] == [True, False]


async def test_without_reconnecting_a_watch_ends_when_the_daemon_does(station: Station, operations: None) -> None:
    async with station.client(reconnect=False) as client:
        async with station.daemon():
            watcher = await client.watch(Watch())
            updates = aiter(watcher)
            async with asyncio.timeout(SECONDS):
                await anext(updates)
        with pytest.raises(TaskdeckError) as lost:
            async with asyncio.timeout(SECONDS):
                while True:
                    await anext(updates)
        assert lost.value.code == "daemon.absent"


async def test_stopping_tells_live_clients_that_we_go(station: Station, operations: None) -> None:
    async with station.http() as http:
        async with station.daemon() as daemon:
            sockets = [await http.ws_connect("/ws/dashboard", protocols=(wire.SUBPROTOCOL,)) for _ in range(20)]
            for live in sockets:
                assert (await live.receive_json(timeout=SECONDS))["type"] == "hello"
            since = time.monotonic()
            await daemon.close()
            took = time.monotonic() - since
        closed = [await live.receive(timeout=SECONDS) for live in sockets]
    assert {message.type for message in closed} == {aiohttp.WSMsgType.CLOSE}
    assert {message.data for message in closed} == {1001}
    assert took < 30  # the promise is one second; without care for the open sockets it were two minutes


def stalled_websocket(path: str, protocol: str) -> socket.socket:
    """A WebSocket that never reads after the handshake, with small buffers."""
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(path)
    key = base64.b64encode(os.urandom(16)).decode()
    wanted = f"Sec-WebSocket-Protocol: {protocol}\r\n" if protocol else ""
    raw.sendall(
        f"GET /ws/dashboard HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{wanted}\r\n".encode()
    )
    return raw


def text_frame(text: bytes) -> bytes:
    """A masked frame with a zero mask (RFC 6455, 5.2), up to 65,535 bytes."""
    head = bytes([0x81, 0x80 | len(text)]) if len(text) < 126 else b"\x81\xfe" + len(text).to_bytes(2, "big")
    return head + b"\0\0\0\0" + text


@pytest.mark.slow
async def test_a_client_that_stops_reading_is_cut_and_disturbs_nobody(station: Station, daemon: Daemon) -> None:
    assert daemon._deck is not None
    daemon._deck.stuck_after = 3
    await daemon.tasks.control_all(Action.PAUSE, actor=ACTOR)
    for number in range(400):
        await make(daemon, f"a rather long name to fill the window {number:04d} {'x' * 150}.bin")
    opening = msgspec.json.encode(wire.OpenWatch(1, Watch(Query(limit=1000), hz=20)))
    stalled = await asyncio.to_thread(stalled_websocket, str(station.locations.socket()), wire.SUBPROTOCOL)
    guide = await asyncio.to_thread(stalled_websocket, str(station.locations.socket()), "")
    stalled.sendall(text_frame(opening))
    async with station.client() as client:
        watcher = await client.watch(Watch(Query(limit=1000), hz=20))
        updates = aiter(watcher)
        ids = (await anext(updates)).ids
        assert ids is not None
        undisturbed = 0
        async with asyncio.timeout(SECONDS):
            while daemon._deck.connections > 1:
                for task_id in ids[:40]:
                    await daemon.tasks.reorder(task_id, actor=ACTOR, priority=int(time.monotonic() * 10) % 50)
                await anext(updates)
                undisturbed += daemon._deck.connections == 3
        await client.stats()
    assert daemon._deck.connections <= 1
    assert undisturbed  # while both others held out
    stalled.close()
    guide.close()


async def test_stream_sends_the_guides_messages_and_ends_with_the_task(station: Station, daemon: Daemon) -> None:
    task = await make(daemon, count=60, pause=0.02)
    async with station.http() as http, http.get(f"/api/stream/{task}") as response:
        assert response.content_type == "text/event-stream"
        async with asyncio.timeout(SECONDS):
            text = (await response.read()).decode()
    events = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]
    assert events[0] == {"retry": "3000"}
    messages = [json.loads(event["data"]) for event in events[1:]]
    assert messages[-1]["data"]["status"] == "completed"
    assert [int(event["id"]) for event in events[1:]] == sorted(int(event["id"]) for event in events[1:])
    assert {event["event"] for event in events[1:]} == {"task_status"}


async def test_stream_resumes_after_the_last_event_id(station: Station, daemon: Daemon) -> None:
    task = await make(daemon)
    view = await daemon.tasks.wait(task)
    async with station.http() as http:
        seen = await http.get(f"/api/v1/stream/{task}", headers={"Last-Event-ID": str(view.rev)})
        assert b"data:" not in await seen.read()
        anew = await http.get(f"/api/v1/stream/{task}", headers={"Last-Event-ID": "0"})
        assert b'"state":"completed"' in await anew.read()
        missing = await http.get("/api/stream/zzzzzz")
        assert missing.status == 404


async def test_a_message_that_is_none_is_answered_not_fatal(station: Station, daemon: Daemon) -> None:
    async with station.http() as http, http.ws_connect("/ws/dashboard", protocols=(wire.SUBPROTOCOL,)) as live:
        assert (await live.receive_json(timeout=SECONDS))["type"] == "hello"
        await live.send_str('{"type":"bogus"}')
        assert (await live.receive_json(timeout=SECONDS))["error"]["code"] == "usage"
        await live.send_str('{"type":"watch","id":1,"watch":{"query":{"limit":100000}}}')
        assert (await live.receive_json(timeout=SECONDS))["error"]["code"] == "value"
        await live.send_str('{"type":"ping"}')
        assert (await live.receive_json(timeout=SECONDS))["type"] == "pong"
