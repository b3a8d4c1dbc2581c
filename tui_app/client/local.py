"""The command line's client: HTTP over the Unix socket with the standard library alone.

No asyncio here: `taskdeck status` answers in the time that would take to import.
"""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from engines.errors import TaskdeckError
from engines.names import display
from tui_app import wire
from tui_app.locations import Locations

T = TypeVar("T")


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket of this user or of root."""

    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        """Connect, and look who listens."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(os.fsencode(self._path))
            wire.check_owner(self.sock)
        except OSError:
            self.sock.close()
            raise


class LocalClient:
    """Requests to the daemon on this machine, one connection at a time.

    Args:
        any_version: Talk to a daemon of another protocol too.
        on_other_build: Called once when the daemon was started before the program was changed on the disk.
    """

    def __init__(
        self,
        locations: Locations,
        *,
        timeout: float = 30.0,
        any_version: bool = False,
        on_other_build: Callable[[], None] | None = None,
    ) -> None:
        self.locations = locations
        self._timeout = timeout
        self._any_version = any_version
        self._on_other_build = on_other_build
        self._connection: UnixConnection | None = None
        self.daemon_version = ""

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def hello(self) -> wire.Hello:
        """The handshake, understood in every revision of the protocol."""
        return self.get("/api/v1/hello", wire.Hello)

    def get(self, path: str, kind: type[T], query: Mapping[str, Any] | None = None) -> T:
        """GET a route and decode its answer.

        Raises:
            TaskdeckError: what the daemon says, `daemon.absent`, `daemon.version`.
        """
        return self._decode(self.request("GET", with_query(path, query)), kind)

    def post(self, path: str, kind: type[T], body: Any, headers: Mapping[str, str] | None = None) -> T:
        """POST a body and decode the answer; raises like `get`."""
        return self._decode(self.request("POST", path, msgspec.json.encode(body), headers), kind)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """One request; the raw body of a successful answer. A connection the daemon had closed is renewed once."""
        for last in (False, True):
            reused = self._connection is not None
            try:
                response = self._send(method, path, body, headers)
                raw = response.read()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if reused and not last and (method == "GET" or "Idempotency-Key" in (headers or {})):
                    continue
                raise self.absent(error) from None
            self._check(response)
            if response.status >= 400:
                raise wire.problem_error(response.status, raw)
            return raw
        raise AssertionError("unreachable")

    def stream(self, path: str) -> Iterator[tuple[str, bytes]]:
        """Server-sent events of a route as (event, data); ends when the daemon ends the stream.

        Raises:
            TaskdeckError: like `get`; `daemon.absent` also when the connection is lost.
        """
        connection = UnixConnection(self.locations.socket(), self._timeout)
        try:
            connection.request("GET", path, headers=self._headers())
            response = connection.getresponse()
            self._check(response)
            if response.status >= 400:
                raise wire.problem_error(response.status, response.read())
            yield from _events(response)
        except (OSError, http.client.HTTPException) as error:
            raise self.absent(error) from None
        finally:
            connection.close()

    def absent(self, error: BaseException | None = None) -> TaskdeckError:
        """The error for a daemon that does not answer."""
        why = "none is running"
        if isinstance(error, TimeoutError):
            why = "it does not answer"
        elif isinstance(error, PermissionError):
            why = f"{error.strerror or error}"
        elif error is not None and not isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
            why = "it closed the connection"
        where = display(self.locations.socket())
        return TaskdeckError("daemon.absent", f"cannot reach the daemon at {where}", why, "run `taskdeck serve`")

    def _headers(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        return {
            wire.PROTOCOL_HEADER: str(wire.PROTOCOL),
            wire.VERSION_HEADER: wire.program_version(),
            wire.FACE_HEADER: "cli",
            **(extra or {}),
        }

    def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None
    ) -> http.client.HTTPResponse:
        if self._connection is None:
            self._connection = UnixConnection(self.locations.socket(), self._timeout)
        sent = self._headers(headers)
        if body is not None:
            sent["Content-Type"] = "application/json"
        self._connection.request(method, path, body, sent)
        return self._connection.getresponse()

    def _check(self, response: http.client.HTTPResponse) -> None:
        self.daemon_version = response.headers.get(wire.VERSION_HEADER, "")
        if not self._any_version:
            wire.check_protocol(response.headers)
        if self._on_other_build is not None and response.headers.get(wire.BUILD_HEADER, "") != wire.build():
            tell, self._on_other_build = self._on_other_build, None
            tell()

    def _decode(self, raw: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.MsgspecError as error:
            raise TaskdeckError("daemon.version", "cannot understand the daemon's answer", str(error)) from None


def _events(response: http.client.HTTPResponse) -> Iterator[tuple[str, bytes]]:
    """Parse server-sent events (HTML Living Standard, 9.2.6)."""
    name, data = "message", b""
    while line := response.readline():
        line = line.rstrip(b"\r\n")
        if not line:
            if data:
                yield name, data
            name, data = "message", b""
        elif line.startswith(b"event:"):
            name = line[6:].strip().decode("ascii", "replace")
        elif line.startswith(b"data:"):
            data += line[5:].lstrip(b" ")


def with_query(path: str, query: Mapping[str, Any] | None) -> str:
    """A route with its parameters."""
    return f"{path}?{urlencode({name: str(value) for name, value in query.items()})}" if query else path


def task_path(task_id: str, tail: str = "") -> str:
    """The route of a task.

    Raises:
        TaskdeckError: `task.missing` for what cannot be an id.
    """
    if not (task_id.isascii() and task_id.isalnum()):
        shown = display(task_id, limit=64)
        raise TaskdeckError("task.missing", f"cannot find task '{shown}'", "ids are letters and digits")
    return f"/api/v1/tasks/{quote(task_id)}{tail}"
