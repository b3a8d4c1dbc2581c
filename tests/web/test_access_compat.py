"""The guide's dashboard classes keep their names and formats."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.fake_tasks import FakeTasks, seeded
from tests.support.station import SECONDS
from tui_app.web.compat import DashboardEndpoints, DashboardManager

STATUS = {"status": "downloading", "progress": 45, "speed": 5_242_880, "eta": 120, "name": "video_file.mp4"}


class Line:
    """A connection that remembers, or breaks."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.sent: list[dict[str, Any]] = []

    async def send_json(self, data: Any) -> None:
        if self.broken:
            raise ConnectionResetError
        self.sent.append(data)


async def test_a_status_reaches_everybody_and_a_broken_line_harms_nobody() -> None:
    manager = DashboardManager()
    good, bad = Line(), Line(broken=True)
    for line in (bad, good):
        await manager.connect(line)
    await manager.broadcast_task_status("task_123", STATUS)
    await manager.send_dashboard_stats({"active_tasks": 5})
    await manager.broadcast_message("hello", "info")
    assert [message["type"] for message in good.sent] == ["task_status", "dashboard_stats", "message"]
    assert good.sent[0]["task_id"] == "task_123"
    assert good.sent[0]["data"] == STATUS
    assert good.sent[0]["timestamp"].endswith("Z")
    assert manager.active_connections == [good]
    manager.disconnect(good)
    manager.disconnect(good)
    assert manager.active_connections == []


async def test_who_comes_late_gets_the_last_status() -> None:
    manager = DashboardManager()
    await manager.broadcast_task_status("a", STATUS)
    line = Line()
    await manager.connect(line)
    assert line.sent[0]["data"] == STATUS


async def test_a_stream_ends_with_its_task() -> None:
    manager = DashboardManager()
    await manager.broadcast_task_status("a", STATUS)
    events = []

    async def follow() -> None:
        async for event in manager.server_sent_events("a"):
            events.append(event)

    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    await manager.broadcast_task_status("a", STATUS | {"status": "completed"})
    async with asyncio.timeout(SECONDS):
        await following
    assert [json.loads(event.partition("data: ")[2])["data"]["status"] for event in events][-1] == "completed"
    assert events[0].startswith("event: task_status\n")


async def test_the_guides_addresses_answer(tmp_path: Path) -> None:
    endpoints = DashboardEndpoints(FakeTasks(seeded(3)), state=tmp_path / "state", roots=(str(tmp_path),))
    url = await endpoints.start(port=0)
    try:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {endpoints.token()}"}) as http:
            assert (await http.get(f"{url}/dashboard")).status == 200
            tasks = (await (await http.get(f"{url}/api/tasks")).json())["tasks"]
            assert len(tasks) == 3
            assert (await http.get(f"{url}/api/tasks/{tasks[0]['id']}")).status == 200
            assert (await http.get(f"{url}/api/stats")).status == 200
            acted = await http.post(f"{url}/api/tasks/t000/control", json={"action": "pause"})
            assert (await acted.json())["status"] == "paused"
            async with http.ws_connect(f"{url}/ws/dashboard") as live:
                assert (await live.receive_json(timeout=SECONDS))["type"] == "dashboard_stats"
                assert (await live.receive_json(timeout=SECONDS))["type"] == "task_status"
    finally:
        await endpoints.stop()


async def test_an_address_of_ipv6_can_be_opened(tmp_path: Path) -> None:
    endpoints = DashboardEndpoints(FakeTasks(), state=tmp_path / "state")
    url = await endpoints.start(host="::1", port=0)
    try:
        async with aiohttp.ClientSession() as http:
            assert (await http.get(f"{url}/healthz")).status == 200
    finally:
        await endpoints.stop()
