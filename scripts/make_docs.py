"""Write the pages that are made from code: docs/configuration.md and taskdeck.toml.sample. `--check` only compares."""

from __future__ import annotations

import sys
from pathlib import Path

from tui_app.config_sample import page, sample

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Write or compare; 1 when a page is out of date."""
    pages = {ROOT / "docs" / "configuration.md": page(), ROOT / "docs" / "taskdeck.toml": sample()}
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run scripts/make_docs.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(pages[path])
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
