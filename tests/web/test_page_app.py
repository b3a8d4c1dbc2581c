"""The page as an installed app: manifest, service worker, offline page, notifications; and what needs TLS."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from playwright.async_api import expect

from engines.model import TaskState
from engines.settings import WebSettings
from tests.support.browser import OpenPage, settled
from tests.support.fake_tasks import FakeTasks, seeded
from tests.support.station import SECONDS
from tests.support.web_server import Site, site

pytestmark = pytest.mark.asyncio(loop_scope="session")

CONTROLLED = """() => navigator.serviceWorker.ready.then(() => navigator.serviceWorker.controller
  ? true : new Promise(done => navigator.serviceWorker.addEventListener('controllerchange', () => done(true))))"""


@pytest_asyncio.fixture(loop_scope="session")
async def deck(tmp_path: Path) -> AsyncIterator[tuple[Site, FakeTasks]]:
    tasks = FakeTasks(seeded(6))
    async with site(tasks, tmp_path) as served:
        yield served, tasks


async def test_the_browser_finds_everything_to_install_the_page(
    deck: tuple[Site, FakeTasks], open_page: OpenPage
) -> None:
    served, _ = deck
    async with open_page(served.link()) as page:
        await settled(page)
        wire = await page.context.new_cdp_session(page)
        manifest = await wire.send("Page.getAppManifest")
        assert manifest["errors"] == []
        assert manifest["url"].endswith("/app.webmanifest")
        found = await wire.send("Page.getInstallabilityErrors")
        errors = [item["errorId"] for item in found["installabilityErrors"]]
        assert [item for item in errors if item != "in-incognito"] == []  # test contexts are incognito windows


async def test_without_a_server_the_offline_page_leads_back(tmp_path: Path, open_page: OpenPage) -> None:
    tasks = FakeTasks(seeded(3))
    async with (
        site(tasks, tmp_path) as served,
        open_page(served.link(), allowed=("Failed to load", "WebSocket")) as page,
    ):
        await settled(page)
        assert await page.evaluate(CONTROLLED)
        port = served.port
        await served.server.close_tcp()
        for transport in served.deck.flights.transports():
            transport.abort()
        await page.reload()
        await expect(page.get_by_role("heading", name="Offline")).to_be_visible()
        await expect(page.locator(".panel")).to_have_css("border-radius", "12px")  # its style sheet is kept too
        await served.server.listen_tcp(WebSettings(port=port))
        await page.get_by_role("link", name="Try again").click()
        await settled(page)


async def test_the_service_worker_keeps_files_of_the_page_and_no_data(
    deck: tuple[Site, FakeTasks], open_page: OpenPage
) -> None:
    served, _ = deck
    async with open_page(served.link()) as page:
        await settled(page)
        assert await page.evaluate(CONTROLLED)
        await page.evaluate("location.hash = '#/history'")
        await expect(page.locator("#view h2").first).to_be_visible()
        kept = await page.evaluate(
            "caches.keys().then(names => Promise.all(names.map(name => caches.open(name).then(c => c.keys()))))"
            ".then(all => all.flat().map(request => new URL(request.url).pathname))"
        )
    assert kept
    assert [path for path in kept if not path.startswith("/static/") and path != "/offline"] == []


async def test_an_ended_task_is_notified_while_the_page_is_hidden(
    deck: tuple[Site, FakeTasks], open_page: OpenPage
) -> None:
    served, tasks = deck
    async with open_page(served.link(), permissions=["notifications"]) as page:
        await settled(page)
        assert await page.evaluate(CONTROLLED)
        await page.evaluate("location.hash = '#/settings'")
        await page.get_by_label("Tell me when a task ends").check()
        told = (
            "navigator.serviceWorker.ready.then(r => r.getNotifications()).then(all => all.map(n => [n.title, n.tag]))"
        )
        tasks.change("t000", state=TaskState.COMPLETED)
        await expect(page.locator("#toasts .toast")).to_contain_text("completed")
        assert await page.evaluate(told) == []  # whoever looks at the page needs none
        await page.evaluate("Object.defineProperty(document, 'hidden', {value: true})")
        tasks.change("t001", state=TaskState.FAILED)
        async with asyncio.timeout(SECONDS):
            while (shown := await page.evaluate(told)) == []:  # noqa: ASYNC110 - the browser tells nobody
                await asyncio.sleep(0.05)
        assert shown == [["unzip failed", "t001"]]


async def test_over_plain_http_in_a_network_the_page_works_and_says_what_needs_tls(
    tmp_path: Path, open_page: OpenPage
) -> None:
    address = lan_address()
    tasks = FakeTasks(seeded(3))
    async with site(tasks, tmp_path, web=WebSettings(enabled=True, host=address, port=0)) as served:
        link = served.link().replace("127.0.0.1", address)
        async with open_page(link) as page:
            await settled(page)
            tasks.change("t000", done=1, total=2)
            await expect(page.locator('[data-id="t000"] .percent')).to_have_text("50.0%")
            assert await page.evaluate("isSecureContext") is False
            await page.evaluate("location.hash = '#/settings'")
            for title in ("Notifications", "App"):
                panel = page.locator(".panel", has=page.get_by_role("heading", name=title, exact=True))
                await expect(panel).to_contain_text("HTTPS")
                await expect(panel).to_contain_text("web.tls_certificate")


def lan_address() -> str:
    """An address of this machine that is not loopback."""
    for addresses in psutil.net_if_addrs().values():
        for item in addresses:
            if item.family is socket.AF_INET and not item.address.startswith("127."):
                return item.address
    pytest.fail("this machine has no network interface besides loopback")
