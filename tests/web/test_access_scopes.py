"""What every single route asks of its callers, what every answer forbids browsers, and what no answer tells."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from engines.errors import TaskdeckError
from engines.model import TaskState
from engines.query import Page, Query
from tests.support.fake_tasks import START, FakeTasks, make_view, seeded
from tests.support.station import SECONDS
from tests.support.web_server import J, Site, ask, handshake, sign_in, site
from tui_app.web.access import Scope
from tui_app.web.api import ROUTES

# Written down here a second time on purpose: a route that asks for less than this fails.
FOR_ADMINS = {
    "GET /api/v1/sessions",
    "DELETE /api/v1/sessions/{id}",
    "GET /api/v1/tokens",
    "POST /api/v1/tokens",
    "DELETE /api/v1/tokens/{id}",
    "POST /api/v1/login_links",
    "GET /api/v1/audit",
    "POST /api/v1/stop",
    "POST /api/v1/reload",
}
CHANGES_NOTHING = {"POST /auth/login", "POST /auth/logout"}
LOOKS_INTO_FOLDERS = {"GET /api/v1/files"}
FOR_ANYBODY = {
    "GET /", "GET /login", "GET /offline", "GET /sw.js", "GET /app.webmanifest", "GET /healthz", "POST /auth/login",
    "GET /static/{version}/{name:[A-Za-z0-9_.-]+}",
}  # fmt: skip
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "worker-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "taskdeck",
}


@pytest_asyncio.fixture
async def served(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(FakeTasks(seeded(8)), tmp_path) as found:
        yield found


def least(name: str) -> Scope:
    """The scope a route must ask for at the least."""
    if name in FOR_ADMINS:
        return Scope.ADMIN
    changes = not name.startswith("GET ") and name not in CHANGES_NOTHING
    return Scope.CONTROL if changes or name in LOOKS_INTO_FOLDERS else Scope.READ


async def test_every_route_asks_for_its_scope(served: Site) -> None:
    names = {f"{route.method} {route.path}" for route in ROUTES}
    assert names >= FOR_ADMINS | CHANGES_NOTHING | LOOKS_INTO_FOLDERS
    for name in sorted(names):
        method, path = name.split(" ", 1)
        address = re.sub(r"\{[^}]+\}", "t000", path)
        weaker = [scope for scope in Scope if not scope.covers(least(name))]
        for scope in weaker:
            status, _, raw = await ask(served, method, address, headers=served.bearer(scope) | J, data=b"{}")
            assert (status, json.loads(raw)["code"]) == (403, "access.denied"), (name, scope)
            assert b"needs the scope" in raw, (name, scope)


async def test_every_route_with_data_asks_for_a_login(served: Site) -> None:
    for route in ROUTES:
        if f"{route.method} {route.path}" in FOR_ANYBODY:
            continue
        address = re.sub(r"\{[^}]+\}", "t000", route.path)
        status, _, _ = await ask(served, route.method, address, headers=J if route.method == "POST" else {})
        assert status == (303 if route.path == "/dashboard" else 401), (route.method, route.path)


async def test_even_an_administrator_cannot_stop_the_daemon_from_afar(served: Site) -> None:
    for path in ("/api/v1/stop", "/api/v1/reload"):
        status, _, raw = await ask(served, "POST", path, headers=served.bearer() | J, data=b'{"drain": false}')
        assert (status, json.loads(raw)["code"]) == (403, "access.denied")
        assert "from afar" in json.loads(raw)["detail"]


@pytest.mark.parametrize("path", ["/login", "/nowhere", "/api/v1/tasks"])
async def test_the_content_policy_is_the_strict_one(served: Site, path: str) -> None:
    _, answered, _ = await ask(served, "GET", path)
    directives = dict(part.strip().split(" ", 1) for part in answered["Content-Security-Policy"].split(";"))
    assert directives == POLICY
    assert answered["Permissions-Policy"] == "camera=(), microphone=(), geolocation=()"


async def test_strangers_do_not_learn_the_version(served: Site) -> None:
    for path in ("/login", "/healthz", "/api/v1/tasks"):
        _, answered, _ = await ask(served, "GET", path)
        assert not [name for name in answered if name.startswith("Taskdeck-")], path
    _, answered, _ = await ask(served, "GET", "/healthz", headers=served.bearer(Scope.READ))
    assert "Taskdeck-Version" in answered


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "app://{own}"])
async def test_a_foreign_origin_is_refused_for_reading_too(served: Site, origin: str) -> None:
    cookie = await sign_in(served)
    foreign = {"Origin": origin.replace("{own}", f"127.0.0.1:{served.port}")}
    status, _, raw = await ask(served, "GET", "/api/v1/tasks", headers=cookie | foreign)
    assert (status, json.loads(raw)["code"]) == (403, "access.origin")


async def test_a_websocket_without_an_origin_must_not_come_from_another_site(served: Site) -> None:
    cookie = await sign_in(served)
    assert await handshake(served, cookie | {"Sec-Fetch-Site": "cross-site"}) == 403
    assert await handshake(served, cookie | {"Sec-Fetch-Site": "same-origin"}) == 101


async def test_a_login_link_holds_its_code_behind_the_hash(served: Site) -> None:
    _, _, raw = await ask(served, "POST", "/api/v1/login_links", headers=served.bearer() | J, data=b"{}")
    before, _, after = json.loads(raw)["url"].partition("#")
    assert json.loads(raw)["code"] in after
    assert json.loads(raw)["code"] not in before


class _Broken(FakeTasks):
    async def query(self, query: Query) -> Page:
        raise RuntimeError("/home/ada/hidden")


async def test_a_fault_of_ours_is_not_shown(tmp_path: Path) -> None:
    async with site(_Broken(), tmp_path) as served:
        status, _, raw = await ask(served, "GET", "/api/v1/tasks", headers=served.bearer())
    assert (status, json.loads(raw)["code"]) == (500, "internal")
    assert b"hidden" not in raw


async def test_an_exported_history_holds_no_formulas(tmp_path: Path) -> None:
    views = [
        make_view(f"t{number}", title=title, state=TaskState.COMPLETED, finished=1.0)
        for number, title in enumerate(("=HYPERLINK(1)", "+1", "-1", "@SUM(1)"))
    ]
    async with site(FakeTasks(views), tmp_path) as served:
        _, answered, raw = await ask(served, "GET", "/api/v1/history?format=csv", headers=served.bearer(Scope.READ))
    assert answered["Content-Disposition"] == 'attachment; filename="taskdeck-history.csv"'
    titles = {line.split(",")[2] for line in raw.decode().splitlines()[1:]}
    assert titles == {"'=HYPERLINK(1)", "'+1", "'-1", "'@SUM(1)"}


async def test_an_answer_that_breaks_off_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = FakeTasks([make_view(f"t{n:04d}", state=TaskState.COMPLETED, finished=START - n) for n in range(600)])
    first = tasks.query

    async def query(asked: Query) -> Page:
        if asked.cursor:
            raise TaskdeckError("disk.io", "cannot read the store", "it has a bad sector")
        return await first(asked)

    monkeypatch.setattr(tasks, "query", query)
    async with site(tasks, tmp_path) as served, served.client() as http:
        answer = await http.get("/api/v1/history")
        with pytest.raises(aiohttp.ClientPayloadError) as broken:
            await asyncio.wait_for(answer.read(), SECONDS)
    assert "Not enough data" in str(broken.value)  # a second answer inside of the first would be malformed instead
