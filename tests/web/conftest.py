"""A daemon in the test's own loop, on a real Unix socket, with the quick operations of the engine's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.browser import browser, open_page
from tests.support.operations import added_operations as quick_operations
from tests.support.station import Station
from tui_app.daemon import Daemon


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


@pytest.fixture
def operations() -> Iterator[None]:
    with quick_operations():
        yield


@pytest.fixture
async def daemon(station: Station, operations: None) -> AsyncIterator[Daemon]:
    """With the web side on a free port."""
    async with station.daemon(web_enabled="true", web_port="0") as running:
        yield running


__all__ = ["browser", "daemon", "open_page", "operations", "station"]
