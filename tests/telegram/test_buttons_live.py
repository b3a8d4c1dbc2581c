"""The status message: one a chat, its buttons act and answer at once, and only for those who may."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.model import Action, Actor, TaskState
from tests.support.operations import added_operations as extra_operations
from tests.telegram.bot import Bot, running_bot, settings_for
from tests.telegram_server import Person, Sent, TelegramServer
from tui_app.telegram import cards, presses

pytestmark = pytest.mark.pyrogram


@pytest.fixture(autouse=True)
def slow_operation() -> Iterator[None]:
    """`steps`, which takes as long as a test wants."""
    with extra_operations():
        yield


async def long_task(bot: Bot, name: str = "long.bin", *, actor: Actor | None = None) -> str:
    op = {"op": "steps", "path": str(bot.root / name), "count": 5000}
    view = await bot.tasks.submit(op, actor=actor or Actor("local", "cli"))
    return view.id


def boards(messages: list[Sent]) -> list[Sent]:
    return [message for message in messages if message.text.startswith("Tasks")]


async def cancel(person: Person, board: Sent) -> str:
    """Press Cancel, and Yes when asked."""
    assert await person.press(board, "Cancel") == "Really? Answer below."
    question = await person.receives(lambda m: "Yes" in str(m.buttons) and m.chat_id == board.chat_id)
    note = await person.press(question, "Yes")
    await person.sees(lambda: question.deleted)
    return note


async def test_buttons_pause_resume_and_cancel_a_task_of_any_face(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        task = await long_task(bot)  # started on the command line
        ann.say("/status")
        board = await ann.receives(lambda m: "Pause" in str(m.buttons))
        assert "paus" in await ann.press(board, "Pause")
        await ann.receives(lambda m: m is board and "Resume" in str(m.buttons))
        assert (await bot.tasks.view(task)).state in (TaskState.PAUSED, TaskState.PAUSING)
        await ann.press(board, "Resume")
        await ann.receives(lambda m: m is board and "Pause" in str(m.buttons))
        assert "cancel" in await cancel(ann, board)
        assert (await bot.end_of(task)).state is TaskState.CANCELLED
        events = await bot.tasks.events(task_id=task)
        assert any(event.actor == f"telegram:{ann.id}" and event.face == "telegram" for event in events)
        await ann.receives(lambda m: m is board and "Nothing is running." in m.text)


async def test_one_status_message_a_chat(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        await long_task(bot)
        ann.say("/status")
        first = await ann.receives(lambda m: "long.bin" in m.text)
        ann.say("/status")
        second = await ann.receives(lambda m: m.id > first.id and "long.bin" in m.text)
        await ann.sees(lambda: first.deleted)
        assert boards(ann.from_bot()) == [second]


async def test_refresh_without_news_makes_no_edit_and_no_duplicate(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/status")
        board = await ann.receives(lambda m: m.text.startswith("Tasks"))
        for _ in range(5):
            assert await ann.press(board, "Refresh") == "Up to date"
        assert telegram.count("messages.EditMessage") == 0
        assert ann.from_bot() == [board]


async def test_pages_of_many_tasks_can_be_turned(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        for number in range(12):
            await long_task(bot, f"file{number:02d}.bin")
        ann.say("/status")
        board = await ann.receives(lambda m: "1/3" in str(m.buttons))
        assert len(board.buttons) == cards.CARDS_A_PAGE + 1
        await ann.press(board, "›")
        await ann.receives(lambda m: m is board and "2/3" in str(m.buttons))
        await ann.press(board, "‹")
        await ann.receives(lambda m: m is board and "1/3" in str(m.buttons))


async def test_buttons_of_an_old_status_message_still_answer(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        task = await long_task(bot)
        ann.say("/status")
        old = await ann.receives(lambda m: "Cancel" in str(m.buttons))
        await cancel(ann, old)
        await bot.end_of(task)
        assert await ann.send_press(old, f"c:{task}".encode()) == "It has ended."
        assert "cancel" in (await ann.send_press(old, f"y:{task}".encode())).lower()
        assert "cannot find" in await ann.send_press(old, b"c:zzzzzz")
        assert "another version" in await ann.send_press(old, b"\xff\xfe:what")
        assert "another version" in await ann.send_press(old, b"o:zip:notanumber")
        assert "another version" in await ann.send_press(old, b"")


async def test_others_cannot_press_the_buttons_of_ones_tasks(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann, ben, eve = telegram.person("Ann"), telegram.person("Ben"), telegram.person("Eve")
    ops = telegram.group("Ops")
    settings = settings_for(root, ann, ben, allowed_chats=(ops,), default_role="control")
    async with running_bot(telegram, tmp_path, settings) as bot:
        ann.say("/steps hers.bin --count 5000", chat=ops)
        board = await ann.receives(lambda m: "hers.bin" in m.text and m.chat_id == ops)
        task = (await bot.only_task("steps")).id
        assert "cannot find task" in await ben.press(board, "Cancel")
        with pytest.raises(TimeoutError):
            await eve.press(board, "Cancel", limit=0.5)
        assert not (await bot.tasks.view(task)).terminal
        await ann.press(board, "Cancel")
        question = await ann.receives(lambda m: "Yes" in str(m.buttons) and m.chat_id == ops)
        assert "cannot find task" in await ben.press(question, "Yes")
        with pytest.raises(TimeoutError):
            await eve.press(question, "Yes", limit=0.5)
        assert not (await bot.tasks.view(task)).terminal
        await ann.press(question, "Yes")
        assert (await bot.end_of(task)).state is TaskState.CANCELLED


async def test_cancelling_asks_first_and_no_keeps_the_task(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        task = await long_task(bot, "a <b>.bin")
        ann.say("/status")
        board = await ann.receives(lambda m: "Cancel" in str(m.buttons))
        await ann.press(board, "Cancel")
        question = await ann.receives(lambda m: m.text.startswith("✖ Cancel a <b>.bin"))
        assert question.buttons == [["✖ Yes, cancel", "↩️ No"]]
        await ann.press(board, "Cancel")  # asked again: the question stands already
        assert await ann.press(question, "No") == "It goes on."
        assert question.deleted
        assert not (await bot.tasks.view(task)).terminal
        assert sum("Yes" in str(m.buttons) for m in ann.chat) == 1
        await ann.press(board, "Cancel")
        second = await ann.receives(lambda m: m.id > question.id and "Yes" in str(m.buttons))
        await bot.tasks.control([task], Action.CANCEL, actor=Actor())  # meanwhile, on another face
        await ann.sees(lambda: second.deleted)


async def test_cancelling_asks_again_when_the_question_was_deleted(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        task = await long_task(bot)
        ann.say("/status")
        board = await ann.receives(lambda m: "Cancel" in str(m.buttons))
        await ann.press(board, "Cancel")
        question = await ann.receives(lambda m: "Yes" in str(m.buttons))
        question.deleted = True
        assert "cancel" in await cancel(ann, board)
        assert (await bot.end_of(task)).state is TaskState.CANCELLED


async def test_what_takes_longer_than_a_button_waits_is_done_all_the_same(
    telegram: TelegramServer, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presses, "_PRESS_LIMIT", 0.2)
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        asked = ann.upload("a.bin", b"data")
        offer = await ann.receives(lambda m: m.reply_to == asked.id)
        telegram.delays["messages.GetMessages"] = 2.0
        assert await ann.press(offer, "Save") == "Asked for; it takes a moment."
        await ann.receives(lambda m: "File Saved!" in m.text)
        asked.deleted = True
        assert await ann.press(offer, "Save") == "Asked for; it takes a moment."
        await ann.receives(lambda m: "its message is gone" in m.text)


async def test_a_command_for_very_many_tasks_is_answered_in_one_message(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        for number in range(60):
            await long_task(bot, f"{number}{'n' * 80}.bin")
        ann.say("/status")
        await ann.receives(lambda m: "1 running · 59 waiting" in m.text)
        ann.say("/cancel all")
        await ann.receives(lambda m: "cancelled" in m.text and "and 45 more" in m.text)


async def test_reading_members_see_and_ask_but_change_nothing(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann, default_role="read")) as bot:
        task = await long_task(bot, actor=Actor(f"telegram:{ann.id}", "telegram"))
        ann.say("/status")
        board = await ann.receives(lambda m: "Cancel" in str(m.buttons))
        assert "role control" in await ann.press(board, "Cancel")
        ann.say("/zip 'my movies'")
        await ann.receives(lambda m: "access.denied" in m.text and "zip" in m.text)
        ann.say(f"/cancel {task}")
        await ann.receives(lambda m: "cannot cancel a task" in m.text)
        with zipfile.ZipFile(root / "a.zip", "w") as archive:
            archive.writestr("x", "y")
        ann.say("/zipinfo a.zip")
        await ann.receives(lambda m: "Archive Information" in m.text)
        assert not (await bot.tasks.view(task)).terminal
        assert not (root / "my movies.zip").exists()
