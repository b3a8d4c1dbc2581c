"""For tests in real terminals, which wait for programs to start: that takes as long as the machine is busy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.terminal import PATIENCE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The clock of a whole test must not strike before the one of what it waits for."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(5 * PATIENCE))
