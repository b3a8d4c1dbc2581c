"""One browser for the whole session; pages that fail their test on any console error or blocked request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

CHROMIUM = "/usr/bin/chromium"
"""From the Debian package; `scripts/system-packages test` installs it."""
ARGUMENTS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--no-first-run",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
]

PATIENCE = 60_000.0
"""Milliseconds a page has for what is expected of it; a quick machine needs none of them."""
expect.set_options(timeout=PATIENCE)

OpenPage = Callable[..., AbstractAsyncContextManager[Page]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield found
        await found.close()


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser) -> OpenPage:
    """Opens pages in a context of their own; what the browser complains about fails the test."""

    @asynccontextmanager
    async def opened(
        url: str,
        *,
        width: int = 1280,
        height: int = 900,
        theme: Any = "light",
        allowed: tuple[str, ...] = (),
        **extra: Any,
    ) -> AsyncIterator[Page]:
        context = await browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce", **extra
        )
        context.set_default_timeout(PATIENCE)
        page = await context.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        try:
            await page.goto(url)
            yield page
        finally:
            await context.close()
        unexpected = [text for text in complaints if not any(part in text for part in allowed)]
        assert unexpected == [], unexpected

    return opened


async def settled(page: Page) -> None:
    """Wait until the page is connected and shows a card."""
    await expect(page.locator("#connection")).to_have_attribute("data-state", "live")
    await expect(page.locator(".card").first).to_be_visible()
