"""Commands that are no operations: looking at tasks, controlling them, one's own wishes, help."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from engines.errors import TaskdeckError
from engines.model import Action, TaskView
from engines.names import display
from engines.query import Query, Sort, parse_filter
from tui_app.telegram import cards, commands, notices
from tui_app.telegram.access import Member, Role
from tui_app.telegram.commands import BUILTINS
from tui_app.telegram.context import Context
from tui_app.telegram.follow import Follower
from tui_app.telegram.gateway import Incoming
from tui_app.telegram.ledger import Wishes
from tui_app.telegram.tokenizer import Command

_HISTORY: Final = 10
_SHOWN: Final = 15
"""Tasks one answer names; with two units a character even these fit one message."""

Answer = Callable[[Member, Incoming, Command], Awaitable[None]]


class Controls:
    """Answers them.

    Args:
        context: Shared parts.
        follower: The open tasks and boards.
    """

    def __init__(self, context: Context, follower: Follower) -> None:
        self._context = context
        self._follower = follower
        self.answers: dict[str, Answer] = {
            "status": self._status,
            "pause": self._control(Action.PAUSE),
            "resume": self._control(Action.RESUME),
            "cancel": self._control(Action.CANCEL),
            "retry": self._control(Action.RETRY),
            "history": self._history,
            "stats": self._stats,
            "notify": self._notify,
            "quiet": self._quiet,
            "id": self._id,
            "help": self._help,
            "start": self._help,
        }
        assert self.answers.keys() >= BUILTINS.keys()

    async def _status(self, member: Member, incoming: Incoming, command: Command) -> None:
        if not command.tokens:
            self._context.editor(incoming.chat).place(
                self._follower.board(incoming.chat), reply_to=incoming.id, topic=incoming.topic
            )
            return
        view = await self.visible(member, command.tokens[0].text)
        detail = await self._context.tasks.detail(view.id, log_lines=10)
        self._context.say(incoming, cards.details(view, detail.log[-10:]))

    async def visible(self, member: Member, task_id: str) -> TaskView:
        """A task by its id; one the member may not see is as missing as one that is not."""
        view = await self._context.tasks.view(task_id.casefold())
        if not member.sees(view):
            raise TaskdeckError("task.missing", f"cannot find task {display(task_id)}")
        return view

    def _control(self, action: Action) -> Answer:
        async def control(member: Member, incoming: Incoming, command: Command) -> None:
            member.require(Role.CONTROL, f"{action.value} a task")
            words = [token.text for token in command.tokens]
            if not words:
                raise TaskdeckError("usage", f"cannot {action.value}", "no task is named", f"write /{action.value} ID")
            ids = await self._named(member, incoming.chat, words, action)
            if not ids:
                self._context.say(incoming, "There is nothing to do.")
                return
            outcomes = await self._context.tasks.control(ids, action, actor=member.actor)
            lines = []
            for outcome in sorted(outcomes, key=lambda outcome: outcome.ok):  # what went wrong comes first
                if outcome.view is not None:
                    self._follower.replace(outcome.view)
                shown = cards.escape(outcome.id)
                if outcome.error is not None:
                    why = cards.escape(display(outcome.error.message, limit=100))
                    lines.append(f"❌ <code>{shown}</code>: {why}")
                elif outcome.view is not None:
                    name = cards.escape(display(outcome.view.title, limit=60))
                    lines.append(f"<code>{shown}</code> {name}: {outcome.view.state.value}")
            if len(lines) > _SHOWN:
                lines = [*lines[:_SHOWN], f"… and {len(lines) - _SHOWN} more"]
            self._context.say(incoming, "\n".join(lines) or "Done.")
            self._follower.refresh()

        return control

    async def _named(self, member: Member, chat: int, words: list[str], action: Action) -> list[str]:
        if words == ["all"]:
            return [view.id for view in self._follower.visible(chat) if action in view.actions and member.sees(view)]
        views = [await self.visible(member, word) for word in words]
        for view in views:
            member.require_task(view, action)
        return [view.id for view in views]

    async def _history(self, member: Member, incoming: Incoming, command: Command) -> None:
        wanted = f"status:ended {command.rest.strip()}"
        if member.role is not Role.ADMIN:
            if parse_filter(wanted).owners - {member.owner}:
                raise TaskdeckError("access.denied", "cannot show this history", "it belongs to somebody else")
            wanted = f"owner:{member.owner} {wanted}"
        page = await self._context.tasks.query(Query(filter=wanted, sort=Sort.FINISHED, limit=_HISTORY))
        shown = [view for view in page.items if member.sees(view)]
        if not shown:
            self._context.say(incoming, "No ended tasks.")
            return
        head = f"<b>History</b> · {page.total}"
        self._context.say(incoming, "\n\n".join([head, *(cards.card(view) for view in shown)]))

    async def _stats(self, member: Member, incoming: Incoming, _: Command) -> None:
        self._context.say(incoming, cards.statistics(await self._context.tasks.stats()))

    async def _notify(self, member: Member, incoming: Incoming, command: Command) -> None:
        wishes = self._context.ledger.wishes(member.id)
        if command.tokens:
            level = notices.parse_level(command.tokens[0].text)
            self._context.ledger.set_wishes(member.id, Wishes(level.value, wishes.quiet))
        self._context.say(incoming, f"You are told: <b>{self._context.level(member).value}</b>")

    async def _quiet(self, member: Member, incoming: Incoming, command: Command) -> None:
        wishes = self._context.ledger.wishes(member.id)
        if command.rest.strip():
            hours = command.rest.strip()
            quiet = "off" if notices.parse_quiet(hours) is None else hours
            self._context.ledger.set_wishes(member.id, Wishes(wishes.notify, quiet))
            wishes = self._context.ledger.wishes(member.id)
        shown = wishes.quiet or self._context.settings.quiet or "off"
        self._context.say(incoming, f"Quiet hours: <b>{cards.escape(shown)}</b>")

    async def _id(self, member: Member, incoming: Incoming, _: Command) -> None:
        self._context.say(
            incoming,
            f"You: <code>{member.id}</code> ({member.role.value})\nThis chat: <code>{incoming.chat}</code>",
        )

    async def _help(self, member: Member, incoming: Incoming, command: Command) -> None:
        plain = commands.help_text(command.tokens[0].text if command.tokens and command.name == "help" else "")
        for page in cards.pages(plain):
            self._context.say(incoming, cards.titled(page))
