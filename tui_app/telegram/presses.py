"""Buttons under the bot's messages: tasks, pages, files, questions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from engines.errors import TaskdeckError
from engines.model import Action, TaskView
from engines.names import display
from tui_app.telegram import cards
from tui_app.telegram.access import Member
from tui_app.telegram.context import Context
from tui_app.telegram.controls import Controls
from tui_app.telegram.editor import Post
from tui_app.telegram.follow import Follower
from tui_app.telegram.gateway import GatewayError, Press
from tui_app.telegram.ledger import Origin
from tui_app.telegram.requests import Requests

log = logging.getLogger(__name__)

_PRESS_LIMIT: Final = 3.0


class Presses:
    """Answers pressed buttons, each with a short note.

    Args:
        context: Shared parts.
        follower: The open tasks and boards.
        controls: Finds the task a member may see.
        requests: Does what was chosen for a file.
    """

    def __init__(self, context: Context, follower: Follower, controls: Controls, requests: Requests) -> None:
        self._context = context
        self._follower = follower
        self._controls = controls
        self._requests = requests

    async def press(self, press: Press) -> None:
        """Answer a pressed button; strangers get no answer."""
        member = self._context.access.member(press.user, press.chat)
        if member is None:
            return
        work = asyncio.create_task(self._pressed(member, press))
        try:
            await asyncio.wait((work,), timeout=_PRESS_LIMIT)
            late = not work.done()
            note = "Asked for; it takes a moment." if late else (await _outcome(work))[0]
            try:
                await self._context.gateway.answer(press.id, note)
            except GatewayError as error:
                log.info("a button could not be answered: %s", error.code)
            if late:
                note, done = await _outcome(work)
                if not done:
                    post = Post(f"❌ {cards.escape(note)}", reply_to=press.message)
                    self._context.editor(press.chat).say(post)
        finally:
            work.cancel()

    async def _pressed(self, member: Member, press: Press) -> str:
        action = cards.pressed_action(press.data)
        if action is not None:
            return await self._act(member, press, *action)
        verb, _, rest = press.data.partition(":")
        match verb:
            case cards.YES:
                note = await self._act(member, press, Action.CANCEL, rest, sure=True)
                await self._drop_question(press)
                return note
            case cards.NO:
                await self._drop_question(press)
                return "It goes on."
            case cards.OFFER:
                return await self._requests.chosen(member, press, rest)
            case cards.PAGE if rest.isdigit():
                self._follower.turn(press.chat, int(rest))
            case cards.REFRESH:
                pass
            case _:
                raise TaskdeckError("usage", "cannot use this button", "it is of another version", "send /status")
        editor = self._context.editor(press.chat)
        # A newer message than the known one is that one: its receipt is still on the way.
        if not editor.placing and press.message < (editor.board or press.message + 1):
            editor.place(self._follower.board(press.chat))
            return "See the newest status below."
        editor.show(self._follower.board(press.chat))
        return "" if verb == cards.PAGE else "Up to date"

    async def _act(self, member: Member, press: Press, action: Action, task_id: str, *, sure: bool = False) -> str:
        view = await self._controls.visible(member, task_id)
        member.require_task(view, action)
        if action is Action.CANCEL and not sure:
            return await self._ask_whether(press, view)
        outcome = (await self._context.tasks.control([view.id], action, actor=member.actor))[0]
        if outcome.error is not None:
            return outcome.error.message
        if outcome.view is not None:
            self._follower.replace(outcome.view)
        if action is Action.RETRY and self._context.ledger.origin(view.id) is None:
            self._context.ledger.remember(view.id, Origin(press.chat, member.id))
        self._follower.refresh()
        state = outcome.view.state.value if outcome.view is not None else action.value
        return f"{display(view.title, limit=100)}: {state}"

    async def _ask_whether(self, press: Press, view: TaskView) -> str:
        """Cancelling removes what was made so far: ask before, in a message that goes when it was answered."""
        if view.terminal:
            return "It has ended."
        asked = self._context.questions.setdefault(view.id, [])
        for chat, post in [*asked]:
            if chat == press.chat and not await self._stands(chat, post) and (chat, post) in asked:
                asked.remove((chat, post))
        if not any(chat == press.chat for chat, _ in asked):
            post = Post(cards.question(view), cards.question_buttons(view), reply_to=press.message)
            asked.append((press.chat, self._context.editor(press.chat).say(post)))
        return "Really? Answer below."

    async def _stands(self, chat: int, post: Post) -> bool:
        """Whether a question can still be answered: nobody has deleted it."""
        await asyncio.wait((post.sent,))
        try:
            return post.id is not None and await self._context.gateway.fetch(chat, post.id) is not None
        except GatewayError:
            return True

    async def _drop_question(self, press: Press) -> None:
        for asked in self._context.questions.values():
            asked[:] = [(chat, post) for chat, post in asked if chat != press.chat or post.id != press.message]
        with contextlib.suppress(GatewayError):
            await self._context.gateway.delete(press.chat, [press.message])


async def _outcome(work: asyncio.Task[str]) -> tuple[str, bool]:
    """What to tell of a press, and whether it did what was wanted."""
    try:
        return await work, True
    except TaskdeckError as error:
        return error.message, False
    except GatewayError as error:
        return error.code, False
    except Exception:
        log.exception("cannot answer a button")
        return "That did not work; see the daemon's log.", False
