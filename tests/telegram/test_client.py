"""The installed client library against the loopback server: key exchange, encryption, messages, files."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from engines.settings import TelegramSettings
from tests.telegram.test_files_live import until
from tests.telegram_server import TelegramServer, guard
from tui_app.telegram.client import TelegramClient
from tui_app.telegram.gateway import Button, Delivery, Flood, Incoming, LoginRefused, NotModified, Press

pytestmark = pytest.mark.pyrogram


class Ears:
    """Collects what the client hears."""

    def __init__(self) -> None:
        self.messages: list[Incoming] = []
        self.presses: list[Press] = []

    async def message(self, message: Incoming) -> None:
        self.messages.append(message)

    async def press(self, press: Press) -> None:
        self.presses.append(press)


def settings(token: str = TelegramServer.token) -> TelegramSettings:
    return TelegramSettings(api_id=1, api_hash="x" * 32, bot_token=token, allowed_users=(1000,))


async def test_client_logs_in_and_exchanges_messages(telegram: TelegramServer, tmp_path: Path) -> None:
    ann, ears = telegram.person("Ann"), Ears()
    client = TelegramClient(settings(), tmp_path / "s", ears.message, ears.press)
    await client.start()
    try:
        assert client.username == telegram.bot_username
        ann.say("/zip a")
        await ann.sees(lambda: True)
        go = ((Button("Go", "p:1"),),)
        message = await client.send_text(ann.id, "<b>hi</b> &lt;x&gt;", Delivery(random_id=7), buttons=go)
        seen = await ann.receives(lambda m: m.id == message)
        assert seen.text == "hi <x>"
        assert seen.buttons == [["Go"]]
        with pytest.raises(NotModified):
            await client.edit_text(ann.id, message, "<b>hi</b> &lt;x&gt;", buttons=go)
        telegram.fail("messages.EditMessage", "FLOOD_WAIT_7", 420)
        with pytest.raises(Flood) as flood:
            await client.edit_text(ann.id, message, "more")
        assert flood.value.seconds == 7
    finally:
        await client.stop()
    assert [m.text for m in ears.messages] == ["/zip a"]
    assert ears.messages[0].user == ann.id


async def test_parts_of_files_are_sent_after_connecting_anew(telegram: TelegramServer, tmp_path: Path) -> None:
    ears = Ears()
    client = TelegramClient(settings(), tmp_path / "s", ears.message, ears.press)
    for number in range(2):
        await client.start()
        try:
            async with asyncio.timeout(20):
                await client.save_part(number, 0, b"data", total=1, big=False)
        finally:
            await client.stop()
    assert telegram.parts == {0: {0: b"data"}, 1: {0: b"data"}}


async def test_a_stop_that_takes_too_long_is_finished_all_the_same(telegram: TelegramServer, tmp_path: Path) -> None:
    ears = Ears()
    client = TelegramClient(settings(), tmp_path / "s", ears.message, ears.press)
    await client.start()
    library: Any = client._client
    session, genuine = library.session, library.dispatcher.stop

    async def slow(*args: Any, **options: Any) -> None:
        await asyncio.sleep(0.5)
        await genuine(*args, **options)

    library.dispatcher.stop = slow
    await client.stop(limit=0.1)
    assert session.is_started.is_set()
    await until(lambda: not session.is_started.is_set())


async def test_session_file_is_private(telegram: TelegramServer, tmp_path: Path) -> None:
    ears = Ears()
    client = TelegramClient(settings(), tmp_path / "s", ears.message, ears.press)
    await client.start()
    try:
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
        files = list((tmp_path / "s").iterdir())
        assert files
        assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    finally:
        await client.stop()


async def test_bad_token_is_refused_at_login(telegram: TelegramServer, tmp_path: Path) -> None:
    ears = Ears()
    client = TelegramClient(settings("4242:wrong"), tmp_path / "s", ears.message, ears.press)
    with pytest.raises(LoginRefused, match="ACCESS_TOKEN_INVALID"):
        await client.start()
    await client.stop()


def test_guard_refuses_and_reports_dials_outside_loopback() -> None:
    with socket.socket() as dial, pytest.raises(guard.LeftLoopback):
        dial.connect(("192.0.2.1", 443))
    with pytest.raises(guard.LeftLoopback):
        socket.getaddrinfo("example.org", 443)
    assert len(guard.disarm()) == 2
