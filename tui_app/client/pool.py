"""Requests to one daemon: HTTP/1.1 by h11 over asyncio streams, on connections that are kept and used again.

aiohttp's client would do the same for 12 MB and 120 ms of import, a fifth of what the interface may use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import h11

from tui_app.client.address import Address

TOTAL_SECONDS: Final = 30.0
"""From the wish for a connection to the last byte of the answer."""
MAX_BODY: Final = 64 << 20
"""Bytes of an answer; a page of 1,000 tasks has less than one."""
_MAX_HEAD: Final = 64 << 10
_CHUNK: Final = 64 << 10


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Pool:
    """The connections to a daemon.

    Args:
        headers: Sent with every request.
        limit: Connections at once; further requests wait for one.
    """

    def __init__(self, address: Address, headers: Mapping[str, str], *, limit: int = 32) -> None:
        self._address = address
        self._headers = [("Host", address.authority), *headers.items()]
        self._slots = asyncio.Semaphore(limit)
        self._idle: list[_Connection] = []

    async def request(
        self,
        method: str,
        route: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
    ) -> Answer:
        """One request. A kept connection may turn out to be dead: then a `repeatable` request is sent once more.

        Raises:
            OSError: The daemon cannot be reached, or does not answer in HTTP.
            TimeoutError: It takes longer than `TOTAL_SECONDS`.
        """
        sent = [*self._headers, *(headers or {}).items()]
        if body is not None:
            sent += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        request = h11.Request(method=method, target=self._address.prefix + route, headers=sent)
        async with asyncio.timeout(TOTAL_SECONDS), self._slots:
            while True:
                kept = self._take()
                connection = kept or _Connection(await self._address.connect())
                try:
                    answer = await connection.exchange(request, body or b"")
                except _SilentError:
                    connection.abort()
                    if kept is None or not repeatable:
                        raise
                except BaseException:
                    connection.abort()
                    raise
                else:
                    self._idle.append(connection)
                    return answer

    async def close(self) -> None:
        """Drop the connections that are not in use."""
        while self._idle:
            self._idle.pop().abort()
        await asyncio.sleep(0)  # the loop takes them down in its next round

    def _take(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
            connection.abort()
        return None


class _SilentError(ConnectionError):
    """The connection ended before the answer began: the daemon may never have seen the request."""


class _Connection:
    """One connection and the state of HTTP on it."""

    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self._reader, self._writer = streams
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)

    @property
    def reusable(self) -> bool:
        """Whether both sides are through with the last request and the other has not closed."""
        idle = self._http.our_state is h11.IDLE and self._http.their_state is h11.IDLE
        return idle and not self._reader.at_eof() and not self._writer.is_closing()

    def abort(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    async def exchange(self, request: h11.Request, body: bytes) -> Answer:
        """Send a request and read the answer to its end."""
        # Not drained: bodies are small, and a daemon that refuses one answers before it has read it.
        for part in (request, h11.Data(data=body), h11.EndOfMessage()):
            self._writer.write(self._http.send(part) or b"")
        head = await self._next()
        while not isinstance(head, h11.Response):  # 1xx, if anything
            head = await self._next()
        parts: list[bytes] = []
        size = 0
        while not isinstance(event := await self._next(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                parts.append(bytes(event.data))
                size += len(event.data)
                if size > MAX_BODY:
                    raise ConnectionError("its answer is too large")
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
        return Answer(head.status_code, headers, b"".join(parts))

    async def _next(self) -> h11.Event:
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise ConnectionError(f"its answer is no HTTP: {error}") from error
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._read())
            elif isinstance(event, (h11.InformationalResponse, h11.Response, h11.Data, h11.EndOfMessage)):
                return event
            else:
                raise ConnectionError("it closed the connection")

    async def _read(self) -> bytes:
        begun = self._http.their_state is not h11.SEND_RESPONSE or self._http.trailing_data[0]
        try:
            data = await self._reader.read(_CHUNK)
        except ConnectionError as error:
            if begun:
                raise
            raise _SilentError(error.errno, error.strerror or "it closed the connection") from error
        if not data and not begun:
            raise _SilentError("it closed the connection")
        return data
