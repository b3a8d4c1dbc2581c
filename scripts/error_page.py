"""Write docs/errors.md from the table of codes."""

from __future__ import annotations

from pathlib import Path

from engines.errors import CODES, Exit

PAGE = Path(__file__).parent.parent / "docs" / "errors.md"

_EXIT_MEANING = {
    Exit.OK: "done",
    Exit.FAILED: "the task failed",
    Exit.USAGE: "the command or a value is wrong",
    Exit.CANCELLED: "cancelled",
    Exit.NOT_FOUND: "a path, task or member does not exist",
    Exit.NO_DAEMON: "no daemon answers",
    Exit.CONFLICT: "not possible in this state",
    Exit.REFUSED: "refused: rights, roots or a safety limit",
    Exit.NO_SPACE: "not enough free space",
    Exit.PASSWORD: "a password is needed or wrong",
    Exit.DAMAGED: "the input is damaged",
    Exit.DETACHED: "left while the task goes on (Ctrl-C, then detach)",
}


def page() -> str:
    """The page as Markdown."""
    lines = [
        "# Errors and exit statuses",
        "",
        "An error is one sentence: what was tried, why it failed, what to do. Its code is stable; the API gives it as",
        "`code` in a problem document, the command line in `--json`.",
        "",
        "| exit status | meaning |",
        "|---|---|",
        *(f"| {status.value} | {meaning} |" for status, meaning in _EXIT_MEANING.items()),
        "",
        "| code | exit | HTTP | meaning |",
        "|---|---|---|---|",
        *(f"| `{code}` | {info.exit.value} | {info.http} | {info.meaning} |" for code, info in CODES.items()),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
