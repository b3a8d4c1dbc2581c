"""The daemon: the task service, the API on a Unix socket and, when switched on, on TCP; one a state directory.

The same class is the engine of `taskdeck serve` and of `taskdeck --solo`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Final

from engines.errors import TaskdeckError
from engines.paths import PathPolicy
from engines.settings import Settings, WebSettings
from engines.tasks.service import TaskService
from tui_app import wire
from tui_app.config import Config
from tui_app.locations import Locations, private_directory
from tui_app.web.access import AccessBook
from tui_app.web.audit import Audit
from tui_app.web.context import Deck
from tui_app.web.peer import in_url
from tui_app.web.server import Server

if TYPE_CHECKING:
    from tui_app.telegram.service import TelegramService

_LOG: Final = logging.getLogger("taskdeck")
_LOG_BYTES: Final = 1 << 20
_LOG_FILES: Final = 3


class Daemon:
    """Everything a daemon owns, from lock to sockets.

    Args:
        load: Reads the settings; called again for every reload.
        tcp: Whether to listen on TCP; None leaves it to `web.enabled`.

    Raises:
        TaskdeckError: `settings.invalid`.
    """

    def __init__(self, locations: Locations, load: Callable[[], Config], *, tcp: bool | None = None) -> None:
        self.locations = locations
        self._load = load
        self._tcp = tcp
        self.settings: Settings = load().settings
        self._service: TaskService | None = None
        self._server: Server | None = None
        self._deck: Deck | None = None
        self._chat: TelegramService | None = None
        self._chat_lock = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._drain = False
        self._exposure = ""
        self._reload_after_start = False
        self._reloads: set[asyncio.Task[None]] = set()

    @property
    def tasks(self) -> TaskService:
        """The task service, once started."""
        assert self._service is not None
        return self._service

    @property
    def url(self) -> str:
        """Address of the TCP side, empty while it is off."""
        return self._deck.url if self._deck is not None else ""

    @property
    def access(self) -> AccessBook:
        """Tokens and sessions of the TCP side, once started."""
        assert self._deck is not None
        return self._deck.access

    def claim(self) -> TaskService:
        """Take the lock and open the store; the first part of `start`, which needs no event loop yet."""
        private_directory(self.locations.state)
        wire.build()  # as it is now, not as it will be when a client asks
        PathPolicy.of(self.settings.roots)
        self._service = TaskService(self.locations.state, self.settings, version=wire.program_version())
        return self._service

    async def start(self) -> None:
        """Take the lock, recover the tasks, open the sockets.

        Raises:
            TaskdeckError: `daemon.running`, `settings.invalid`, `path.unreadable`, `store.*`.
        """
        service = self._service or self.claim()
        try:
            await self._open(service, PathPolicy.of(self.settings.roots))
        except BaseException:
            await self.close()
            raise

    async def _open(self, service: TaskService, policy: PathPolicy) -> None:
        self._deck = Deck(
            tasks=service,
            settings=self.settings,
            policy=policy,
            access=AccessBook(self.locations.access),
            audit=Audit(self.locations.access_log),
            stop=self.stop,
            reload=self.reload,
            count=service.count_transfer,
            chat=self._chat_state,
        )
        await service.start()
        self._server = Server(self._deck)
        await self._server.start()
        if self._listens(self.settings.web):
            await self._open_tcp(self.settings.web)
        await self._open_chat()
        path = await self._server.listen_unix(self.locations)
        service.lock.describe(wire.program_version(), str(path))
        self._deck.ready = True
        for notice in service.notices:
            _LOG.warning("%s", notice)
        _LOG.info("Taskdeck %s answers on %s", wire.program_version(), path)

    def obey_signals(self) -> None:
        """SIGTERM and SIGINT stop, SIGHUP reads the settings again; also while it still starts."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload_quietly)

    async def run(self) -> None:
        """Serve until `stop` is called or a signal asks for it, then close."""
        if self._reload_after_start:
            self._reload_quietly()
        notify("READY=1")
        try:
            await self._stopping.wait()
            if self._drain:
                await self._let_finish()
        finally:
            notify("STOPPING=1")
            await self.close()

    def stop(self, drain: bool = False) -> None:
        """Ask the daemon to stop; asked again without `drain`, it no longer waits for running tasks."""
        if not self._stopping.is_set():
            self._drain = drain
        elif not drain:
            self._hurry.set()
        self._stopping.set()

    async def _let_finish(self) -> None:
        _LOG.info("letting running tasks finish")
        draining = asyncio.create_task(self.tasks.drain())
        hurrying = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        hurrying.cancel()

    async def close(self) -> None:
        """Close the sockets, then stop the tasks so that they go on at the next start."""
        await self._close_chat()
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop()
        if self._service is not None:
            service, self._service = self._service, None
            await service.stop()
            _LOG.info("Taskdeck has stopped")

    def reload(self) -> Settings:
        """Read the settings again and apply them to what starts from now on.

        Raises:
            TaskdeckError: `settings.invalid`; the old settings stay.
        """
        settings = self._load().settings
        policy = PathPolicy.of(settings.roots)
        self.tasks.reload(settings)
        before, self.settings = self.settings, settings
        assert self._deck is not None
        self._deck.settings, self._deck.policy = settings, policy
        if settings.web != before.web:
            self._beside(self._reopen_tcp(settings.web))
        if (settings.telegram, settings.roots) != (before.telegram, before.roots):
            self._beside(self._reopen_chat())
        _LOG.info("the settings were read again")
        return settings

    def _beside(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    def _reload_quietly(self) -> None:
        if self._deck is None or not self._deck.ready:
            self._reload_after_start = True
            return
        try:
            self.reload()
        except TaskdeckError as error:
            _LOG.error("the settings stay as they were: %s", error.message)

    async def listen(self, on: bool) -> None:
        """Open or close the TCP side until the end of this process, whatever the settings say."""
        self._tcp = on
        await self._reopen_tcp(self.settings.web)

    def _listens(self, settings: WebSettings) -> bool:
        return settings.enabled if self._tcp is None else self._tcp

    async def _open_tcp(self, settings: WebSettings) -> None:
        assert self._server is not None
        assert self._deck is not None
        port = await self._server.listen_tcp(settings)
        self._deck.url = f"{'https' if settings.tls_certificate else 'http'}://{in_url(settings.host)}:{port}"
        _LOG.info("the web side answers on %s", self._deck.url)
        if settings.exposed:
            self._warn_of_exposure()

    def _warn_of_exposure(self) -> None:
        """Say on every face that anybody between a browser and this machine can listen."""
        assert self._deck is not None
        self._exposure = (
            f"The dashboard on {self._deck.url} is open to the network without TLS: whoever sits between can read all "
            "that is sent, passwords too. Set web.tls_certificate, or web.host 127.0.0.1 with a proxy or an SSH tunnel."
        )
        self.tasks.notices.append(self._exposure)
        _LOG.warning("%s", self._exposure)

    async def _reopen_tcp(self, settings: WebSettings) -> None:
        if self._server is None or self._deck is None:
            return
        await self._server.close_tcp()
        self._deck.url = ""
        if self._exposure in self.tasks.notices:
            self.tasks.notices.remove(self._exposure)
        if self._listens(settings):
            try:
                await self._open_tcp(settings)
            except TaskdeckError as error:
                _LOG.error("%s", error.message)

    async def _open_chat(self) -> None:
        if not self.settings.telegram.enabled:
            return
        from tui_app.telegram.service import TelegramService  # nothing of it is loaded while it is off

        policy = PathPolicy.of(self.settings.roots)
        self._chat = TelegramService(self.tasks, self.settings, self.locations.state, policy)
        await self._chat.start()

    def _chat_state(self) -> str:
        """The bot in words, for other faces."""
        if self._chat is None:
            return "off"
        health = self._chat.health
        name = f" as @{health.bot}" if health.bot else ""
        return f"{health.phase.value}{name}" + (f" ({health.error})" if health.error else "")

    async def _close_chat(self) -> None:
        if self._chat is not None:
            chat, self._chat = self._chat, None
            await chat.stop()

    async def _reopen_chat(self) -> None:
        async with self._chat_lock:
            await self._close_chat()
            try:
                await self._open_chat()
            except TaskdeckError as error:
                _LOG.error("%s", error.message)


async def serve(locations: Locations, load: Callable[[], Config]) -> None:
    """`taskdeck serve`: until a signal or a client ends it."""
    daemon = Daemon(locations, load)
    daemon.obey_signals()
    await daemon.start()
    await daemon.run()


def start_logging(locations: Locations, *, stderr: bool) -> None:
    """Log to a rotating file of mode 0600 in the state directory, and to standard error when asked."""
    private_directory(locations.state)
    logging.raiseExceptions = False  # a log that cannot be written on a full disk is no reason for tracebacks
    os.close(os.open(locations.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
    handler = logging.handlers.RotatingFileHandler(
        locations.log, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8", errors="backslashreplace"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    if stderr:
        shown = logging.StreamHandler(sys.stderr)
        shown.setFormatter(logging.Formatter("taskdeck: %(message)s"))
        root.addHandler(shown)
    # Malformed requests are their sender's fault; aiohttp would log each with a traceback.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


def notify(message: str) -> None:
    """Tell systemd how we are (sd_notify(3)); does nothing elsewhere."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(address)
        sender.sendall(message.encode())
