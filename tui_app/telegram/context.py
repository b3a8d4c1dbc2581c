"""What every part of the chat face works with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from engines import operations
from engines.model import SubmitOptions, TaskView
from engines.operations import Operation
from engines.settings import TelegramSettings
from engines.tasks.api import Tasks
from tui_app.telegram import notices
from tui_app.telegram.access import Access, Member
from tui_app.telegram.editor import GROUP_INTERVAL, PRIVATE_INTERVAL, ChatEditor, Post
from tui_app.telegram.gateway import Buttons, Gateway, Incoming
from tui_app.telegram.ledger import Ledger, Origin


@dataclass(eq=False)
class Context:
    """The chat face's shared parts; lives as long as the service, over all connections."""

    tasks: Tasks
    gateway: Gateway
    access: Access
    ledger: Ledger
    settings: TelegramSettings
    now: Callable[[], float] = time.time
    intervals: tuple[float, float] = (PRIVATE_INTERVAL, GROUP_INTERVAL)
    """Seconds between automatic messages and edits in a private chat and in a group."""
    editors: dict[int, ChatEditor] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    """Secrets of operations that follow a task, by its id or batch: in memory only."""
    questions: dict[str, list[tuple[int, Post]]] = field(default_factory=dict)
    """Questions whether to cancel, by the id of the task: chat and message."""

    def editor(self, chat: int) -> ChatEditor:
        """The writer of a chat."""
        if chat not in self.editors:
            self.editors[chat] = ChatEditor(
                self.gateway,
                chat,
                interval=self.intervals[0] if chat > 0 else self.intervals[1],
                board=self.ledger.board(chat),
                on_board=lambda message: self.ledger.set_board(chat, message),
            )
        return self.editors[chat]

    def say(self, incoming: Incoming, html: str, buttons: Buttons = (), *, silent: bool = False) -> Post:
        """Answer a message."""
        post = Post(html, buttons, reply_to=incoming.id, topic=incoming.topic, silent=silent)
        return self.editor(incoming.chat).say(post)

    async def submit(self, member: Member, op: Operation, origin: Origin, *, key: str) -> TaskView:
        """Queue an operation for a member, bound to the member's folders, and remember where it was asked for.

        Raises:
            TaskdeckError: What the task engine says; `access.denied`.
        """
        ready = await asyncio.to_thread(operations.absolute, op, member.policy, base=member.base)
        bare, secrets = operations.split_secrets(ready)
        view = await self.tasks.submit(
            operations.to_json(bare) | secrets,
            actor=member.actor,
            options=SubmitOptions(key=key, roots=member.roots),
        )
        if not view.terminal:  # else it was asked for before under this key, and was told
            self.ledger.remember(view.id, origin)
        return view

    def level(self, member: Member) -> notices.Level:
        """Which endings a member hears of."""
        user = self.settings.users.get(str(member.id))
        chosen = self.ledger.wishes(member.id).notify or (user.notify if user else "") or self.settings.notify
        return notices.parse_level(chosen)

    def quiet(self, user: int) -> bool:
        """Whether messages to a user come without sound now."""
        entry = self.settings.users.get(str(user))
        chosen = self.ledger.wishes(user).quiet or (entry.quiet if entry else "") or self.settings.quiet
        return notices.is_quiet(notices.parse_quiet(chosen), self.now())

    def hurry(self) -> None:
        """Let every chat's writer keep no more intervals."""
        for editor in self.editors.values():
            editor.hurry()

    async def close(self, grace: float) -> None:
        """Let every chat's writer finish, all at once."""
        editors, self.editors = self.editors, {}
        await asyncio.gather(*(editor.close(grace) for editor in editors.values()))
