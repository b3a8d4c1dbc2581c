"""A web server for tests: the real application on a free TCP port, over tasks in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from engines.paths import PathPolicy
from engines.settings import Settings, WebSettings
from engines.tasks.api import Tasks
from tui_app.web.access import AccessBook, Scope
from tui_app.web.audit import Audit
from tui_app.web.context import Deck
from tui_app.web.server import Server


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
