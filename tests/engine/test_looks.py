"""Looks: quick questions about files that leave no task behind; and what the history comes to."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import time
import zipfile
from pathlib import Path

import msgspec
import pytest

from engines import looks
from engines.errors import TaskdeckError
from engines.media.tools import PYAV, bundled
from engines.model import TaskState
from engines.query import Query
from engines.settings import MediaSettings
from tests.support.station import Station
from tests.support.workbench import ME, Deck, running


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def many_members(path: Path, count: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(count):
            archive.writestr(f"data/part {number // 1000}/{number:05d}.txt", b"x" * 10)
        archive.writestr("read me.txt", b"hello")


async def children(deck: Deck) -> set[int]:
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return set(map(int, found.split()))


async def test_members_come_page_by_page_and_leave_no_task(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        many_members(deck.root / "many.zip", 4100)
        ask = {"op": "members", "path": "many.zip"}
        top = await deck.service.look(ask, base=str(deck.root))
        assert (top["files"], top["total"]) == (4101, 2)
        assert [(row["name"], row.get("size")) for row in top["rows"]] == [("data", 41_000), ("read me.txt", 5)]
        part = await deck.service.look(
            {**ask, "folder": "data/part 3", "offset": 500, "limit": 100}, base=str(deck.root)
        )
        assert part["total"] == 1000
        assert part["rows"][0]["name"] == "03500.txt" and len(part["rows"]) == 100
        assert (await deck.service.query(Query())).total == 0


async def test_kept_listing_is_of_this_very_archive(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        ask = {"op": "members", "path": str(deck.root / "a.zip")}
        many_members(deck.root / "a.zip", 600)
        assert (await deck.service.look(ask))["files"] == 601
        assert list((tmp_path / "cache/taskdeck/listings").iterdir())
        many_members(deck.root / "a.zip", 700)
        assert (await deck.service.look(ask))["files"] == 701


async def test_names_that_took_a_password_are_not_kept(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        (deck.root / "one").write_bytes(os.urandom(2 << 20))
        command = ["7zz", "a", "-phush", "-mhe=on", "-bd", "-bso0", str(deck.root / "s.7z"), str(deck.root / "one")]
        subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)
        with pytest.raises(TaskdeckError) as caught:
            await deck.service.look({"op": "members", "path": str(deck.root / "s.7z")})
        assert caught.value.code == "password.needed"
        found = await deck.service.look({"op": "members", "path": str(deck.root / "s.7z"), "password": "hush"})
        assert [row["name"] for row in found["rows"]] == ["one"]
        assert not (tmp_path / "cache/taskdeck/listings").exists()


async def test_estimate_foretells_a_folder(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        (deck.root / "f").mkdir()
        (deck.root / "f/text").write_bytes(b"the same line again\n" * 50_000)
        found = await deck.service.look({"op": "estimate", "path": "f"}, base=str(deck.root))
        assert (found["files"], found["original"]) == (1, 1_000_000)
        assert found["packed"] < 100_000 and found["fits"] and found["free"] > 0


@pytest.mark.parametrize("program", ["system", "bundled"])
async def test_picture_is_rgb_of_the_asked_size(tmp_path: Path, program: str) -> None:
    async with running(tmp_path) as deck:
        source = deck.root / "half [1].png"
        words = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=red:size=320x160", "-frames:v", "1", str(source)]
        subprocess.run(words, check=True, timeout=60, stdin=subprocess.DEVNULL)
        if program == "bundled":
            media = MediaSettings(ffmpeg_path=bundled() or "", ffprobe_path=PYAV)
            deck.service.reload(msgspec.structs.replace(deck.service.settings, media=media))
        found = await deck.service.look({"op": "picture", "path": str(source), "width": 40, "height": 40})
        pixels = base64.b64decode(found["rgb"])
        assert (found["width"], found["height"], len(pixels)) == (40, 20, 2400)
        assert pixels[0] > 200 and pixels[1] < 40 and pixels[2] < 40


async def test_file_without_a_picture_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        (deck.root / "words.txt").write_text("no picture")
        with pytest.raises(TaskdeckError) as caught:
            await deck.service.look({"op": "picture", "path": str(deck.root / "words.txt")})
        assert caught.value.code == "media.unreadable"


async def test_looks_stay_inside_the_roots_and_are_known(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        for ask, code in (
            ({"op": "members", "path": "/etc/hostname"}, "path.outside_roots"),
            ({"op": "zip", "path": str(deck.root)}, "usage"),
            ({"op": "members", "path": str(deck.root), "limit": 0}, "value"),
        ):
            with pytest.raises(TaskdeckError) as caught:
                await deck.service.look(ask)
            assert caught.value.code == code


async def test_given_up_look_ends_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = looks.LookSpec(looks.Picture, "tests.support.operations:never", 60.0)
    monkeypatch.setitem(looks.LOOKS, "picture", spec)
    async with running(tmp_path) as deck:
        (deck.root / "x").write_bytes(b"x")
        before = await children(deck)
        asking = asyncio.create_task(deck.service.look({"op": "picture", "path": str(deck.root / "x")}))
        deadline = time.monotonic() + 20
        while not (await children(deck)) - before:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        while (await children(deck)) - before:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


async def test_look_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(looks.LOOKS, "picture", looks.LookSpec(looks.Picture, "tests.support.operations:never", 0.2))
    async with running(tmp_path) as deck:
        (deck.root / "x").write_bytes(b"x")
        with pytest.raises(TaskdeckError) as caught:
            await deck.service.look({"op": "picture", "path": str(deck.root / "x")})
        assert caught.value.code == "task.timeout"


async def test_totals_add_up_what_archives_saved(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        (deck.root / "text").write_bytes(b"the same line again\n" * 50_000)
        op = {"op": "zip", "path": str(deck.root / "text")}
        for _ in range(2):
            view = await deck.ended((await deck.service.submit(op, actor=ME)).id)
            assert view.state is TaskState.COMPLETED
        bad = await deck.service.submit({"op": "unzip", "path": str(deck.root / "text")}, actor=ME)
        await deck.ended(bad.id)
        found = await deck.service.totals()
        packed = (deck.root / "text.zip").stat().st_size
        assert (found.completed, found.failed, found.tasks) == (2, 1, 3)
        assert found.saved == 2 * (1_000_000 - packed)
        assert found.bytes >= 2_000_000
        assert (await deck.service.totals("status:failed")).saved == 0


async def test_totals_add_up_what_converted_archives_saved(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        with zipfile.ZipFile(deck.root / "text.zip", "w") as archive:
            archive.writestr("text", b"the same line again\n" * 50_000)
        before = (deck.root / "text.zip").stat().st_size
        op = {"op": "convert", "path": str(deck.root / "text.zip"), "format": "7z"}
        view = await deck.ended((await deck.service.submit(op, actor=ME)).id)
        assert view.state is TaskState.COMPLETED
        assert (await deck.service.totals()).saved == before - (deck.root / "text.7z").stat().st_size


async def test_api_answers_looks_and_totals_to_clients(tmp_path: Path) -> None:
    station = Station(tmp_path)
    many_members(station.root / "many.zip", 20)
    async with station.daemon(), station.client() as client:
        found = await client.look({"op": "members", "path": "many.zip"}, base=str(station.root))
        assert found["files"] == 21
        assert (await client.totals()).tasks == 0
        with pytest.raises(TaskdeckError) as caught:
            await client.look({"op": "members", "path": "gone.zip"}, base=str(station.root))
        assert caught.value.code == "path.missing"
