"""Every rule of access over TCP, asked for with a raw client. A rule that is removed fails its test."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest
import pytest_asyncio

from engines.settings import WebSettings
from tests.support.fake_tasks import FakeTasks, seeded
from tests.support.station import SECONDS
from tests.support.web_server import J, Site, ask, handshake, sign_in, site, until
from tui_app import wire
from tui_app.web.access import Scope

PAUSE = b'{"action": "pause"}'


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(FakeTasks(seeded(8)), tmp_path) as found:
        yield found


# -- who comes in


@pytest.mark.parametrize(
    "path", ["/api/tasks", "/api/v1/tasks", "/api/stats", "/metrics", "/openapi.json", "/readyz", "/nowhere"]
)
async def test_nothing_with_data_answers_without_a_login(served: Site, path: str) -> None:
    status, headers, raw = await ask(served, "GET", path)
    assert status == 401
    assert headers["WWW-Authenticate"].startswith("Bearer")
    assert json.loads(raw)["code"] == "access.login"


async def test_the_dashboard_leads_to_the_login_page(served: Site) -> None:
    status, headers, _ = await ask(served, "GET", "/dashboard")
    assert (status, headers["Location"]) == (303, "login")


@pytest.mark.parametrize("path", ["/login", "/offline", "/sw.js", "/app.webmanifest", "/healthz"])
async def test_pages_without_data_answer_anybody(served: Site, path: str) -> None:
    assert (await ask(served, "GET", path))[0] == 200


async def test_a_login_code_works_once(served: Site) -> None:
    code, _ = served.deck.access.make_code("tester")
    await sign_in(served, code)
    status, _, raw = await ask(served, "POST", "/auth/login", headers=J, data=json.dumps({"token": code}).encode())
    assert (status, json.loads(raw)["code"]) == (401, "access.login")


async def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(served: Site) -> None:
    code, _ = served.deck.access.make_code("tester")
    _, headers, _ = await ask(served, "POST", "/auth/login", headers=J, data=json.dumps({"token": code}).encode())
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie


async def test_signing_in_needs_our_own_page(served: Site) -> None:
    code, _ = served.deck.access.make_code("tester")
    body = json.dumps({"token": code}).encode()
    status, _, raw = await ask(served, "POST", "/auth/login", headers=J | {"Origin": "http://evil.test"}, data=body)
    assert (status, json.loads(raw)["code"]) == (403, "access.origin")


async def test_five_wrong_codes_have_to_wait(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_app.web.signin._PAUSE", 0)
    codes = []
    for _ in range(7):
        status, headers, _ = await ask(served, "POST", "/auth/login", headers=J, data=b'{"token": "guess"}')
        codes.append(status)
    assert codes == [401] * 5 + [429] * 2
    assert int(headers["Retry-After"]) > 0
    right, _ = served.deck.access.make_code("tester")
    status, _, _ = await ask(served, "POST", "/auth/login", headers=J, data=json.dumps({"token": right}).encode())
    assert status == 429


async def test_wrong_tokens_are_recorded_and_lock_nobody_out(served: Site) -> None:
    wrong = {"Authorization": "Bearer deck_00000000_guess"}
    found = [(await ask(served, "GET", "/api/stats", headers=wrong))[0] for _ in range(8)]
    assert found == [401] * 8
    assert (await ask(served, "GET", "/api/stats", headers=served.bearer()))[0] == 200
    await sign_in(served)
    assert [item.event for item in served.deck.audit.tail(20)].count("token_refused") == 8


async def test_a_wrong_token_is_not_saved_by_a_right_cookie(served: Site) -> None:
    cookie = await sign_in(served)
    status, _, _ = await ask(served, "GET", "/api/stats", headers=cookie | {"Authorization": "Bearer nonsense"})
    assert status == 401


async def test_a_known_id_with_a_wrong_secret_opens_nothing(served: Site) -> None:
    cookie = (await sign_in(served))["Cookie"]
    token = served.tokens[Scope.ADMIN]
    for headers in (
        {"Authorization": f"Bearer {token[:-1]}{'A' if token[-1] != 'A' else 'B'}"},
        {"Authorization": f"Bearer {token.rpartition('_')[0]}_"},
        {"Cookie": f"{cookie[:-1]}{'A' if cookie[-1] != 'A' else 'B'}"},
        {"Cookie": f"{cookie.rpartition('.')[0]}."},
    ):
        assert (await ask(served, "GET", "/api/stats", headers=headers))[0] == 401, headers


# -- scopes


@pytest.mark.parametrize(
    ("scope", "method", "path", "expected"),
    [
        (Scope.READ, "GET", "/api/v1/tasks", 200),
        (Scope.READ, "POST", "/api/v1/tasks/t000/control", 403),
        (Scope.READ, "POST", "/api/tasks/t000/control", 403),
        (Scope.READ, "POST", "/api/control", 403),
        (Scope.READ, "POST", "/api/v1/tasks", 403),
        (Scope.READ, "DELETE", "/api/v1/tasks/t007", 403),
        (Scope.READ, "GET", "/api/v1/files", 403),
        (Scope.READ, "POST", "/api/v1/uploads?name=x", 403),
        (Scope.CONTROL, "POST", "/api/v1/tasks/t000/control", 200),
        (Scope.CONTROL, "GET", "/api/v1/tokens", 403),
        (Scope.CONTROL, "POST", "/api/v1/tokens", 403),
        (Scope.CONTROL, "POST", "/api/v1/login_links", 403),
        (Scope.CONTROL, "GET", "/api/v1/sessions", 403),
        (Scope.CONTROL, "GET", "/api/v1/audit", 403),
        (Scope.ADMIN, "GET", "/api/v1/audit", 200),
        (Scope.ADMIN, "POST", "/api/v1/stop", 403),
        (Scope.ADMIN, "POST", "/api/v1/reload", 403),
    ],
)
async def test_a_scope_allows_no_more_than_it_says(
    served: Site, scope: Scope, method: str, path: str, expected: int
) -> None:
    data = PAUSE if method == "POST" else None
    headers = served.bearer(scope) | (J if data else {})
    assert (await ask(served, method, path, headers=headers, data=data))[0] == expected


async def test_a_session_has_the_scope_of_its_token(served: Site) -> None:
    cookie = await sign_in(served, served.tokens[Scope.READ])
    status, _, raw = await ask(served, "POST", "/api/v1/tasks/t000/control", headers=cookie | J, data=PAUSE)
    assert (status, json.loads(raw)["code"]) == (403, "access.denied")


# -- other sites


@pytest.mark.parametrize(
    "extra",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_other_sites_cannot_use_a_session(served: Site, extra: dict[str, str]) -> None:
    cookie = await sign_in(served)
    status, _, raw = await ask(served, "POST", "/api/v1/tasks/t000/control", headers=cookie | J | extra, data=PAUSE)
    assert (status, json.loads(raw)["code"]) == (403, "access.origin")
    assert "web.trusted_origins" in json.loads(raw)["detail"]


async def test_our_own_page_can_use_a_session(served: Site) -> None:
    cookie = await sign_in(served)
    status, _, _ = await ask(
        served, "POST", "/api/v1/tasks/t000/control", headers=cookie | J | {"Origin": served.url}, data=PAUSE
    )
    assert status == 200


async def test_a_form_of_another_site_is_not_json(served: Site) -> None:
    cookie = await sign_in(served)
    headers = cookie | {"Content-Type": "text/plain"}
    assert (await ask(served, "POST", "/api/v1/tasks/t000/control", headers=headers, data=PAUSE))[0] == 415


@pytest.mark.parametrize("host", ["evil.test", "evil.test:80", "localhost.evil.test", "[evil]:80", ""])
async def test_unknown_host_names_are_refused(served: Site, host: str) -> None:
    status, _, raw = await ask(served, "GET", "/login", headers={"Host": host})
    assert (status, json.loads(raw)["code"]) == (421, "access.host")
    assert "web.allowed_hosts" in json.loads(raw)["detail"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1:1", "[::1]:8000", "192.168.1.9"])
async def test_addresses_and_localhost_are_known(served: Site, host: str) -> None:
    assert (await ask(served, "GET", "/login", headers={"Host": host}))[0] == 200


async def test_an_allowed_host_is_known(tmp_path: Path) -> None:
    web = WebSettings(enabled=True, port=0, allowed_hosts=("deck.example.org",))
    async with site(FakeTasks(), tmp_path, web=web) as served:
        assert (await ask(served, "GET", "/login", headers={"Host": "deck.example.org"}))[0] == 200


async def test_the_websocket_obeys_the_same_rules(served: Site) -> None:
    cookie = await sign_in(served)
    assert await handshake(served, {}) == 401
    assert await handshake(served, cookie | {"Origin": "http://evil.test"}) == 403
    assert await handshake(served, cookie | {"Host": "evil.test"}) == 421
    assert await handshake(served, cookie | {"Origin": served.url}) == 101
    assert await handshake(served, served.bearer(Scope.READ)) == 101


async def test_no_answer_invites_other_sites(served: Site) -> None:
    for headers in (served.bearer() | {"Origin": "http://evil.test"}, {"Origin": "http://evil.test"}):
        _, answered, _ = await ask(served, "GET", "/api/stats", headers=headers)
        assert not [name for name in answered if name.startswith("Access-Control")]


@pytest.mark.parametrize("path", ["/login", "/nowhere", "/api/v1/tasks", "/static/x/app.js"])
async def test_every_answer_carries_the_rules_for_browsers(served: Site, path: str) -> None:
    for headers in ({}, served.bearer()):
        _, answered, _ = await ask(served, "GET", path, headers=headers)
        policy = answered["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
        assert answered["X-Content-Type-Options"] == "nosniff"
        assert answered["X-Frame-Options"] == "DENY"
        assert answered["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answered["Cross-Origin-Resource-Policy"] == "same-origin"
        assert answered["Referrer-Policy"] == "no-referrer"
        assert answered["Server"] == "taskdeck"
    if path.startswith("/api"):
        assert answered["Cache-Control"] == "no-store"


# -- revoking


async def test_a_revoked_token_and_its_sessions_end_at_once(served: Site) -> None:
    made = await ask(
        served, "POST", "/api/v1/tokens", headers=served.bearer() | J, data=b'{"name": "phone", "scope": "read"}'
    )
    token = json.loads(made[2])
    bearer = {"Authorization": f"Bearer {token['token']}"}
    cookie = await sign_in(served, token["token"])
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{served.url}/ws/dashboard", headers=cookie) as live,
    ):
        assert (await live.receive(timeout=SECONDS)).type is aiohttp.WSMsgType.TEXT
        status, _, _ = await ask(served, "DELETE", f"/api/v1/tokens/{token['id']}", headers=served.bearer())
        assert status == 204
        async with asyncio.timeout(SECONDS):
            while not live.closed:
                await live.receive()
    assert (await ask(served, "GET", "/api/stats", headers=bearer))[0] == 401
    assert (await ask(served, "GET", "/api/stats", headers=cookie))[0] == 401


async def test_signing_out_ends_the_session(served: Site) -> None:
    cookie = await sign_in(served)
    origin = {"Origin": served.url}
    status, answered, _ = await ask(served, "POST", "/auth/logout", headers=cookie | origin)
    assert status == 204
    assert "Max-Age=0" in answered["Set-Cookie"]
    assert (await ask(served, "GET", "/api/stats", headers=cookie))[0] == 401
    assert served.deck.access.sessions == []


async def test_a_token_is_no_session_that_could_be_ended(served: Site) -> None:
    identity = served.tokens[Scope.ADMIN].split("_")[1]
    status, _, _ = await ask(served, "DELETE", f"/api/v1/sessions/{identity}", headers=served.bearer())
    assert status == 404


async def test_only_hashes_are_stored(served: Site, tmp_path: Path) -> None:
    cookie = await sign_in(served)
    stored = (tmp_path / "access.json").read_text() + (tmp_path / "access.log").read_text()
    secrets = [token.split("_", 2)[2] for token in served.tokens.values()]
    secrets.append(cookie["Cookie"].partition(".")[2])
    for secret in secrets:
        assert len(secret) > 20
        assert secret not in stored
    assert (tmp_path / "access.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "access.log").stat().st_mode & 0o777 == 0o600


async def test_tokens_are_listed_without_their_secret(served: Site) -> None:
    _, _, raw = await ask(served, "GET", "/api/v1/tokens", headers=served.bearer())
    assert [item["token"] for item in json.loads(raw)] == ["", "", ""]
    assert b"hash" not in raw


async def test_the_access_log_tells_who_did_what(served: Site) -> None:
    cookie = await sign_in(served)
    await ask(served, "POST", "/api/v1/tasks/t000/control", headers=cookie | J | {"Origin": served.url}, data=PAUSE)
    await ask(served, "GET", "/login", headers={"Host": "evil.test"})
    _, _, raw = await ask(served, "GET", "/api/v1/audit", headers=served.bearer())
    events = {item["event"]: item for item in json.loads(raw)}
    assert events["login"]["actor"] == "tester"
    assert events["request"]["detail"] == "POST /api/v1/tasks/t000/control 200"
    assert events["request"]["address"] == "127.0.0.1"
    assert "evil.test" in events["refused_host"]["detail"]


# -- proxies and TLS


async def test_forwarded_headers_of_strangers_count_for_nothing(served: Site) -> None:
    headers = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Host": "localhost", "X-Forwarded-Proto": "https"}
    assert (await ask(served, "GET", "/login", headers=headers | {"Host": "evil.test"}))[0] == 421
    code, _ = served.deck.access.make_code("tester")
    body = json.dumps({"token": code}).encode()
    _, answered, _ = await ask(served, "POST", "/auth/login", headers=J | headers, data=body)
    assert "Secure" not in answered["Set-Cookie"]
    assert [item.address for item in served.deck.access.sessions] == ["127.0.0.1"]


async def test_what_a_client_claims_in_a_line_of_its_own_counts_for_nothing(tmp_path: Path) -> None:
    web = WebSettings(enabled=True, port=0, trusted_proxies=("127.0.0.0/8",))
    async with site(FakeTasks(seeded(2)), tmp_path, web=web) as served, aiohttp.ClientSession(served.url) as client:
        # As HAProxy does: the client's line stays, its own comes below.
        lines = [("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "9.9.9.9")]
        code, _ = served.deck.access.make_code("tester")
        assert (await client.post("/auth/login", json={"token": code}, headers=lines)).status == 204
        assert [item.address for item in served.deck.access.sessions] == ["9.9.9.9"]


async def test_addresses_in_answers_are_below_the_sub_path(tmp_path: Path) -> None:
    web = WebSettings(enabled=True, port=0, url_prefix="/deck")
    async with site(FakeTasks(seeded(2)), tmp_path, web=web) as served:
        for prefix in ("", "/deck"):  # a proxy may strip it or pass it on
            _, page, _ = await ask(served, "GET", f"{prefix}/api/v1/tasks?limit=1", headers=served.bearer())
            assert page["Link"].startswith("</deck/api/v1/tasks?limit=1&cursor=")
            _, made, _ = await ask(
                served, "POST", f"{prefix}/api/v1/tokens", headers=served.bearer() | J, data=b'{"name": "a"}'
            )
            assert made["Location"].startswith("/deck/api/v1/tokens/")
            _, _, raw = await ask(served, "GET", f"{prefix}/openapi.json", headers=served.bearer())
            assert json.loads(raw)["servers"] == [{"url": "/deck"}]
            other = served.bearer() | {wire.PROTOCOL_HEADER: "99"}
            assert (await ask(served, "GET", f"{prefix}/api/v1/hello", headers=other))[0] == 200


async def test_a_trusted_proxy_tells_address_scheme_and_host(tmp_path: Path) -> None:
    web = WebSettings(
        enabled=True, port=0, trusted_proxies=("127.0.0.0/8",), trusted_origins=("https://deck.example.org",)
    )
    async with site(FakeTasks(seeded(2)), tmp_path, web=web) as served:
        headers = {
            "X-Forwarded-For": "10.0.0.1, 9.9.9.9",
            "X-Forwarded-Host": "deck.example.org",
            "X-Forwarded-Proto": "https",
            "Origin": "https://deck.example.org",
        }
        code, _ = served.deck.access.make_code("tester")
        body = json.dumps({"token": code}).encode()
        status, answered, _ = await ask(served, "POST", "/auth/login", headers=J | headers, data=body)
        assert status == 204
        assert answered["Set-Cookie"].startswith("__Host-taskdeck_")
        assert "Secure" in answered["Set-Cookie"]
        assert [item.address for item in served.deck.access.sessions] == ["9.9.9.9"]


@pytest.mark.parametrize("stripped", [True, False])
async def test_everything_works_below_a_sub_path(tmp_path: Path, stripped: bool) -> None:
    web = WebSettings(enabled=True, port=0, url_prefix="/deck")
    prefix = "" if stripped else "/deck"
    async with site(FakeTasks(seeded(2)), tmp_path, web=web) as served:
        status, _, raw = await ask(served, "GET", f"{prefix}/login")
        assert status == 200
        assert b'href="static/' in raw
        code, _ = served.deck.access.make_code("tester")
        body = json.dumps({"token": code}).encode()
        status, answered, _ = await ask(served, "POST", f"{prefix}/auth/login", headers=J, data=body)
        assert status == 204
        assert "Path=/deck/" in answered["Set-Cookie"]
        cookie = {"Cookie": answered["Set-Cookie"].partition(";")[0]}
        assert (await ask(served, "GET", f"{prefix}/api/v1/tasks", headers=cookie))[0] == 200
        status, answered, _ = await ask(served, "GET", f"{prefix}/", headers=cookie)
        assert (status, answered["Location"]) == (303, "dashboard")


async def test_tls_serves_and_marks_its_cookies(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-days", "2", "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, made, check=True, capture_output=True, timeout=SECONDS)
    web = WebSettings(enabled=True, port=0, tls_certificate=str(certificate), tls_key=str(key))
    async with site(FakeTasks(), tmp_path, web=web) as served:
        served.scheme = "https"
        code, _ = served.deck.access.make_code("tester")
        body = json.dumps({"token": code}).encode()
        status, answered, _ = await ask(served, "POST", "/auth/login", headers=J, data=body)
        assert status == 204
        assert answered["Set-Cookie"].startswith("__Host-taskdeck_")
        assert "Secure" in answered["Set-Cookie"]
        assert "max-age" in answered["Strict-Transport-Security"]
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", served.port, ssl=old)


# -- limits


async def test_a_body_over_the_limit_is_refused(served: Site) -> None:
    headers = served.bearer() | J
    body = b'{"operation": {"op": "zip", "path": "' + b"a" * (1 << 20) + b'"}}'
    assert (await ask(served, "POST", "/api/v1/tasks", headers=headers, data=body))[0] == 413


async def test_a_websocket_message_over_the_limit_closes_the_line(served: Site) -> None:
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{served.url}/ws/dashboard", headers=served.bearer(), protocols=("taskdeck.v1",)) as live,
    ):
        await live.receive(timeout=SECONDS)
        await live.send_str("x" * 20_000)
        async with asyncio.timeout(SECONDS):
            while not live.closed:
                await live.receive()
        assert live.close_code == 1009


async def test_no_more_connections_than_allowed(tmp_path: Path) -> None:
    web = WebSettings(enabled=True, port=0, max_connections=4)
    async with site(FakeTasks(), tmp_path, web=web, idle_after=SECONDS) as served:
        lines = []
        for _ in range(8):
            lines.append(await asyncio.open_connection("127.0.0.1", served.port))
            await asyncio.sleep(0)
        cut = 0
        for reader, writer in lines:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            try:
                cut += (await asyncio.wait_for(reader.read(20), SECONDS)) == b""
            except ConnectionError:
                cut += 1
        assert cut == 4
        for _, writer in lines:
            writer.close()


async def answered(address: str, port: int) -> tuple[bool, asyncio.StreamWriter]:
    """Whether a new connection from this address of ours gets an answer; it stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    try:
        return (await asyncio.wait_for(reader.read(20), SECONDS)) != b"", writer
    except ConnectionError:
        return False, writer


async def test_one_address_cannot_take_all_connections(tmp_path: Path) -> None:
    web = WebSettings(enabled=True, port=0, max_connections=100, max_per_address=3)
    async with site(FakeTasks(), tmp_path, web=web, idle_after=SECONDS) as served:
        mine = [await answered("127.0.0.2", served.port) for _ in range(5)]
        assert [came for came, _ in mine] == [True, True, True, False, False]
        other, _ = await answered("127.0.0.3", served.port)
        assert other
        mine[0][1].close()
        async with asyncio.timeout(SECONDS):
            while not (await answered("127.0.0.2", served.port))[0]:  # noqa: ASYNC110 - told by nothing
                await asyncio.sleep(0.02)


async def test_a_trusted_proxy_may_bring_everybodys_connections(tmp_path: Path) -> None:
    web = WebSettings(enabled=True, port=0, max_per_address=3, trusted_proxies=("127.0.0.2/32",))
    async with site(FakeTasks(), tmp_path, web=web, idle_after=SECONDS) as served:
        assert all([(await answered("127.0.0.2", served.port))[0] for _ in range(6)])


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n",
    ],
    ids=["length-and-chunked", "two-hosts", "no-host", "long-address", "long-header"],
)
async def test_ambiguous_and_oversized_requests_are_refused(served: Site, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(sent)
    answer = await asyncio.wait_for(reader.readline(), SECONDS)
    writer.close()
    assert answer.split()[1][:1] == b"4"


async def test_a_dripping_body_is_cut(served: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui_app.web.bodies.BODY_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(
        b"POST /auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
    )
    answer = await asyncio.wait_for(reader.readline(), SECONDS)
    writer.close()
    assert b" 408 " in answer


async def test_a_dripping_header_is_cut(tmp_path: Path) -> None:
    async with site(FakeTasks(), tmp_path, idle_after=0.3) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /healthz HTTP/1.1\r\n")
        ended = asyncio.create_task(reader.read(10))
        async with asyncio.timeout(SECONDS):
            while not ended.done():
                writer.write(b"X")
                await asyncio.wait({ended}, timeout=0.05)
        assert ended.exception() is not None or ended.result() == b""
        writer.close()


async def test_who_does_not_read_the_answer_is_cut(tmp_path: Path) -> None:
    tasks = FakeTasks(seeded(400))
    async with site(tasks, tmp_path, stuck_after=0.3) as served:
        stuck = socket.socket()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.to_thread(stuck.connect, ("127.0.0.1", served.port))
        token = served.tokens[Scope.READ].encode()
        request = (
            b"GET /api/v1/tasks?limit=400 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + token + b"\r\n\r\n"
        )
        stuck.sendall(request * 40)
        await until(lambda: served.server.connections == 1)
        await until(lambda: served.server.connections == 0)
        stuck.close()


async def read_into(seen: dict[str, int], live: aiohttp.ClientWebSocketResponse) -> None:
    """Keep the newest progress of every task a live client hears of."""
    async for message in live:
        found = msgspec.json.decode(message.data)
        if found["type"] == "update":
            seen |= {row["id"]: row["done"] for row in found["update"].get("rows", [])}
            seen |= {tick[0]: tick[2] for tick in found["update"].get("ticks", [])}


async def test_a_live_client_that_does_not_read_is_cut_and_others_lose_nothing(tmp_path: Path) -> None:
    tasks = FakeTasks(seeded(300))
    async with site(tasks, tmp_path, stuck_after=2) as served, aiohttp.ClientSession() as client:
        url = f"{served.url}/ws/dashboard"
        stuck = await client.ws_connect(url, headers=served.bearer(), protocols=("taskdeck.v1",))
        healthy = await client.ws_connect(url, headers=served.bearer(), protocols=("taskdeck.v1",))
        watch = {"type": "watch", "id": 1, "watch": {"query": {"limit": 300}, "hz": 20}}
        for line in (stuck, healthy):
            await line.send_json(watch)
        connection = stuck._response.connection
        assert connection is not None
        assert isinstance(connection.transport, asyncio.ReadTransport)
        connection.transport.pause_reading()
        seen: dict[str, int] = {}
        reading = asyncio.create_task(read_into(seen, healthy))
        async with asyncio.timeout(SECONDS):
            while served.deck.connections != 1:
                tasks.step(0.5)
                await asyncio.sleep(0.01)
            last = {view.id: view.done for view in tasks.views.values()}
            while seen != last:  # noqa: ASYNC110 - read by another task
                await asyncio.sleep(0.02)
        reading.cancel()
        await healthy.close()


async def test_everybody_is_told_when_the_daemon_goes(tmp_path: Path) -> None:
    async with site(FakeTasks(seeded(2)), tmp_path) as served, aiohttp.ClientSession() as client:
        lines = [
            await client.ws_connect(f"{served.url}/ws/dashboard", headers=served.bearer(), protocols=("taskdeck.v1",))
            for _ in range(20)
        ]
        await served.server.stop()
        for line in lines:
            async with asyncio.timeout(SECONDS):
                while not line.closed:
                    await line.receive()
        assert [line.close_code for line in lines] == [1001] * 20
