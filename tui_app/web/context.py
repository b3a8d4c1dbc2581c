"""What request handlers share: the task engine, the settings of the moment, and who is asking."""

from __future__ import annotations

import asyncio
import functools
import pwd
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from engines.model import Actor, Kind
from engines.paths import PathPolicy
from engines.settings import Settings
from engines.tasks.api import Tasks
from tui_app import wire
from tui_app.web.access import AccessBook, Credential, Scope
from tui_app.web.audit import Audit
from tui_app.web.limits import Attempts, Flights

FACES: Final = frozenset({"cli", "tui", "api", "web", "demo"})


async def _uncounted(kind: Kind) -> None:
    """For servers without a task service behind them."""


@dataclass(slots=True)
class Deck:
    """The daemon as handlers see it.

    Attributes:
        access: Tokens and sessions of the TCP side.
        audit: The access log.
        stop: Ask the daemon to stop (True: let running tasks finish first).
        reload: Read the settings again; returns them.
        closing: Set when the daemon stops: streams and long polls end.
        stuck_after: Seconds a live client may not read before its connection is cut.
        idle_after: Seconds a connection may be idle, or take for the head of a request.
    """

    tasks: Tasks
    settings: Settings
    policy: PathPolicy
    access: AccessBook
    audit: Audit
    stop: Callable[[bool], None]
    reload: Callable[[], Settings]
    started: float = field(default_factory=time.time)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    ready: bool = False
    stuck_after: float = 10.0
    idle_after: float = 15.0
    url: str = ""
    """Address of the TCP side, empty while it is off."""
    chat: Callable[[], str] = lambda: "off"
    """State of the Telegram bot in words."""
    connections: int = 0
    """Live WebSockets, for the metrics."""
    count: Callable[[Kind], Awaitable[None]] = _uncounted
    """Adds a finished transfer of a browser to the totals."""
    attempts: Attempts = field(default_factory=Attempts)
    flights: Flights = field(default_factory=Flights)

    def __post_init__(self) -> None:
        self.access.ended.append(self.flights.cut)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made a request, and whether over the Unix socket."""

    actor: Actor
    local: bool
    scope: Scope = Scope.ADMIN
    credential: Credential | None = None
    """The token or session; None over the Unix socket and on public pages."""
    address: str = ""


DECK: Final = web.AppKey("deck", Deck)
CALLER: Final = web.RequestKey("caller", Caller)


def caller(request: web.Request) -> Caller:
    """Who makes this request; the guard has seen to it."""
    return request[CALLER]


def outer(request: web.Request, address: str) -> str:
    """An address of ours as clients reach it: below the sub-path, whether a proxy passes that on or strips it."""
    prefix = request.app[DECK].settings.web.url_prefix
    return prefix + address.removeprefix(prefix)


def face(request: web.Request, default: str) -> str:
    """The face a client names in its header."""
    named = request.headers.get(wire.FACE_HEADER, default)
    return named if named in FACES else default


@functools.cache
def user_name(uid: int) -> str:
    """The login name of a user id, else the number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
