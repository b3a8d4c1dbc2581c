"""Who may ask: user ids on the Unix socket; Host, Origin, token or session, and scope on TCP. Outermost middleware."""

from __future__ import annotations

import functools
import ipaddress
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web
from multidict import CIMultiDict

from engines.errors import TaskdeckError
from engines.model import Actor
from engines.names import display
from engines.settings import WebSettings
from tui_app import wire
from tui_app.web.access import AccessBook, Credential, Scope, Session
from tui_app.web.context import CALLER, DECK, Caller, Deck, face, user_name
from tui_app.web.peer import PEER, Peer, peer_of
from tui_app.web.problem import from_exception

_LOG = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PUBLIC: Final = frozenset(
    {"/", "/login", "/offline", "/sw.js", "/app.webmanifest", "/static/{version}/{name}", "/auth/login", "/healthz"}
)
"""Addresses without data; everything else needs a token or a session over TCP."""
ANY_VERSION: Final = frozenset({"/api/v1/hello", "/api/v1/stop", "/healthz", "/readyz"})
"""What a client of another protocol revision may use: to recognise us and to have us restarted."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a route asks of its callers over TCP."""

    scope: Scope
    public: bool


RULES: Final = web.AppKey("rules", dict[tuple[str, str], Rule])
"""The rule of each route, by method and path. What has none needs a login."""
_NO_RULE: Final = Rule(Scope.READ, False)
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types taskdeck"
)
HEADERS: Final = CIMultiDict(
    {
        "Server": "taskdeck",
        "Content-Security-Policy": CSP,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
        "X-Frame-Options": "DENY",
    }
)
_COOP: Final = "Cross-Origin-Opener-Policy"
"""Only for what browsers call a trustworthy origin (TLS or this machine): elsewhere they ignore it, with an error."""
_STARTED: Final = web.RequestKey("started", bool)
_SAFE: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the right callers through, and turn every error into problem+json."""
    deck = request.app[DECK]
    try:
        found = request[CALLER] = _identify(request, deck)
        _same_protocol(request)
        if found.credential is None:
            return await handler(request)
        deck.flights.note(found.credential.id, request.transport)
        response = await handler(request)
        if request.method not in _SAFE:
            what = f"{request.method} {request.path} {response.status}"
            deck.audit.write("request", actor=found.actor.name, address=found.address, detail=what)
        return response
    except web.HTTPRedirection:
        raise
    except Exception as error:
        if isinstance(error, ConnectionError) and (request.transport is None or request.transport.is_closing()):
            raise  # nobody waits for an answer; the server drops this without a word
        if request.get(_STARTED):
            # The head of an answer is out: a second one would stand inside its body. A cut says that it is not whole.
            _LOG.error("%s %s broke off", request.method, request.path, exc_info=error)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError from error
        return from_exception(error, request)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Security headers on every response, 404 and 413 included; and the version for those who may know it."""
    request[_STARTED] = True
    headers = response.headers
    headers.update(HEADERS)
    if request.path.removeprefix(request.app[DECK].settings.web.url_prefix).startswith(("/api", "/auth")):
        headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
    peer = request.get(PEER)
    if peer is not None and peer.secure:
        headers.setdefault(hdrs.STRICT_TRANSPORT_SECURITY, "max-age=31536000")
    if peer is not None and (peer.secure or _is_loopback(peer.host)):
        headers[_COOP] = "same-origin"
    found = request.get(CALLER)
    if found is not None and (found.local or found.credential is not None):
        headers.update(_version_headers())
        if found.local:
            headers[wire.BUILD_HEADER] = wire.build()


@functools.cache
def _version_headers() -> CIMultiDict[str]:
    return CIMultiDict({wire.PROTOCOL_HEADER: str(wire.PROTOCOL), wire.VERSION_HEADER: wire.program_version()})


def cookie_name(book: AccessBook, peer: Peer, settings: WebSettings) -> str:
    """The session cookie's name; over TLS at the root with the prefix that binds it to this host (RFC 6265bis)."""
    bound = peer.secure and not settings.url_prefix
    return f"{'__Host-' if bound else ''}taskdeck_{book.instance}"


def _identify(request: web.Request, deck: Deck) -> Caller:
    connection = request.transport.get_extra_info("socket") if request.transport else None
    if connection is not None and connection.family == socket.AF_UNIX:
        _pid, uid, _gid = wire.peer_credentials(connection)
        if uid not in (os.geteuid(), 0):
            raise TaskdeckError("access.denied", "cannot serve this user", "the daemon belongs to someone else")
        return Caller(Actor(user_name(uid), face(request, "api")), local=True)
    peer = request[PEER] = peer_of(request, deck.settings.web)
    try:
        return _from_afar(request, deck, peer)
    except TaskdeckError as error:
        if error.code.startswith("access.") and error.code != "access.login":
            detail = f"{request.method} {request.path}: {error.message}"
            deck.audit.refused(error.code.replace("access.", "refused_"), address=peer.address, detail=detail)
        raise


def _from_afar(request: web.Request, deck: Deck, peer: Peer) -> Caller:
    _check_host(peer, deck.settings.web)
    _check_origin(request, peer, deck.settings.web)
    credential = _bearer(request, deck, peer)
    if credential is None:
        cookie = request.cookies.get(cookie_name(deck.access, peer, deck.settings.web))
        credential = deck.access.session(cookie) if cookie else None
    resource = request.match_info.route.resource
    path = resource.canonical if resource is not None else ""
    method = "GET" if request.method == "HEAD" else request.method
    rule = request.app[RULES].get((method, path), _NO_RULE)
    if credential is None:
        if rule.public:
            return Caller(Actor("nobody", "web"), local=False, scope=Scope.READ, address=peer.address)
        if path.endswith("/dashboard") and not path.endswith("/ws/dashboard"):
            raise web.HTTPSeeOther("login")
        raise TaskdeckError(
            "access.login",
            "cannot answer without a login",
            "",
            "sign in, or send `Authorization: Bearer` with a token of `taskdeck web token`",
        )
    if not credential.scope.covers(rule.scope):
        raise TaskdeckError(
            "access.denied", "cannot do this", f"it needs the scope {rule.scope}, this login has {credential.scope}"
        )
    way = "web" if isinstance(credential, Session) else face(request, "api")
    return Caller(Actor(credential.name, way), False, credential.scope, credential, peer.address)


def _bearer(request: web.Request, deck: Deck, peer: Peer) -> Credential | None:
    """The token in the Authorization header. One that is wrong is an error."""
    scheme, _, given = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.casefold() != "bearer":
        return None
    token = deck.access.token(given.strip())
    if token is not None:
        return token
    # Not counted as an attempt to sign in: 256 random bits are not guessed, and a script with an old token must
    # not lock its owner out.
    deck.audit.refused("token_refused", address=peer.address, detail=f"{request.method} {request.path}")
    raise TaskdeckError("access.login", "cannot use this token", "it is unknown or was revoked")


def _check_host(peer: Peer, settings: WebSettings) -> None:
    """Names other than ours are DNS rebinding; literal addresses cannot be rebound."""
    if not _is_known(peer.host, settings.allowed_hosts, settings.trusted_origins):
        host = peer.host
        raise TaskdeckError(
            "access.host",
            f"cannot answer for host '{display(host[: host.rfind(':')] if ':' in host else host, limit=100)}'",
            "it is not an allowed name",
            "add it to web.allowed_hosts",
        )


@functools.lru_cache(maxsize=64)
def _is_known(host: str, allowed: tuple[str, ...], origins: tuple[str, ...]) -> bool:
    name = host[1 : host.find("]")] if host.startswith("[") else host.rsplit(":", 1)[0]
    name = name.casefold().removesuffix(".")
    known = {item.casefold() for item in allowed}
    known |= {origin.partition("://")[2].rsplit(":", 1)[0].casefold() for origin in origins}
    if name == "localhost" or name in known:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@functools.lru_cache(maxsize=64)
def _is_loopback(host: str) -> bool:
    name = host[1 : host.find("]")] if host.startswith("[") else host.rsplit(":", 1)[0]
    if name.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _check_origin(request: web.Request, peer: Peer, settings: WebSettings) -> None:
    """Refuse what a page of another site makes a browser send (Fetch Metadata; RFC 6454 origins)."""
    origin = request.headers.get(hdrs.ORIGIN)
    websocket = request.headers.get(hdrs.UPGRADE, "").casefold() == "websocket"
    if request.method in _SAFE and not websocket and origin is None:
        return
    if origin is None:
        allowed = request.headers.get("Sec-Fetch-Site", "none") in ("same-origin", "none")
    else:
        scheme, _, host = origin.partition("://")
        own = scheme in ("http", "https") and host.casefold() == peer.host.casefold()
        allowed = own or origin in settings.trusted_origins
    if not allowed:
        raise TaskdeckError(
            "access.origin",
            f"cannot take a request from '{display(origin or 'another site', limit=100)}'",
            f"the page must come from '{display(peer.host, limit=100)}'",
            "or be listed in web.trusted_origins",
        )


def _same_protocol(request: web.Request) -> None:
    revision = request.headers.get(wire.PROTOCOL_HEADER)
    path = request.path.removeprefix(request.app[DECK].settings.web.url_prefix)
    if revision is None or revision == str(wire.PROTOCOL) or path in ANY_VERSION:
        return
    version = display(request.headers.get(wire.VERSION_HEADER, "?"), limit=40)
    raise TaskdeckError(
        "daemon.version",
        f"cannot serve Taskdeck {version}",
        f"this daemon is {wire.program_version()} with another protocol",
        "run `taskdeck restart` (tasks are kept)",
    )
