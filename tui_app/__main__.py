"""`taskdeck`: the command line, and the terminal interface when no command is given."""

from __future__ import annotations

import sys


def main() -> int:
    """Run one command; the return value is the exit status."""
    from tui_app.cli.main import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
