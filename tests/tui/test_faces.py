"""The panel of the other faces: on a fake, and on a real daemon whose dashboard is switched on and off."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from engines.errors import TaskdeckError
from tests.support.station import Station
from tests.tui.conftest import deck
from tui_app.faces import DaemonFaces, FacesState

LINK = "http://127.0.0.1:8000/login#code=abcdefgh"


class FakeFaces:
    can_switch = True

    def __init__(self) -> None:
        self.state = FacesState(chat="online as @deck_bot")

    async def look(self) -> FacesState:
        return self.state

    async def link(self) -> str:
        return LINK

    async def switch(self, on: bool) -> FacesState:
        self.state = FacesState("http://127.0.0.1:8000" if on else "", self.state.chat)
        return self.state


async def test_the_dashboard_is_switched_on_and_a_login_link_is_made() -> None:
    async with deck(faces=FakeFaces(), size=(100, 44)) as d:
        await d.press("W")
        assert "Dashboard   off" in d.text() and "online as @deck_bot" in d.text()
        await d.press("l")
        assert any("Switch the dashboard on first" in text for text in d.toasts())
        await d.press("w")
        assert "on, http://127.0.0.1:8000/dashboard" in d.text()
        await d.press("l")
        assert LINK in d.text() and sum("██" in line for line in d.text().splitlines()) > 12, "a QR code"
        assert "\x1b" not in d.text()
        await d.press("y")
        assert d.app.clipboard == LINK
        await d.press("w")
        assert LINK not in d.text() and "Dashboard   off" in d.text()


async def test_a_daemon_that_cannot_be_asked_is_told() -> None:
    faces = FakeFaces()

    async def refused(on: bool) -> FacesState:
        raise TaskdeckError("usage", "cannot switch the dashboard", "the port is taken")

    faces.switch = refused  # type: ignore[method-assign]
    async with deck(faces=faces) as d:
        await d.press("W", "w")
        assert any("the port is taken" in text for text in d.toasts())
        assert "Dashboard   off" in d.text()


async def test_without_a_daemon_it_says_so() -> None:
    async with deck() as d:
        await d.press("W")
        assert d.top is d.screen


async def test_switching_reaches_a_real_daemon_and_the_link_signs_in(tmp_path: Path) -> None:
    station = Station(tmp_path, TASKDECK_WEB_PORT="0")
    async with station.daemon(), station.client() as client:
        faces = DaemonFaces(lambda: client, station.locations.config)
        assert await faces.look() == FacesState("", "off")
        assert await faces.link() == ""
        state = await faces.switch(True)
        assert state.url.startswith("http://127.0.0.1:")
        assert (await faces.link()).startswith(f"{state.url}/login#code=")
        async with aiohttp.ClientSession() as http, http.get(f"{state.url}/healthz") as answer:
            assert answer.status == 200
        assert (await faces.switch(False)).url == ""
