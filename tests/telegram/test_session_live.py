"""What becomes of the saved session: kept over any outage, replaced when it is of no use, whatever broke it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.telegram.bot import running_bot, settings_for
from tests.telegram.test_files_live import until
from tests.telegram_server import Person, TelegramServer
from tui_app.telegram.service import Phase, Timing

core = pytest.mark.pyrogram

IMPATIENT = Timing(login=6.0, grace=1.0, stop=1.0)


@pytest.fixture
async def ann(telegram: TelegramServer, tmp_path: Path, root: Path) -> Person:
    """Somebody who has talked to a bot that is off now."""
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/id")
        await ann.receives(lambda m: "You:" in m.text)
    return ann


@core
async def test_a_dead_network_at_the_start_costs_no_session(
    telegram: TelegramServer, ann: Person, tmp_path: Path, root: Path
) -> None:
    telegram.online = False
    async with running_bot(telegram, tmp_path, settings_for(root, ann), timing=IMPATIENT, wait=False) as bot:
        await until(lambda: bot.service.health.phase is Phase.WAITING)
        telegram.online = True
        await asyncio.wait_for(bot.service.connected(), 60)
    assert telegram.count("auth.ImportBotAuthorization") == 1


async def test_messages_sent_while_the_network_was_dead_are_answered(
    telegram: TelegramServer, ann: Person, tmp_path: Path, root: Path
) -> None:
    telegram.online = False
    telegram.deaf = True  # only the difference to what the session has seen tells of them
    async with running_bot(telegram, tmp_path, settings_for(root, ann), timing=IMPATIENT, wait=False) as bot:
        await until(lambda: bot.service.health.phase is Phase.WAITING)
        ann.say("/zip 'my movies'")
        telegram.online = True
        await ann.receives(lambda m: "Archive Created" in m.text)


@core
@pytest.mark.parametrize("kept", [0, 0.5, -1], ids=["empty", "half", "garbage"])
async def test_a_broken_session_file_is_replaced_by_a_fresh_login(
    telegram: TelegramServer, ann: Person, tmp_path: Path, root: Path, kept: float
) -> None:
    session = tmp_path / "state" / "telegram" / "taskdeck.session"
    data = session.read_bytes()
    session.write_bytes(data[: int(len(data) * kept)] if kept >= 0 else b"no database" * 100)
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        seen = len(ann.chat)
        ann.say("/id")
        await ann.receives(lambda m: m in ann.chat[seen:] and "You:" in m.text)
    assert telegram.count("auth.ImportBotAuthorization") == 2
