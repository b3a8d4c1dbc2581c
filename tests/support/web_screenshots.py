"""Pictures of the dashboard for the docs: `python -m tests.support.web_screenshots docs/images`."""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
from pathlib import Path

import msgspec
from playwright.async_api import Browser, Page, async_playwright

from engines.model import TaskView
from tests.support.browser import ARGUMENTS, CHROMIUM
from tests.support.fake_tasks import FakeTasks
from tests.support.screenshots import REPLY, story
from tests.support.web_server import Site, site

_TICKS = 60


def tasks() -> FakeTasks:
    """The story of the terminal's pictures, without letters the browser has no font for."""
    views: list[TaskView] = [msgspec.structs.replace(view, title=_shown(view.title)) for view in story()]
    return FakeTasks(views)


def _shown(title: str) -> str:
    return title if all(ord(letter) < 0x500 for letter in title) else "Tokyo by night.mkv"


async def moved(fake: FakeTasks) -> None:
    """Half a minute of figures, for the graphs."""
    chance = random.Random(3)
    speeds = {view.id: view.speed for view in fake.views.values()}
    for _ in range(_TICKS):
        fake.host = msgspec.structs.replace(
            fake.host, at=fake.host.at + 0.5, cpu=chance.uniform(42, 71), memory=chance.uniform(61, 63)
        )
        for task_id, speed in speeds.items():
            if speed:
                fake.put(msgspec.structs.replace(fake.views[task_id], speed=speed * chance.uniform(0.8, 1.1)))
        fake.wake()
        await asyncio.sleep(0.06)


async def main(folder: Path) -> None:
    """Write the pictures."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, "--hide-scrollbars"])
        await picture(browser, folder / "dashboard.png", width=1280, height=860)
        await picture(browser, folder / "dashboard-dark.png", width=1280, height=860, theme="dark")
        await picture(browser, folder / "dashboard-phone.png", width=390, height=844, theme="dark", scroll=430)
        await picture(browser, folder / "dashboard-task.png", width=1280, height=860, task=True)
        await browser.close()


async def picture(
    browser: Browser, path: Path, *, width: int, height: int, theme: str = "light", scroll: int = 0, task: bool = False
) -> None:
    """One picture."""
    fake = tasks()
    with tempfile.TemporaryDirectory() as state:
        async with site(fake, Path(state)) as served:
            page = await opened(browser, served, width, height, theme)
            await moved(fake)
            if task:
                done = next(view for view in fake.views.values() if view.state == "completed")
                fake.put(msgspec.structs.replace(done, op="zip", title="photos 2025", output="/srv/photos 2025.zip"))
                fake.details[done.id] = msgspec.structs.replace(await fake.detail(done.id), reply=REPLY)
                await page.evaluate(f"location.hash = '#/task/{done.id}'")
                await page.locator("#view h2").first.wait_for()
            await page.evaluate(f"scrollTo(0, {scroll})")
            await asyncio.sleep(0.3)
            await page.screenshot(path=path)
            await page.context.close()


async def opened(browser: Browser, served: Site, width: int, height: int, theme: str) -> Page:
    """The page, signed in."""
    dark = theme == "dark"
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    page = await context.new_page()
    await page.goto(served.link())
    await page.locator(".card").first.wait_for()
    return page


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
