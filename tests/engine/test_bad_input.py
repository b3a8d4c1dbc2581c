"""Bad input is told in the same sentence with the same code by the API and the terminal interface, and leaves nothing.

The command line has the same promise, with exit statuses, in `test_cli_commands`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from engines.paths import PathPolicy
from engines.settings import Settings
from engines.tasks.api import Tasks
from tests.support.station import Station
from tui_app.app import DeckApp
from tui_app.daemon import Daemon
from tui_app.places import LocalPlaces


class Bad(NamedTuple):
    """What a user types, the same as JSON, and what they read."""

    line: str
    operation: dict[str, Any]
    code: str
    words: str


def op(name: str, path: str, **more: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **more}


BAD = {
    "missing path": Bad("zip missing", op("zip", "missing"), "path.missing", "cannot find 'missing'"),
    "dangling link": Bad(
        "unzip link", op("unzip", "link"), "path.missing", "it is a link to 'nowhere', which does not"
    ),
    "trailing slash of what is missing": Bad("zip gone/", op("zip", "gone/"), "path.missing", "cannot find 'gone/'"),
    "outside": Bad(
        "zip /etc/hostname", op("zip", "/etc/hostname"), "path.outside_roots", "outside the allowed folders"
    ),
    "outside by dots": Bad("zip ../../..", op("zip", "../../.."), "path.outside_roots", "outside the allowed folders"),
    "target outside": Bad(
        "zip folder --output /etc/x.zip", op("zip", "folder", output="/etc/x.zip"), "path.outside_roots", "'/etc/x.zip'"
    ),
    "level": Bad(
        "zip folder zip 12", op("zip", "folder", level=12), "value", "'12' as level: it must be a whole number"
    ),
    "format": Bad("zip folder arj", op("zip", "folder", format="arj"), "value", "'arj' as format: known are zip, tar"),
    "not an archive": Bad("unzip plain", op("unzip", "plain"), "archive.not_archive", "not an archive"),
    "an empty archive": Bad("unzip void", op("unzip", "void"), "archive.not_archive", "the file is empty"),
    "folder as archive": Bad("unzip folder", op("unzip", "folder"), "path.kind", "it is a folder"),
    "damaged archive": Bad("unzip evil.zip", op("unzip", "evil.zip"), "archive.damaged", "evil.zip"),
    "unpack into a file": Bad(
        "unzip good.zip plain", op("unzip", "good.zip", destination="plain"), "path.kind", "it is no folder"
    ),
    "unpack into a file, below": Bad(
        "unzip good.zip plain/below", op("unzip", "good.zip", destination="plain/below"), "path.kind", "it is no folder"
    ),
    "too long": Bad(f"zip {'x' * 300}", op("zip", "x" * 300), "value", "too long"),
    "hostile name": Bad(
        "zip 'no\x1b[31m[b]\u202esuch'",
        op("zip", "no\x1b[31m[b]\u202esuch"),
        "path.missing",
        "no\ufffd[31m[b]\ufffdsuch",
    ),
}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Station, Daemon]]:
    """A daemon over a root with bad things."""
    station = Station(tmp_path)
    (station.root / "folder").mkdir()
    (station.root / "folder" / "a").write_text("a")
    (station.root / "plain").write_text("x" * 100)
    (station.root / "void").touch()
    (station.root / "link").symlink_to("nowhere")
    (station.root / "evil.zip").write_bytes(b"PK\x03\x04 not really")
    station.run("zip", "folder", "--output", "good.zip", "--foreground")
    async with station.daemon() as daemon:
        yield station, daemon


async def test_the_api_tells_every_bad_input_as_a_problem(served: tuple[Station, Daemon]) -> None:
    station, _ = served
    before = sorted(os.listdir(station.root))
    async with station.http() as http:
        for name, bad in BAD.items():
            code, message = await _asked(http, bad, str(station.root))
            assert (code, bad.words in message) == (bad.code, True), (name, code, message)
            assert "\x1b" not in message and "\u202e" not in message and message.count("\n") == 0
    assert sorted(os.listdir(station.root)) == before, "something half-written was left"


async def _asked(http: aiohttp.ClientSession, bad: Bad, base: str) -> tuple[str, str]:
    """Code and sentence of the refusal, or of the failed task when only the work itself could tell."""
    answer = await http.post("/api/v1/tasks", json={"operation": bad.operation, "base": base})
    body = await answer.json()
    if answer.status >= 400:
        assert answer.content_type == "application/problem+json" and body["status"] == answer.status
        return body["code"], body["detail"]
    async with asyncio.timeout(20):
        while body["state"] not in ("failed", "completed"):
            await asyncio.sleep(0.02)
            body = await (await http.get(f"/api/v1/tasks/{body['id']}/view")).json()
    assert body["state"] == "failed", body
    return body["error"]["code"], body["error"]["message"]


async def test_the_terminal_interface_tells_every_bad_input_in_a_toast_with_its_code(
    served: tuple[Station, Daemon],
) -> None:
    station, daemon = served

    async def connect() -> Tasks:
        return daemon.tasks

    before = sorted(os.listdir(station.root))
    places = LocalPlaces(PathPolicy.of((str(station.root),)), str(station.root))
    app = DeckApp(connect, Settings(roots=(str(station.root),)), places=places)
    async with app.run_test(size=(120, 40)) as pilot, asyncio.timeout(60):
        while not app.link.state.up or app.main is None:
            await pilot.pause(0.01)
        for name, bad in BAD.items():
            app.clear_notifications()
            await pilot.press("colon")
            app.main.prompt.line.value = bad.line
            await pilot.press("enter")
            while not (told := [toast.message for toast in app._notifications if toast.severity == "error"]):
                await pilot.pause(0.01)
            assert told[0].endswith(f"[{bad.code}]") and bad.words in told[0], (name, told)
            await pilot.press("escape")
    assert sorted(os.listdir(station.root)) == before, "something half-written was left"
