"""Follows the tasks: keeps every chat's status message true and hands endings on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from engines.model import TaskView, WaitReason
from engines.query import Query
from engines.tasks.api import Update, Watch
from tui_app.telegram import cards
from tui_app.telegram.context import Context
from tui_app.telegram.editor import Board

log = logging.getLogger(__name__)

_WINDOW: Final = 500
"""Open tasks followed at most; more are counted by nobody's phone."""
_HZ: Final = 1.0
_OPEN: Final = Watch(Query(filter="status:open", limit=_WINDOW), hz=_HZ, stats=False)

OnTask = Callable[[TaskView], Awaitable[None]]


class Follower:
    """The open tasks as last seen, and the boards made from them.

    Args:
        context: Shared parts.
        on_ended: Told of every task that has ended, once.
        on_locked: Told of every task that waits for a password, once each time.
    """

    def __init__(self, context: Context, on_ended: OnTask, on_locked: OnTask) -> None:
        self._context = context
        self._on_ended = on_ended
        self._on_locked = on_locked
        self._locked: set[str] = set()
        self._views: dict[str, TaskView] = {}
        self._order: list[str] = []
        self._pages: dict[int, int] = {}
        self._ended: OrderedDict[tuple[str, float | None], None] = OrderedDict()
        self._running: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._task = asyncio.create_task(self._run(), name="telegram follower")

    async def close(self) -> None:
        """Stop following; endings being told are finished first, for at most a second."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=0.5)
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=1.0)
            for task in late:
                task.cancel()

    async def _run(self) -> None:
        while True:
            try:
                await self._tell_missed()
                watcher = await self._context.tasks.watch(_OPEN)
                try:
                    async for update in watcher:
                        self._take(update)
                finally:
                    with contextlib.suppress(Exception):
                        await watcher.close()
            except Exception:
                log.exception("lost sight of the tasks")
            await asyncio.sleep(1.0)

    async def _tell_missed(self) -> None:
        """Tell of tasks that ended while nobody told: between the end and a crash, or before a restart."""
        for task_id in self._context.ledger.open_tasks:
            try:
                view = await self._context.tasks.view(task_id)
            except Exception:
                self._context.ledger.forget(task_id)
                continue
            if view.terminal:
                self._end(view)

    def _take(self, update: Update) -> None:
        for view in update.rows:
            self._views[view.id] = view
            self._context.ledger.reopen(view.id)
            locked = view.reason is WaitReason.PASSWORD
            if locked and view.id not in self._locked:
                self._tell(self._on_locked, view)
            (self._locked.add if locked else self._locked.discard)(view.id)
        if update.ids is not None:
            self._order = update.ids
            self._views = {key: self._views[key] for key in update.ids if key in self._views}
        for tick in update.ticks:
            if tick.id in self._views:
                self._views[tick.id] = tick.over(self._views[tick.id])
        for view in update.ended:
            self._end(view)
        self.refresh()

    def expect(self, view: TaskView) -> None:
        """Tell of this task's ending the moment it ends, not with the next update: somebody waits for an answer."""

        async def wait(view: TaskView) -> None:
            self._end(await self._context.tasks.wait(view.id))

        self._tell(wait, view)

    def _end(self, view: TaskView) -> None:
        """A task has ended; each ending is told once, whoever brings the news."""
        self._views.pop(view.id, None)
        self._locked.discard(view.id)
        key = (view.id, view.finished)
        if key in self._ended:
            return
        self._ended[key] = None
        while len(self._ended) > _WINDOW:
            self._ended.popitem(last=False)
        self._tell(self._on_ended, view)

    def _tell(self, whom: OnTask, view: TaskView) -> None:
        async def tell() -> None:
            try:
                await whom(view)
            except Exception:
                log.exception("cannot tell of task %s", view.id)

        task = asyncio.create_task(tell(), name=f"telegram task {view.id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    # boards --------------------------------------------------------------------------------------------------

    def add(self, view: TaskView) -> None:
        """Show a task that was just made, before the engine's next update."""
        if view.id not in self._views and not view.terminal:
            self._views[view.id] = view
            self._order = [*self._order, view.id]

    def replace(self, view: TaskView) -> None:
        """Show the state an action has just led to."""
        if view.terminal:
            self._views.pop(view.id, None)
            return
        self._context.ledger.reopen(view.id)
        if view.id in self._views and self._views[view.id].rev <= view.rev:
            self._views[view.id] = view

    def visible(self, chat: int) -> list[TaskView]:
        """The open tasks a chat is shown: in private what its member may see, in a group what was asked for there."""
        views = [self._views[key] for key in self._order if key in self._views]
        if chat > 0:
            member = self._context.access.member(chat, chat)
            return [view for view in views if member is not None and member.sees(view)]
        found = []
        for view in views:
            origin = self._context.ledger.origin(view.id)
            if origin is not None and origin.chat == chat:
                found.append(view)
        return found

    def board(self, chat: int) -> Board:
        """What a chat's status message should say now."""
        rendered = cards.board(self.visible(chat), page=self._pages.get(chat, 0))
        self._pages[chat] = rendered.page
        return rendered.board

    def turn(self, chat: int, page: int) -> None:
        """Show another page."""
        self._pages[chat] = page

    def refresh(self) -> None:
        """Bring every chat's status message up to date."""
        for chat in self._context.ledger.boards:
            self._context.editor(chat).show(self.board(chat))
