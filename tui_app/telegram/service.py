"""The chat face's life: connect, keep connected, stop in order. Runs in the daemon's loop, touches no signals.

Order of stopping: no more commands, transfers suspended (the task service cancels its hosted jobs), the last words
written, the client stopped; five seconds in all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol
from weakref import WeakValueDictionary

import msgspec

from engines.paths import PathPolicy
from engines.settings import Settings
from engines.tasks.api import Tasks
from tui_app.telegram import notices
from tui_app.telegram.access import Access
from tui_app.telegram.client import TelegramClient
from tui_app.telegram.commands import menu
from tui_app.telegram.context import Context
from tui_app.telegram.controls import Controls
from tui_app.telegram.conversation import Conversation
from tui_app.telegram.editor import GROUP_INTERVAL, PRIVATE_INTERVAL
from tui_app.telegram.endings import Endings
from tui_app.telegram.follow import Follower
from tui_app.telegram.gateway import (
    FILE_LIMIT,
    Flood,
    Gateway,
    GatewayError,
    Incoming,
    KeyLost,
    LoginRefused,
    Press,
    Unreachable,
)
from tui_app.telegram.ledger import Ledger
from tui_app.telegram.passwords import Passwords
from tui_app.telegram.presses import Presses
from tui_app.telegram.requests import Requests
from tui_app.telegram.transfer import Transfers

log = logging.getLogger(__name__)

_STOP: Final = 4.7
_FIRST_DELAY: Final = 1.0
_CANCEL_AGAIN: Final = 0.1
_LONGEST_DELAY: Final = 60.0
_DELIVERY: Final = 0.5
"""Seconds the library needs to hand on messages it has fetched."""


class Hosting(Tasks, Protocol):
    """A task service that lets a face do the work of hosted operations."""

    def host(self, operation: str, function: Any) -> None:
        """Give, or with None take away, the coroutine function that runs this operation."""


class Phase(StrEnum):
    """Where the connection stands."""

    OFF = "off"
    CONNECTING = "connecting"
    ONLINE = "online"
    WAITING = "waiting"
    """Telegram asked us to wait, or cannot be reached."""
    REFUSED = "refused"
    """The credentials are wrong: only new settings help."""


class Health(msgspec.Struct, frozen=True):
    """The state of the chat face for other faces; `error` is Telegram's word."""

    phase: Phase = Phase.OFF
    since: float = 0.0
    error: str = ""
    bot: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """Patience, in seconds."""

    login: float = 60.0
    """A login may take so long; a key the server has forgotten shows only as silence."""
    watchdog: float = 300.0
    """Between two looks whether updates still come."""
    grace: float = 3.0
    """For the last words when stopping."""
    stop: float = 1.5
    """For the client's own stop."""
    intervals: tuple[float, float] = (PRIVATE_INTERVAL, GROUP_INTERVAL)
    """Between automatic messages and edits in a private chat and in a group."""


class TelegramService:
    """The bot.

    Args:
        tasks: The task service; its `host` is given the functions of `send` and `receive`.
        settings: All settings; `settings.telegram.enabled` must hold.
        state: The state directory; the session and the ledger live in "telegram" below it.
        policy: The daemon's path policy.

    Raises:
        TaskdeckError: `settings.invalid` for a bad role, root, level or time in the settings.
    """

    def __init__(
        self,
        tasks: Hosting,
        settings: Settings,
        state: Path,
        policy: PathPolicy,
        *,
        timing: Timing = Timing(),
        file_limit: int = FILE_LIMIT,
        now: Callable[[], float] = time.time,
    ) -> None:
        telegram = settings.telegram
        access = Access(telegram, policy)
        for quiet, level in [
            (telegram.quiet, telegram.notify),
            *((u.quiet, u.notify) for u in telegram.users.values()),
        ]:
            notices.parse_quiet(quiet)
            notices.parse_level(level or telegram.notify)
        self._timing = timing
        self._tasks = tasks
        self._folder = state / "telegram"
        self._client = TelegramClient(telegram, self._folder, self._on_message, self._on_press)
        gateway: Gateway = self._client
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._context = Context(
            tasks, gateway, access, Ledger(self._folder / "chats.json"), telegram, now, timing.intervals
        )
        self._transfers = Transfers(gateway, limit=file_limit)
        self._passwords = Passwords(self._context)
        self._endings = Endings(self._context, self._transfers, self._passwords)
        self._follower = Follower(self._context, self._endings.ended, self._locked)
        self._controls = Controls(self._context, self._follower)
        self._requests = Requests(self._context, self._follower, self._passwords)
        self._presses = Presses(self._context, self._follower, self._controls, self._requests)
        self._conversation = Conversation(
            self._context, self._controls, self._requests, self._passwords, lambda: self._client.username
        )
        # Strangers of any number may write: a chat's lock goes with the last message that waits for it.
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._talking: set[asyncio.Task[None]] = set()
        self._supervisor: asyncio.Task[None] | None = None
        self._online = asyncio.Event()
        self._accepting = False
        self.health = Health()

    # life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin: returns at once, connecting goes on in the background."""
        self._tasks.host("send", self._transfers.send)
        self._tasks.host("receive", self._transfers.receive)
        self._context.ledger.start()
        self._follower.start()
        self._accepting = True
        self._supervisor = asyncio.create_task(self._supervise(), name="telegram")

    async def stop(self) -> None:
        """End within five seconds; never raises. Transfers go back to the queue with their checkpoints."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._accepting = False
        for operation in ("send", "receive"):
            self._tasks.host(operation, None)
        await self._transfers.suspend()
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait((self._supervisor,), timeout=1.0)  # the library may take its time to give up
        self._context.hurry()  # an ending that is told and written down now is not told again by the next run
        await self._follower.close()
        for part in (self._conversation, self._requests, self._passwords):
            await part.close()
        if self._talking:
            await asyncio.wait(self._talking, timeout=0.5)
        grace = self._timing.grace if self.health.phase is Phase.ONLINE else 0.0
        await self._context.close(min(grace, max(0.0, _STOP - self._timing.stop - (loop.time() - began))))
        await self._client.stop(limit=self._timing.stop)
        await self._context.ledger.close()
        self._set(Phase.OFF)

    async def connected(self) -> None:
        """Return once the bot is logged in."""
        await self._online.wait()

    def _set(self, phase: Phase, error: str = "") -> None:
        if (phase, error) != (self.health.phase, self.health.error):
            self.health = Health(phase, time.time(), error, self._client.username)
            log.info("telegram: %s%s", phase.value, f" ({error})" if error else "")
        (self._online.set if phase is Phase.ONLINE else self._online.clear)()

    async def _supervise(self) -> None:
        delay = _FIRST_DELAY
        while True:
            self._set(Phase.CONNECTING, self.health.error)
            try:
                await self._connect()
                delay = _FIRST_DELAY
                self._set(Phase.ONLINE)
                await self._watch()
                self._set(Phase.WAITING, "no answer")
            except LoginRefused as error:
                self._set(Phase.REFUSED, error.code)
                log.error("telegram refused the credentials (%s): correct them and reload", error.code)
                return
            except ImportError:
                self._set(Phase.REFUSED, "not installed")
                log.error("the telegram extra is not installed: pip install 'taskdeck[telegram]'")
                return
            except Flood as flood:
                # Logging in again and again makes it longer: wait exactly as long as asked.
                self._set(Phase.WAITING, flood.code)
                await asyncio.sleep(flood.seconds + 1)
            except GatewayError as error:
                self._set(Phase.WAITING, error.code)
                await asyncio.sleep(delay)
                delay = min(_LONGEST_DELAY, delay * 2)
            except Exception as error:
                log.exception("the chat face met an unexpected error")
                self._set(Phase.WAITING, type(error).__name__)
                await asyncio.sleep(delay)
                delay = min(_LONGEST_DELAY, delay * 2)
            await self._client.stop(limit=self._timing.stop)

    async def _connect(self) -> None:
        """Log in; a session the server no longer knows is replaced by a fresh one, once.

        A server that only keeps silent may know it well: with the session the place in the updates would be lost.
        """
        try:
            await self._login()
        except (KeyLost, TimeoutError) as error:
            if isinstance(error, TimeoutError) and not self._client.key_unknown:
                raise Unreachable("login timed out") from None
            log.warning("the saved session does not work (%s): logging in afresh", type(error).__name__)
            await self._client.stop(limit=self._timing.stop)
            self._client.forget_session()
            try:
                await self._login()
            except TimeoutError:
                raise Unreachable("login timed out") from None
        with contextlib.suppress(GatewayError):
            await self._client.set_commands(menu())
        await self._client.recover()

    async def _login(self) -> None:
        login = asyncio.create_task(self._client.start(), name="telegram login")
        try:
            await asyncio.wait((login,), timeout=self._timing.login)
            if not login.done():
                raise TimeoutError
            await login
        finally:
            # Pyrogram 2.0.106 now and then misses that it is cancelled, and would go on to connect for ever.
            while not login.done():
                login.cancel()
                await asyncio.wait((login,), timeout=_CANCEL_AGAIN)

    async def _watch(self) -> None:
        """Return when the connection is no longer worth anything."""
        while True:
            await asyncio.sleep(self._timing.watchdog)
            before = self._client.heard
            try:
                await self._client.alive()
            except KeyLost:
                raise
            except GatewayError as error:
                log.warning("telegram does not answer (%s): connecting anew", error.code)
                return
            await asyncio.sleep(_DELIVERY)
            if self._client.heard_late(since=before):
                log.warning("telegram had stopped sending updates: connecting anew")
                return

    # incoming ------------------------------------------------------------------------------------------------

    async def _on_message(self, incoming: Incoming) -> None:
        self._talk(incoming.chat, self._conversation.message(incoming))

    async def _on_press(self, press: Press) -> None:
        self._spawn(press.chat, self._presses.press(press))  # buttons wait for nobody

    def _talk(self, chat: int, work: Coroutine[Any, Any, None]) -> None:
        """Answer messages of a chat in their order."""
        lock = self._locks.setdefault(chat, asyncio.Lock())

        async def in_turn() -> None:
            async with lock:
                await work

        if self._accepting:
            self._spawn(chat, in_turn())
        else:
            work.close()

    def _spawn(self, chat: int, work: Coroutine[Any, Any, None]) -> None:
        """Answer beside the library's worker, which a slow answer would hold."""
        if not self._accepting:
            work.close()
            return
        task = asyncio.create_task(work, name=f"telegram talk {chat}")
        self._talking.add(task)
        task.add_done_callback(self._talking.discard)

    async def _locked(self, view: Any) -> None:
        await self._passwords.ask(view)
