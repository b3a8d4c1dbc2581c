"""Everything the bot writes into one chat, paced: one request in flight, the latest state wins, floods back off.

Order: answers to commands at once; endings of tasks next, as new messages; edits of the status board last. Endings
keep an interval among themselves, so that many are joined into one message; edits keep it after anything. It
doubles on a flood wait and shrinks back by a tenth with every success. In a group Telegram counts messages and edits
together, about 20 a minute in a sliding window: there everything automatic shares one interval. The intervals stay
a little above a twentieth of a minute, so that jitter on the way cannot push a 21st into the window.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tui_app.telegram.gateway import (
    TEXT_LIMIT,
    Buttons,
    Delivery,
    Duplicate,
    Flood,
    GatewayError,
    Gone,
    NotModified,
    Unreachable,
    Writer,
    utf16,
)

log = logging.getLogger(__name__)

PRIVATE_INTERVAL: Final = 3.1
GROUP_INTERVAL: Final = 4.1
_CEILING: Final = 60.0
_AFTER_ANSWER: Final = 1.0
_PATIENCE: Final = 900.0
"""Seconds a message is kept while Telegram cannot be reached."""

_RETRY_DELAY: Final = 1.0
_MERGE_FROM: Final = 2


def new_random_id() -> int:
    """An id that makes a repeated sending of the same message harmless."""
    return int.from_bytes(secrets.token_bytes(8), "little", signed=True)


@dataclass(eq=False)
class Post:
    """A new message. `sent` becomes its id, or None when Telegram refused it for good."""

    html: str
    buttons: Buttons = ()
    reply_to: int | None = None
    silent: bool = False
    topic: int | None = None
    random_id: int = field(default_factory=new_random_id)
    born: float = field(default_factory=time.monotonic)
    sent: asyncio.Future[int | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    tried: bool = False
    """Whether it was sent before: it may have got through, so its text under this `random_id` is fixed."""

    @property
    def id(self) -> int | None:
        """The id of the message, None while it is not sent or when it never was."""
        return self.sent.result() if self.sent.done() and not self.sent.cancelled() else None

    def settle(self, message: int | None) -> None:
        """Tell whoever waits."""
        if not self.sent.done():
            self.sent.set_result(message)


@dataclass(frozen=True, slots=True)
class Board:
    """What the status message should say."""

    html: str
    buttons: Buttons = ()


class ChatEditor:
    """The one writer of a chat.

    Args:
        writer: Telegram.
        chat: Chat id.
        interval: Seconds between automatic messages and edits.
        board: Id of the status message of an earlier run.
        on_board: Told whenever the status message becomes another one.
    """

    def __init__(
        self,
        writer: Writer,
        chat: int,
        *,
        interval: float = PRIVATE_INTERVAL,
        board: int | None = None,
        on_board: Callable[[int | None], None] = lambda _: None,
    ) -> None:
        self._writer = writer
        self._chat = chat
        self._base = self.interval = interval
        self.board = board
        self._on_board = on_board
        self._answers: deque[Post] = deque()
        self._endings: deque[Post] = deque()
        self._stale: list[int] = []
        self._shown: Board | None = None
        self._wanted: Board | None = None
        self._placing: Post | None = None
        self._edit_from = self._ending_from = 0.0
        self._flood_until = 0.0
        self._placed_at = -1e9
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._hurry = False
        self.edits = self.floods = 0
        self._task = asyncio.create_task(self._run(), name=f"telegram chat {chat}")

    # what others ask -----------------------------------------------------------------------------------------

    def say(self, post: Post) -> Post:
        """Answer somebody: sent as soon as Telegram allows."""
        self._answers.append(post)
        self._wake.set()
        return post

    def announce(self, post: Post) -> Post:
        """Tell of an ending: paced, and joined with others that wait."""
        self._endings.append(post)
        self._wake.set()
        return post

    def show(self, board: Board) -> None:
        """Bring the status message up to date, if there is one; the latest call wins."""
        self._wanted = board
        self._wake.set()

    def place(
        self, board: Board, *, reply_to: int | None = None, topic: int | None = None, silent: bool = False
    ) -> Post:
        """Put the status message at the bottom of the chat or topic, as a new one that replaces the old."""
        self._wanted = board
        post = Post(board.html, board.buttons, reply_to, silent, topic)
        if self._placing is not None:
            self._placing.settle(None)
        self._placing = post
        self._wake.set()
        return post

    @property
    def placing(self) -> bool:
        """Whether a new status message is on its way."""
        return self._placing is not None

    @property
    def may_place(self) -> bool:
        """Whether a new status message would not follow the last one too closely."""
        return asyncio.get_running_loop().time() - self._placed_at >= self.interval

    @property
    def flooded(self) -> float:
        """Seconds Telegram still wants us to be silent."""
        return max(0.0, self._flood_until - asyncio.get_running_loop().time())

    @property
    def idle(self) -> bool:
        """Whether everything asked for has been written."""
        waiting = self._answers or self._endings or self._stale
        return not waiting and self._placing is None and not self._dirty()

    def hurry(self) -> None:
        """Keep no more intervals: the end is near."""
        self._hurry = True
        self._wake.set()

    async def close(self, grace: float = 3.0) -> None:
        """Write what is still wanted without keeping intervals, for at most so many seconds, and end."""
        self.hurry()
        if not self.idle:
            self._drained.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), grace)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for post in (*self._answers, *self._endings, *([self._placing] if self._placing else [])):
            post.settle(None)

    # the loop ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            delay = await self._step()
            if self.idle:
                self._drained.set()
            if delay == 0:
                continue
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), delay)

    async def _step(self) -> float | None:
        """Do the most urgent thing; returns the seconds until the next, None to wait for a wish."""
        now = asyncio.get_running_loop().time()
        if now < self._flood_until:
            return self._flood_until - now
        for queue in (self._answers, self._endings):
            # Whoever waited for it has given up, and may ask for it another time.
            for post in [post for post in queue if post.sent.cancelled()]:
                queue.remove(post)
        try:
            if self._placing is not None:
                await self._place(self._placing)
            elif self._answers:
                await self._send(self._answers)
                self._hold(_AFTER_ANSWER)
            elif self._endings and (now >= self._ending_from or self._hurry):
                self._merge()
                await self._send(self._endings)
                self._hold(self.interval, endings=True)
            elif self._stale:
                await self._remove(self._stale[0])
            elif self._dirty() and (now >= self._edit_from or self._hurry):
                await self._edit()
                self._hold(self.interval)
            else:
                waits = [self._ending_from] * bool(self._endings) + [self._edit_from] * self._dirty()
                return max(0.001, min(waits) - now) if waits else None
        except Flood as flood:
            self.floods += 1
            self._back_off()
            self._flood_until = asyncio.get_running_loop().time() + flood.seconds + 0.5
        except Unreachable:
            await asyncio.sleep(_RETRY_DELAY)
        except GatewayError as error:
            log.warning("chat %s: %s", self._chat, error.code)
        except Exception:  # whatever the library's fault is, the next message may be written
            log.exception("chat %s: cannot write", self._chat)
        else:
            self.interval = max(self._base, self.interval * 0.9)
        return 0

    def _back_off(self) -> None:
        self.interval = min(_CEILING, self.interval * 2)

    @contextlib.contextmanager
    def _or_else(self, give_up: Callable[[], object]) -> Iterator[None]:
        """Give up a wish that was refused for good; one that may be granted later stays."""
        try:
            yield
        except (Flood, Unreachable):
            raise
        except Exception:
            give_up()
            raise

    def _hold(self, seconds: float, *, endings: bool = False) -> None:
        until = asyncio.get_running_loop().time() + seconds
        self._edit_from = max(self._edit_from, until)
        if endings or self._chat < 0:
            self._ending_from = max(self._ending_from, until)

    def _dirty(self) -> bool:
        return self.board is not None and self._wanted is not None and self._wanted != self._shown

    async def _send(self, queue: deque[Post]) -> None:
        """Send the first post of a queue; it stays there when a later try may succeed."""
        post = queue[0]
        try:
            with self._or_else(lambda: queue.popleft().settle(None)):
                message = await self._write(post)
        except (Flood, Unreachable):
            if time.monotonic() - post.born > _PATIENCE:
                queue.popleft().settle(None)
            raise
        queue.popleft()
        post.settle(message)

    async def _write(self, post: Post) -> int | None:
        post.tried = True
        try:
            delivery = Delivery(random_id=post.random_id, reply_to=post.reply_to, topic=post.topic, silent=post.silent)
            return await self._writer.send_text(self._chat, post.html, delivery, buttons=post.buttons)
        except Duplicate:
            return None  # an earlier try got through, only its answer was lost

    def _merge(self) -> None:
        """Join waiting endings into one message as far as they fit: many tasks may end in one interval.

        Nothing is added to one that was tried: were it there already, all of it would be taken for sent.
        """
        if len(self._endings) < _MERGE_FROM or self._endings[0].tried:
            return
        first = self._endings.popleft()
        joined = [first]
        while self._endings:
            html = f"{joined[0].html}\n\n{self._endings[0].html}"
            if utf16(html) > TEXT_LIMIT or self._endings[0].topic != first.topic:
                break
            other = self._endings.popleft()
            joined.append(other)
            first.html, first.silent = html, first.silent and other.silent
            first.reply_to, first.buttons = None, ()
        for other in joined[1:]:
            first.sent.add_done_callback(lambda _, post=other: post.settle(first.id))  # type: ignore[misc]
        self._endings.appendleft(first)

    async def _place(self, post: Post) -> None:
        board = self._wanted or Board(post.html, post.buttons)
        post.html, post.buttons = board.html, board.buttons
        with self._or_else(lambda: self._unplace(post)):
            message = await self._write(post)
        if message is None:
            # The earlier try got through, but nobody knows as which message: a board that cannot be edited is none.
            post.random_id = new_random_id()
            return
        if self._placing is post:
            self._placing = None
        if self.board is not None:
            self._stale.append(self.board)
        self.board, self._shown = message, board
        self._placed_at = asyncio.get_running_loop().time()
        self._hold(self.interval)
        self._on_board(message)
        post.settle(message)

    def _unplace(self, post: Post) -> None:
        if self._placing is post:
            self._placing = None
        post.settle(None)

    async def _remove(self, message: int) -> None:
        """Delete an old status message."""
        with self._or_else(lambda: self._stale.remove(message)):
            await self._writer.delete(self._chat, [message])
        self._stale.remove(message)

    async def _edit(self) -> None:
        board, message = self._wanted, self.board
        if board is None or message is None:
            return
        try:
            await self._writer.edit_text(self._chat, message, board.html, buttons=board.buttons)
            self.edits += 1
        except NotModified:
            pass  # it stands as wanted: sending it again would make a duplicate
        except Gone:
            self.board = None  # somebody deleted it; the next /status makes a new one
            self._on_board(None)
            return
        except (Flood, Unreachable):
            raise
        except Exception:
            # Refused for good, as by somebody who blocked the bot: the next state is tried, later and later.
            self._shown = board
            self._back_off()
            self._hold(self.interval)
            raise
        self._shown = board
