"""Passwords in a chat: taken from where they are meant, from nowhere else, and their messages go without the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.telegram.bot import running_bot, settings_for
from tests.telegram.test_files_live import until
from tests.telegram_server import Person, TelegramServer

pytestmark = pytest.mark.pyrogram


async def locked_archive(ann: Person, root: Path) -> bytes:
    """An archive that opens with "open-sesame", as locked.7z in the root."""
    ann.say("/zip 'my movies' 7z --password open-sesame --output locked.7z")
    await ann.receives(lambda m: "Archive Created" in m.text)
    return (root / "locked.7z").read_bytes()


async def test_a_password_in_the_caption_of_its_archive_goes_once_the_archive_is_saved(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        data = await locked_archive(ann, root)
        sent = ann.upload("sent.7z", data, "/unzip out open-sesame")
        await ann.receives(lambda m: "Archive Extracted" in m.text)
        await ann.sees(lambda: sent.deleted)
    assert list((root / "out").rglob("a.txt"))


@pytest.mark.parametrize("caption", ["/unzip out open-sesame", "/unzip out open-sesame --send-to 999999"])
@pytest.mark.parametrize("role", ["read", "control"])
async def test_a_password_in_a_caption_that_is_refused_goes_too(
    telegram: TelegramServer, tmp_path: Path, root: Path, role: str, caption: str
) -> None:
    ann = telegram.person("Ann")
    telegram.delays["upload.GetFile"] = 0.1
    async with running_bot(telegram, tmp_path, settings_for(root, ann, default_role=role)):
        sent = ann.upload("sent.7z", b"7z", caption)
        await ann.sees(lambda: sent.deleted)


async def test_words_said_before_the_question_are_no_answer_to_it(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        await locked_archive(ann, root)
        asked = "needs a password"
        telegram.delays["messages.SendMessage"] = 1.5  # the question is on its way that long
        ann.say("/unzip locked.7z out")
        await until(lambda: any(asked in str(getattr(request, "message", "")) for _, _, request in telegram.calls))
        thanks = ann.say("thank you")
        question = await ann.receives(lambda m: asked in m.text)
        assert thanks.id < question.id
        await ann.receives(lambda m: m.reply_to == thanks.id)
        assert not thanks.deleted
        ann.say("open-sesame")
        await ann.receives(lambda m: "Archive Extracted" in m.text)


async def test_a_command_that_answers_the_question_is_done_not_tried_as_a_password(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        await locked_archive(ann, root)
        ann.say("/unzip locked.7z out")
        question = await ann.receives(lambda m: "needs a password" in m.text)
        task = await bot.only_task("unzip")
        said = ann.say(f"/status {task.id}", reply_to=question)
        await ann.receives(lambda m: m.reply_to == said.id and task.id in m.text)
        assert not said.deleted
        ann.say("open-sesame", reply_to=question)
        await ann.receives(lambda m: "Archive Extracted" in m.text)
