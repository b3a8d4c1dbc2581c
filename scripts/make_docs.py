"""Write the pages made from code: docs/configuration.md, taskdeck.toml, keys in docs/tui.md. `--check` compares."""

from __future__ import annotations

import sys
from pathlib import Path

from tui_app.config_sample import page, sample
from tui_app.keys import key_table

ROOT = Path(__file__).resolve().parent.parent


def with_keys(text: str) -> str:
    """The page of the terminal interface with its key table renewed."""
    head, rest = text.split("<!-- keys: written by scripts/make_docs.py -->\n")
    tail = rest.split("<!-- /keys -->")[1]
    return f"{head}<!-- keys: written by scripts/make_docs.py -->\n{key_table()}\n<!-- /keys -->{tail}"


def main() -> int:
    """Write or compare; 1 when a page is out of date."""
    tui = ROOT / "docs" / "tui.md"
    pages = {
        ROOT / "docs" / "configuration.md": page(),
        ROOT / "docs" / "taskdeck.toml": sample(),
        tui: with_keys(tui.read_text()),
    }
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
