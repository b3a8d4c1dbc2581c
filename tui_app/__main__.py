"""`taskdeck`: the command line, and the terminal interface when no command is given."""

from __future__ import annotations

import gc
import os
import sys


def main() -> int:
    """Run one command; the return value is the exit status."""
    _speak_utf8()
    # Imports make objects, not cycles: with Python's 700 the collector looked through them again and again.
    gc.set_threshold(20_000, 20, 20)
    from tui_app.cli.main import run

    status = run(sys.argv[1:])
    if "engines.tasks.foreground" in sys.modules:  # an operation ran here: its threads may be busy for seconds yet
        from engines.tasks.processes import leave

        leave(status)
    gc.freeze()  # the interpreter looks for cycles three times while it ends; 15 ms that nobody needs
    return status


def _speak_utf8() -> None:
    """Start again in Python's UTF-8 mode where the locale has another encoding.

    Names of files are bytes, and the daemon, its database and JSON take them for UTF-8: in a Latin-1 locale "é" would
    be another name for every part of the program that was started elsewhere. The terminal keeps its encoding.
    """
    if sys.getfilesystemencoding() == "utf-8" or os.environ.get("PYTHONUTF8") == "1" or not sys.executable:
        return
    os.environ["PYTHONUTF8"] = "1"
    if sys.stdout is not None:
        os.environ.setdefault("PYTHONIOENCODING", f"{sys.stdout.encoding}:backslashreplace")
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
