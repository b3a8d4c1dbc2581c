"""The one WebSocket behind all watches of a client. It comes back by itself, and then each watch starts again."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import msgspec

from engines.errors import TaskdeckError
from engines.tasks.api import Update, Watch
from tui_app import wire
from tui_app.client.websocket import WebSocket

_RETRY_FIRST: Final = 0.1
_RETRY_CAP: Final = 5.0
_FINAL: Final = frozenset({"daemon.version", "access.login", "access.denied", "access.host"})
"""Refusals that trying again does not change."""
_SERVER: Final = msgspec.json.Decoder(wire.ServerMessage)


class Live:
    """Watches over one connection.

    Args:
        connect: Opens the WebSocket.
        on_state: Called with True when the connection stands, False when it is lost.
        absent: The error of watches that end with the connection, made from the reason.
        reconnect: Whether watches wait for the daemon to come back; else they end with that error.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[WebSocket]],
        on_state: Callable[[bool], None],
        absent: Callable[[str], TaskdeckError],
        *,
        reconnect: bool,
    ) -> None:
        self._connect = connect
        self._on_state = on_state
        self._absent = absent
        self._reconnect = reconnect
        self._watches: dict[int, LiveWatcher] = {}
        self._numbers = 0
        self._delay = _RETRY_FIRST
        self._socket: WebSocket | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self, watch: Watch) -> LiveWatcher:
        """A new watch; the connection is made in the background."""
        self._numbers += 1
        watcher = LiveWatcher(self, self._numbers, watch)
        self._watches[watcher.id] = watcher
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="taskdeck-live")
        else:
            await self.send(wire.OpenWatch(watcher.id, watch))
        return watcher

    async def send(self, message: wire.ClientMessage) -> None:
        """Send, or leave it to the next connection, which opens all watches anew."""
        if self._socket is not None:
            with contextlib.suppress(ConnectionError):
                await self._socket.send(msgspec.json.encode(message).decode())

    async def forget(self, watcher: LiveWatcher) -> None:
        """End one watch."""
        if self._watches.pop(watcher.id, None) is not None:
            await self.send(wire.CloseWatch(watcher.id))

    async def close(self) -> None:
        """End all watches and the connection."""
        self._end(None)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._converse()
            except TaskdeckError as error:
                if error.code in _FINAL:
                    self._end(error)
                    return
            except OSError:
                pass
            finally:
                self._socket = None
            self._on_state(False)
            if not self._reconnect:
                self._end(self._absent("the connection was lost"))
                return
            # Jitter: many clients of a daemon that restarts must not come back in step.
            await asyncio.sleep(random.uniform(self._delay / 2, self._delay))  # noqa: S311 - not for secrets
            self._delay = min(self._delay * 2, _RETRY_CAP)

    async def _converse(self) -> None:
        """One connection from handshake to end."""
        socket = await self._connect()
        try:
            async for text in socket.messages():
                try:
                    received = _SERVER.decode(text)
                except msgspec.MsgspecError as error:
                    raise TaskdeckError("daemon.version", "cannot understand the daemon", str(error)) from None
                await self._receive(socket, received)
        except BaseException:
            socket.abort()
            raise
        await socket.close()

    async def _receive(self, socket: WebSocket, received: wire.ServerMessage) -> None:
        match received:
            case wire.Hello(protocol=revision, version=version):
                wire.check_revision(revision, version)
                self._socket, self._delay = socket, _RETRY_FIRST
                self._on_state(True)
                for watcher in list(self._watches.values()):
                    await self.send(wire.OpenWatch(watcher.id, watcher.wanted))
            case wire.Updated(id=number, update=update) if number in self._watches:
                self._watches[number].put(update)
            case wire.WatchFailed(id=number, error=refusal) if number in self._watches:
                self._watches.pop(number).end(TaskdeckError.from_info(refusal))
            case wire.WatchFailed(id=0, error=refusal):  # it could not read what we asked: no watch has the number 0
                raise TaskdeckError(
                    "daemon.version",
                    "cannot follow the tasks of the running daemon",
                    f"it is of another build and does not understand the request ({refusal.message.rstrip('.')})",
                    "run `taskdeck restart` (tasks are kept)",
                )

    def _end(self, error: TaskdeckError | None) -> None:
        for watcher in self._watches.values():
            watcher.end(error)
        self._watches.clear()


class LiveWatcher:
    """A live window fed by the WebSocket.

    Updates queue here while the face is busy; past a bound the window is asked for anew, so that a face that
    sleeps neither grows without limit nor misses the last state.
    """

    _BACKLOG: Final = 64

    def __init__(self, live: Live, number: int, watch: Watch) -> None:
        self.id = number
        self.wanted = watch
        self._live = live
        self._queue: asyncio.Queue[Update | TaskdeckError | None] = asyncio.Queue()
        self._stale = False

    def put(self, update: Update) -> None:
        """Take in what the daemon sent."""
        if self._stale:
            return
        if self._queue.qsize() >= self._BACKLOG:
            while not self._queue.empty():
                self._queue.get_nowait()
            self._stale = True
        self._queue.put_nowait(update)

    def end(self, error: TaskdeckError | None) -> None:
        """Let the iteration end, or fail with this error."""
        self._queue.put_nowait(error)

    def __aiter__(self) -> AsyncIterator[Update]:
        return self._updates()

    async def _updates(self) -> AsyncIterator[Update]:
        while True:
            received = await self._queue.get()
            if received is None:
                return
            if isinstance(received, TaskdeckError):
                raise received
            if self._stale:
                self._stale = False
                await self._live.send(wire.OpenWatch(self.id, self.wanted, fresh=True))
                continue
            yield received

    async def change(self, watch: Watch) -> None:
        """Move the window."""
        self.wanted = watch
        await self._live.send(wire.OpenWatch(self.id, watch))

    async def close(self) -> None:
        """End the subscription."""
        await self._live.forget(self)
        self.end(None)
