"""For every test."""

from __future__ import annotations

import signal

import pytest

# A runner in the background of a shell ignores SIGINT, and so would all the programs that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Repeat once, and say so in the summary, what failed beside real processes: the machine's pace is nobody's fault.

    A fault fails twice. The unit room has no clock but its own and gets no second chance.
    """
    for item in items:
        if "unit" not in item.path.parts:
            item.add_marker(pytest.mark.flaky(reruns=1))
