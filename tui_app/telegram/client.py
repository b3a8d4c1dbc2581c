"""The only module that touches `pyrogram`: starts its client, translates messages, calls and errors.

Keeps to what kurigram and pyrogram 2.0.106 share. The library is imported when a client is started, in a thread:
it takes seconds and would hold up the daemon's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import importlib
import logging
import os
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

from engines.settings import TelegramSettings
from tui_app.telegram.gateway import (
    Buttons,
    Delivery,
    Document,
    Duplicate,
    Flood,
    GatewayError,
    Gone,
    Incoming,
    KeyLost,
    LoginRefused,
    NotModified,
    PartMissing,
    Press,
    Unreachable,
    Uploaded,
)

log = logging.getLogger(__name__)

CALL_TIMEOUT: Final = 20.0
"""Seconds one call may take; the library itself gives up an answer after 15."""

PART_TIMEOUT: Final = 120.0
"""Seconds one part may take: eight of 512 KiB share what may be a slow line."""

_PLAIN_BYTES: Final = "application/octet-stream"
_CONNECTION_LOOK: Final = 0.5

LATE: Final = 30.0
"""Seconds after which a message that is only now delivered shows that updates had stopped."""

_SESSION: Final = "taskdeck"
_REFUSED: Final = ("ACCESS_TOKEN_", "API_ID_", "BOT_TOKEN_", "USER_DEACTIVATED")
_LOST: Final = (
    "AUTH_KEY_UNREGISTERED",
    "AUTH_KEY_INVALID",
    "AUTH_KEY_DUPLICATED",
    "SESSION_REVOKED",
    "SESSION_EXPIRED",
)
_NOTHING_TO_ANSWER: Final = ("REPLY_MESSAGE_ID_INVALID", "REPLY_TO_INVALID")
_UNNAMED: Final = re.compile(r"\[\d+ (\w+)\]")
"""How the library writes an error it has no name for."""
_PART: Final = re.compile(r"FILE_PART_(\d+)_MISSING")

_KEY_UNKNOWN: Final = (-404).to_bytes(4, "little", signed=True)
"""What the service answers to a key it does not know, in place of anything encrypted."""

_listener: ContextVar[Callable[[bytes], None]] = ContextVar("telegram_listener", default=lambda _: None)
"""Told of every packet; the library's tasks inherit it from the one that starts the client."""

OnMessage = Callable[[Incoming], Awaitable[None]]
OnPress = Callable[[Press], Awaitable[None]]


async def load_library() -> Any:
    """Import `pyrogram` without holding up the loop.

    Raises:
        ImportError: The extra `telegram` is not installed.
    """
    return await asyncio.to_thread(_import)


@functools.cache
def _import() -> Any:
    # pyrogram 2.0.106 asks for an event loop while it is imported, kurigram does not mind one.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        library = importlib.import_module("pyrogram")
        importlib.import_module("pyrogram.handlers")
        _keep_errors_out_of_the_working_directory()
        _listen_to_connections()
        # Below warnings it logs whole messages, passwords among them, and sixty lines an outage.
        logging.getLogger("pyrogram").setLevel(logging.WARNING)
        return library
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _keep_errors_out_of_the_working_directory() -> None:
    # The library appends errors it does not know to ./unknown_errors.txt and fails where it may not write.
    module: Any = importlib.import_module("pyrogram.errors.rpc_error")
    module.Path = lambda *_: Path(os.devnull)
    module.open = lambda *_, **__: Path(os.devnull).open("a", encoding="utf-8")  # noqa: SIM115 - closed by its caller


def _listen_to_connections() -> None:
    # Neither distribution tells a lost key from a dead network: both just never finish to log in.
    connection: Any = importlib.import_module("pyrogram.connection").Connection
    genuine = connection.recv

    async def recv(self: Any) -> bytes | None:
        packet: bytes | None = await genuine(self)
        if packet is not None:
            _listener.get()(packet)
        return packet

    connection.recv = recv


class TelegramClient:
    """One connection as a bot; a `Gateway` once started.

    Args:
        settings: Credentials.
        folder: Folder of the session file, made with mode 0700.
        on_message: Called for every message of somebody else; must return soon.
        on_press: Called for every pressed button; must return soon.
    """

    def __init__(self, settings: TelegramSettings, folder: Path, on_message: OnMessage, on_press: OnPress) -> None:
        self._settings = settings
        self._folder = folder
        self._on_message = on_message
        self._on_press = on_press
        self._library: Any = None
        self._client: Any = None
        self._media: Any = None
        self._media_lock = asyncio.Lock()
        self._stopping: set[asyncio.Task[None]] = set()
        self.username = ""
        self.key_unknown = False
        """Whether the last thing the server said is that it does not know our key."""
        self.heard = 0
        """Messages and presses that came so far."""
        self._oldest = 0.0

    # life cycle ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect and log in.

        Raises:
            GatewayError: `Flood`, `LoginRefused`, `KeyLost` or `Unreachable`.
            ImportError: The library is not installed.
        """
        self._library = await load_library()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        if await asyncio.to_thread(_is_broken, self._folder / f"{_SESSION}.session"):
            raise KeyLost("the session file is damaged")
        self.key_unknown = False
        _listener.set(self._received)
        library = self._library
        # Built inside the loop it will live in; never without a bot token, which would make it ask on stdin.
        self._client = library.Client(
            _SESSION,
            api_id=self._settings.api_id,
            api_hash=self._settings.api_hash,
            bot_token=self._settings.bot_token,
            workdir=str(self._folder),
            parse_mode=library.enums.ParseMode.HTML,
            sleep_threshold=0,  # flood waits are ours: the library would sleep while holding a worker
            workers=4,
            app_version="Taskdeck",
            device_model="server",
        )
        handlers = library.handlers
        self._client.add_handler(handlers.MessageHandler(self._message))
        self._client.add_handler(handlers.RawUpdateHandler(self._raw_update), group=-1)
        # Presses are taken raw: parsing them costs a call that fetches the message, and fails for old ones.
        parsers = getattr(self._client.dispatcher, "update_parsers", {})
        parsers.pop(library.raw.types.UpdateBotCallbackQuery, None)
        with _translated():
            await self._client.start()
        for path in self._folder.glob(f"{_SESSION}.session*"):
            path.chmod(0o600)
        self.username = str(self._client.me.username or "")

    async def stop(self, *, limit: float = 3.0) -> None:
        """Disconnect; waits for it no longer than so many seconds. Never raises."""
        client, self._client = self._client, None
        media, self._media = self._media, None
        if client is None:
            return
        # Left to itself then: half stopped, it would go on to reconnect and to listen beside the next one.
        stopping = asyncio.create_task(_stop(client, media), name="telegram stop")
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)
        await asyncio.wait((stopping,), timeout=limit)

    def forget_session(self) -> None:
        """Delete the session file: the next start logs in afresh."""
        for path in self._folder.glob(f"{_SESSION}.session*"):
            path.unlink(missing_ok=True)

    async def alive(self) -> None:
        """Ask the server for a sign of life, and for the messages that were missed.

        Raises:
            GatewayError: There was none.
        """
        raw = self._raw()
        with _translated():
            await asyncio.wait_for(self._client.invoke(raw.functions.updates.GetState()), CALL_TIMEOUT)
        await self.recover()

    def heard_late(self, *, since: int) -> bool:
        """Whether messages came since a count that were old already: a sign that updates had stopped coming."""
        return self.heard > since and time.time() - self._oldest > LATE

    async def recover(self) -> None:
        """Have messages delivered that came while nobody listened, where the library can."""
        self._oldest = time.time()
        if hasattr(self._client, "recover_gaps"):
            try:
                await asyncio.wait_for(self._client.recover_gaps(), CALL_TIMEOUT)
            except Exception as error:
                log.info("cannot fetch missed messages: %s", type(error).__name__)

    def _received(self, packet: bytes) -> None:
        self.key_unknown = packet == _KEY_UNKNOWN

    def _raw(self) -> Any:
        if self._client is None:
            raise Unreachable("stopped")
        return self._library.raw

    # incoming ------------------------------------------------------------------------------------------------

    async def _message(self, _: Any, message: Any) -> None:
        if not message.outgoing:
            incoming = _incoming(message)
            self.heard += 1
            self._oldest = min(self._oldest, incoming.date)
            await self._on_message(incoming)

    async def _raw_update(self, _: Any, update: Any, *__: Any) -> None:
        if not isinstance(update, self._library.raw.types.UpdateBotCallbackQuery):
            return
        self.heard += 1
        chat = _chat_id(update.peer)
        data = bytes(update.data or b"").decode("utf-8", "replace")
        await self._on_press(Press(str(update.query_id), chat, chat > 0, update.user_id, update.msg_id, data))

    # outgoing ------------------------------------------------------------------------------------------------

    async def send_text(self, chat: int, html: str, delivery: Delivery, *, buttons: Buttons = ()) -> int:
        self._raw()
        with _translated():
            peer = await self._client.resolve_peer(chat)
            parsed = await self._client.parser.parse(html, self._library.enums.ParseMode.HTML)
            markup = self._markup(buttons)
            request = functools.partial(
                self._library.raw.functions.messages.SendMessage,
                peer=peer,
                message=parsed["message"],
                entities=parsed["entities"] or None,
                no_webpage=True,
                reply_markup=await markup.write(self._client) if markup else None,
            )
        sent = await self._deliver(request, delivery)
        if hasattr(sent, "id"):  # UpdateShortSentMessage
            return int(sent.id)
        return next((int(u.id) for u in sent.updates if getattr(u, "random_id", None) == delivery.random_id), 0)

    async def edit_text(self, chat: int, message: int, html: str, *, buttons: Buttons = ()) -> None:
        await self._call(
            self._messages().edit_message_text,
            chat_id=chat,
            message_id=message,
            text=html,
            reply_markup=self._markup(buttons),
            **self._no_preview(),
        )

    async def delete(self, chat: int, messages: Sequence[int]) -> None:
        await self._call(self._messages().delete_messages, chat_id=chat, message_ids=list(messages))

    async def typing(self, chat: int, *, topic: int | None = None) -> None:
        raw = self._raw()
        with _translated():
            peer = await self._client.resolve_peer(chat)
        action = raw.types.SendMessageTypingAction()
        request = raw.functions.messages.SetTyping(peer=peer, action=action, top_msg_id=topic)
        await self._send(self._client.session, request)

    async def answer(self, press: str, text: str, *, alert: bool = False) -> None:
        await self._call(
            self._messages().answer_callback_query, callback_query_id=press, text=text[:200], show_alert=alert
        )

    async def fetch(self, chat: int, message: int) -> Incoming | None:
        found = await self._call(self._messages().get_messages, chat_id=chat, message_ids=message, replies=0)
        # Outside channels an id names a message of any chat of ours: only one of this chat is an answer.
        return _incoming(found) if found is not None and not found.empty and found.chat.id == chat else None

    async def fetch_album(self, chat: int, message: int) -> list[Incoming]:
        # The messages of an album, at most ten, are sent at once and numbered one after the other.
        near = list(range(max(1, message - 9), message + 10))
        found = await self._call(self._messages().get_messages, chat_id=chat, message_ids=near, replies=0)
        messages = {one.id: _incoming(one) for one in found if not one.empty and one.chat.id == chat}
        album = messages[message].album if message in messages else ""
        return [one for _, one in sorted(messages.items()) if one.id == message or (album and one.album == album)]

    async def set_commands(self, commands: Sequence[tuple[str, str]]) -> None:
        """Register the menu of commands: names and descriptions."""
        kind = self._library.types.BotCommand
        await self._call(
            self._messages().set_bot_commands, [kind(command=name, description=text) for name, text in commands]
        )

    def _messages(self) -> Any:
        self._raw()
        return self._client

    def _markup(self, buttons: Buttons) -> Any:
        if not buttons:
            return None
        types = self._library.types
        # By keyword: the second positional parameter means something else in newer versions.
        return types.InlineKeyboardMarkup(
            [[types.InlineKeyboardButton(text=b.text, callback_data=b.data) for b in row] for row in buttons]
        )

    def _no_preview(self) -> dict[str, Any]:
        types = self._library.types
        if hasattr(types, "LinkPreviewOptions"):
            return {"link_preview_options": types.LinkPreviewOptions(is_disabled=True)}
        return {"disable_web_page_preview": True}

    async def _call(self, method: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        with _translated():
            return await asyncio.wait_for(method(*args, **kwargs), CALL_TIMEOUT)

    # files ---------------------------------------------------------------------------------------------------

    async def save_part(self, file_id: int, part: int, data: bytes, *, total: int, big: bool) -> None:
        functions = self._raw().functions.upload
        if big:
            request = functions.SaveBigFilePart(file_id=file_id, file_part=part, file_total_parts=total, bytes=data)
        else:
            request = functions.SaveFilePart(file_id=file_id, file_part=part, bytes=data)
        await self._send(await self._media_session(), request, limit=PART_TIMEOUT)

    async def send_file(
        self, chat: int, file: Uploaded, delivery: Delivery, *, caption: str = "", photo: bool = False, mime: str = ""
    ) -> None:
        types = self._raw().types
        uploaded: Any
        if file.big:
            uploaded = types.InputFileBig(id=file.file_id, parts=file.parts, name=file.name)
        else:
            uploaded = types.InputFile(id=file.file_id, parts=file.parts, name=file.name, md5_checksum=file.md5)
        media: Any
        if photo:
            media = types.InputMediaUploadedPhoto(file=uploaded)
        else:
            name = types.DocumentAttributeFilename(file_name=file.name)
            media = types.InputMediaUploadedDocument(
                file=uploaded, mime_type=mime or _PLAIN_BYTES, attributes=[name], force_file=True
            )
        with _translated():
            peer = await self._client.resolve_peer(chat)
        request = functools.partial(
            self._library.raw.functions.messages.SendMedia, peer=peer, media=media, message=caption
        )
        await self._deliver(request, delivery)

    async def _deliver(self, request: Callable[..., Any], delivery: Delivery) -> Any:
        """Send a message; as no answer when what it answers was deleted, for one is sure of that only now."""
        try:
            return await self._send(self._messages().session, request(**self._delivered(delivery)))
        except GatewayError as error:
            if delivery.reply_to is None or error.code not in _NOTHING_TO_ANSWER:
                raise
        bare = dataclasses.replace(delivery, reply_to=None)
        return await self._send(self._messages().session, request(**self._delivered(bare)))

    def _delivered(self, delivery: Delivery) -> dict[str, Any]:
        """The parameters that all methods which make a message have in common."""
        found: dict[str, Any] = {"random_id": delivery.random_id, "silent": delivery.silent or None}
        # Without a message to answer, a topic is reached by answering the message that opened it.
        if (answered := delivery.reply_to or delivery.topic) is None:
            return found
        where = {"reply_to_msg_id": answered, "top_msg_id": delivery.topic}
        types = self._raw().types
        if hasattr(types, "InputReplyToMessage"):
            return found | {"reply_to": types.InputReplyToMessage(**where)}
        return found | where

    async def chunks(self, document: Document, *, first: int = 0) -> AsyncIterator[bytes]:
        self._raw()
        with _translated():
            async for chunk in self._client.stream_media(document.file_id, offset=first):
                yield chunk

    async def _media_session(self) -> Any:
        """A connection of its own for file parts, so that they never hold up messages."""
        client = self._messages()
        async with self._media_lock:
            with _translated():
                if hasattr(client, "get_session"):
                    return await client.get_session(is_media=True)
                if self._media is None:
                    storage = client.storage
                    session = self._library.session.Session(
                        client,
                        await storage.dc_id(),
                        await storage.auth_key(),
                        await storage.test_mode(),
                        is_media=True,
                    )
                    await session.start()
                    self._media = session
                return self._media

    async def _send(self, session: Any, request: Any, *, limit: float = CALL_TIMEOUT) -> Any:
        """One call on a session.

        `invoke` would hide which error 5xx it was and repeat the call by itself; `send` tells, and leaves that to
        us. Neither notices that the connection its answer would come on is gone: they wait their time out.
        """
        with _translated():
            async with asyncio.timeout(limit):
                await session.is_started.wait()
                connection = session.connection
                answer = asyncio.ensure_future(session.send(request, timeout=limit))
                try:
                    while True:
                        done, _ = await asyncio.wait({answer}, timeout=_CONNECTION_LOOK)
                        if done:
                            return answer.result()
                        if session.connection is not connection or not session.is_started.is_set():
                            raise Unreachable("connection lost")
                finally:
                    answer.cancel()


async def _stop(client: Any, media: Any) -> None:
    with contextlib.suppress(Exception):
        if media is not None:
            await media.stop()
        await (client.stop() if client.is_initialized else client.disconnect())


def _is_broken(session: Path) -> bool:
    """Whether a session file is none: empty, cut off or overwritten. One that is missing or locked is not broken."""
    try:
        with contextlib.closing(sqlite3.connect(f"{session.as_uri()}?mode=ro", uri=True, timeout=1)) as file:
            whole = file.execute("PRAGMA quick_check").fetchone() == ("ok",)
            return not whole or not all(
                file.execute(query).fetchone() for query in ("SELECT 1 FROM version", "SELECT 1 FROM sessions")
            )
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode == sqlite3.SQLITE_ERROR  # a table is missing
    except sqlite3.DatabaseError:
        return True


def _incoming(message: Any) -> Incoming:
    user = message.from_user
    topic = message.message_thread_id if getattr(message, "topic_message", False) else None
    opened_topic = topic is not None and message.reply_to_message_id == topic
    return Incoming(
        chat=message.chat.id,
        private=message.chat.type.name in ("PRIVATE", "BOT"),
        user=user.id if user is not None and message.sender_chat is None else None,
        id=message.id,
        text=str(message.text or message.caption or ""),
        date=message.date.timestamp() if message.date else 0.0,
        # In a topic whatever answers nothing answers the message that opened it.
        reply_to=None if opened_topic else message.reply_to_message_id,
        topic=topic,
        album=str(message.media_group_id or ""),
        document=_document(message),
        forwarded=bool(message.forward_origin if hasattr(message, "forward_origin") else message.forward_date),
    )


def _chat_id(peer: Any) -> int:
    """A raw peer as the number the library and people use for a chat."""
    if hasattr(peer, "user_id"):
        return int(peer.user_id)
    return -(10**12) - int(peer.channel_id) if hasattr(peer, "channel_id") else -int(peer.chat_id)


def _document(message: Any) -> Document | None:
    for kind in ("document", "video", "audio", "animation", "voice", "video_note", "photo"):
        media = getattr(message, kind, None)
        if media is not None:
            suffix = {"photo": ".jpg", "voice": ".ogg", "video": ".mp4", "video_note": ".mp4"}.get(kind, "")
            name = getattr(media, "file_name", None) or f"{kind}-{message.id}{suffix}"
            mime = str(getattr(media, "mime_type", "") or "")
            return Document(media.file_id, str(name), int(media.file_size or 0), mime, str(media.file_unique_id or ""))
    return None


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Turn the library's errors into those of the gateway."""
    errors: Any = importlib.import_module("pyrogram.errors")
    try:
        yield
    except errors.RPCError as error:
        raise _translate(error) from None
    except (OSError, TimeoutError) as error:
        raise Unreachable(type(error).__name__) from None


def _translate(error: Any) -> GatewayError:
    code = _UNNAMED.sub(r"\1", str(error.ID or error.value or error.NAME or ""))
    value = error.value if isinstance(error.value, int) else 0
    if re.search(r"(FLOOD|SLOWMODE|TAKEOUT)\w*_WAIT", code):
        return Flood(value or 30)
    if part := _PART.search(f"{code} {error.value}".replace("PART_X_", f"PART_{value}_")):
        return PartMissing(int(part[1]))
    if "MESSAGE_NOT_MODIFIED" in code:
        return NotModified(code)
    if "MESSAGE_ID_INVALID" in code or "MESSAGE_EDIT_TIME_EXPIRED" in code:
        return Gone(code)
    if "RANDOM_ID_DUPLICATE" in code:
        return Duplicate(code)
    if code.startswith(_REFUSED):
        return LoginRefused(code)
    if code.startswith(_LOST):
        return KeyLost(code)
    if (error.CODE or 0) >= 500:
        return Unreachable(code)
    return GatewayError(code)
