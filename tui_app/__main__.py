"""`taskdeck`: the command line, and the terminal interface when no command is given."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Run one command; the return value is the exit status."""
    # Imports make objects, not cycles: with Python's 700 the collector looked through them again and again.
    gc.set_threshold(20_000, 20, 20)
    from tui_app.cli.main import run

    status = run(sys.argv[1:])
    if "engines.tasks.foreground" in sys.modules:  # an operation ran here: its threads may be busy for seconds yet
        from engines.tasks.processes import leave

        leave(status)
    gc.freeze()  # the interpreter looks for cycles three times while it ends; 15 ms that nobody needs
    return status


if __name__ == "__main__":
    sys.exit(main())
