"""The bearer token of the TCP side: made once, mode 0600; the server keeps only its hash."""

from __future__ import annotations

import hashlib
import secrets

from tui_app.locations import Locations, write_private


def token_hash(token: str) -> str:
    """What the server keeps of a token: SHA-256, hexadecimal. Its 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def read_token(locations: Locations, *, renew: bool = False) -> str:
    """The token of this state directory, made when there is none yet."""
    if not renew:
        try:
            found = locations.token.read_text().strip()
        except OSError:
            found = ""
        if found:
            return found
    token = f"deck_{secrets.token_urlsafe(32)}"
    write_private(locations.token, token + "\n")
    return token
