"""The page in a real browser against a real daemon process with real archives."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import tarfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.support.browser import OpenPage
from tests.support.station import SECONDS, Station

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

HOSTILE = "<img src=x onerror=document.title='owned'>\nsecond line.txt"


@pytest_asyncio.fixture(loop_scope="session")
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yield Station(tmp_path, TASKDECK_WEB_ENABLED="true", TASKDECK_WEB_PORT=str(port), TASKDECK_TASKS_CANCEL_GRACE="2")


async def link(station: Station) -> str:
    done = await asyncio.to_thread(station.run, "web", "link")
    found = re.search(r"http://\S+#code=\S+", done.stdout)
    assert found is not None, done.stderr
    return found[0]


async def settled(page: Page) -> None:
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")


async def start_task(page: Page, operation: str, path: Path) -> None:
    await page.locator("#new").click()
    dialog = page.locator("dialog")
    await dialog.get_by_role("button", name=operation, exact=True).click()
    await dialog.locator("#new-path").fill(str(path))
    await dialog.get_by_role("button", name="Start").click()
    await expect(dialog).to_have_count(0)


async def test_an_archive_is_started_watched_paused_resumed_and_cancelled(
    station: Station, open_page: OpenPage
) -> None:
    folder = station.root / "much"
    folder.mkdir()
    with (folder / "zeros.bin").open("wb") as file:
        file.truncate(64 << 30)  # lasts on any machine, and costs no disk
    with station.serving():
        async with open_page(await link(station)) as page:
            await settled(page)
            await start_task(page, "zip", folder)
            card = page.locator(".card").first
            await expect(card.locator(".badge")).to_have_text("Compressing")
            await expect(card.locator(".percent")).to_have_text(re.compile("[1-9]"))
            await card.get_by_role("button", name="Pause").click()
            await expect(card.locator(".badge")).to_have_text("Paused")
            await card.get_by_role("button", name="Resume").click()
            await expect(card.locator(".badge")).to_have_text("Compressing")
            await card.get_by_role("button", name="Cancel").click()
            await page.get_by_role("button", name="Cancel it").click()
            await expect(card.locator(".badge")).to_have_text("Cancelled")
    assert sorted(found.name for found in station.root.iterdir()) == ["much"]


async def test_the_page_outlives_the_daemon_and_shows_what_came_after(station: Station, open_page: OpenPage) -> None:
    (station.root / "a.txt").write_text("x")
    async with open_page("about:blank", allowed=("WebSocket", "Failed to load")) as page:
        with station.serving():
            await page.goto(await link(station))
            await settled(page)
        await expect(page.locator("#connection")).to_contain_text("Reconnecting")
        with station.serving():
            await settled(page)  # by itself, with the same session
            await start_task(page, "zip", station.root / "a.txt")
            await expect(page.locator(".card .badge").first).to_have_text("Completed")


async def test_an_archive_tree_unpacks_what_is_chosen_and_nothing_else(station: Station, open_page: OpenPage) -> None:
    archive = station.root / "mixed.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for name in ("docs/one.txt", "docs/two[1].txt", "other/three.txt", HOSTILE):
            made.writestr(name, name)
    with station.serving():
        async with open_page(await link(station)) as page:
            await settled(page)
            await start_task(page, "zipinfo", archive)
            await expect(page.locator(".card .badge").first).to_have_text("Completed")
            await page.locator(".card h3 a").first.click()
            await expect(page.locator(".reply")).to_contain_text("Archive Information")
            tree = page.locator(".tree-box")
            await expect(tree).to_contain_text("<img src=x")
            assert await page.title() == "Taskdeck"
            assert await page.locator("#view img").count() == 0
            await tree.locator("summary").first.click(position={"x": 4, "y": 10})
            whole, inside = (tree.locator("label", has_text=name).locator("input") for name in ("docs/", "two[1].txt"))
            await whole.check()
            await expect(inside).to_be_checked()
            await expect(inside).to_be_disabled()
            await whole.uncheck()
            await inside.check()
            await expect(page.locator("#view")).to_contain_text("1 item selected")
            await page.get_by_role("button", name="Unpack selected").click()
            await expect(page.locator("#toasts .toast").first).to_contain_text("Unpacking")
            found = station.root
            async with asyncio.timeout(SECONDS):
                while not list(found.rglob("two[[]1[]].txt")):  # noqa: ASYNC110 - written by a job
                    await asyncio.sleep(0.05)
            await page.evaluate("location.hash = '#/'")
            await expect(page.locator(".card .badge", has_text="Completed")).to_have_count(2)
    assert not list(station.root.rglob("one.txt")) + list(station.root.rglob("three.txt"))


async def test_chosen_members_are_unpacked_whatever_their_names_and_no_namesakes(
    station: Station, open_page: OpenPage
) -> None:
    archive = station.root / "odd.tar"
    names = (
        "./one.txt",
        "./docs/one.txt",
        HOSTILE,
        "right\u202eleft.txt",
        "esc\x1b[31m.txt",
        "star*.txt",
        "starry.txt",
    )
    with tarfile.open(archive, "w") as made:
        for name in names:
            made.addfile(tarfile.TarInfo(name))
    chosen = {"one.txt", HOSTILE, "right\u202eleft.txt", "esc\x1b[31m.txt", "star*.txt"}
    with station.serving():
        async with open_page(await link(station)) as page:
            await settled(page)
            await start_task(page, "zipinfo", archive)
            await expect(page.locator(".card .badge").first).to_have_text("Completed")
            await expect(page.locator(".card .line").first).to_have_text("\u00a0")  # nothing is at work any more
            await page.locator(".card h3 a").first.click()
            members = page.locator(".tree-box > .tree > li > label")
            await expect(members).to_have_count(6)
            for member in await members.all():
                if "starry" not in await member.inner_text():
                    await member.locator("input").check()
            await page.get_by_role("button", name="Unpack selected").click()
            await page.locator("#toasts .toast", has_text="Unpacking").get_by_role("link").click()
            await expect(page.locator("#view .badge")).to_have_text("Completed")
            # What was unpacked is a folder: it can be packed, not be saved.
            await expect(page.get_by_role("link", name="Download the result")).to_be_hidden()
            await page.get_by_role("button", name="Pack the result").click()
            await expect(page.locator("#new-path")).to_have_value(str(station.root / "odd"))
    assert {str(path.relative_to(station.root / "odd")) for path in (station.root / "odd").rglob("*")} == chosen


async def test_a_file_is_sent_packed_and_saved_again(station: Station, open_page: OpenPage, tmp_path: Path) -> None:
    sent = tmp_path / "from my phone.bin"
    sent.write_bytes(os.urandom(100_000))
    with station.serving():
        async with open_page(await link(station), accept_downloads=True) as page:
            await settled(page)
            await page.locator("#new").click()
            async with page.expect_file_chooser() as choosing:
                await page.locator("dialog").get_by_role("button", name="Upload").first.click()
            await (await choosing.value).set_files(sent)
            place = station.root / "uploads" / sent.name
            await expect(page.locator("#new-path")).to_have_value(str(place))
            await page.locator("dialog").get_by_role("button", name="Start").click()
            await expect(page.locator(".card .badge").first).to_have_text("Completed")
            await expect(page.locator("#stat-uploads")).to_have_text("1")
            await page.locator(".card h3 a").first.click()
            async with page.expect_download() as saving:
                await page.get_by_role("link", name="Download the result").click()
            saved = await (await saving.value).path()
            with zipfile.ZipFile(saved) as archive:
                assert archive.read(sent.name) == sent.read_bytes()
            await page.evaluate("location.hash = '#/history'")
            await expect(page.locator("td.name")).to_contain_text("from my phone.bin")
