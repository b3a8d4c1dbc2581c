"""Who may come in over TCP: scoped tokens, one-time login codes and browser sessions.

Only hashes are stored (SHA-256 of 256 random bits needs no slow hash); a secret is shown once, when it is made.
The book is one small file of mode 0600 in the state directory, written atomically at every change.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from engines.errors import TaskdeckError
from engines.names import display
from tui_app.locations import write_private

_LOG = logging.getLogger(__name__)
CODE_SECONDS: Final = 300.0
"""How long a one-time login code may be used."""
SESSION_LIMIT: Final = 200
TOKEN_LIMIT: Final = 200
_CODE_LIMIT: Final = 20
_SEEN_EVERY: Final = 60.0
"""Seconds between two writes of "last seen"."""


class Scope(StrEnum):
    """What a credential may do; each includes the ones before it."""

    READ = "read"
    """See tasks, history, logs, results."""
    CONTROL = "control"
    """Also make and steer tasks, browse the roots, send files."""
    ADMIN = "admin"
    """Also make and revoke tokens, end sessions, read the access log."""

    def covers(self, needed: Scope) -> bool:
        """Whether this scope suffices."""
        return _RANK[self] >= _RANK[needed]


_RANK: Final = {scope: rank for rank, scope in enumerate(Scope)}


class Token(msgspec.Struct, kw_only=True):
    """A bearer token of a program, without its secret."""

    id: str
    name: str
    scope: Scope
    hash: str
    created: float
    seen: float = 0.0


class Session(msgspec.Struct, kw_only=True):
    """A browser that signed in, without its secret."""

    id: str
    name: str
    scope: Scope
    hash: str
    created: float
    expires: float
    seen: float = 0.0
    address: str = ""
    agent: str = ""
    token: str = ""
    """Id of the token it was opened with; revoking that ends the session."""


class _Content(msgspec.Struct, kw_only=True):
    version: int = 1
    instance: str = ""
    tokens: list[Token] = []
    sessions: list[Session] = []


class TokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Make a token."""

    name: Annotated[str, Meta(min_length=1, max_length=60)]
    scope: Scope = Scope.READ


Credential = Token | Session
_Entry = TypeVar("_Entry", Token, Session)


class AccessBook:
    """Tokens, sessions and login codes of one daemon.

    Args:
        path: The file; it need not exist.
        now: The clock, seconds since the epoch.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._codes: dict[str, tuple[float, str, Scope]] = {}
        self._written = now()
        self._stale = False
        """Whether the file lacks a change, because it could not be written."""
        self.ended: list[Callable[[str], None]] = []
        """Called with the id of every credential that is revoked or expires."""
        content = self._read()
        self.instance = content.instance or secrets.token_hex(3)
        """Names the session cookie: cookies know no port, and two daemons may share a host."""
        self._tokens = {item.id: item for item in content.tokens}
        self._sessions = {item.id: item for item in content.sessions}
        if not content.instance:
            self._write()

    @property
    def tokens(self) -> list[Token]:
        """All tokens, oldest first."""
        return list(self._tokens.values())

    @property
    def sessions(self) -> list[Session]:
        """Sessions that have not expired, newest first."""
        self.sweep()
        return sorted(self._sessions.values(), key=lambda item: -item.created)

    def make_token(self, name: str, scope: Scope) -> tuple[str, Token]:
        """A new token and its text, which is told only here.

        Raises:
            TaskdeckError: `value` when there are too many.
        """
        if len(self._tokens) >= TOKEN_LIMIT:
            raise TaskdeckError("value", "cannot make a token", f"there are {TOKEN_LIMIT} already", "revoke some")
        identity, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        token = Token(id=identity, name=display(name, limit=60), scope=scope, hash=digest(secret), created=self._now())
        self._tokens[identity] = token
        self._write()
        return f"deck_{identity}_{secret}", token

    def make_code(self, name: str, scope: Scope = Scope.ADMIN) -> tuple[str, float]:
        """A one-time login code and when it expires; kept in memory only."""
        now = self._now()
        self._codes = {key: item for key, item in self._codes.items() if item[0] > now}
        while len(self._codes) >= _CODE_LIMIT:
            self._codes.pop(next(iter(self._codes)))
        code = secrets.token_urlsafe(24)
        self._codes[digest(code)] = (now + CODE_SECONDS, display(name, limit=60), scope)
        return code, now + CODE_SECONDS

    def token(self, text: str) -> Token | None:
        """The token this text is, else None. Compares in constant time."""
        prefix, _, rest = text.partition("_")
        identity, _, secret = rest.partition("_")
        found = self._tokens.get(identity) if prefix == "deck" else None
        return self._matched(found, secret)

    def session(self, cookie: str) -> Session | None:
        """The session of this cookie value, else None."""
        identity, _, secret = cookie.partition(".")
        found = self._matched(self._sessions.get(identity), secret)
        if found is not None and found.expires <= self._now():
            self.sweep()
            return None
        return found

    def sign_in(self, text: str, *, seconds: float, address: str, agent: str) -> tuple[str, Session] | None:
        """Open a session with a login code (which is used up) or a token: the cookie value and the session."""
        code = self._codes.pop(digest(text), None)
        token = None
        if code is not None and code[0] > self._now():
            name, scope = code[1], code[2]
        elif (token := self.token(text)) is not None:
            name, scope = token.name, token.scope
        else:
            return None
        self.sweep()
        while len(self._sessions) >= SESSION_LIMIT:
            self.end_session(min(self._sessions.values(), key=lambda item: item.seen).id)
        now = self._now()
        identity, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        session = Session(
            id=identity,
            name=name,
            scope=scope,
            hash=digest(secret),
            created=now,
            expires=now + seconds,
            seen=now,
            address=address,
            agent=display(agent, limit=100),
            token=token.id if token else "",
        )
        self._sessions[identity] = session
        self._write()
        return f"{identity}.{secret}", session

    def end_session(self, identity: str) -> Session:
        """Sign a browser out.

        Raises:
            TaskdeckError: `access.missing`.
        """
        session = self._sessions.pop(identity, None)
        if session is None:
            raise _missing("session", identity)
        self._tell([identity])
        self._write()
        return session

    def revoke_token(self, identity: str) -> Token:
        """Make a token worthless, and end the sessions opened with it.

        Raises:
            TaskdeckError: `access.missing`.
        """
        token = self._tokens.pop(identity, None)
        if token is None:
            raise _missing("token", identity)
        gone = [item.id for item in self._sessions.values() if item.token == identity]
        for session in gone:
            del self._sessions[session]
        self._tell([identity, *gone])
        self._write()
        return token

    def sweep(self) -> None:
        """End the sessions whose time is over, and write what could not be written before."""
        now = self._now()
        gone = [item.id for item in self._sessions.values() if item.expires <= now]
        for identity in gone:
            del self._sessions[identity]
        if gone:
            self._tell(gone)
        if gone or (self._stale and now - self._written > _SEEN_EVERY):
            self._write_later()

    def _matched(self, found: _Entry | None, secret: str) -> _Entry | None:
        given = digest(secret)
        # Compare against something also when nothing was found: the time tells nothing about ids.
        if not hmac.compare_digest(given, found.hash if found is not None else digest("")) or found is None:
            return None
        now = self._now()
        if now - found.seen > _SEEN_EVERY:
            found.seen = now
            if now - self._written > _SEEN_EVERY:
                self._write_later()
        return found

    def _tell(self, identities: Iterable[str]) -> None:
        for identity in identities:
            for told in self.ended:
                told(identity)

    def _read(self) -> _Content:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Content)
        except FileNotFoundError:
            return _Content()
        except (OSError, msgspec.MsgspecError) as error:
            raise TaskdeckError(
                "settings.invalid",
                f"cannot read the access file {display(self._path)}",
                str(error),
                "remove it; everybody then has to sign in again and tokens have to be made anew",
            ) from None

    def _write_later(self) -> None:
        """Write what nobody waits for; a full disk only puts it off."""
        try:
            self._write()
        except TaskdeckError as error:
            _LOG.warning("%s", error.message)

    def _write(self) -> None:
        self._written = self._now()
        self._stale = True
        content = _Content(instance=self.instance, tokens=self.tokens, sessions=list(self._sessions.values()))
        write_private(self._path, msgspec.json.encode(content).decode())
        self._stale = False


def digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _missing(what: str, identity: str) -> TaskdeckError:
    return TaskdeckError(
        "access.missing", f"cannot find {what} '{display(identity, limit=40)}'", "it was revoked or has expired"
    )
