"""Who writes to the bot and what it sends back: people, messages and media as a test sees them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.telegram_server.world import World


@dataclass
class Media:
    """A photo or document; `size` is width and height of a photo."""

    kind: str
    name: str
    mime: str
    data: bytes
    size: tuple[int, int] = (0, 0)
    id: int = 0


@dataclass(eq=False)
class Sent:
    """A message in a chat. Edits change it in place and leave the earlier texts in `history`."""

    id: int
    chat_id: int
    sender_id: int
    text: str = ""
    markup: Any = None
    entities: list[Any] = field(default_factory=list)
    media: Media | None = None
    reply_to: int | None = None
    topic: int | None = None
    album: int | None = None
    date: int = field(default_factory=lambda: int(time.time()))
    silent: bool = False
    forwarded: bool = False
    history: list[str] = field(default_factory=list)
    edited_at: list[float] = field(default_factory=list)
    deleted: bool = False

    @property
    def buttons(self) -> list[list[str]]:
        """The texts of its inline buttons, row by row."""
        return [[button.text for button in row.buttons] for row in getattr(self.markup, "rows", [])]


class Person:
    """Somebody who talks to the bot, in private (chat id = own id) or in a group."""

    def __init__(self, server: World, number: int, name: str) -> None:
        self._server = server
        self.id = number
        self.name = name
        self.chat: list[Sent] = []
        """Every message of the private chat and of all groups, oldest first."""

    def say(
        self,
        text: str,
        *,
        chat: int | None = None,
        reply_to: Sent | None = None,
        media: Media | None = None,
        date: int | None = None,
        anonymous: bool = False,
        forwarded: bool = False,
        topic: int | None = None,
        album: int | None = None,
    ) -> Sent:
        """Send a message.

        Args:
            anonymous: Without a sender, as the admins of a group may.
            topic: Topic of a forum group.
            album: Messages with the same number belong together.
        """
        entities = []
        if match := re.match(r"/\w+(@\w+)?", text):
            entities.append(self._server.command_entity(match.end()))
        message = self._server.store(
            chat or self.id,
            0 if anonymous else self.id,
            text=text,
            entities=entities,
            reply_to=reply_to.id if reply_to else None,
            media=media,
            date=date or int(time.time()),
            forwarded=forwarded,
            topic=topic,
            album=album,
        )
        self._server.announce_message(message)
        return message

    def upload(
        self,
        name: str,
        data: bytes,
        caption: str = "",
        *,
        mime: str = "application/octet-stream",
        chat: int | None = None,
        topic: int | None = None,
        album: int | None = None,
    ) -> Sent:
        """Send a document."""
        media = Media("document", name, mime, data, id=self._server.next_id())
        self._server.files[media.id] = media
        return self.say(caption, media=media, chat=chat, topic=topic, album=album)

    async def press(self, message: Sent, button: str, *, limit: float = 60) -> str:
        """Press the first inline button whose text contains `button`; returns the bot's answer.

        Raises:
            LookupError: There is no such button.
            TimeoutError: The bot did not answer in `limit` seconds.
        """
        found = [b for row in getattr(message.markup, "rows", []) for b in row.buttons if button in b.text]
        if not found:
            raise LookupError(f"no button {button!r} in {message.buttons}")
        return await self.send_press(message, callback_data(found[0]) or b"", limit=limit)

    async def send_press(self, message: Sent, data: bytes, *, limit: float = 60) -> str:
        """Send a button press with any data, as a hostile client could."""
        answer = self._server.announce_press(self.id, message, data)
        return await asyncio.wait_for(answer, limit)

    async def receives(self, want: Callable[[Sent], bool], *, limit: float = 60) -> Sent:
        """The newest message of the bot, present or future, new or edited, that satisfies `want`."""
        async with asyncio.timeout(limit):
            while True:
                for message in reversed(self.chat):
                    if message.sender_id == self._server.bot_id and not message.deleted and want(message):
                        return message
                await self._server.changed()

    async def sees(self, condition: Callable[[], bool], *, limit: float = 60) -> None:
        """Return once a condition on the chat holds."""
        async with asyncio.timeout(limit):
            while not condition():
                await self._server.changed()

    def from_bot(self) -> list[Sent]:
        """The bot's messages that still stand, oldest first."""
        return [m for m in self.chat if m.sender_id == self._server.bot_id and not m.deleted]


def callback_data(button: Any) -> bytes | None:
    """The data of an inline button; layer 229 moved it into the button's type."""
    found: bytes | None = getattr(button, "data", None) or getattr(getattr(button, "type", None), "data", None)
    return found
