"""Measure everything: `python -m benchmarks [NAME...]` runs the modules of this folder one after another.

Each is a process of its own, so that none warms up or loads another. A module takes options of its own when it is run
alone: `python -m benchmarks.archives --help`.
"""

from __future__ import annotations

import argparse
import os
import pkgutil
import subprocess
import sys
import time
from pathlib import Path

_HERE = Path(__file__).parent


def names() -> list[str]:
    """The modules that measure something."""
    return sorted(module.name for module in pkgutil.iter_modules([str(_HERE)]) if not module.name.startswith("_"))


def main() -> int:
    """Run the wanted modules; 1 when one of them failed."""
    known = names()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)} (default: all)")
    wanted = parser.parse_args().names or known
    if unknown := set(wanted) - set(known):
        parser.error(f"there is no {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    failed = []
    for name in wanted:
        print(f"\n## {name} (load {os.getloadavg()[0]:.1f})\n", flush=True)
        started = time.monotonic()
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=_HERE.parent).returncode:
            failed.append(name)
        print(f"\n{name}: {time.monotonic() - started:.0f} s", flush=True)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
