"""Who may ask: user ids on the Unix socket; Host, Origin and bearer token on TCP. Outermost middleware."""

from __future__ import annotations

import hmac
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from engines.errors import TaskdeckError
from engines.model import Actor
from engines.names import display
from tui_app import wire
from tui_app.tokens import token_hash
from tui_app.web.context import CALLER, DECK, Caller, Deck, face, user_name
from tui_app.web.problem import from_exception

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PUBLIC: Final = frozenset({"/", "/dashboard", "/healthz"})
"""Pages without data; everything else needs a token over TCP."""
ANY_VERSION: Final = frozenset({"/api/v1/hello", "/api/v1/stop", "/healthz", "/readyz"})
"""What a client of another protocol revision may use: to recognise us and to have us restarted."""
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "X-Frame-Options": "DENY",
}


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the right callers through, and turn every error into problem+json."""
    try:
        deck = request.app[DECK]
        request[CALLER] = _identify(request, deck)
        _same_protocol(request)
        return await handler(request)
    except web.HTTPRedirection:
        raise
    except Exception as error:
        return from_exception(error, request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Security headers on every response, 404 and 413 included; and the version for those who may know it."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "taskdeck"
    if request.path.startswith("/api"):
        response.headers.setdefault("Cache-Control", "no-store")
    if CALLER in request:
        response.headers[wire.PROTOCOL_HEADER] = str(wire.PROTOCOL)
        response.headers[wire.VERSION_HEADER] = wire.program_version()


def _identify(request: web.Request, deck: Deck) -> Caller:
    connection = request.transport.get_extra_info("socket") if request.transport else None
    if connection is not None and connection.family == socket.AF_UNIX:
        _pid, uid, _gid = wire.peer_credentials(connection)
        if uid not in (os.geteuid(), 0):
            raise TaskdeckError("access.denied", "cannot serve this user", "the daemon belongs to someone else")
        return Caller(Actor(user_name(uid), face(request, "api")), local=True)
    _check_host(request, deck)
    _check_origin(request, deck)
    if not _has_token(request, deck) and request.path not in PUBLIC and not request.path.startswith("/static/"):
        raise TaskdeckError(
            "access.login",
            "cannot answer without a token",
            "",
            "send `Authorization: Bearer` with `taskdeck web token`",
        )
    return Caller(Actor("token", face(request, "api")), local=False)


def _has_token(request: web.Request, deck: Deck) -> bool:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given or not deck.token_hash:
        return False
    return hmac.compare_digest(token_hash(given.strip()), deck.token_hash)


def _check_host(request: web.Request, deck: Deck) -> None:
    """Names other than ours are DNS rebinding; literal addresses cannot be rebound."""
    host = request.headers.get("Host", "")
    name = host[1 : host.find("]")] if host.startswith("[") else host.rsplit(":", 1)[0]
    if name.casefold() == "localhost" or name.casefold() in {
        item.casefold() for item in deck.settings.web.allowed_hosts
    }:
        return
    try:
        ipaddress.ip_address(name)
    except ValueError:
        raise TaskdeckError(
            "access.host",
            f"cannot answer for host '{display(name, limit=100)}'",
            "it is not an allowed name",
            "add it to web.allowed_hosts",
        ) from None


def _check_origin(request: web.Request, deck: Deck) -> None:
    """Refuse what a page of another site makes a browser send (Fetch Metadata; RFC 6454 origins)."""
    origin = request.headers.get("Origin")
    websocket = request.headers.get("Upgrade", "").casefold() == "websocket"
    if request.method in ("GET", "HEAD") and not websocket and origin is None:
        return
    if origin is None:
        allowed = request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")
    else:
        allowed = origin.partition("://")[2] == request.host or origin in deck.settings.web.trusted_origins
    if not allowed:
        raise TaskdeckError(
            "access.origin",
            f"cannot take a request from '{display(origin or 'another site', limit=100)}'",
            f"the page must come from '{display(request.host, limit=100)}'",
            "or be listed in web.trusted_origins",
        )


def _same_protocol(request: web.Request) -> None:
    revision = request.headers.get(wire.PROTOCOL_HEADER)
    if revision is None or revision == str(wire.PROTOCOL) or request.path in ANY_VERSION:
        return
    version = display(request.headers.get(wire.VERSION_HEADER, "?"), limit=40)
    raise TaskdeckError(
        "daemon.version",
        f"cannot serve Taskdeck {version}",
        f"this daemon is {wire.program_version()} with another protocol",
        "run `taskdeck restart` (tasks are kept)",
    )
