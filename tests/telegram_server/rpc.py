"""The methods the bot calls, with the checks of the real service (core.telegram.org/methods)."""

from __future__ import annotations

import re
import time
from typing import Any, Final

from pyrogram import raw
from pyrogram.raw.core import TLObject

from tests.telegram_server.people import Media, Sent, callback_data
from tests.telegram_server.world import World, build

T: Any = raw.types
F: Any = raw.functions

MAX_TEXT: Final = 4096
MAX_CAPTION: Final = 1024
MAX_PARTS: Final = 4000
PART: Final = 512 * 1024
BIG_FILE: Final = 10 * 1024 * 1024


class RpcError(Exception):
    """An error the server answers with."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message


class Vector(TLObject):  # type: ignore[misc]  # the client library is untyped here
    """A bare vector as an rpc result."""

    def __init__(self, items: list[Any]) -> None:
        self._items = items

    def write(self, *_: Any) -> bytes:
        head = b"\x15\xc4\xb5\x1c" + len(self._items).to_bytes(4, "little")
        return head + b"".join(item.write() for item in self._items)


class Constant(TLObject):  # type: ignore[misc]
    """A constructor without fields."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def write(self, *_: Any) -> bytes:
        return self._data


TRUE: Final = Constant(b"\xb5\x75\x72\x99")


class Methods(World):
    """World plus the remote procedures, one method each: "messages.SendMessage" is `messages_SendMessage`."""

    # account -------------------------------------------------------------------------------------------------

    def help_GetConfig(self, _: Any) -> Any:
        now = int(time.time())
        options = [build(T.DcOption, id=number, ip_address=self.host, port=self.port) for number in range(1, 6)]
        return build(T.Config, date=now, expires=now + 3600, this_dc=2, webfile_dc_id=2, dc_options=options)

    def auth_ImportBotAuthorization(self, request: Any) -> Any:
        if request.bot_auth_token != self.token:
            raise RpcError(400, "ACCESS_TOKEN_INVALID")
        return build(T.auth.Authorization, user=self.bot())

    def auth_LogOut(self, _: Any) -> Any:
        return build(T.auth.LoggedOut)

    def users_GetUsers(self, request: Any) -> Any:
        known = {self.bot_id: self.bot(), **{number: self.user(person) for number, person in self.people.items()}}
        wanted = [self.bot_id if isinstance(peer, T.InputUserSelf) else peer.user_id for peer in request.id]
        return Vector([known.get(number) or T.UserEmpty(id=number) for number in wanted])

    def users_GetFullUser(self, _: Any) -> Any:
        full = build(
            T.UserFull, id=self.bot_id, settings=build(T.PeerSettings), notify_settings=build(T.PeerNotifySettings)
        )
        return build(T.users.UserFull, full_user=full, users=[self.bot()])

    def contacts_ResolveUsername(self, _: Any) -> Any:
        raise RpcError(400, "USERNAME_NOT_OCCUPIED")

    # updates -------------------------------------------------------------------------------------------------

    def updates_GetState(self, _: Any) -> Any:
        return T.updates.State(pts=self.pts, qts=0, date=int(time.time()), seq=0, unread_count=0)

    def updates_GetDifference(self, request: Any) -> Any:
        now = int(time.time())
        missed = [message for pts, message in self.log if pts > request.pts and message.sender_id != self.bot_id]
        if not missed:
            return T.updates.DifferenceEmpty(date=now, seq=0)
        return build(
            T.updates.Difference,
            new_messages=[self.raw_message(message) for message in missed],
            users=self.users(),
            chats=self.channels(),
            state=self.updates_GetState(request),
        )

    def updates_GetChannelDifference(self, request: Any) -> Any:
        return build(T.updates.ChannelDifferenceEmpty, final=True, pts=max(1, request.pts))

    # messages ------------------------------------------------------------------------------------------------

    def _check_text(self, text: str, limit: int, error: str) -> None:
        if len(text.encode("utf-16-le", "surrogatepass")) // 2 > limit:
            raise RpcError(400, error)

    def _check_markup(self, markup: Any) -> None:
        for row in getattr(markup, "rows", []):
            for button in row.buttons:
                data = callback_data(button)
                if not button.text or (data is not None and not 1 <= len(data) <= 64):
                    raise RpcError(400, "BUTTON_DATA_INVALID")

    def answered(self, request: Any) -> int | None:
        """The message that a request to send one names as answered."""
        reply = getattr(request, "reply_to", None)
        found: int | None = getattr(reply, "reply_to_msg_id", None) or getattr(request, "reply_to_msg_id", None)
        return found

    def _topic(self, request: Any) -> int | None:
        """The topic a message goes to: only the one named as such, as the real service does."""
        reply = getattr(request, "reply_to", None)
        found: int | None = getattr(reply, "top_msg_id", None) or getattr(request, "top_msg_id", None)
        return found

    def messages_SendMessage(self, request: Any) -> Any:
        chat = self._chat_of(request.peer)
        if not request.message.strip():
            raise RpcError(400, "MESSAGE_EMPTY")
        self._check_text(request.message, MAX_TEXT, "MESSAGE_TOO_LONG")
        self._check_markup(request.reply_markup)
        self._check_random_id(request.random_id)
        message = self.store(
            chat,
            self.bot_id,
            text=request.message,
            markup=request.reply_markup,
            entities=request.entities or [],
            reply_to=self.answered(request),
            topic=self._topic(request),
            silent=bool(request.silent),
        )
        return self._sent(message, request.random_id)

    def _check_random_id(self, random_id: int) -> None:
        if random_id in self.random_ids:
            raise RpcError(500, "RANDOM_ID_DUPLICATE")

    def _sent(self, message: Sent, random_id: int) -> Any:
        self.random_ids.add(random_id)
        return self.wrap(T.UpdateMessageID(id=message.id, random_id=random_id), self.new_message_update(message))

    def messages_EditMessage(self, request: Any) -> Any:
        message = self.messages.get((self._chat_of(request.peer), request.id))
        if message is None or message.deleted or message.sender_id != self.bot_id:
            raise RpcError(400, "MESSAGE_ID_INVALID")
        text = message.text if request.message is None else request.message
        if not text.strip() and message.media is None:
            raise RpcError(400, "MESSAGE_EMPTY")
        self._check_text(text, MAX_CAPTION if message.media else MAX_TEXT, "MESSAGE_TOO_LONG")
        self._check_markup(request.reply_markup)
        if text == message.text and str(request.reply_markup) == str(message.markup):
            raise RpcError(400, "MESSAGE_NOT_MODIFIED")
        message.history.append(message.text)
        message.text, message.markup, message.entities = text, request.reply_markup, request.entities or []
        message.edited_at.append(time.time())
        self.notify()
        return self.wrap(self.edited_message_update(message))

    def messages_DeleteMessages(self, request: Any) -> Any:
        for (_, number), message in self.messages.items():
            if number in request.id:
                message.deleted = True
        self.notify()
        self.pts += len(request.id)
        return T.messages.AffectedMessages(pts=self.pts, pts_count=len(request.id))

    def channels_DeleteMessages(self, request: Any) -> Any:
        return self.messages_DeleteMessages(request)

    def messages_GetMessages(self, request: Any) -> Any:
        by_id = {number: message for (_, number), message in self.messages.items()}
        found = []
        for wanted in request.id:
            kind, number = wanted_message(wanted)
            message = by_id.get(number)
            if message and kind == T.InputMessageReplyTo.ID:
                message = by_id.get(message.reply_to or 0)
            found.append(message if message and not message.deleted else None)
        return build(
            T.messages.Messages,
            messages=[self.raw_message(message) if message else T.MessageEmpty(id=0) for message in found],
            users=self.users(),
            chats=self.channels(),
        )

    def channels_GetMessages(self, request: Any) -> Any:
        return self.messages_GetMessages(request)

    def channels_GetChannels(self, _: Any) -> Any:
        return build(T.messages.Chats, chats=self.channels())

    def messages_SetTyping(self, request: Any) -> Any:
        self.typing.append((self._chat_of(request.peer), self._topic(request)))
        self.notify()
        return TRUE

    def messages_SetBotCallbackAnswer(self, request: Any) -> Any:
        if not self.answer_press(request.query_id, request.message or ""):
            raise RpcError(400, "QUERY_ID_INVALID")
        return TRUE

    # commands ------------------------------------------------------------------------------------------------

    def bots_SetBotCommands(self, request: Any) -> Any:
        for command in request.commands:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", command.command):
                raise RpcError(400, "BOT_COMMAND_INVALID")
            if not 1 <= len(command.description) <= 256:
                raise RpcError(400, "BOT_COMMAND_DESCRIPTION_INVALID")
        if len(request.commands) > 100:
            raise RpcError(400, "BOT_COMMANDS_TOO_MUCH")
        self.commands[type(request.scope).__name__] = list(request.commands)
        return TRUE

    def bots_ResetBotCommands(self, request: Any) -> Any:
        self.commands.pop(type(request.scope).__name__, None)
        return TRUE

    # files ---------------------------------------------------------------------------------------------------

    def upload_SaveFilePart(self, request: Any) -> Any:
        if request.file_part >= MAX_PARTS:
            raise RpcError(400, "FILE_PARTS_INVALID")
        if not 0 < len(request.bytes) <= PART:
            raise RpcError(400, "FILE_PART_SIZE_INVALID")
        self.received_bytes += len(request.bytes)
        self.parts.setdefault(request.file_id, {})[request.file_part] = request.bytes if self.keep_parts else b""
        return TRUE

    def upload_SaveBigFilePart(self, request: Any) -> Any:
        return self.upload_SaveFilePart(request)

    def _assemble(self, file: Any) -> bytes:
        parts = self.parts.get(file.id, {})
        for number in range(file.parts):
            if number not in parts:
                raise RpcError(400, f"FILE_PART_{number}_MISSING")
        data = b"".join(parts[number] for number in range(file.parts))
        if len(data) > BIG_FILE and not isinstance(file, T.InputFileBig):
            raise RpcError(400, "FILE_PARTS_INVALID")
        return data

    def messages_SendMedia(self, request: Any) -> Any:
        chat = self._chat_of(request.peer)
        self._check_text(request.message, MAX_CAPTION, "MEDIA_CAPTION_TOO_LONG")
        self._check_markup(request.reply_markup)
        self._check_random_id(request.random_id)
        media = self._received_media(request.media)
        media.id = media.id or self.next_id()
        self.files[media.id] = media
        message = self.store(
            chat,
            self.bot_id,
            text=request.message,
            markup=request.reply_markup,
            entities=request.entities or [],
            media=media,
            reply_to=self.answered(request),
            topic=self._topic(request),
            silent=bool(request.silent),
        )
        return self._sent(message, request.random_id)

    def _received_media(self, media: Any) -> Media:
        if isinstance(media, T.InputMediaUploadedPhoto):
            data = self._assemble(media.file)
            width, height = picture_size(data)
            if not width or width + height > 10_000 or max(width, height) > 20 * min(width, height):
                raise RpcError(400, "PHOTO_INVALID_DIMENSIONS")
            return Media("photo", media.file.name, "image/jpeg", data, (width, height))
        if isinstance(media, T.InputMediaUploadedDocument):
            names = [a.file_name for a in media.attributes if isinstance(a, T.DocumentAttributeFilename)]
            name = names[0] if names else media.file.name
            return Media("document", name, media.mime_type, self._assemble(media.file))
        known = self.files.get(getattr(getattr(media, "id", None), "id", 0))
        if known is None:
            raise RpcError(400, "MEDIA_INVALID")
        return known

    def upload_GetFile(self, request: Any) -> Any:
        media = self.files.get(request.location.id)
        if media is None:
            raise RpcError(400, "LOCATION_INVALID")
        data = media.data[request.offset : request.offset + request.limit]
        return build(T.upload.File, type=T.storage.FilePartial(), bytes=data)

    def _chat_of(self, peer: Any) -> int:
        number = self.chat_id(peer)
        if number is None:
            raise RpcError(400, "PEER_ID_INVALID")
        return number


def wanted_message(wanted: Any) -> tuple[int, int]:
    """Constructor and message id of an InputMessage.

    The client's own reader takes the eight bytes of one for a number when nothing else is in the vector.
    """
    if isinstance(wanted, int):
        return wanted & 0xFFFFFFFF, wanted >> 32
    return wanted.ID, wanted.id


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height of a JPEG, PNG or WebP; (0, 0) for anything else."""
    from io import BytesIO

    from PIL import Image

    try:
        with Image.open(BytesIO(data)) as picture:
            return picture.size
    except (OSError, ValueError):
        return 0, 0
