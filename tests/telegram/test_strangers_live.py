"""Denied by default: strangers, foreign groups, anonymous senders and other bots' commands meet silence."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import pytest

from engines.model import Action, Actor, TaskState
from engines.settings import TelegramUser
from tests.telegram.bot import Bot, running_bot, settings_for
from tests.telegram_server import Person, TelegramServer

pytestmark = pytest.mark.pyrogram


async def heard(bot: Bot, ann: Person) -> None:
    """Return when everything sent so far has been looked at: Ann's own command is answered after it."""
    before = len(ann.from_bot())
    ann.say("/id")
    await ann.sees(lambda: len(ann.from_bot()) > before)


async def test_strangers_get_silence_for_commands_files_and_buttons(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann, eve = telegram.person("Ann"), telegram.person("Eve")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        ann.say("/status")
        board = await ann.receives(lambda m: "Refresh" in str(m.buttons))
        for text in ("/start", "/help", "/zip 'my movies'", "/zipinfo x", "/id", "hello"):
            eve.say(text)
        eve.upload("evil.zip", b"PK" * 100, "/unzip")
        with pytest.raises(TimeoutError):
            await eve.press(board, "Refresh", limit=0.3)
        await heard(bot, ann)
        assert eve.from_bot() == []
        assert telegram.count("upload.GetFile") == 0
        assert (await bot.tasks.stats()).counts.get("queued", 0) == 0


async def test_strangers_leave_nothing_in_memory_however_many_write(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        for number in range(50):
            telegram.person("Eve", 5000 + number).say("/start")
        await heard(bot, ann)
        gc.collect()
        assert len(bot.service._locks) <= 1


async def test_groups_are_allowed_one_by_one_and_anonymous_senders_never(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann, ben = telegram.person("Ann"), telegram.person("Ben")
    ops, pub = telegram.group("Ops"), telegram.group("Pub")
    async with running_bot(telegram, tmp_path, settings_for(root, ann, allowed_chats=(ops,))) as bot:
        ann.say("/id", chat=pub)
        ann.say("/id", chat=ops, anonymous=True)
        ben.say("/id", chat=ops)
        await heard(bot, ann)
        assert [m for m in ann.from_bot() if m.chat_id < 0] == []
        ann.say("/id", chat=ops)
        await ann.receives(lambda m: m.chat_id == ops and str(ops) in m.text)


async def test_commands_for_other_bots_and_forwarded_commands_are_not_run(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        ann.say("/zip@another_bot 'my movies'")
        ann.say("/zip 'my movies'", forwarded=True)
        await heard(bot, ann)
        assert not (root / "my movies.zip").exists()


async def test_a_member_stays_inside_own_roots(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann, ben = telegram.person("Ann"), telegram.person("Ben")
    (root / "ben").mkdir()
    (root / "ben" / "way out").symlink_to(root / "my movies")
    users = {str(ben.id): TelegramUser(role="control", roots=(str(root / "ben"),))}
    async with running_bot(telegram, tmp_path, settings_for(root, ann, users=users)) as bot:
        for command in (f"/zip '{root}/my movies'", "/zip '../my movies'", "/zip 'way out/a.txt'"):
            before = len(ben.from_bot())
            ben.say(command)
            await ben.sees(lambda before=before: len(ben.from_bot()) > before)  # type: ignore[misc]
            assert "path.outside_roots" in ben.from_bot()[-1].text
        ben.say(f"/zip . --output {root}/stolen.zip")
        await ben.receives(lambda m: "outside" in m.text and "stolen" in m.text)
        assert (await bot.tasks.stats()).counts == {} or not any((await bot.tasks.stats()).counts.values())


async def test_a_members_task_stays_in_own_roots_when_links_are_turned_and_an_admin_retries_it(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann, ben = telegram.person("Ann"), telegram.person("Ben")
    (root / "ben" / "docs").mkdir(parents=True)
    (root / "ben" / "docs" / "a.txt").write_text("own")
    users = {str(ben.id): TelegramUser(role="control", roots=(str(root / "ben"),))}
    async with running_bot(telegram, tmp_path, settings_for(root, ann, users=users)) as bot:
        await bot.tasks.control_all(Action.PAUSE, actor=Actor())
        ben.say("/zip docs/a.txt tar")
        await ben.receives(lambda m: "a.txt" in m.text)
        task = await bot.only_task("zip")
        (root / "ben" / "docs" / "a.txt").unlink()
        (root / "ben" / "docs").rmdir()
        (root / "ben" / "docs").symlink_to(root / "my movies")
        await bot.tasks.control_all(Action.RESUME, actor=Actor())
        await ben.receives(lambda m: "path.outside_roots" in m.text)
        ann.say(f"/retry {task.id}")
        await ann.receives(lambda m: task.id in m.text)
        await bot.end_of(task.id)
        assert (await bot.tasks.view(task.id)).state is TaskState.FAILED
        assert list(root.rglob("*.tar")) == []


async def test_links_are_followed_inside_own_roots_only(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ben = telegram.person("Ben")
    (root / "ben" / "docs").mkdir(parents=True)
    (root / "ben" / "docs" / "way out").symlink_to(root / "my movies")
    (root / "ben" / "docs" / "near").symlink_to("own.txt")
    (root / "ben" / "docs" / "own.txt").write_text("of ben")
    users = {str(ben.id): TelegramUser(role="control", roots=(str(root / "ben"),))}
    async with running_bot(telegram, tmp_path, settings_for(root, users=users)) as bot:
        ben.say("/zip docs tar --links follow")
        await ben.receives(lambda m: m.text.startswith(("✅", "❌")))
        await bot.end_of((await bot.only_task("zip")).id)
    for made in root.rglob("*.tar"):
        assert b"alpha" not in made.read_bytes()


async def test_commands_that_waited_too_long_are_told_not_done(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/zip 'my movies'", date=int(time.time()) - 3600)
        await ann.receives(lambda m: "I was away; /zip was not done" in m.text)
        assert not (root / "my movies.zip").exists()
