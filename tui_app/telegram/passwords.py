"""Passwords in a chat: the message that holds one is deleted first, tasks that need one ask for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final

from engines.errors import TaskdeckError
from engines.model import Action, TaskView, WaitReason
from engines.names import display
from engines.operations import OperationSpec, fields
from tui_app.telegram import cards, commands
from tui_app.telegram.access import Member
from tui_app.telegram.context import Context
from tui_app.telegram.editor import Post
from tui_app.telegram.gateway import Flood, GatewayError, Incoming, Unreachable
from tui_app.telegram.ledger import Origin
from tui_app.telegram.tokenizer import Command, parse_command

log = logging.getLogger(__name__)

_DELETE_AGAIN: Final = 2.0
_DELETE_TRIES: Final = 300
_RECEIPT: Final = 2.0
"""Seconds an answer waits for the receipt of the question it may have overtaken."""


class Passwords:
    """Reads and forgets.

    Args:
        context: Shared parts.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._later: set[asyncio.Task[None]] = set()
        self._unconfirmed: dict[asyncio.Future[None], int] = {}
        """Questions on their way, with their chats."""

    async def close(self) -> None:
        """Give up deletions that still wait for Telegram."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)

    async def read_command(self, incoming: Incoming, text: str, *, bot: str) -> Command | None:
        """The command of a message, see `parse_command`; one that cannot be read may hold a password."""
        try:
            return parse_command(text, bot=bot)
        except TaskdeckError:
            if "assword" in text or text.lstrip().lower().startswith("/unzip"):
                await self.delete(incoming)
            raise

    async def hide(self, incoming: Incoming, command: Command) -> None:
        """Delete a message that may hold a password, for one that could not be understood."""
        spec = commands.operation_spec(command.name)
        about_file = incoming.reply_to is not None or incoming.document is not None
        if spec is not None and may_hold_secret(command, spec, about_file=about_file):
            await self.delete(incoming)

    async def ask(self, view: TaskView) -> None:
        """Ask for the password a task waits for; the answer to that message is it."""
        origin = self._context.ledger.origin(view.id)
        if origin is None:
            return
        name = cards.escape(display(view.title, limit=120))
        html = f"🔒 <b>{name}</b> needs a password.\nAnswer this message with it; I delete your answer at once."
        receipt = asyncio.get_running_loop().create_future()
        self._unconfirmed[receipt] = origin.chat
        try:
            message = await self._context.editor(origin.chat).say(Post(html, topic=origin.topic)).sent
            if message is not None:
                self._context.ledger.set_prompt(origin.chat, message, view.id)
        finally:
            del self._unconfirmed[receipt]
            receipt.set_result(None)

    async def answered(self, incoming: Incoming) -> str | None:
        """The task whose question a message is the answer to."""
        if incoming.reply_to is None or not incoming.text:
            return None
        await self._receipts(incoming.chat)
        return self._context.ledger.prompt(incoming.chat, incoming.reply_to)

    async def asked(self, incoming: Incoming) -> str | None:
        """The task that plain words in private are the password of: the last one asked about that still waits."""
        if incoming.reply_to is not None or not incoming.text:
            return None
        await self._receipts(incoming.chat)
        for task_id in self._context.ledger.prompted(incoming.chat, before=incoming.id):
            with suppress(TaskdeckError):  # it was removed
                if (await self._context.tasks.view(task_id)).reason is WaitReason.PASSWORD:
                    return task_id
        return None

    async def unlock(self, member: Member, incoming: Incoming, task_id: str) -> None:
        """Take the answer to `ask`."""
        await self.delete(incoming)
        view = await self._context.tasks.view(task_id)
        member.require_task(view, Action.RESUME)
        await self._context.tasks.unlock(task_id, {"password": incoming.text.strip()}, actor=member.actor)
        self._context.ledger.drop_prompts(task_id)

    async def _receipts(self, chat: int) -> None:
        """Let the questions of a chat be known by their messages: an answer may overtake Telegram's receipt of one."""
        if receipts := [receipt for receipt, where in self._unconfirmed.items() if where == chat]:
            await asyncio.wait(receipts, timeout=_RECEIPT)

    async def delete(self, incoming: Incoming) -> None:
        """Delete a message that holds a password; while Telegram cannot be reached, as soon as it can."""
        wait = await self._try_to_delete(incoming)
        if wait:
            self._spawn(self._delete_later(incoming, wait))

    async def _delete_later(self, incoming: Incoming, wait: float) -> None:
        for _ in range(_DELETE_TRIES):
            await asyncio.sleep(wait)
            wait = await self._try_to_delete(incoming)
            if not wait:
                return

    async def _try_to_delete(self, incoming: Incoming) -> float:
        """The seconds to wait before it should be tried again, 0 when it is done or cannot be."""
        try:
            await self._context.gateway.delete(incoming.chat, [incoming.id])
        except Flood as flood:
            return flood.seconds
        except Unreachable:
            return _DELETE_AGAIN
        except GatewayError as error:
            log.info("chat %s: a message with a password could not be deleted: %s", incoming.chat, error.code)
            warning = "⚠️ I may not delete messages here: delete the one with your password yourself."
            self._context.editor(incoming.chat).say(Post(warning, topic=incoming.topic))
        return 0.0

    async def delete_saved(self, origin: Origin) -> None:
        """Delete the message of a file that was saved, or will not be, when its caption has a password."""
        if origin.hide is not None:
            private = origin.chat > 0
            await self.delete(Incoming(origin.chat, private, origin.user, origin.hide, "", 0.0, topic=origin.topic))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)


def may_hold_secret(command: Command, spec: OperationSpec, *, about_file: bool) -> bool:
    """Whether a command names a secret or has as many words as it would take to reach one.

    Args:
        about_file: It may be about a file it answers or came with, which stands for its first word.
    """
    known = fields(spec.struct)
    flags = {field.flag for field in known if field.secret}
    if any(token.option and token.text.partition("=")[0] in flags for token in command.tokens):
        return True
    free = [field for field in known if field.positional]
    place = next((index for index, field in enumerate(free) if field.secret), None)
    if place is None:
        return False
    words = sum(not token.option for token in command.tokens)
    return words > place - about_file
