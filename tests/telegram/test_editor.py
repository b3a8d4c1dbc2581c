"""The writer of a chat in virtual time: pacing, floods, endings first, nothing twice."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.telegram.virtual import run
from tui_app.telegram.editor import GROUP_INTERVAL, PRIVATE_INTERVAL, Board, ChatEditor, Post
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
)


@dataclass
class Limited:
    """A writer with the service's sliding window: so many edits a chat in any sixty seconds."""

    edits_a_minute: int = 20
    shared: bool = False
    """True: new messages count as edits do, as in groups."""
    log: list[tuple[float, str, str]] = field(default_factory=list)
    refused: int = 0
    errors: deque[GatewayError] = field(default_factory=deque)
    seen: set[int] = field(default_factory=set)
    lose_answers: int = 0
    lose_deletions: int = 0
    faults: deque[Exception] = field(default_factory=deque)
    """Errors of the library itself."""
    _window: deque[float] = field(default_factory=deque)

    def _count(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._window and now - self._window[0] >= 60:
            self._window.popleft()
        if len(self._window) >= self.edits_a_minute:
            self.refused += 1
            raise Flood(max(1.0, 60 - (now - self._window[0])))
        self._window.append(now)

    async def _on_the_way(self) -> None:
        await asyncio.sleep(0.05)
        for waiting in (self.errors, self.faults):
            if waiting:
                raise waiting.popleft()

    def _record(self, kind: str, text: str) -> None:
        self.log.append((asyncio.get_running_loop().time(), kind, text))

    async def send_text(self, chat: int, html: str, delivery: Delivery, *, buttons: Buttons = ()) -> int:
        await self._on_the_way()
        if delivery.random_id in self.seen:
            raise Duplicate("RANDOM_ID_DUPLICATE")
        if self.shared:
            self._count()
        self.seen.add(delivery.random_id)
        self._record("send", html)
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unreachable("TimeoutError")
        return len(self.log)

    async def edit_text(self, chat: int, message: int, html: str, *, buttons: Buttons = ()) -> None:
        await self._on_the_way()
        self._count()
        self._record("edit", html)

    async def delete(self, chat: int, messages: Sequence[int]) -> None:
        await asyncio.sleep(0.05)
        if self.lose_deletions:
            self.lose_deletions -= 1
            raise Unreachable("TimeoutError")
        self._record("delete", str(list(messages)))

    def times(self, kind: str) -> list[float]:
        return [at for at, what, _ in self.log if what == kind]


def busy_minute(gateway: Limited, chat: int, interval: float) -> tuple[float, ChatEditor]:
    """Twenty tasks that change twice a second for a minute and then all end; seconds until the last end is told."""

    async def story() -> tuple[float, ChatEditor]:
        loop = asyncio.get_running_loop()
        editor = ChatEditor(gateway, chat, interval=interval)
        await editor.place(Board("start")).sent
        for tick in range(120):
            editor.show(Board(f"tick {tick}"))
            await asyncio.sleep(0.5)
        ended = loop.time()
        posts = [
            editor.announce(Post(f"<b>task {number} is done</b>\n" + "line of a result\n" * 18)) for number in range(20)
        ]
        editor.show(Board("nothing is running"))
        await asyncio.gather(*(post.sent for post in posts))
        told = loop.time() - ended
        await asyncio.sleep(10)
        assert editor.idle
        await editor.close()
        return told, editor

    return run(story())


def test_twenty_tasks_for_a_minute_meet_no_refusal_and_endings_come_within_15_seconds() -> None:
    gateway = Limited()
    told, editor = busy_minute(gateway, 1000, PRIVATE_INTERVAL)
    assert gateway.refused == 0
    assert editor.floods == 0
    assert told <= 15
    assert len(gateway.times("edit")) >= 18
    everything = "\n".join(text for _, kind, text in gateway.log if kind == "send")
    assert all(f"task {number} is done" in everything for number in range(20))
    assert gateway.log[-1][2] == "nothing is running"


def test_in_a_group_messages_and_edits_share_the_limit_and_none_is_refused() -> None:
    gateway = Limited(shared=True)
    told, _ = busy_minute(gateway, -100, GROUP_INTERVAL)
    assert gateway.refused == 0
    assert told <= 15


def test_edits_keep_the_interval_and_the_latest_state_wins() -> None:
    gateway = Limited()

    async def story() -> None:
        editor = ChatEditor(gateway, 1, interval=3.1)
        await editor.place(Board("first")).sent
        for number in range(100):
            editor.show(Board(f"state {number}"))
            await asyncio.sleep(0.1)
        await editor.close()

    run(story())
    times = gateway.times("send") + gateway.times("edit")
    assert all(later - earlier >= 3 for earlier, later in pairwise(times[:-1]))
    assert gateway.log[-1][2] == "state 99"


def test_nothing_is_edited_when_nothing_changed() -> None:
    gateway = Limited()

    async def story() -> None:
        editor = ChatEditor(gateway, 1)
        await editor.place(Board("same")).sent
        for _ in range(50):
            editor.show(Board("same"))
            await asyncio.sleep(1)
        await editor.close()

    run(story())
    assert gateway.times("edit") == []


def test_a_flood_wait_is_kept_and_doubles_the_interval() -> None:
    gateway = Limited()

    async def story() -> float:
        editor = ChatEditor(gateway, 1, interval=3.0)
        await editor.place(Board("a")).sent
        gateway.errors.append(Flood(30))
        editor.show(Board("b"))
        await asyncio.sleep(5)
        post = editor.say(Post("an answer"))
        await post.sent
        interval = editor.interval
        await asyncio.sleep(20)
        await editor.close()
        return interval

    interval = run(story())
    sent = gateway.times("send")
    assert sent[1] - sent[0] >= 30
    assert 3.0 < interval <= 6.0
    assert gateway.log[-1][2] == "b"


def test_answers_come_before_endings_and_endings_before_edits() -> None:
    gateway = Limited()

    async def story() -> None:
        editor = ChatEditor(gateway, 1, interval=3.0)
        await editor.place(Board("board")).sent
        editor.show(Board("edited"))
        await editor.announce(Post("ending 1")).sent
        last = editor.announce(Post("ending 2"))
        editor.say(Post("answer"))
        await last.sent
        await asyncio.sleep(10)
        await editor.close()

    run(story())
    assert [text for _, _, text in gateway.log] == ["board", "ending 1", "answer", "ending 2", "edited"]


def test_not_modified_is_no_reason_to_send_again() -> None:
    gateway = Limited()

    async def story() -> None:
        editor = ChatEditor(gateway, 1, interval=3.0)
        await editor.place(Board("a")).sent
        gateway.errors.append(NotModified("MESSAGE_NOT_MODIFIED"))
        editor.show(Board("b"))
        await asyncio.sleep(30)
        editor.show(Board("b"))
        await asyncio.sleep(30)
        await editor.close()

    run(story())
    assert len(gateway.log) == 1


def test_a_board_somebody_deleted_is_not_made_again_by_itself() -> None:
    gateway = Limited()
    boards: list[int | None] = []

    async def story() -> None:
        editor = ChatEditor(gateway, 1, interval=3.0, on_board=boards.append)
        await editor.place(Board("a")).sent
        gateway.errors.append(Gone("MESSAGE_ID_INVALID"))
        editor.show(Board("b"))
        await asyncio.sleep(10)
        editor.show(Board("c"))
        await asyncio.sleep(10)
        await editor.close()

    run(story())
    assert [kind for _, kind, _ in gateway.log] == ["send"]
    assert boards[-1] is None


def test_an_answer_whose_receipt_was_lost_is_sent_once() -> None:
    gateway = Limited(lose_answers=1)

    async def story() -> None:
        editor = ChatEditor(gateway, 1)
        await editor.say(Post("once")).sent
        await editor.close()

    run(story())
    assert gateway.times("send").__len__() == 1


def test_an_outage_loses_no_ending() -> None:
    gateway = Limited()

    async def story() -> None:
        editor = ChatEditor(gateway, 1, interval=3.0)
        gateway.errors.extend(Unreachable("x") for _ in range(60))
        await editor.announce(Post("ended")).sent
        await editor.close()

    run(story())
    assert [text for _, _, text in gateway.log] == ["ended"]


def test_closing_writes_the_last_words_within_the_grace() -> None:
    gateway = Limited()

    async def story() -> float:
        loop = asyncio.get_running_loop()
        editor = ChatEditor(gateway, 1, interval=60.0)
        await editor.place(Board("a")).sent
        for number in range(5):
            editor.announce(Post(f"ended {number}"))
        editor.show(Board("b"))
        before = loop.time()
        await editor.close(3.0)
        return loop.time() - before

    assert run(story()) <= 3.0
    everything = "\n".join(text for _, _, text in gateway.log)
    assert all(f"ended {number}" in everything for number in range(5))
    assert gateway.log[-1][2] == "b"


def test_an_ending_whose_asker_gave_up_is_left_for_another_time() -> None:
    gateway = Limited()

    async def story() -> None:
        editor = ChatEditor(gateway, 1, interval=3.0)
        await editor.announce(Post("first")).sent
        second, third = editor.announce(Post("second")), editor.announce(Post("third"))
        second.sent.cancel()
        await third.sent
        await editor.close()

    run(story())
    assert [text for _, _, text in gateway.log] == ["first", "third"]


def test_joined_endings_fit_one_message() -> None:
    gateway = Limited()

    async def story() -> None:
        editor = ChatEditor(gateway, 1, interval=3.0)
        await editor.announce(Post("first")).sent
        posts = [editor.announce(Post(f"{number}" * 1500)) for number in range(5)]
        await asyncio.gather(*(post.sent for post in posts))
        await editor.close()

    run(story())
    assert all(len(text) <= TEXT_LIMIT for _, _, text in gateway.log)
    assert len(gateway.times("send")) == 4


def test_an_ending_is_not_lost_with_the_receipt_of_the_one_before() -> None:
    gateway = Limited(lose_answers=1)

    async def story() -> None:
        editor = ChatEditor(gateway, 1)
        first = editor.announce(Post("first"))
        await asyncio.sleep(0.2)  # it is there, but its receipt got lost
        second = editor.announce(Post("second"))
        await asyncio.gather(first.sent, second.sent)
        await editor.close()

    run(story())
    assert [text for _, _, text in gateway.log] == ["first", "second"]


def test_an_edit_that_is_refused_for_good_is_not_asked_for_again_and_again() -> None:
    gateway = Limited()

    async def story() -> None:
        loop = asyncio.get_running_loop()
        editor = ChatEditor(gateway, 1, interval=3.0)
        await editor.place(Board("a")).sent
        gateway.errors.extend(GatewayError("USER_IS_BLOCKED") for _ in range(1000))
        began = loop.time()
        while loop.time() - began < 60:
            editor.show(Board(f"state at {loop.time()}"))
            await asyncio.sleep(0.5)
        assert 1000 - len(gateway.errors) <= 6
        gateway.errors.clear()
        await asyncio.sleep(60)
        await editor.close()

    run(story())
    assert gateway.times("edit"), "it is tried again later: perhaps the bot is let in again"


def test_a_fault_of_the_library_costs_one_message_not_the_chat() -> None:
    gateway = Limited()

    async def story() -> list[int | None]:
        editor = ChatEditor(gateway, 1)
        await editor.place(Board("board")).sent
        gateway.faults.append(ValueError("Peer id invalid"))
        posts = [editor.say(Post("lost")), editor.say(Post("said"))]
        sent = [await asyncio.wait_for(post.sent, 60) for post in posts]
        gateway.faults.append(AttributeError("session"))
        editor.show(Board("edited"))
        await asyncio.sleep(30)
        editor.show(Board("edited again"))
        await asyncio.sleep(30)
        await editor.close()
        return sent

    lost, said = run(story())
    assert lost is None
    assert said is not None
    assert [text for _, _, text in gateway.log] == ["board", "said", "edited again"]


def test_the_old_status_message_goes_even_when_its_deletion_fails_at_first() -> None:
    gateway = Limited(lose_deletions=2)

    async def story() -> None:
        editor = ChatEditor(gateway, 1)
        first = await editor.place(Board("a")).sent
        await editor.place(Board("b")).sent
        await editor.close()
        assert gateway.log[-1][1:] == ("delete", str([first]))

    run(story())


def test_a_status_message_whose_receipt_was_lost_is_placed_anew_and_kept_up_to_date() -> None:
    gateway = Limited(lose_answers=1)
    boards: list[int | None] = []

    async def story() -> None:
        editor = ChatEditor(gateway, 1, on_board=boards.append)
        placed = await editor.place(Board("a")).sent
        editor.show(Board("b"))
        await asyncio.sleep(10)
        assert boards == [placed]
        await editor.close()

    run(story())
    assert [(kind, text) for _, kind, text in gateway.log] == [("send", "a"), ("send", "a"), ("edit", "b")]
