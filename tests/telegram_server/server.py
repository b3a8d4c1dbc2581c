"""The network side: connections, sessions, faults on demand."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from pyrogram import raw
from pyrogram.connection import Connection

from tests.telegram_server import wire
from tests.telegram_server.rpc import Methods, RpcError

T: Any = raw.types
F: Any = raw.functions

Rule = Callable[[str, Any], RpcError | None]


class TelegramServer(Methods):
    """Listens on 127.0.0.1 while entered; meanwhile every dial of the client library goes to it.

    Attributes:
        calls: Time (monotonic), name and request of every call, in order.
        delays: Seconds to wait before a method is answered, by name ("upload.SaveBigFilePart").
        late: Seconds an answer is on its way after the method has done its work, by name.
        rules: Asked in turn before every call; the first error answers it.
        errors: Faults of the server itself; a test should find it empty.
        online: False lets every connection drop at once, as a dead network does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[float, str, Any]] = []
        self.delays: dict[str, float] = {}
        self.late: dict[str, float] = {}
        self.rules: list[Rule] = [self._injected]
        self.errors: list[Exception] = []
        self.refused: list[str] = []
        self.online = True
        self.deaf = False
        """True: calls are answered but no update is delivered any more."""
        self._faults: list[tuple[str, RpcError]] = []
        self._keys: dict[bytes, bytes] = {}
        self._live: list[Session] = []
        self._pending: list[Any] = []
        self._undo: list[Callable[[], None]] = []

    async def __aenter__(self) -> Self:
        self._undo.append(wire.trust_only_this_server())
        listener = await asyncio.start_server(self._serve, self.host, 0, limit=4 << 20)
        self._listener = listener
        self.host, self.port = listener.sockets[0].getsockname()[:2]
        self._redirect_client()
        return self

    async def __aexit__(self, *_: object) -> None:
        while self._undo:
            self._undo.pop()()
        self.drop_connections()
        self._listener.close()

    def _redirect_client(self) -> None:
        genuine = Connection.connect

        async def connect(connection: Any) -> None:
            if hasattr(connection, "server_address"):
                connection.server_address, connection.port = self.host, self.port
            else:
                connection.address = (self.host, self.port)
            await genuine(connection)

        Connection.connect = connect

        def restore() -> None:
            Connection.connect = genuine

        self._undo.append(restore)

    # faults --------------------------------------------------------------------------------------------------

    def drop_connections(self) -> None:
        """Cut every TCP connection, as a network loss does."""
        for session in self._live:
            session.cut()
        self._live.clear()

    def forget_keys(self) -> None:
        """Lose all authorization keys: the transport answers -404 until a client makes a new one."""
        self._keys.clear()
        self.drop_connections()

    def fail(self, method: str, error: str, code: int = 400, *, times: int = 1) -> None:
        """Answer the next calls of a method with an error ("FLOOD_WAIT_3", code 420)."""
        self._faults += [(method, RpcError(code, error))] * times

    def _injected(self, name: str, _: Any) -> RpcError | None:
        for index, (method, error) in enumerate(self._faults):
            if method == name:
                del self._faults[index]
                return error
        return None

    def limit(self, method: str, count: int, seconds: float) -> None:
        """Allow so many calls of a method in any window of so many seconds a chat; refuse others with a flood wait."""
        windows: dict[int | None, deque[float]] = {}

        def rule(name: str, request: Any) -> RpcError | None:
            if name != method:
                return None
            window = windows.setdefault(self.chat_id(request.peer), deque())
            now = time.monotonic()
            while window and now - window[0] >= seconds:
                window.popleft()
            if len(window) >= count:
                self.refused.append(name)
                return RpcError(420, f"FLOOD_WAIT_{max(1, round(seconds - (now - window[0])))}")
            window.append(now)
            return None

        self.rules.append(rule)

    def count(self, name: str) -> int:
        """How often a method was called."""
        return sum(called == name for _, called, _ in self.calls)

    # updates -------------------------------------------------------------------------------------------------

    def push(self, update: Any) -> None:
        self._pending.append(update)
        self.flush()

    def flush(self) -> None:
        """Deliver what is pending to the newest connection that takes updates."""
        listening = [session for session in self._live if session.wants_updates]
        if listening and not self.deaf:
            for update in self._pending:
                listening[-1].push(self.wrap(update))
            self._pending.clear()

    # calls ---------------------------------------------------------------------------------------------------

    async def call(self, request: Any, session: Session) -> Any:
        """The answer to one remote procedure call."""
        while hasattr(request, "query"):
            # A media connection introduces itself as well, but never asks for updates of its own.
            session.wants_updates |= isinstance(request, F.InitConnection)
            request = request.query
        name = request.QUALNAME.removeprefix("functions.")
        self.calls.append((time.monotonic(), name, request))
        if name.startswith("upload."):
            session.wants_updates = False
        if pause := self.delays.get(name):
            await asyncio.sleep(pause)
        for rule in self.rules:
            if error := rule(name, request):
                raise error
        method = getattr(self, name.replace(".", "_"), None)
        if method is None:
            raise RpcError(500, f"NOT_IMPLEMENTED_{name}")
        answer = method(request)
        if pause := self.late.get(name):
            await asyncio.sleep(pause)
        return answer

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(self, wire.Abridged(reader, writer))
        try:
            if self.online:
                await session.run(self._keys, self._live)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if session in self._live:
                self._live.remove(session)
            session.cut()


class Session:
    """One connection of a client."""

    def __init__(self, server: TelegramServer, connection: wire.Abridged) -> None:
        self._server = server
        self._wire = connection
        self._auth_key = b""
        self._id = 0
        self._seq_no = 0
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.wants_updates = False

    def cut(self) -> None:
        """Drop the connection."""
        self._wire.cut()

    async def run(self, keys: dict[bytes, bytes], live: list[Session]) -> None:
        """Serve until the client goes."""
        await self._wire.handshake()
        exchange = wire.KeyExchange()
        while True:
            packet = await self._wire.receive()
            if packet[:8] == bytes(8):
                await self._wire.send(exchange.answer(packet))
                if exchange.auth_key:
                    keys[wire.key_id(exchange.auth_key)] = exchange.auth_key
                continue
            self._auth_key = keys.get(packet[:8], b"")
            if not self._auth_key:
                await self._wire.send((-404).to_bytes(4, "little", signed=True))
                return
            if self not in live:
                live.append(self)
            self._id, messages = wire.decrypt(packet, self._auth_key)
            for message in messages:
                self._spawn(self._handle(message))

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def push(self, updates: Any) -> None:
        """Send updates."""
        self._spawn(self._send(updates, response=False))

    async def _handle(self, message: Any) -> None:
        body = message.body
        if isinstance(body, F.Ping | F.PingDelayDisconnect):
            await self._send(T.Pong(msg_id=message.msg_id, ping_id=body.ping_id), response=True, content=False)
            return
        if isinstance(body, T.MsgsAck):
            return
        listened = self.wants_updates
        result: Any
        try:
            result = await self._server.call(body, self)
        except RpcError as error:
            result = T.RpcError(error_code=error.code, error_message=error.message)
        except Exception as error:
            self._server.errors.append(error)
            result = T.RpcError(error_code=400, error_message="TEST_SERVER_FAULT")
        await self._send(T.RpcResult(req_msg_id=message.msg_id, result=result), response=True)
        if self.wants_updates and not listened:
            self._server.flush()

    async def _send(self, body: Any, *, response: bool, content: bool = True) -> None:
        async with self._lock:
            seq = self._seq_no * 2 + content
            self._seq_no += content
            with contextlib.suppress(ConnectionError):
                await self._wire.send(
                    wire.encrypt(body, session_id=self._id, seq_no=seq, auth_key=self._auth_key, response=response)
                )
