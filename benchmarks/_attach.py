"""The interface as a user starts it, attached to the engine of `benchmarks.tui`: `python -m benchmarks._attach FOLDER`.

A module of its own, so that what the benchmark imports is not measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

from engines.settings import Settings
from engines.tasks.api import Tasks
from tui_app.app import run


def environment(folder: Path) -> dict[str, str]:
    """Variables that keep everything in one folder."""
    names = ("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME")
    return dict.fromkeys(names, str(folder))


def main() -> int:
    """Open the interface."""
    folder = Path(sys.argv[1])

    async def connect() -> Tasks:
        from tui_app.client.remote import TaskClient
        from tui_app.locations import Locations

        return TaskClient(socket=Locations.of(environment(folder)).socket(), reconnect=False)

    return run(connect, Settings(roots=(str(folder),)), where="benchmark")


if __name__ == "__main__":
    sys.exit(main())
