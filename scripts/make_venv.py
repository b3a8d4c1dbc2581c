"""Make the virtual environment, with a clear message where Python is too old or cannot."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path


def main(target: str) -> int:
    """Make the environment at `target` unless it is there; 0 when it can be used."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this very check is for older ones
        print(f"Taskdeck needs Python 3.11 or newer; this is {sys.version.split()[0]}.", file=sys.stderr)
        return 1
    if (Path(target) / "bin" / "pip").exists():
        return 0
    try:
        venv.create(target, with_pip=True, clear=True)
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"Cannot make {target}: {error}", file=sys.stderr)
        print("On Debian: sudo apt-get install python3-venv", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
