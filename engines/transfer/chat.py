"""Files to and from Telegram chats: results, replies and checks. The work is hosted by the chat face."""

from __future__ import annotations

import os
import stat

import msgspec

from engines import text
from engines.errors import TaskdeckError
from engines.model import Json
from engines.names import display
from engines.operations import Operation, Receive, Send
from engines.paths import PathPolicy
from engines.reply import Line, Reply
from engines.settings import Settings


class SendResult(msgspec.Struct, frozen=True):
    """What was sent: `parts` is the number of messages, more than one above 2,000 MiB."""

    path: str
    name: str
    size: int
    parts: int
    chat: int
    seconds: float


class ReceiveResult(msgspec.Struct, frozen=True):
    """What was saved."""

    output: str
    name: str
    size: int
    seconds: float


def send_reply(_: Operation, result: Json) -> Reply:
    """The reply to `send`."""
    found = msgspec.convert(result, SendResult)
    lines = [Line("File", display(found.name), "file"), Line("Size", text.size(found.size), "disk")]
    if found.parts > 1:
        lines.append(Line("Parts", str(found.parts), "archive"))
    return Reply("File Sent!", [*lines, *_pace(found.size, found.seconds)], "done")


def receive_reply(_: Operation, result: Json) -> Reply:
    """The reply to `receive`."""
    found = msgspec.convert(result, ReceiveResult)
    lines = [Line("File", display(found.name), "file"), Line("Size", text.size(found.size), "disk")]
    where = [Line(""), Line("Location", display(found.output), "file")]
    return Reply("File Saved!", [*lines, *_pace(found.size, found.seconds), *where], "done")


def _pace(size: int, seconds: float) -> list[Line]:
    return [
        Line("Time Taken", text.elapsed(seconds), "time"),
        Line("Speed", text.rate(size / max(seconds, 1e-9)), "speed"),
    ]


def check_send(op: Send, policy: PathPolicy, settings: Settings) -> None:
    """Refuse what Telegram cannot take, and everything while the bot is off.

    Raises:
        TaskdeckError: `unsupported`, `path.*`, `access.denied` for a chat that is not allowed.
    """
    check_enabled(op, policy, settings)
    check_chat(op.chat, settings)
    path = os.path.realpath(policy.source(op.path))
    if not policy.allows(path):
        raise TaskdeckError(
            "path.outside_roots", f"cannot send '{display(op.path)}'", "it is a link that leads out of the roots"
        )
    info = os.stat(path)
    if not stat.S_ISREG(info.st_mode):
        raise TaskdeckError(
            "path.kind", f"cannot send '{display(op.path)}'", "it is not a file", "pack it first: zip with --send"
        )
    if info.st_size == 0:
        raise TaskdeckError("unsupported", f"cannot send '{display(op.path)}'", "Telegram takes no empty files")


def check_chat(chat: int | None, settings: Settings) -> None:
    """Refuse chats that are neither an allowed user's nor an allowed group."""
    telegram = settings.telegram
    allowed = {*telegram.allowed_users, *telegram.allowed_chats, *map(int, telegram.users)}
    if chat is not None and chat not in allowed:
        raise TaskdeckError(
            "access.denied", f"cannot send to chat {chat}", "it is not allowed", "add it to telegram.allowed_chats"
        )


def check_enabled(_: Operation, __: PathPolicy, settings: Settings) -> None:
    """Refuse while the bot is off: nobody would ever do the work."""
    if not settings.telegram.enabled:
        raise TaskdeckError(
            "face.off", "cannot use Telegram", "the bot is off", "set telegram.bot_token and allowed_users"
        )


def check_receive(op: Receive, policy: PathPolicy, settings: Settings) -> None:
    """Refuse while the bot is off."""
    check_enabled(op, policy, settings)
