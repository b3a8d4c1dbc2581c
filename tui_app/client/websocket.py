"""The client's end of a WebSocket: RFC 6455 by wsproto over asyncio streams.

No compression is offered: over the Unix socket it costs more than it saves, and ssh or TLS proxies do it better.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Final

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from tui_app import wire
from tui_app.client.address import Address, Streams
from tui_app.client.pool import MAX_BODY

HEARTBEAT: Final = 20.0
"""Seconds of silence before the other side is asked whether it is there; half as many again until it is given up."""
HANDSHAKE_SECONDS: Final = 10.0
MAX_MESSAGE: Final = 64 << 20
_CHUNK: Final = 64 << 10


class WebSocket:
    """Text messages both ways; pings are answered by themselves."""

    def __init__(self, streams: Streams, *, heartbeat: float = HEARTBEAT, limit: int = MAX_MESSAGE) -> None:
        self._reader, self._writer = streams
        self._heartbeat = heartbeat
        self._limit = limit
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._events: deque[Event] = deque()

    @classmethod
    async def connect(
        cls, address: Address, route: str, headers: Mapping[str, str], *, protocol: str, heartbeat: float = HEARTBEAT
    ) -> WebSocket:
        """Open one.

        Raises:
            OSError: The daemon cannot be reached or does not speak WebSocket.
            TimeoutError: It does not answer in time.
            TaskdeckError: The reason it gives for refusing.
        """
        opened = cls(await address.connect(), heartbeat=heartbeat)
        try:
            async with asyncio.timeout(HANDSHAKE_SECONDS):
                await opened._shake_hands(address, route, headers, protocol)
        except BaseException:
            opened.abort()
            raise
        return opened

    async def _shake_hands(self, address: Address, route: str, headers: Mapping[str, str], protocol: str) -> None:
        extra = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        self._send(Request(address.authority, address.prefix + route, extra_headers=extra, subprotocols=[protocol]))
        answer = await self._next()
        if isinstance(answer, RejectConnection):
            body = bytearray()
            while answer.has_body and len(body) <= MAX_BODY:
                part = await self._next()
                if not isinstance(part, RejectData):
                    break
                body += part.data
                if part.body_finished:
                    break
            raise wire.problem_error(answer.status_code, bytes(body))
        if not isinstance(answer, AcceptConnection) or answer.subprotocol != protocol:
            raise ConnectionError("it does not speak this program's protocol")

    async def messages(self) -> AsyncIterator[str]:
        """Every message, whole, until the other side closes.

        Raises:
            OSError: The connection is lost, or the other side breaks the protocol or sends too much.
        """
        parts: list[str] = []
        size = 0
        while True:
            match await self._next():
                case TextMessage(data=text, message_finished=finished):
                    parts.append(text)
                    size += len(text)
                    if size > self._limit:
                        self._send(CloseConnection(CloseReason.MESSAGE_TOO_BIG))
                        raise ConnectionError("it sent a message that is too large")
                    if finished:
                        yield parts[0] if len(parts) == 1 else "".join(parts)
                        parts, size = [], 0
                case Ping() as ping:
                    self._send(ping.response())
                case CloseConnection(code=code, reason=reason):
                    if self._protocol.state is ConnectionState.OPEN:  # not theirs: what came could not be read
                        self._send(CloseConnection(code))
                        raise ConnectionError(f"it broke the protocol: {reason}")
                    if code == CloseReason.ABNORMAL_CLOSURE:
                        raise ConnectionError("it closed the connection")
                    return

    async def send(self, text: str) -> None:
        """Send one message.

        Raises:
            OSError: The connection is lost.
        """
        self._send(TextMessage(text))
        await self._writer.drain()

    async def close(self) -> None:
        """Say good-bye and close, without waiting for the answer."""
        if self._protocol.state is ConnectionState.OPEN:
            self._send(CloseConnection(CloseReason.NORMAL_CLOSURE))
        self._writer.close()
        await asyncio.sleep(0)

    def abort(self) -> None:
        """Close at once, with nothing said."""
        self._writer.transport.abort()

    def _send(self, event: Event) -> None:
        try:
            self._writer.write(self._protocol.send(event))
        except LocalProtocolError as error:
            raise ConnectionError("the connection is closing") from error

    async def _next(self) -> Event:
        while not self._events:
            data = await self._read()
            try:
                self._protocol.receive_data(data or None)
                self._events.extend(self._protocol.events())
            except RemoteProtocolError as error:
                raise ConnectionError(f"it broke the protocol: {error}") from error
            if not data and not self._events:
                raise ConnectionError("it closed the connection")
            if self._protocol.state is ConnectionState.REMOTE_CLOSING:
                self._send(CloseConnection(CloseReason.NORMAL_CLOSURE))
        return self._events.popleft()

    async def _read(self) -> bytes:
        try:
            return await self._within(self._heartbeat)
        except TimeoutError:
            if self._protocol.state is ConnectionState.OPEN:
                self._send(Ping())
        try:
            return await self._within(self._heartbeat / 2)
        except TimeoutError:
            raise ConnectionError("it does not answer any more") from None

    async def _within(self, seconds: float) -> bytes:
        async with asyncio.timeout(seconds):
            return await self._reader.read(_CHUNK)
