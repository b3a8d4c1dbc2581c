"""The web side: CPU a request beside a FastAPI twin, broadcasts, memory, held sockets, server to pixel, first view.

    python -m benchmarks.web            everything (about two minutes)
    python -m benchmarks.web api live   some of: api, live, held, page

The FastAPI twin needs `pip install fastapi uvicorn`, which Taskdeck itself does not; without them it is left out.
Servers run in processes of their own; their CPU is read from the kernel, so a loaded machine changes waits, not
these figures.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import functools
import importlib.util
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from engines.model import TaskState, TaskView
from engines.query import Filter, Page, Query
from engines.settings import WebSettings
from engines.tasks.api import Watch
from engines.tasks.board import Board
from engines.tasks.record import Record
from engines.tasks.watcher import LocalWatcher
from tests.support.fake_tasks import FakeTasks, seeded

TASKS: Final = 1000
CHANGED: Final = 200
TICK: Final = 0.5


class BoardTasks(FakeTasks):
    """Tasks in memory behind the real board and the real watcher."""

    def __init__(self, count: int) -> None:
        super().__init__(seeded(count))
        self.board = Board(1)
        self.chance = random.Random(1)
        for view in self.views.values():
            self.board.add(_record(view))

    async def watch(self, watch: Watch) -> Any:
        return LocalWatcher(watch, self.board, self._window, self.now_stats, lambda: None)

    async def _window(self, query: Query, wanted: Filter) -> tuple[list[TaskView], int]:
        now = time.monotonic()
        records = list(self.board.records.values())
        records[0].item = f"{time.time():.6f}"  # when the update is made: what the page counts from
        return [item.view(now) for item in records[query.offset : query.offset + query.limit]], len(records)

    def page(self, query: Query) -> Page:
        """As quick as the twin's list: this measures the web side, not the look-up."""
        found = list(self.views.values())
        return Page(found[query.offset : query.offset + query.limit], len(found), query.offset, self.rev)

    def tick(self) -> list[Record]:
        """Let a fifth of the tasks go on."""
        changed = self.chance.sample(list(self.board.records.values()), CHANGED)
        for record in changed:
            record.done = (record.done + 5_000_000) % (record.total or 1)
            self.board.report(record)
        return changed


def _record(view: TaskView) -> Record:
    return Record(
        id=view.id, op={"op": view.op, "path": "x"}, op_name=view.op, kind=view.kind, title=view.title,
        state=TaskState.RUNNING, created=view.created, owner="local", face="cli", priority=0, position=view.position,
        max_attempts=1, resumable=True, writes=True, done=view.done, total=view.total, item=view.item,
    )  # fmt: skip


# -- servers, each in a process of its own


async def serve_ours(folder: Path, count: int) -> None:
    """Taskdeck's web side; says its port and a token."""
    from tests.support.web_server import site
    from tui_app.web.access import Scope

    tasks = BoardTasks(count)
    settings = WebSettings(enabled=True, port=0, max_connections=20_000)
    async with site(tasks, folder, web=settings) as served:
        _say({"port": served.port, "token": served.tokens[Scope.ADMIN], "link": served.link()})
        moving = folder / "moving"
        while True:
            await asyncio.sleep(TICK)
            if not moving.exists():
                continue
            tasks.tick()
            first = tasks.board.records["t000"]
            tasks.board.touch(first)


async def serve_seed_style(folder: Path, count: int) -> None:
    """What the guide's bot would do: one `send_json` a changed task and client, one after the other."""
    from aiohttp import web

    from tui_app.web.guide import task_status

    tasks = BoardTasks(count)
    clients: set[web.WebSocketResponse] = set()

    async def live(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        clients.add(socket)
        async for _ in socket:
            pass
        clients.discard(socket)
        return socket

    app = web.Application()
    app.router.add_get("/ws/dashboard", live)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    _say({"port": runner.addresses[0][1], "token": "", "link": ""})
    while True:
        await asyncio.sleep(TICK)
        if not (folder / "moving").exists():
            continue
        (folder / "moving").unlink()
        for record in tasks.tick():
            message = task_status(record.view(time.monotonic()))
            for socket in list(clients):
                await socket.send_json(msgspec.to_builtins(message))
        (folder / "ticked").touch()


def serve_fastapi(folder: Path, count: int) -> None:
    """The idiomatic twin: the same answers, field by field, from pydantic models; without any login or guard."""
    import uvicorn
    from fastapi import FastAPI, HTTPException
    from pydantic import BaseModel, create_model

    from tui_app.web.guide import task_object

    def models(values: list[Any]) -> tuple[type[BaseModel], list[Any]]:
        plain = [msgspec.to_builtins(value) for value in values]
        kinds: dict[str, Any] = {
            name: (Any if any(item[name] is None for item in plain) else type(plain[0][name]), ...) for name in plain[0]
        }
        kinds |= {name: (float, ...) for name in ("progress", "speed", "created") if name in kinds}
        model = create_model("Task", **kinds)
        return model, [model(**value) for value in plain]

    views = seeded(count)
    guide_model, guide_tasks = models([task_object(view) for view in views])
    objects = {task.id: task for task in guide_tasks}
    view_model, view_models = models(views)
    page_model = create_model("Page", items=(list[view_model], ...), total=(int, ...), rev=(int, ...))  # type: ignore[valid-type]
    app = FastAPI()

    async def one(task_id: str) -> Any:
        if task_id not in objects:
            raise HTTPException(404)
        return objects[task_id]

    async def page(limit: int = 100) -> Any:
        return page_model(items=view_models[:limit], total=count, rev=1)

    app.get("/api/tasks/{task_id}", response_model=guide_model)(one)
    app.get("/api/v1/tasks", response_model=page_model)(page)
    config = uvicorn.Config(app, port=0, log_level="critical", access_log=False, loop="none")
    server = uvicorn.Server(config)

    async def main() -> None:
        running = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn tells it no other way
            await asyncio.sleep(0.05)
        _say({"port": server.servers[0].sockets[0].getsockname()[1], "token": "", "link": ""})
        await running

    _run(main())


def _run(main: Coroutine[Any, Any, None]) -> None:
    """On the standard event loop, or on uvloop when the parent says so: always the same for ours and the twin."""
    if os.environ.get("BENCH_LOOP") == "uvloop":
        import uvloop

        uvloop.run(main)
    else:
        asyncio.run(main)


def _say(facts: dict[str, Any]) -> None:
    print(json.dumps(facts), flush=True)


class Running:
    """A server process."""

    def __init__(self, name: str, folder: Path, count: int = TASKS) -> None:
        self.folder = folder
        argv = [sys.executable, "-m", "benchmarks.web", "--serve", name, str(folder), str(count)]
        self.child = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self.child.stdout is not None
        facts = json.loads(self.child.stdout.readline())
        self.port, self.token, self.link = facts["port"], facts["token"], facts["link"]
        self.process = psutil.Process(self.child.pid)

    def cpu(self) -> float:
        """CPU seconds so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss(self) -> int:
        """Resident bytes."""
        return int(self.process.memory_info().rss)


@contextlib.contextmanager
def running(name: str, count: int = TASKS) -> Iterator[Running]:
    """A server for a while."""
    with tempfile.TemporaryDirectory() as folder:
        server = Running(name, Path(folder), count)
        try:
            yield server
        finally:
            server.child.terminate()
            server.child.wait(10)


# -- clients


async def requests(server: Running, path: str, count: int, lines: int = 8) -> float:
    """Server CPU microseconds a request, keep-alive, over some connections."""
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {server.token}\r\n\r\n".encode()

    async def client(share: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 20)
        for _ in range(share):
            writer.write(head)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in answer[:20], answer[:200]
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        writer.close()

    await asyncio.gather(*(client(20) for _ in range(lines)))
    before = server.cpu()
    await asyncio.gather(*(client(count // lines) for _ in range(lines)))
    return (server.cpu() - before) / count * 1e6


_REV: Final = re.compile(rb'"update":\{"rev":(\d+)')


class LiveClient(asyncio.Protocol):
    """A WebSocket that counts what arrives, or stops reading."""

    def __init__(self, server: Running, watch: bool, deaf: bool, window: int) -> None:
        self.server, self.watch, self.deaf, self.window = server, watch, deaf, window
        self.bytes = 0
        self.tail = b""
        self.rev = 0
        self.lost = False
        self.open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /ws/dashboard HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
        ]  # fmt: skip
        if self.server.token:
            lines += [f"Authorization: Bearer {self.server.token}", "Sec-WebSocket-Protocol: taskdeck.v1"]
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def data_received(self, data: bytes) -> None:
        if not self.open.done():
            if b" 101 " not in data[:40]:
                self.open.set_exception(ConnectionError(data[:100].decode("latin-1")))
                return
            if self.watch:
                query = {"limit": self.window}
                message = {"type": "watch", "id": 1, "watch": {"query": query, "hz": 2.0, "stats": False}}
                body = json.dumps(message).encode()
                self.transport.write(b"\x81" + bytes([0x80 | len(body)]) + b"\0\0\0\0" + body)
            if self.deaf:
                self.transport.pause_reading()
            self.open.set_result(None)
        self.bytes += len(data)
        if b"\x89\x00" in data:  # a ping (JSON holds no NUL): answer its heartbeat
            self.transport.write(b"\x8a\x80\0\0\0\0")
        for match in _REV.finditer(self.tail + data):
            self.rev = int(match[1])
        self.tail = data[-40:]

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True


def _self(protocol: LiveClient) -> LiveClient:
    return protocol


async def connect(
    server: Running, count: int, *, watch: bool = True, deaf: int = 0, window: int = 1000
) -> list[LiveClient]:
    """Open WebSockets, some of which will not read."""
    loop = asyncio.get_running_loop()
    found: list[LiveClient] = []
    for number in range(count):
        protocol = LiveClient(server, watch, number < deaf, window)
        await loop.create_connection(functools.partial(_self, protocol), "127.0.0.1", server.port)
        found.append(protocol)
        if number % 50 == 49:
            await asyncio.gather(*(client.open for client in found[-50:]))
    await asyncio.gather(*(client.open for client in found))
    return found


# -- what is measured


async def api(report: dict[str, Any]) -> None:
    """CPU microseconds a request, with login, guard and headers; the twin has none of them."""
    twin = importlib.util.find_spec("fastapi") and importlib.util.find_spec("uvicorn")
    for loop in ("asyncio", "uvloop") if importlib.util.find_spec("uvloop") else ("asyncio",):
        os.environ["BENCH_LOOP"] = loop
        with running("ours") as server:
            ours = [await requests(server, "/api/tasks/t000", 4000) for _ in range(3)]
            page = [await requests(server, "/api/v1/tasks?limit=100", 1600) for _ in range(3)]
            guide = [await requests(server, "/api/tasks?limit=100", 1600) for _ in range(3)]
            report[f"{loop}: login page"] = await requests(server, "/login", 2000)
        report[f"{loop}: a task"] = statistics.median(ours)
        report[f"{loop}: page of 100"] = statistics.median(page)
        report[f"{loop}: page of 100, guide's form"] = statistics.median(guide)
        if twin:
            with running("fastapi") as server:
                theirs = [await requests(server, "/api/tasks/t000", 4000) for _ in range(3)]
                many = [await requests(server, "/api/v1/tasks?limit=100", 800) for _ in range(3)]
            report[f"{loop}: FastAPI, a task"] = statistics.median(theirs)
            report[f"{loop}: FastAPI, page of 100"] = statistics.median(many)
            report[f"{loop}: ours / FastAPI, a task"] = statistics.median(ours) / statistics.median(theirs)
            report[f"{loop}: ours / FastAPI, page"] = statistics.median(page) / statistics.median(many)
    os.environ.pop("BENCH_LOOP")


async def live(report: dict[str, Any]) -> None:
    """A tick to 1,000 clients, and memory a client."""
    with running("ours") as server:
        base = server.rss()
        clients = await connect(server, 1000)
        await asyncio.sleep(6)
        report["KB a WebSocket"] = (server.rss() - base) / 1000 / 1000
        (server.folder / "moving").touch()
        await asyncio.sleep(2)
        before, counted = server.cpu(), sum(client.bytes for client in clients)
        await asyncio.sleep(6)
        ticks = 6 / TICK
        report["delta: CPU ms a tick"] = (server.cpu() - before) / ticks * 1000
        sent = sum(client.bytes for client in clients) - counted
        report["delta: KB a client and tick"] = sent / 1000 / ticks / 1000
        for client in clients:
            client.transport.abort()
    with running("seed") as server:
        clients = await connect(server, 1000, watch=False)
        before = server.cpu()
        (server.folder / "moving").touch()
        while not (server.folder / "ticked").exists():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
        report["one message a task: CPU ms a tick"] = (server.cpu() - before) * 1000
        for client in clients:
            client.transport.abort()
    report["times cheaper"] = report["one message a task: CPU ms a tick"] / report["delta: CPU ms a tick"]


async def held(report: dict[str, Any]) -> None:
    """5,000 sockets that look at 200 tasks each, 50 of them deaf, while everything moves."""
    with running("ours") as server:
        clients = await connect(server, 5000, deaf=50, window=200)
        (server.folder / "moving").touch()
        await asyncio.sleep(30)
        (server.folder / "moving").unlink()
        await asyncio.sleep(8)
        healthy = clients[50:]
        last = max(client.rev for client in healthy)
        report["healthy lost"] = sum(client.lost for client in healthy)
        report["healthy that have the last state"] = sum(client.rev == last for client in healthy)
        report["open after the deaf were cut"] = len(server.process.net_connections()) - 1
        report["RSS MB with 5,000"] = server.rss() / 1e6
        for client in clients:
            client.transport.abort()


PIXEL: Final = """samples => new Promise(done => {
  const line = document.querySelector('[data-id="t000"] .line'), found = [];
  const seen = new MutationObserver(() => {
    const sent = parseFloat(line.textContent);
    requestAnimationFrame(() => {
      found.push(Date.now() - sent * 1000);
      if (found.length >= samples) { seen.disconnect(); done(found); }
    });
  });
  seen.observe(line, {childList: true, characterData: true, subtree: true});
})"""


async def page(report: dict[str, Any]) -> None:
    """The first view, and from the server to the screen."""
    from playwright.async_api import async_playwright

    from tests.support.browser import ARGUMENTS, CHROMIUM

    async with (
        async_playwright() as playwright,
        _closing(await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)) as browser,
    ):
        with running("ours") as server:
            context = await browser.new_context()
            first = await context.new_page()
            await first.goto(server.link)
            await first.wait_for_url("**/dashboard")
            await first.close()
            view = await context.new_page()
            wire = await context.new_cdp_session(view)
            await wire.send("Network.enable")
            await wire.send("Network.setBypassServiceWorker", {"bypass": True})
            await wire.send("Network.setCacheDisabled", {"cacheDisabled": True})
            sizes: list[float] = []
            addresses: list[str] = []
            wire.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
            wire.on("Network.requestWillBeSent", lambda event: addresses.append(event["request"]["url"]))
            await view.goto(f"http://127.0.0.1:{server.port}/dashboard")
            await view.locator(".card").first.wait_for()
            await asyncio.sleep(1)
            shell = [item for item in addresses if not item.endswith("/sw.js")]
            report["first view: requests"] = len(shell) + 1  # the WebSocket
            report["first view: KiB"] = sum(sizes) / 1024
            report["first paint ms"] = await view.evaluate(
                "performance.getEntriesByName('first-contentful-paint')[0].startTime"
            )
            (server.folder / "moving").touch()
            await asyncio.sleep(2)
            await wire.send("Performance.enable")
            busy, began = await _busy(wire), time.monotonic()
            found = sorted(await view.evaluate(PIXEL, 40))
            ticks = (time.monotonic() - began) / TICK
            report["main thread of the page, ms a tick"] = (await _busy(wire) - busy) / ticks * 1000
            report["server to pixel ms, p50"] = found[20]
            report["server to pixel ms, p95"] = found[37]


async def _busy(wire: Any) -> float:
    """Seconds the page's main thread has worked."""
    found = await wire.send("Performance.getMetrics")
    return next(float(item["value"]) for item in found["metrics"] if item["name"] == "TaskDuration")


@contextlib.asynccontextmanager
async def _closing(browser: Any) -> AsyncIterator[Any]:
    try:
        yield browser
    finally:
        await browser.close()


PARTS: Final = {"api": api, "live": live, "held": held, "page": page}


async def main(names: list[str]) -> None:
    """Measure and print."""
    for name in names or PARTS:
        report: dict[str, Any] = {}
        await PARTS[name](report)
        print(f"\n{name}: {PARTS[name].__doc__}")
        for key, value in report.items():
            print(f"  {key:42} {value:10.2f}" if isinstance(value, float) else f"  {key:42} {value:10}")


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", help="of: " + ", ".join(PARTS))
    parser.add_argument("--serve", nargs=3, metavar=("KIND", "FOLDER", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is None:
        asyncio.run(main(options.parts))
    else:
        kind, folder, count = options.serve[0], Path(options.serve[1]), int(options.serve[2])
        if kind == "fastapi":
            serve_fastapi(folder, count)
        else:
            _run({"ours": serve_ours, "seed": serve_seed_style}[kind](folder, count))
