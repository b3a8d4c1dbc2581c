"""The TCP side is closed to everybody without the token, to rebound names and to pages of other sites."""

from __future__ import annotations

import asyncio
import os
import re
import socket

import aiohttp
import pytest

from engines.errors import TaskdeckError
from tests.support.station import SECONDS, Station
from tui_app import config, wire
from tui_app.daemon import Daemon


async def test_another_user_is_refused_on_the_unix_socket(
    station: Station, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The folder of mode 0700 keeps others from the socket; this is the second lock.
    monkeypatch.setattr(wire, "peer_credentials", lambda connection: (1, os.geteuid() + 4242, 0))
    async with station.http() as http:
        answer = await http.get("/api/v1/tasks")
        assert (answer.status, (await answer.json())["code"]) == (403, "access.denied")


async def test_nothing_with_data_answers_without_the_token(station: Station, daemon: Daemon) -> None:
    async with station.web(daemon, token=False) as http:
        for path in (
            "/api/tasks",
            "/api/stats",
            "/api/v1/hello",
            "/api/v1/files",
            "/metrics",
            "/openapi.json",
            "/readyz",
        ):
            response = await http.get(path)
            assert response.status == 401, path
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
            assert "Taskdeck-Version" not in response.headers
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect("/ws/dashboard")
        assert refused.value.status == 401
        wrong = await http.get("/api/stats", headers={"Authorization": "Bearer deck_wrong"})
        assert wrong.status == 401


async def test_the_token_opens_it(station: Station, daemon: Daemon) -> None:
    async with station.web(daemon) as http:
        assert (await http.get("/api/stats")).status == 200
        async with http.ws_connect("/ws/dashboard") as live:
            assert (await live.receive_json(timeout=SECONDS))["type"] == "dashboard_stats"


async def test_the_login_page_and_its_files_need_no_token_and_hold_no_data(station: Station, daemon: Daemon) -> None:
    async with station.web(daemon, token=False) as http:
        page = await http.get("/login")
        assert page.status == 200
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        address = re.search(r"static/\w+/login\.js", await page.text())
        assert address is not None
        script = await http.get(f"/{address[0]}")
        assert script.status == 200
        assert "immutable" in script.headers["Cache-Control"]
        again = await http.get(f"/{address[0]}", headers={"If-None-Match": script.headers["ETag"]})
        assert again.status == 304
        assert (await http.get("/", allow_redirects=False)).status == 303
        assert (await http.get("/healthz")).status == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:80", "", "127.0.0.1.nip.io"])
async def test_names_that_are_not_ours_are_refused(station: Station, daemon: Daemon, host: str) -> None:
    async with station.web(daemon) as http:
        response = await http.get("/api/stats", headers={"Host": host})
        assert response.status in ((421,) if host else (400, 421))


async def test_allowed_names_are_accepted(station: Station, operations: None) -> None:
    async with (
        station.daemon(web_enabled="true", web_port="0", web_allowed_hosts="deck.example") as daemon,
        station.web(daemon) as http,
    ):
        assert (await http.get("/api/stats", headers={"Host": "deck.example:8000"})).status == 200
        assert (await http.get("/api/stats", headers={"Host": "localhost"})).status == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_pages_of_other_sites_cannot_act(station: Station, daemon: Daemon, headers: dict[str, str]) -> None:
    async with station.web(daemon) as http:
        acted = await http.post("/api/control", json={"action": "pause", "task_id": "zzzzzz"}, headers=headers)
        assert acted.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect("/ws/dashboard", headers=headers)
        assert refused.value.status == 403


async def test_errors_carry_the_security_headers_and_no_cors(station: Station, daemon: Daemon) -> None:
    async with station.web(daemon) as http:
        for response in (await http.get("/nowhere"), await http.delete("/api/stats"), await http.get("/api/stats")):
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert response.headers["Server"] == "taskdeck"
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_the_daemon_cannot_be_stopped_from_afar(station: Station, daemon: Daemon) -> None:
    async with station.web(daemon) as http:
        assert (await http.post("/api/v1/stop", json={})).status == 403
        assert (await http.post("/api/v1/reload", json={})).status == 403


async def test_connections_beyond_the_limit_are_refused_and_the_socket_still_answers(
    station: Station, operations: None
) -> None:
    async with station.daemon(web_enabled="true", web_port="0", web_max_connections="4") as daemon:
        port = int(daemon.url.rsplit(":", 1)[1])
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises(ConnectionError):
            if await asyncio.wait_for(reader.read(), SECONDS) == b"":
                raise ConnectionResetError
        async with station.http() as http:
            assert (await http.get("/healthz")).status == 200
        for _, held_writer in held:
            held_writer.close()
        writer.close()


async def test_a_port_in_use_is_a_clear_error(station: Station, operations: None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Exception, match=r"web\.port"):
            async with station.daemon(web_enabled="true", web_port=str(port)):
                pass
    assert not station.locations.record.exists()


async def test_the_web_side_opens_and_closes_with_its_setting(station: Station, operations: None) -> None:
    async with station.daemon() as daemon:
        assert daemon.url == ""
        config.set_option(station.locations.config, "web.port", "0")
        config.set_option(station.locations.config, "web.enabled", "true")
        daemon.reload()
        async with asyncio.timeout(SECONDS):
            while not daemon.url:  # noqa: ASYNC110 - another task opens it
                await asyncio.sleep(0.01)
        async with station.web(daemon) as http:
            assert (await http.get("/api/stats")).status == 200


@pytest.mark.parametrize(
    ("key", "value"), [("web.trusted_proxies", "everybody"), ("web.trusted_origins", "https://example.org/deck")]
)
def test_nonsense_about_proxies_is_refused_by_name(station: Station, key: str, value: str) -> None:
    with pytest.raises(TaskdeckError, match=key.replace(".", r"\.")):
        config.set_option(station.locations.config, key, value)
