"""The words between the chat face and the library that speaks to Telegram: messages, buttons, errors, one protocol.

Texts are HTML (b, i, code, pre); limits are counted in UTF-16 units, as Telegram does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

TEXT_LIMIT: Final = 4096
CAPTION_LIMIT: Final = 1024
BUTTON_LIMIT: Final = 64  # bytes of callback data
FILE_LIMIT: Final = 2000 * 1024 * 1024  # bytes of one file a bot may send
PART_SIZE: Final = 512 * 1024  # bytes of one uploaded part, the most the service takes
BIG_FILE: Final = 10 * 1024 * 1024  # above it parts are sent as parts of a "big" file, without a checksum
CHUNK: Final = 1024 * 1024  # bytes of one downloaded chunk


@dataclass(frozen=True, slots=True)
class Document:
    """A file somebody sent. `name` is foreign text."""

    file_id: str
    name: str
    size: int
    mime: str = ""
    unique: str = ""
    """The same for the same content, however often it is sent."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message to the bot. `user` is None for channels and anonymous admins."""

    chat: int
    private: bool
    user: int | None
    id: int
    text: str
    date: float
    reply_to: int | None = None
    document: Document | None = None
    forwarded: bool = False
    topic: int | None = None
    """The topic of a forum group it was written in; None in all other chats and in the topic "General"."""
    album: str = ""
    """What the messages of one album have in common."""


@dataclass(frozen=True, slots=True)
class Press:
    """An inline button was pressed under a message of the bot."""

    id: str
    chat: int
    private: bool
    user: int
    message: int
    data: str


@dataclass(frozen=True, slots=True)
class Button:
    """An inline button; `data` has at most 64 bytes."""

    text: str
    data: str


Buttons = tuple[tuple[Button, ...], ...]
"""Rows of inline buttons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a new message is delivered. The same `random_id` twice raises `Duplicate`: a repeat is harmless."""

    random_id: int
    reply_to: int | None = None
    topic: int | None = None
    silent: bool = False


class GatewayError(Exception):
    """Telegram said no. `code` is its word for it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Flood(GatewayError):
    """Too fast: wait so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"FLOOD_WAIT_{seconds:.0f}")
        self.seconds = seconds


class NotModified(GatewayError):
    """The edit would change nothing: the message stands as wanted."""


class Gone(GatewayError):
    """The message to edit no longer exists."""


class PartMissing(GatewayError):
    """The service has forgotten a part of an upload."""

    def __init__(self, part: int) -> None:
        super().__init__(f"FILE_PART_{part}_MISSING")
        self.part = part


class Duplicate(GatewayError):
    """A message with this random id was sent already."""


class LoginRefused(GatewayError):
    """The credentials are wrong: trying again is useless."""


class Unreachable(GatewayError):
    """No connection, or no answer in time: trying again later may help."""


class KeyLost(Unreachable):
    """The session is not known any more: log in afresh, and what was tried will work again."""


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file whose parts are all on the server, ready to be sent in a message."""

    file_id: int
    parts: int
    name: str
    big: bool
    md5: str = ""


class Writer(Protocol):
    """What it takes to write into a chat. Every method may raise a `GatewayError`."""

    async def send_text(self, chat: int, html: str, delivery: Delivery, *, buttons: Buttons = ()) -> int:
        """Send a message; returns its id."""

    async def edit_text(self, chat: int, message: int, html: str, *, buttons: Buttons = ()) -> None:
        """Replace the text and buttons of a message."""

    async def delete(self, chat: int, messages: Sequence[int]) -> None:
        """Delete messages; those that are gone do not matter."""


class Gateway(Writer, Protocol):
    """All that the chat face asks of Telegram."""

    async def typing(self, chat: int, *, topic: int | None = None) -> None:
        """Show for some seconds that an answer is being written."""

    async def answer(self, press: str, text: str, *, alert: bool = False) -> None:
        """Answer a button press with a short note."""

    async def fetch(self, chat: int, message: int) -> Incoming | None:
        """A message by its id, None when it is gone."""

    async def fetch_album(self, chat: int, message: int) -> list[Incoming]:
        """The messages of the album that a message belongs to, in order; those that are gone are left out."""

    async def save_part(self, file_id: int, part: int, data: bytes, *, total: int, big: bool) -> None:
        """Upload one part."""

    async def send_file(
        self, chat: int, file: Uploaded, delivery: Delivery, *, caption: str = "", photo: bool = False, mime: str = ""
    ) -> None:
        """Send an uploaded file; `caption` is plain text."""

    def chunks(self, document: Document, *, first: int = 0) -> AsyncIterator[bytes]:
        """The content of a file in chunks of `CHUNK` bytes from chunk number `first` on."""


def utf16(text: str) -> int:
    """The length of a text as Telegram counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
