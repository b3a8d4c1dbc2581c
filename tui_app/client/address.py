"""Where a daemon listens, and a connection to it: a Unix socket of this user, TCP, or TLS."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from engines.errors import TaskdeckError
from engines.names import display
from tui_app import wire

if TYPE_CHECKING:
    import ssl

CONNECT_SECONDS: Final = 5.0
"""Time for a connection to stand, name and TLS included."""
_STAGGER: Final = 0.25
"""Seconds until the next address of a name is tried beside the one before (RFC 8305, section 5)."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Address:
    """One daemon.

    Attributes:
        path: Its Unix socket; None for TCP.
        host: Name or address, without brackets.
        tls: The context of a TLS connection; None for plain TCP.
        prefix: What stands before every route, without a trailing slash.
    """

    path: Path | None = None
    host: str = "localhost"
    port: int = 80
    tls: ssl.SSLContext | None = None
    prefix: str = ""

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """The address for people."""
        if self.path is not None:
            return display(self.path)
        return display(f"{'https' if self.tls else 'http'}://{self.authority}{self.prefix}", limit=200)

    @classmethod
    def parse(cls, url: str) -> Address:
        """The address in a URL.

        Raises:
            TaskdeckError: `usage` when it is no http or https address of a server.
        """
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").encode("idna").decode("ascii"), parts.port
            prefix = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        except ValueError as error:  # a port that is no number, a label that is too long
            raise _unusable(url, str(error)) from None
        if parts.scheme not in ("http", "https") or not host:
            raise _unusable(url, "it is no http or https address")
        if parts.username is not None or parts.query or parts.fragment:
            raise _unusable(url, "it may hold a host, a port and a path only")
        if parts.scheme == "http":
            return cls(host=host, port=80 if port is None else port, prefix=prefix)
        from ssl import create_default_context  # reads the machine's authorities: 20 ms

        return cls(host=host, port=443 if port is None else port, tls=create_default_context(), prefix=prefix)

    async def connect(self) -> Streams:
        """A new connection.

        Raises:
            OSError: It cannot be made, the certificate is not trusted, or the socket belongs to someone else.
            TimeoutError: It takes longer than `CONNECT_SECONDS`.
        """
        async with asyncio.timeout(CONNECT_SECONDS):
            if self.path is not None:
                return await _connect_unix(self.path)
            return await asyncio.open_connection(self.host, self.port, ssl=self.tls, happy_eyeballs_delay=_STAGGER)


async def _connect_unix(path: Path) -> Streams:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, os.fsencode(path))
        wire.check_owner(connection)
        return await asyncio.open_unix_connection(sock=connection)
    except BaseException:
        connection.close()
        raise


def _unusable(url: str, why: str) -> TaskdeckError:
    return TaskdeckError("usage", f"cannot open '{display(url, limit=100)}'", why, "give https://HOST:PORT")
