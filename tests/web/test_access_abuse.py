"""Guessers with many addresses, floods of logins, and clients that are slow on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from engines.errors import TaskdeckError
from engines.model import TaskDetail, TaskState
from engines.paths import PathPolicy
from engines.settings import WebSettings
from tests.support.fake_tasks import FakeTasks, make_view, seeded
from tests.support.station import SECONDS
from tests.support.web_server import J, Site, ask, sign_in, site, until
from tui_app.web import access, limits
from tui_app.web.access import AccessBook, Scope

GUESS = b'{"token": "guess"}'
PROXIED = WebSettings(enabled=True, port=0, trusted_proxies=("127.0.0.1",))


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(FakeTasks(seeded(2)), tmp_path) as found:
        yield found


# -- guessing


async def guesses(served: Site, addresses: list[str]) -> list[int]:
    """The status of a wrong code from each of these addresses behind the proxy."""
    found = []
    for address in addresses:
        headers = J | {"X-Forwarded-For": address}
        found.append((await ask(served, "POST", "/auth/login", headers=headers, data=GUESS))[0])
    return found


async def test_a_site_with_a_whole_ipv6_network_has_no_more_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_app.web.signin._PAUSE", 0)
    async with site(FakeTasks(), tmp_path, web=PROXIED) as served:
        assert await guesses(served, [f"2001:db8::{number}" for number in range(1, 7)]) == [401] * 5 + [429]
        assert await guesses(served, ["2001:db8:0:1::1"]) == [401]


async def test_guessers_with_many_addresses_have_to_wait_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_app.web.signin._PAUSE", 0)
    async with site(FakeTasks(), tmp_path, web=PROXIED) as served:
        many = [f"9.9.{number}.9" for number in range(limits.ATTEMPTS_OF_ALL)]
        assert set(await guesses(served, many)) == {401}
        assert await guesses(served, ["9.10.9.9"]) == [429]


async def test_guessers_that_begin_together_have_no_more_attempts(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_app.web.signin._PAUSE", 0)
    head = f"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(GUESS)}\r\nContent-Type: "
    lines = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(8)]
    for _, writer in lines:
        writer.write(f"{head}application/json\r\n\r\n".encode())
    await until(lambda: served.server.connections == 8)
    await ask(served, "GET", "/login")  # the server has read what came before
    found = []
    for reader, writer in lines:
        writer.write(GUESS)
        found.append(int((await reader.readline()).split()[1]))
        writer.close()
    assert found == [401] * 5 + [429] * 3


# -- how many


async def test_ending_a_session_cuts_its_live_connections(served: Site) -> None:
    cookie = await sign_in(served)
    [session] = served.deck.access.sessions
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{served.url}/ws/dashboard", headers=cookie) as live,
    ):
        assert (await live.receive(timeout=SECONDS)).type is aiohttp.WSMsgType.TEXT
        status, _, _ = await ask(served, "DELETE", f"/api/v1/sessions/{session.id}", headers=served.bearer())
        assert status == 204
        async with asyncio.timeout(SECONDS):
            while not live.closed:
                await live.receive()
    assert (await ask(served, "GET", "/api/stats", headers=cookie))[0] == 401


def test_sessions_tokens_and_codes_are_not_kept_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SESSION_LIMIT", "TOKEN_LIMIT", "_CODE_LIMIT"):
        monkeypatch.setattr(access, name, 3)
    book = AccessBook(tmp_path / "access.json")
    codes = [book.make_code("ada")[0] for _ in range(4)]
    in_use = [book.sign_in(code, seconds=60, address="", agent="") for code in codes]
    assert [opened is not None for opened in in_use] == [False, True, True, True]
    token, _ = book.make_token("ada", Scope.READ)
    assert book.sign_in(token, seconds=60, address="", agent="") is not None
    assert len(book.sessions) == 3
    for _ in range(2):
        book.make_token("ada", Scope.READ)
    with pytest.raises(TaskdeckError, match="there are 3 already"):
        book.make_token("ada", Scope.READ)


async def test_a_connection_may_hold_so_many_watches_of_such_a_size(served: Site) -> None:
    url = f"{served.url}/ws/dashboard"
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(url, headers=served.bearer(), protocols=("taskdeck.v1",)) as live,
    ):
        for number in range(1, 10):
            await live.send_json({"type": "watch", "id": number, "watch": {"query": {"limit": 5}, "hz": 2}})
        await live.send_json({"type": "watch", "id": 1, "watch": {"query": {"limit": 100_000}, "hz": 2}})
        refused: list[int] = []
        async with asyncio.timeout(SECONDS):
            while len(refused) < 2:
                message = msgspec.json.decode((await live.receive()).data)
                if message["type"] == "error":
                    refused.append(message["id"])
        assert refused == [9, 1]


# -- slow


async def test_a_tls_handshake_that_never_ends_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_app.web.server._HANDSHAKE_SECONDS", 0.3)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-days", "2", "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, made, check=True, capture_output=True, timeout=SECONDS)
    web = WebSettings(enabled=True, port=0, tls_certificate=str(certificate), tls_key=str(key))
    async with site(FakeTasks(), tmp_path, web=web) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        with contextlib.suppress(ConnectionError):  # cut harder still
            assert await asyncio.wait_for(reader.read(1), SECONDS) == b""
        writer.close()


async def sent_slowly(served: Site, length: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An upload that says how long it is, and of which nothing comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(
        f"POST /api/v1/uploads?name=slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
        f"Authorization: Bearer {served.tokens[Scope.CONTROL]}\r\n\r\n".encode()
    )
    return reader, writer


async def test_an_upload_that_stands_still_is_cut_and_leaves_nothing(
    served: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_app.web.transfer.STALL_SECONDS", 0.2)
    reader, writer = await sent_slowly(served, 1000)
    assert b" 408 " in await asyncio.wait_for(reader.readline(), SECONDS)
    writer.close()
    assert list((tmp_path / "uploads").iterdir()) == []


async def test_a_file_that_says_it_is_too_large_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    async with site(FakeTasks(), tmp_path, web=WebSettings(port=0, max_upload=2000)) as served:
        reader, writer = await sent_slowly(served, 2001)
        assert b" 413 " in await asyncio.wait_for(reader.readline(), SECONDS)
        writer.close()


# -- files that are not what they were


def finished(served: Site, path: Path) -> None:
    """A task whose result names this path."""
    tasks = served.deck.tasks
    assert isinstance(tasks, FakeTasks)
    view = tasks.put(make_view("done", state=TaskState.COMPLETED))
    tasks.details["done"] = TaskDetail(view, {}, "", result={"path": str(path)})


async def test_a_result_swapped_between_check_and_opening_is_not_given(
    served: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(served, tmp_path / "made.zip")
    # What a link put there in that moment comes to: the checked path leads out once it is opened.
    monkeypatch.setattr(PathPolicy, "source", lambda *_, **__: Path("/etc/hostname"))
    status, _, raw = await ask(served, "GET", "/api/v1/tasks/done/output", headers=served.bearer())
    assert (status, json.loads(raw)["code"]) == (403, "path.outside_roots")


async def test_a_result_that_became_a_pipe_holds_nobody_up(served: Site, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "made.zip")
    finished(served, tmp_path / "made.zip")
    async with asyncio.timeout(SECONDS):
        status, _, _ = await ask(served, "GET", "/api/v1/tasks/done/output", headers=served.bearer())
    assert status != 200
