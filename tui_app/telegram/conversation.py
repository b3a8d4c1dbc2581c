"""Messages become actions. Everything is denied to strangers, and they hear nothing."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from engines.errors import TaskdeckError
from tui_app.telegram import cards, commands
from tui_app.telegram.access import Member
from tui_app.telegram.context import Context
from tui_app.telegram.controls import Controls
from tui_app.telegram.gateway import GatewayError, Incoming
from tui_app.telegram.passwords import Passwords
from tui_app.telegram.requests import File, Requests
from tui_app.telegram.tokenizer import Command, parse_command

log = logging.getLogger(__name__)

TOO_OLD: Final = 600.0
"""Seconds after which a command that waited for us is told, not done."""
ALBUM_WAIT: Final = 0.7
"""Seconds without another message of an album after which it is taken for complete."""
_SEEN: Final = 2000


class Conversation:
    """Talks with members.

    Args:
        context: Shared parts.
        controls: Commands that are no operations.
        requests: Operations and files.
        passwords: Reads and forgets passwords.
        bot: The bot's user name, known once it is logged in.
    """

    def __init__(
        self,
        context: Context,
        controls: Controls,
        requests: Requests,
        passwords: Passwords,
        bot: Callable[[], str],
    ) -> None:
        self._context = context
        self._controls = controls
        self._requests = requests
        self._passwords = passwords
        self._bot = bot
        self._seen: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._strangers: OrderedDict[int, None] = OrderedDict()
        self._albums: dict[tuple[int, str], list[Incoming]] = {}
        self._collecting: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End what waits."""
        for task in self._collecting:
            task.cancel()
        await asyncio.gather(*self._collecting, return_exceptions=True)

    async def message(self, incoming: Incoming) -> None:
        """Answer a message; those of one album are answered together."""
        member = self._context.access.member(incoming.user, incoming.chat)
        if member is None:
            self._note_stranger(incoming)
            return
        if not self._is_new(incoming):
            return
        if incoming.private:
            self._context.ledger.set_known(member.id)
        if incoming.album and incoming.document is not None:
            self._collect(member, incoming)
        else:
            files = [(incoming.id, incoming.document)] if incoming.document is not None else []
            await self._told(incoming, self._answer(member, incoming, files))
            self._context.ledger.set_handled(incoming.chat, incoming.id)

    async def _told(self, incoming: Incoming, work: Coroutine[Any, Any, None]) -> None:
        """Do something for a member, who hears what went wrong."""
        try:
            await work
        except TaskdeckError as error:
            self._context.say(incoming, cards.error(error))
        except GatewayError as error:
            log.warning("chat %s: %s", incoming.chat, error.code)
        except Exception:
            log.exception("cannot answer a message")
            problem = TaskdeckError("internal", "cannot do this", "see the daemon's log")
            self._context.say(incoming, cards.error(problem))

    def _note_stranger(self, incoming: Incoming) -> None:
        """Log once who was ignored: the id is what an administrator needs to let somebody in."""
        key = incoming.user or incoming.chat
        if key not in self._strangers:
            self._strangers[key] = None
            log.info("ignored a message of user %s in chat %s: not allowed", incoming.user, incoming.chat)
            while len(self._strangers) > _SEEN:
                self._strangers.popitem(last=False)

    def _is_new(self, incoming: Incoming) -> bool:
        """Whether a message was not answered yet: after an outage or a crash Telegram delivers some twice."""
        key = (incoming.chat, incoming.id)
        if key in self._seen or self._context.ledger.handled(*key):
            return False
        self._seen[key] = None
        while len(self._seen) > _SEEN:
            self._seen.popitem(last=False)
        return True

    # albums --------------------------------------------------------------------------------------------------

    def _collect(self, member: Member, incoming: Incoming) -> None:
        """Keep a message of an album until no other follows: each comes alone, only one has the caption."""
        key = (incoming.chat, incoming.album)
        begun = key in self._albums
        self._albums.setdefault(key, []).append(incoming)
        if not begun:
            task = asyncio.create_task(self._album(member, key), name=f"telegram album {incoming.chat}")
            self._collecting.add(task)
            task.add_done_callback(self._collecting.discard)

    async def _album(self, member: Member, key: tuple[int, str]) -> None:
        count = 0
        while count < len(self._albums[key]):
            count = len(self._albums[key])
            await asyncio.sleep(ALBUM_WAIT)
        messages = sorted(self._albums.pop(key), key=lambda message: message.id)
        about = next((message for message in messages if message.text), messages[0])
        files = [(message.id, message.document) for message in messages if message.document is not None]
        await self._told(about, self._answer(member, about, files))
        for message in messages:
            self._context.ledger.set_handled(message.chat, message.id)

    # commands ------------------------------------------------------------------------------------------------

    async def _answer(self, member: Member, incoming: Incoming, files: Sequence[File]) -> None:
        prompted = await self._passwords.answered(incoming)
        if prompted is not None and not self._is_command(incoming.text):
            await self._passwords.unlock(member, incoming, prompted)
            return
        # Somebody else's words are not commands, but somebody else's file is welcome.
        text = "" if incoming.forwarded else incoming.text
        command = await self._passwords.read_command(incoming, text, bot=self._bot())
        if command is None:
            if files:
                self._requests.offer(member, incoming, files)
            elif incoming.private and not incoming.forwarded:
                asked = await self._passwords.asked(incoming)
                if asked is not None:
                    await self._passwords.unlock(member, incoming, asked)
                else:
                    self._context.say(incoming, "Send /help to see what I can do.")
            return
        if self._context.now() - incoming.date > TOO_OLD:
            await self._passwords.hide(incoming, command)
            name = cards.escape(command.name)
            self._context.say(incoming, f"I was away; /{name} was not done. Send it again if needed.")
            return
        await self._run(member, incoming, command, files)

    def _is_command(self, text: str) -> bool:
        """Whether a text is one of our commands: that is nobody's password."""
        try:
            command = parse_command(text, bot=self._bot())
        except TaskdeckError:
            return False
        name = command.name if command is not None else ""
        return name in self._controls.answers or commands.operation_spec(name) is not None

    async def _run(self, member: Member, incoming: Incoming, command: Command, files: Sequence[File]) -> None:
        answer = self._controls.answers.get(command.name)
        if answer is not None:
            await answer(member, incoming, command)
            return
        spec = commands.operation_spec(command.name)
        if spec is not None:
            await self._requests.operation(member, incoming, command, spec, files)
        elif incoming.private:
            raise TaskdeckError("usage", f"cannot do /{command.name}", "there is no such command", "see /help")
