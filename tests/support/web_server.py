"""A web server for tests: the real application on a free TCP port, over tasks in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from engines.paths import PathPolicy
from engines.settings import Settings, WebSettings
from engines.tasks.api import Tasks
from tests.support.station import SECONDS
from tui_app.web.access import AccessBook, Scope
from tui_app.web.audit import Audit
from tui_app.web.context import Deck
from tui_app.web.server import Server

J = {"Content-Type": "application/json"}


@dataclass
class Site:
    """A running server."""

    deck: Deck
    server: Server
    port: int
    tokens: dict[Scope, str]
    scheme: str = "http"

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def bearer(self, scope: Scope = Scope.ADMIN) -> dict[str, str]:
        """The header of a program with this scope."""
        return {"Authorization": f"Bearer {self.tokens[scope]}"}

    def link(self) -> str:
        """A one-time login link."""
        code, _ = self.deck.access.make_code("tester")
        return f"{self.url}/login#code={code}"

    def client(self, scope: Scope | None = Scope.ADMIN) -> aiohttp.ClientSession:
        """An HTTP client that is signed in with a token, or with nothing."""
        headers = self.bearer(scope) if scope else {}
        return aiohttp.ClientSession(self.url, headers=headers, cookie_jar=aiohttp.DummyCookieJar())


@asynccontextmanager
async def site(
    tasks: Tasks, state: Path, *, web: WebSettings | None = None, stuck_after: float = 10.0, idle_after: float = 15.0
) -> AsyncIterator[Site]:
    """Serve `tasks` on a free port; `state` is also the one root."""
    settings = Settings(roots=(str(state),), web=web or WebSettings(enabled=True, port=0))
    book = AccessBook(state / "access.json")
    tokens = {scope: book.make_token(scope.value, scope)[0] for scope in Scope}
    deck = Deck(
        tasks=tasks,
        settings=settings,
        policy=PathPolicy.of((str(state),)),
        access=book,
        audit=Audit(state / "access.log"),
        stop=lambda drain: None,
        reload=lambda: settings,
        stuck_after=stuck_after,
        idle_after=idle_after,
        ready=True,
    )
    server = Server(deck)
    await server.start()
    port = await server.listen_tcp(settings.web)
    deck.url = f"http://127.0.0.1:{port}"
    try:
        yield Site(deck, server, port, tokens)
    finally:
        await server.stop()


async def ask(
    served: Site, method: str, path: str, *, headers: dict[str, str] | None = None, data: bytes | None = None
) -> tuple[int, Any, bytes]:
    """One request with these headers and no others: status, headers and body of the answer."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
        client.request(
            method, served.url + path, headers=headers or {}, data=data, allow_redirects=False, ssl=False
        ) as answer,
    ):
        return answer.status, answer.headers, await answer.read()


async def sign_in(served: Site, token: str | None = None, **headers: str) -> dict[str, str]:
    """The cookie header of a browser that signed in."""
    text = token or served.deck.access.make_code("tester")[0]
    body = json.dumps({"token": text}).encode()
    status, answered, raw = await ask(served, "POST", "/auth/login", headers=J | headers, data=body)
    assert status == 204, raw
    return {"Cookie": answered["Set-Cookie"].partition(";")[0]}


async def handshake(served: Site, headers: dict[str, str]) -> int:
    """The status that asking for a WebSocket gives."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
        try:
            async with client.ws_connect(f"{served.url}/ws/dashboard", headers=headers):
                return 101
        except aiohttp.WSServerHandshakeError as error:
            return error.status


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that is not announced."""
    async with asyncio.timeout(SECONDS):
        while not true():  # noqa: ASYNC110 - the condition lives in the server, without an event
            await asyncio.sleep(0.02)
