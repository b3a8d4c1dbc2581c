"""Does the work: tasks, archives, media. Imports nothing of the faces."""

from __future__ import annotations

import sys
from typing import Any

_modules: dict[str, Any] = sys.modules
if not _modules.keys() & {"msgspec", "typing_extensions"}:
    # msgspec asks typing_extensions, when it is there, for what `typing` has since 3.11; the import of that and of
    # what it needs is 8 ms of every command. Told that it is missing, msgspec takes `typing`.
    _modules["typing_extensions"] = None
    try:
        import msgspec  # noqa: F401
    finally:
        del _modules["typing_extensions"]
