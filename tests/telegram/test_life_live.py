"""The life of the connection: login, floods, lost keys and networks, restarts, stopping in order."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engines.model import Action, Actor, TaskState
from engines.settings import TasksSettings
from tests.support.operations import added_operations
from tests.telegram.bot import TIMING, running_bot, settings_for
from tests.telegram.test_files_live import until
from tests.telegram_server import RpcError, TelegramServer
from tui_app.telegram.service import Phase, Timing

core = pytest.mark.pyrogram
"""The subset that pyrogram 2.0.106 passes too. It cannot fetch missed messages, and stopping it while the network is
dead leaves a task that reconnects for ever and cannot be cancelled: see docs/telegram.md."""


@core
async def test_a_bad_token_is_told_and_not_tried_again(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    settings = settings_for(root, ann, bot_token="4242:wrong")
    async with running_bot(telegram, tmp_path, settings, wait=False) as bot:
        await until(lambda: bot.service.health.phase is Phase.REFUSED)
        assert "ACCESS_TOKEN_INVALID" in bot.service.health.error
        await asyncio.sleep(0.2)
        assert telegram.count("auth.ImportBotAuthorization") == 1


async def test_a_flood_wait_at_login_is_waited_out(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    telegram.fail("auth.ImportBotAuthorization", "FLOOD_WAIT_1", 420)
    async with running_bot(telegram, tmp_path, settings_for(root, ann), wait=False) as bot:
        await until(lambda: bot.service.health.phase is Phase.WAITING)
        assert telegram.count("auth.ImportBotAuthorization") == 1
        await asyncio.wait_for(bot.service.connected(), 60)
        assert telegram.count("auth.ImportBotAuthorization") == 2


@core
async def test_the_session_is_kept_and_private(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    for _ in range(2):
        async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
            folder = bot.state / "telegram"
            assert folder.stat().st_mode & 0o777 == 0o700
            ann.say("/quiet 22:00-07:00")
            await ann.receives(lambda m: "22:00-07:00" in m.text)
    assert telegram.count("auth.ImportBotAuthorization") == 1
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


@core
async def test_a_key_the_server_forgot_is_replaced_by_a_fresh_login(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        pass
    telegram.forget_keys()
    timing = Timing(login=10.0, grace=1.0, stop=1.0)
    async with running_bot(telegram, tmp_path, settings_for(root, ann), timing=timing):
        ann.say("/id")
        await ann.receives(lambda m: "You:" in m.text)
    assert telegram.count("auth.ImportBotAuthorization") == 2


async def test_a_revoked_session_is_replaced_by_a_fresh_login(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        pass
    telegram.fail("updates.GetState", "AUTH_KEY_UNREGISTERED", 401)
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/id")
        await ann.receives(lambda m: "You:" in m.text)


@core
async def test_it_answers_after_a_lost_connection(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/id")
        first = await ann.receives(lambda m: "You:" in m.text)
        telegram.drop_connections()
        ann.say("/id")
        await ann.receives(lambda m: m.id > first.id and "You:" in m.text)


async def test_the_watchdog_connects_anew_when_nothing_answers(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    timing = Timing(login=30.0, watchdog=0.3, grace=1.0, stop=1.0, intervals=TIMING.intervals)
    async with running_bot(telegram, tmp_path, settings_for(root, ann), timing=timing):
        logins = telegram.count("help.GetConfig")
        telegram.fail("updates.GetState", "AUTH_KEY_UNREGISTERED", 401)
        await until(lambda: telegram.count("help.GetConfig") > logins)
        ann.say("/id")
        await ann.receives(lambda m: "You:" in m.text)


async def test_messages_sent_while_it_was_off_are_answered_once(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/id")
        await ann.receives(lambda m: "You:" in m.text)
    telegram.deaf = True  # the updates themselves are lost, only the difference has them
    ann.say("/zip 'my movies'")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        await ann.receives(lambda m: "Archive Created" in m.text)
    assert [path.name for path in root.glob("*.zip")] == ["my movies.zip"]


async def test_the_watchdog_notices_that_updates_stopped_coming(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    timing = Timing(login=30.0, watchdog=0.3, grace=1.0, stop=1.0, intervals=TIMING.intervals)
    async with running_bot(telegram, tmp_path, settings_for(root, ann), timing=timing):
        telegram.deaf = True
        logins = telegram.count("help.GetConfig")
        ann.say("/id", date=int(time.time()) - 120)
        await ann.receives(lambda m: "You:" in m.text)
        await until(lambda: telegram.count("help.GetConfig") > logins)


@core
async def test_an_update_delivered_twice_is_answered_once(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        sent = ann.say("/zip 'my movies'")
        telegram.announce_message(sent)
        await ann.receives(lambda m: "Archive Created" in m.text)
        telegram.announce_message(sent)
        ann.say("/id")
        await ann.receives(lambda m: "You:" in m.text)
    assert len(list(root.glob("*.zip"))) == 1
    assert sum("Archive Created" in m.text for m in ann.from_bot()) == 1


async def test_an_ending_nobody_could_tell_is_told_after_a_restart(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    with added_operations():
        async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
            ann.say("/steps made.bin --count 30")
            await ann.receives(lambda m: "made.bin" in m.text)
            task = await bot.only_task("steps")
            await bot.tasks.control([task.id], Action.PAUSE, actor=Actor("local", "cli"))
            await bot.service.stop()
            await bot.tasks.control([task.id], Action.RESUME, actor=Actor("local", "cli"))
            await bot.end_of(task.id)
        assert not any("made.bin" in m.text and "Tasks" not in m.text for m in ann.from_bot())
        async with running_bot(telegram, tmp_path, settings_for(root, ann)):
            await ann.receives(lambda m: "made.bin" in m.text and "Tasks" not in m.text)
        told = [m for m in ann.from_bot() if "made.bin" in m.text and "Tasks" not in m.text]
        async with running_bot(telegram, tmp_path, settings_for(root, ann)):
            ann.say("/id")
            await ann.receives(lambda m: "You:" in m.text)
        assert [m for m in ann.from_bot() if "made.bin" in m.text and "Tasks" not in m.text] == told


async def test_the_ending_of_a_second_try_is_told_after_a_restart_too(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    with added_operations():
        async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
            ann.say("/steps made.bin --count 100")
            await ann.receives(lambda m: "made.bin" in m.text)
            task = (await bot.only_task("steps")).id
            await bot.tasks.control([task], Action.CANCEL, actor=Actor("local", "cli"))
            await ann.receives(lambda m: m.text.startswith("🚫 Cancelled: made.bin"))
            said = ann.say(f"/retry {task}")
            await ann.receives(lambda m: m.reply_to == said.id)
            await bot.service.stop()
            assert (await bot.end_of(task)).state is TaskState.COMPLETED
        async with running_bot(telegram, tmp_path, settings_for(root, ann)):
            await ann.receives(lambda m: m.text.startswith("✅") and "made.bin" in m.text)


async def test_an_ending_that_is_told_while_stopping_is_not_told_again(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    timing = replace(TIMING, intervals=(30.0, 30.0))
    with added_operations():
        async with running_bot(telegram, tmp_path, settings_for(root, ann), timing=timing) as bot:
            ann.say("/steps a.bin --count 1")
            await ann.receives(lambda m: m.text.startswith("✅") and "a.bin" in m.text)
            ann.say("/steps b.bin --count 1")
            await until(lambda: (root / "b.bin").exists())
            await bot.end_of((await bot.only_task("steps")).id)
        async with running_bot(telegram, tmp_path, settings_for(root, ann)):
            await ann.receives(lambda m: m.text.startswith("✅") and "b.bin" in m.text)
            said = ann.say("/id")
            await ann.receives(lambda m: m.reply_to == said.id)
        assert sum(m.text.startswith("✅") and "b.bin" in m.text for m in ann.from_bot()) == 1


async def test_what_is_said_while_the_key_is_lost_is_not_lost_with_it(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        telegram.fail("messages.SendMessage", "AUTH_KEY_UNREGISTERED", 401, times=2)
        ann.say("/id")
        await ann.receives(lambda m: "You:" in m.text)


@core
async def test_answers_come_when_what_they_answer_was_deleted(
    telegram: TelegramServer, tmp_path: Path, root: Path, clip: Path
) -> None:
    ann = telegram.person("Ann")
    (root / "clip.mp4").write_bytes(clip.read_bytes())

    def refuse_to_answer(name: str, request: Any) -> RpcError | None:
        answered = telegram.messages.get((ann.id, telegram.answered(request) or 0))
        return RpcError(400, "REPLY_MESSAGE_ID_INVALID") if answered is not None and answered.deleted else None

    telegram.rules.append(refuse_to_answer)
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/zip 'my movies' 7z --password open-sesame")
        await ann.receives(lambda m: "Archive Created" in m.text)
        ann.say("/thumbnail clip.mp4").deleted = True
        await ann.receives(lambda m: m.media is not None)


async def test_commands_done_before_a_crash_are_not_done_again(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    session = tmp_path / "state" / "telegram" / "taskdeck.session"
    with added_operations():
        async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
            await bot.service.connected()
            on_disk = session.read_bytes()  # what a kill leaves: the library writes its place in the updates rarely
            said = ann.say("/cancel all")
            await ann.receives(lambda m: m.reply_to == said.id)
        session.write_bytes(on_disk)
        async with running_bot(telegram, tmp_path, settings_for(root, ann), wait=False) as bot:
            op = {"op": "steps", "path": str(root / "new.bin"), "count": 50}
            task = await bot.tasks.submit(op, actor=Actor("local", "cli"))
            await bot.service.connected()
            last = ann.say("/id")
            await ann.receives(lambda m: m.reply_to == last.id)
            assert (await bot.end_of(task.id)).state is TaskState.COMPLETED
            assert sum(m.reply_to == said.id for m in ann.from_bot()) == 1


async def test_endings_of_all_tasks_are_told_to_whom_asked_for_them(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann, ben = telegram.person("Ann"), telegram.person("Ben")
    with added_operations():
        async with running_bot(telegram, tmp_path, settings_for(root, ann, ben, notify="all")) as bot:
            ann.say("/notify all")
            await ann.receives(lambda m: "You are told: all" in m.text)
            op = {"op": "steps", "path": str(root / "x.bin"), "count": 3}
            await bot.tasks.submit(op, actor=Actor("local", "cli"))
            await ann.receives(lambda m: m.text.startswith("✅") and "x.bin" in m.text)
            assert ben.from_bot() == [], "he never wrote to the bot: it may not begin"


async def test_many_tasks_against_the_edit_limit_meet_no_refusal(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    """The figure of a minute, in a tenth of the time: 20 edits in 6 seconds, intervals a tenth of the real ones."""
    ann = telegram.person("Ann")
    telegram.limit("messages.EditMessage", 20, 6.0)
    timing = Timing(login=30.0, grace=2.0, stop=1.0, intervals=(0.31, 0.41))
    settings = msgspec.structs.replace(settings_for(root, ann), tasks=TasksSettings(parallel_compress=4))
    with added_operations():
        async with running_bot(telegram, tmp_path, settings, timing=timing) as bot:
            ann.say("/status")
            await ann.receives(lambda m: m.text.startswith("Tasks"))
            for number in range(20):
                op = {"op": "steps", "path": str(root / f"{number}.bin"), "count": 10}
                await bot.tasks.submit(op, actor=Actor(f"telegram:{ann.id}", "telegram"))

            def told() -> str:
                return "\n".join(m.text for m in ann.from_bot() if not m.text.startswith("Tasks"))

            await ann.sees(lambda: all(f"{number}.bin" in told() for number in range(20)))
            await ann.receives(lambda m: "Nothing is running." in m.text)
        assert telegram.refused == []


async def test_a_refused_edit_is_repeated_after_the_flood_wait(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    with added_operations():
        async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
            ann.say("/status")
            board = await ann.receives(lambda m: m.text.startswith("Tasks"))
            telegram.fail("messages.EditMessage", "FLOOD_WAIT_1", 420, times=2)
            await bot.tasks.submit(
                {"op": "steps", "path": str(root / "x.bin"), "count": 3000}, actor=Actor("local", "cli")
            )
            await ann.receives(lambda m: m is board and "x.bin" in m.text)


@core
async def test_stopping_touches_no_signal_handler_and_leaves_no_task(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGABRT)
    before = [signal.getsignal(number) for number in numbers]
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/status")
        await ann.receives(lambda m: m.text.startswith("Tasks"))
        assert [signal.getsignal(number) for number in numbers] == before

    def ours() -> list[asyncio.Task[Any]]:
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        return [task for task in left if "telegram" in task.get_name() or "Session" in repr(task.get_coro())]

    await until(lambda: ours() == [])


async def test_stopping_while_the_network_is_dead_is_quick(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    loop = asyncio.get_running_loop()
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        ann.say("/status")
        await ann.receives(lambda m: m.text.startswith("Tasks"))
        telegram.online = False
        telegram.drop_connections()
        await asyncio.sleep(0.1)
        before = loop.time()
        await bot.service.stop()
        assert loop.time() - before < 20  # five on a machine that is not busy; the library would try for minutes


def forbid_deleting(name: str, request: object) -> RpcError | None:
    return RpcError(403, "MESSAGE_DELETE_FORBIDDEN") if name.endswith("DeleteMessages") else None


@core
async def test_passwords_are_deleted_and_never_written_down(
    telegram: TelegramServer, tmp_path: Path, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ann = telegram.person("Ann")
    caplog.set_level("DEBUG", logger="tui_app")
    caplog.set_level("DEBUG", logger="engines")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        said = ann.say("/zip 'my movies' 7z --password s3cr3t-w0rd --output locked.7z")
        await ann.sees(lambda: said.deleted)
        await ann.receives(lambda m: "Archive Created" in m.text)
        said = ann.say("/unzip locked.7z out s3cr3t-w0rd")
        await ann.sees(lambda: said.deleted)
        await ann.receives(lambda m: "Archive Extracted" in m.text)
        said = ann.say('/unzip locked.7z out "s3cr3t-w0rd')
        await ann.sees(lambda: said.deleted)
        said = ann.say("/unzip nothere.7z out s3cr3t-w0rd too many words")
        await ann.sees(lambda: said.deleted)
        assert not any("s3cr3t" in m.text for m in ann.from_bot())
    assert (root / "out" / "my movies" / "a.txt").exists() or (root / "out" / "a.txt").exists()
    for path in (tmp_path / "state").rglob("*"):
        if path.is_file():
            assert b"s3cr3t-w0rd" not in path.read_bytes(), path
    assert "s3cr3t-w0rd" not in caplog.text


async def test_a_password_that_is_missing_is_asked_for_and_the_answer_deleted(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/zip 'my movies' 7z --password open-sesame --output locked.7z")
        await ann.receives(lambda m: "Archive Created" in m.text)
        ann.say("/unzip locked.7z out")
        prompt = await ann.receives(lambda m: "needs a password" in m.text)
        answer = ann.say("open-sesame", reply_to=prompt)
        await ann.receives(lambda m: "Archive Extracted" in m.text)
        assert answer.deleted


async def test_a_password_that_is_just_said_in_private_is_taken_for_the_task_that_waits_for_one(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")

    def told(words: str, *, times: int = 1) -> bool:
        return sum(words in message.text for message in ann.chat) == times

    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/zip 'my movies' 7z --password open-sesame --output locked.7z")
        await ann.receives(lambda m: "Archive Created" in m.text)
        for count, place in enumerate(("out1", "out2"), 1):
            ann.say(f"/unzip locked.7z {place}")
            await ann.sees(partial(told, "needs a password", times=count))
        for place in ("out2", "out1"):  # the last one asked about comes first
            answer = ann.say("open-sesame")
            await ann.sees(partial(told, f"Destination: {root / place}"))
            assert answer.deleted
        ordinary = ann.say("hello")
        await ann.receives(lambda m: "/help" in m.text)
        assert not ordinary.deleted


@pytest.mark.parametrize("replied", [False, True])
async def test_an_answer_may_overtake_the_receipt_of_its_question(
    telegram: TelegramServer, tmp_path: Path, root: Path, replied: bool
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/zip 'my movies' 7z --password open-sesame --output locked.7z")
        await ann.receives(lambda m: "Archive Created" in m.text)
        telegram.late["messages.SendMessage"] = 0.5
        ann.say("/unzip locked.7z out")
        prompt = await ann.receives(lambda m: "needs a password" in m.text)
        ann.say("open-sesame", reply_to=prompt if replied else None)
        await ann.receives(lambda m: "Archive Extracted" in m.text)


async def test_a_password_that_cannot_be_deleted_is_pointed_out(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    telegram.rules.append(forbid_deleting)
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/zip 'my movies' 7z --password open-sesame")
        await ann.receives(lambda m: "I may not delete messages here" in m.text)


async def test_a_password_is_deleted_after_a_flood_wait_too(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    telegram.fail("messages.DeleteMessages", "FLOOD_WAIT_1", 420, times=2)
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        said = ann.say("/zip 'my movies' 7z --password open-sesame")
        await ann.sees(lambda: said.deleted)
        assert not any("may not delete" in m.text for m in ann.from_bot())


async def test_buttons_do_not_wait_for_a_slow_command(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    telegram.delays["messages.DeleteMessages"] = 60.0
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/status")
        board = await ann.receives(lambda m: m.text.startswith("Tasks"))
        slow = ann.say("/zip 'my movies' 7z --password open-sesame")
        assert await ann.press(board, "Refresh", limit=15) == "Up to date"
        assert not slow.deleted


async def test_quiet_hours_and_levels_are_kept(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        ann.say("/quiet 00:00-23:59")
        await ann.receives(lambda m: "23:59" in m.text)
        ann.say("/zip 'my movies'")
        loud = await ann.receives(lambda m: "Archive Created" in m.text)
        ann.say("/notify none")
        await ann.receives(lambda m: "You are told: none" in m.text)
        ann.say("/zip 'my movies' tar")
        await until(lambda: (root / "my movies.tar").exists())
        await bot.end_of((await bot.only_task("zip")).id)
        ann.say("/notify sometimes")
        await ann.receives(lambda m: "cannot notify" in m.text)
        assert sum("Archive Created" in m.text for m in ann.from_bot()) == 1
        assert loud.silent or time.localtime().tm_hour == 23
    chats = json.loads((tmp_path / "state" / "telegram" / "chats.json").read_text())
    assert chats["wishes"][str(ann.id)]["notify"] == "none"
