"""The limits also hold on uvloop, whose transports are not asyncio's classes."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import uvloop

from engines.settings import WebSettings
from tests.support.fake_tasks import FakeTasks, seeded
from tests.support.station import SECONDS
from tests.support.web_server import Site, site

ASK = b"GET %b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n"


def ask(served: Site, path: str) -> bytes:
    from tui_app.web.access import Scope

    return ASK % (path.encode(), served.tokens[Scope.ADMIN].encode())


def test_connections_are_limited_and_stuck_ones_cut(tmp_path: Path) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(limits(tmp_path))


async def limits(folder: Path) -> None:
    web = WebSettings(enabled=True, port=0, max_connections=8, max_per_address=2)
    async with site(FakeTasks(seeded(3000)), folder, web=web, stuck_after=0.3) as served:
        assert type(asyncio.get_running_loop()).__module__ == "uvloop"
        lines = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(2)]
        for reader, writer in lines:
            writer.write(ask(served, "/healthz"))
            assert (await asyncio.wait_for(reader.readline(), SECONDS)).startswith(b"HTTP/1.1 200")
        late, _ = await asyncio.open_connection("127.0.0.1", served.port)
        assert await cut(late)
        deaf = socket.socket()
        deaf.bind(("127.0.0.2", 0))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", served.port))
        deaf.sendall(ask(served, "/api/v1/tasks?limit=500") * 60)
        async with asyncio.timeout(SECONDS):
            while served.server.connections < 3:  # noqa: ASYNC110 - told by nothing
                await asyncio.sleep(0.02)
            while served.server.connections > 2:  # noqa: ASYNC110 - told by nothing
                await asyncio.sleep(0.05)
        deaf.close()


async def cut(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), SECONDS) == b""
    except ConnectionError:
        return True
