"""Signing in and out, and the administration of tokens, sessions and the access log."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from engines.errors import TaskdeckError
from tui_app.web.access import Scope, Session, Token, TokenRequest
from tui_app.web.bodies import integer, read_body
from tui_app.web.context import DECK, Deck, caller, outer
from tui_app.web.guard import cookie_name
from tui_app.web.limits import RateLimitError
from tui_app.web.peer import PEER, Peer, peer_of
from tui_app.web.problem import json_response

_PAUSE: Final = 0.3
"""Seconds a wrong code takes to be refused."""
AUDIT_LIMIT: Final = 1000


class LoginRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A one-time code or a token."""

    token: Annotated[str, Meta(min_length=1, max_length=200)]


class LinkRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for a one-time login link."""

    scope: Scope = Scope.ADMIN


class LoginLink(msgspec.Struct, frozen=True):
    """A one-time login link."""

    url: str
    """Empty while the dashboard is switched off."""
    code: str
    expires: float


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A login as it may be shown."""

    id: str
    name: str
    scope: Scope
    kind: str
    """session, token or local."""
    created: float = 0.0
    expires: float = 0.0
    seen: float = 0.0
    address: str = ""
    agent: str = ""
    current: bool = False
    secure: bool = False


class TokenInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it may be shown; its text only in the answer that makes it."""

    id: str
    name: str
    scope: Scope
    created: float
    seen: float
    token: str = ""


async def login(request: web.Request) -> web.Response:
    """POST /auth/login: 204 with the session cookie."""
    deck = request.app[DECK]
    peer: Peer = request.get(PEER) or peer_of(request, deck.settings.web)
    body = await read_body(request, LoginRequest)
    wait = deck.attempts.wait(peer.group)  # nothing may wait between this and the count of a failure
    if wait:
        deck.audit.refused("login_delayed", address=peer.address)
        raise RateLimitError("cannot sign in", wait)
    opened = deck.access.sign_in(
        body.token.strip(),
        seconds=deck.settings.web.session_hours * 3600,
        address=peer.address,
        agent=request.headers.get("User-Agent", ""),
    )
    if opened is None:
        deck.attempts.failed(peer.group)
        deck.audit.refused("login_failed", address=peer.address)
        await asyncio.sleep(_PAUSE)
        raise TaskdeckError(
            "access.login", "cannot sign in", "the code or token is wrong or was used", "ask for a new one"
        )
    cookie, session = opened
    deck.audit.write("login", actor=session.name, address=peer.address, detail=session.agent)
    response = web.Response(status=204)
    web_settings = deck.settings.web
    response.set_cookie(
        cookie_name(deck.access, peer, web_settings),
        cookie,
        max_age=int(web_settings.session_hours * 3600),
        path=f"{web_settings.url_prefix}/" if not peer.secure or web_settings.url_prefix else "/",
        httponly=True,
        samesite="Strict",
        secure=peer.secure,
    )
    return response


async def logout(request: web.Request) -> web.Response:
    """POST /auth/logout: ends this session."""
    deck = request.app[DECK]
    found = caller(request)
    response = web.Response(status=204)
    if isinstance(found.credential, Session):
        deck.audit.write("logout", actor=found.actor.name, address=found.address)
        peer: Peer = request[PEER]
        prefix = deck.settings.web.url_prefix
        response.del_cookie(cookie_name(deck.access, peer, deck.settings.web), path=f"{prefix}/", secure=peer.secure)
        deck.flights.release(request.transport)
        deck.access.end_session(found.credential.id)
    return response


async def session(request: web.Request) -> web.Response:
    """GET /api/v1/session: who this request comes from."""
    found = caller(request)
    peer: Peer | None = request.get(PEER)
    secure = peer is not None and peer.secure
    if isinstance(found.credential, Session):
        return json_response(_session_info(found.credential, current=True, secure=secure))
    identity = found.credential.id if found.credential else ""
    kind = "local" if found.local else "token"
    return json_response(SessionInfo(id=identity, name=found.actor.name, scope=found.scope, kind=kind, secure=secure))


async def sessions(request: web.Request) -> web.Response:
    """GET /api/v1/sessions."""
    own = caller(request).credential
    own_id = own.id if own else ""
    return json_response([_session_info(item, current=item.id == own_id) for item in request.app[DECK].access.sessions])


async def end_session(request: web.Request) -> web.Response:
    """DELETE /api/v1/sessions/{id}: signs a browser out and cuts its live connections."""
    deck = request.app[DECK]
    found = caller(request)
    identity = request.match_info["id"]
    if isinstance(found.credential, Session) and identity == found.credential.id:
        return await logout(request)
    ended = deck.access.end_session(identity)
    deck.audit.write("session_ended", actor=found.actor.name, address=found.address, detail=ended.name)
    return web.Response(status=204)


async def tokens(request: web.Request) -> web.Response:
    """GET /api/v1/tokens."""
    return json_response([_token_info(item) for item in request.app[DECK].access.tokens])


async def make_token(request: web.Request) -> web.Response:
    """POST /api/v1/tokens: the only answer that ever holds the token."""
    deck = request.app[DECK]
    found = caller(request)
    body = await read_body(request, TokenRequest)
    text, token = deck.access.make_token(body.name, body.scope)
    deck.audit.write("token_made", actor=found.actor.name, address=found.address, detail=f"{token.name} {token.scope}")
    location = outer(request, f"/api/v1/tokens/{token.id}")
    return json_response(_token_info(token, text), status=201, headers={"Location": location})


async def revoke_token(request: web.Request) -> web.Response:
    """DELETE /api/v1/tokens/{id}: the token, and all sessions opened with it, are worthless at once."""
    deck = request.app[DECK]
    found = caller(request)
    token = deck.access.revoke_token(request.match_info["id"])
    deck.audit.write("token_revoked", actor=found.actor.name, address=found.address, detail=token.name)
    return web.Response(status=204)


async def make_link(request: web.Request) -> web.Response:
    """POST /api/v1/login_links: a link that signs one browser in, once, within five minutes."""
    deck = request.app[DECK]
    found = caller(request)
    body = await read_body(request, LinkRequest)
    code, expires = deck.access.make_code(found.actor.name, body.scope)
    deck.audit.write("link_made", actor=found.actor.name, address=found.address, detail=str(body.scope))
    # The code is behind the "#": no server, proxy or log between sees it.
    base = public_url(deck)
    url = f"{base}/login#code={code}" if base else ""
    return json_response(LoginLink(url, code, expires), status=201)


def public_url(deck: Deck) -> str:
    """Where people reach the dashboard: the reverse proxy when there is one; "" while it is switched off."""
    settings = deck.settings.web
    if not deck.url:
        return ""
    base = settings.trusted_origins[0].rstrip("/") if settings.trusted_origins else deck.url
    for anywhere in ("//0.0.0.0:", "//[::]:"):
        if anywhere in base:
            base = base.replace(anywhere, f"//{_own_address()}:")
    return base + settings.url_prefix


def _own_address() -> str:
    """This machine's address towards the world; asking for it sends nothing (UDP connects without a packet)."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return "127.0.0.1"


async def audit(request: web.Request) -> web.Response:
    """GET /api/v1/audit: the newest entries of the access log."""
    limit = integer(request, "limit", 100, low=1, high=AUDIT_LIMIT)
    return json_response(request.app[DECK].audit.tail(limit))


def _session_info(item: Session, *, current: bool, secure: bool = False) -> SessionInfo:
    return SessionInfo(
        id=item.id,
        name=item.name,
        scope=item.scope,
        kind="session",
        created=item.created,
        expires=item.expires,
        seen=item.seen,
        address=item.address,
        agent=item.agent,
        current=current,
        secure=secure,
    )


def _token_info(item: Token, text: str = "") -> TokenInfo:
    return TokenInfo(id=item.id, name=item.name, scope=item.scope, created=item.created, seen=item.seen, token=text)
