"""What the server knows: people, groups, messages, files, updates not yet delivered."""

from __future__ import annotations

import abc
import asyncio
import inspect
import itertools
import time
from typing import Any, ClassVar, Final

from pyrogram import raw

from tests.telegram_server.people import Media, Person, Sent

T: Any = raw.types

_CHANNEL_ZERO: Final = -(10**12)


def build(cls: Any, **values: Any) -> Any:
    """A TL object: fields this layer does not know are left out, required ones it adds are empty."""
    empty = {"int": 0, "str": "", "bytes": b"", "bool": False, "float": 0.0}
    known = inspect.signature(cls.__init__).parameters
    values = {name: value for name, value in values.items() if name in known}
    for name, parameter in known.items():
        if name != "self" and parameter.default is parameter.empty and name not in values:
            kind = getattr(parameter.annotation, "__name__", str(parameter.annotation))
            values[name] = empty.get(kind, [])
    return cls(**values)


class World(abc.ABC):
    """State and its translation into TL objects; no network."""

    bot_id: ClassVar = 4242
    bot_username: ClassVar = "taskdeck_test_bot"
    token: ClassVar = "4242:test-token"

    def __init__(self) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.people: dict[int, Person] = {}
        self.groups: dict[int, str] = {}
        self.forums: set[int] = set()
        self.messages: dict[tuple[int, int], Sent] = {}
        self.log: list[tuple[int, Sent]] = []
        """New messages of private chats with their update number, for getDifference."""
        self.files: dict[int, Media] = {}
        self.parts: dict[int, dict[int, bytes]] = {}
        self.keep_parts = True
        """False: only count what is uploaded (benchmarks)."""
        self.received_bytes = 0
        self.random_ids: set[int] = set()
        self.typing: list[tuple[int, int | None]] = []
        """Chats and topics in which the bot showed that it writes."""
        self.commands: dict[str, list[Any]] = {}
        self.pts = 1
        self._ids = itertools.count(10_000)
        self._message_ids = itertools.count(1)
        self._changed = asyncio.Event()
        self._presses: dict[int, asyncio.Future[str]] = {}

    # what a test says ----------------------------------------------------------------------------------------

    def person(self, name: str, number: int | None = None) -> Person:
        """Somebody new who may talk to the bot."""
        number = number or 1000 + len(self.people)
        self.people[number] = Person(self, number, name)
        return self.people[number]

    def group(self, title: str, number: int | None = None) -> int:
        """A new supergroup with the bot and everybody in it; returns its -100... id."""
        chat = number or -1002000000000 - len(self.groups)
        self.groups[chat] = title
        return chat

    def topic(self, chat: int) -> int:
        """A new topic of a forum group: the id of the message that opens it."""
        self.forums.add(chat)
        return self.store(chat, 0).id

    def next_id(self) -> int:
        """A fresh id for a file or query."""
        return next(self._ids)

    # waiting -------------------------------------------------------------------------------------------------

    def notify(self) -> None:
        """Wake everybody who waits for a change."""
        event, self._changed = self._changed, asyncio.Event()
        event.set()

    async def changed(self) -> None:
        """Return after the next change of any message."""
        await self._changed.wait()

    # messages ------------------------------------------------------------------------------------------------

    def store(self, chat_id: int, sender_id: int, **fields: Any) -> Sent:
        """Record a message and show it to whom it may concern."""
        message = Sent(next(self._message_ids), chat_id, sender_id, **fields)
        self.messages[chat_id, message.id] = message
        for person in self.people.values():
            if chat_id == person.id or chat_id < 0:
                person.chat.append(message)
        self.notify()
        return message

    def announce_message(self, message: Sent) -> None:
        """Send a person's message to the bot."""
        self.push(self.new_message_update(message))

    def announce_press(self, person_id: int, message: Sent, data: bytes) -> asyncio.Future[str]:
        """Send a button press to the bot; the future is its answer."""
        query = self.next_id()
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._presses[query] = answer
        self.push(
            T.UpdateBotCallbackQuery(
                query_id=query,
                user_id=person_id,
                peer=self.peer(message.chat_id),
                msg_id=message.id,
                chat_instance=1,
                data=data,
            )
        )
        return answer

    def answer_press(self, query: int, text: str) -> bool:
        """Give a press its answer; False when it is unknown or was answered."""
        answer = self._presses.pop(query, None)
        if answer is None or answer.done():
            return False
        answer.set_result(text)
        return True

    @abc.abstractmethod
    def push(self, update: Any) -> None:
        """Deliver an update: the network layer's part."""

    # translation ---------------------------------------------------------------------------------------------

    def bot(self) -> Any:
        """The bot as a user."""
        return build(
            T.User,
            id=self.bot_id,
            is_self=True,
            access_hash=1,
            first_name="Bot",
            username=self.bot_username,
            bot=True,
            bot_info_version=1,
        )

    def user(self, person: Person) -> Any:
        """A person as a user."""
        number = person.id
        return build(T.User, id=number, access_hash=number * 7, first_name=person.name, username=f"u{number}")

    def users(self) -> list[Any]:
        """Everybody."""
        return [*(self.user(person) for person in self.people.values()), self.bot()]

    def channels(self) -> list[Any]:
        """All groups."""
        return [
            build(
                T.Channel,
                id=_CHANNEL_ZERO - chat,
                title=title,
                photo=T.ChatPhotoEmpty(),
                date=1,
                access_hash=5,
                megagroup=True,
                forum=chat in self.forums or None,
            )
            for chat, title in self.groups.items()
        ]

    def peer(self, chat_id: int) -> Any:
        """A chat id as a peer."""
        return T.PeerUser(user_id=chat_id) if chat_id > 0 else T.PeerChannel(channel_id=_CHANNEL_ZERO - chat_id)

    def chat_id(self, peer: Any) -> int | None:
        """The chat id of an input peer; None for one the bot does not know."""
        channel = getattr(peer, "channel_id", None)
        number: int | None = _CHANNEL_ZERO - channel if channel is not None else getattr(peer, "user_id", None)
        return number if number in self.people or number in self.groups else None

    def command_entity(self, length: int) -> Any:
        """The entity a client puts on a command."""
        return T.MessageEntityBotCommand(offset=0, length=length)

    def raw_message(self, message: Sent) -> Any:
        """A message as the bot sees it."""
        return build(
            T.Message,
            id=message.id,
            peer_id=self.peer(message.chat_id),
            from_id=T.PeerUser(user_id=message.sender_id) if message.sender_id else self.peer(message.chat_id),
            date=message.date,
            message=message.text,
            out=message.sender_id == self.bot_id,
            reply_markup=message.markup,
            entities=message.entities or None,  # None, not []: the flag is set by truth, the value by presence
            media=self._raw_media(message.media),
            edit_date=int(message.edited_at[-1]) if message.edited_at else None,
            reply_to=self._raw_reply(message),
            grouped_id=message.album,
            fwd_from=build(T.MessageFwdHeader, date=message.date, from_name="Somebody") if message.forwarded else None,
        )

    def _raw_reply(self, message: Sent) -> Any:
        """What a message answers; in a topic, without more, the message that opened it."""
        if message.reply_to is None and message.topic is None:
            return None
        top = message.topic if message.reply_to is not None else None
        return build(
            T.MessageReplyHeader,
            reply_to_msg_id=message.reply_to or message.topic,
            reply_to_top_id=top,
            forum_topic=message.topic is not None or None,
        )

    def _raw_media(self, media: Media | None) -> Any:
        if media is None:
            return None
        common = {
            "id": media.id,
            "access_hash": media.id,
            "file_reference": b"ref",
            "date": int(time.time()),
            "dc_id": 2,
        }
        if media.kind == "photo":
            width, height = media.size
            sizes = [T.PhotoSize(type="y", w=width, h=height, size=len(media.data))]
            return build(T.MessageMediaPhoto, photo=build(T.Photo, sizes=sizes, **common))
        return build(
            T.MessageMediaDocument,
            document=build(
                T.Document,
                mime_type=media.mime,
                size=len(media.data),
                attributes=[T.DocumentAttributeFilename(file_name=media.name)],
                **common,
            ),
        )

    def new_message_update(self, message: Sent) -> Any:
        """The update that announces a message."""
        self.pts += 1
        if message.chat_id < 0:
            return T.UpdateNewChannelMessage(message=self.raw_message(message), pts=self.pts, pts_count=1)
        self.log.append((self.pts, message))
        return T.UpdateNewMessage(message=self.raw_message(message), pts=self.pts, pts_count=1)

    def edited_message_update(self, message: Sent) -> Any:
        """The update that announces an edit."""
        self.pts += 1
        kind = T.UpdateEditChannelMessage if message.chat_id < 0 else T.UpdateEditMessage
        return kind(message=self.raw_message(message), pts=self.pts, pts_count=1)

    def wrap(self, *updates: Any) -> Any:
        """Updates with the users and chats they mention."""
        return T.Updates(updates=list(updates), users=self.users(), chats=self.channels(), date=int(time.time()), seq=0)
