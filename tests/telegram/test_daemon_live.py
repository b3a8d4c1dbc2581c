"""The bot inside the real daemon: switched on by settings, reloaded, stopped with it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from tests.telegram.test_files_live import until
from tests.telegram_server import TelegramServer
from tui_app.config import load
from tui_app.daemon import Daemon
from tui_app.locations import Locations

pytestmark = pytest.mark.pyrogram

SETTINGS = """
roots = ["{root}"]
[telegram]
api_id = 1
api_hash = "0123456789abcdef0123456789abcdef"
bot_token = "{token}"
allowed_users = [{users}]
[telegram.users.{ben}]
role = "read"
"""


async def health(socket: Path) -> object:
    """What /healthz answers."""
    connector = aiohttp.UnixConnector(str(socket))
    async with aiohttp.ClientSession("http://localhost", connector=connector) as http, http.get("/healthz") as answer:
        return await answer.json()


async def test_settings_switch_the_bot_on_and_a_reload_lets_others_in(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann, ben, eve = telegram.person("Ann"), telegram.person("Ben"), telegram.person("Eve")
    config = tmp_path / "taskdeck.toml"

    def write(users: str) -> None:
        config.write_text(SETTINGS.format(root=root, token=telegram.token, users=users, ben=ben.id))

    write(str(ann.id))
    locations = Locations(config=config, state=tmp_path / "state", runtime=None)
    daemon = Daemon(locations, lambda: load(config, environ={}))
    await daemon.start()
    try:
        await until(lambda: "BotCommandScopeDefault" in telegram.commands)
        ann.say("/id")
        await ann.receives(lambda m: "(admin)" in m.text)
        async with asyncio.timeout(60):  # it answers already while it still asks for what it missed
            while await health(locations.socket()) != {"status": "ok", "telegram": "online"}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        ben.say("/id")
        await ben.receives(lambda m: "(read)" in m.text)
        eve.say("/id")
        ann.say("/zip 'my movies'")
        await ann.receives(lambda m: "Archive Created" in m.text)
        assert eve.from_bot() == []
        write(f"{ann.id}, {eve.id}")
        telegram.commands.clear()
        daemon.reload()
        await until(lambda: "BotCommandScopeDefault" in telegram.commands)
        eve.say("/id")
        await eve.receives(lambda m: "(admin)" in m.text)
    finally:
        async with asyncio.timeout(60):
            await daemon.close()
