"""What `taskdeck doctor` says about the chat; loads nothing of the library."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from engines.errors import TaskdeckError
from engines.paths import PathPolicy
from engines.settings import Settings
from tui_app.telegram.access import Access

_DISTRIBUTIONS = ("kurigram", "pyrogram")


def diagnose(settings: Settings) -> tuple[str, str, str]:
    """How the chat stands: "ok", "warn" or "fail", what was found, and what to do about it."""
    chat = settings.telegram
    begun = bool(chat.bot_token or chat.api_hash or chat.api_id)
    if not chat.enabled:
        if not begun:
            return "ok", "off", ""
        missing = [name for name in ("api_id", "api_hash", "bot_token") if not getattr(chat, name)]
        if missing:
            return "warn", f"off: telegram.{missing[0]} is not set", "see docs/telegram.md"
        return "warn", "off: nobody may use it", "set telegram.allowed_users"
    installed = [name for name in _DISTRIBUTIONS if _version(name)]
    if not installed:
        return "fail", "on, but its library is not installed", "pip install 'taskdeck[telegram]'"
    if len(installed) > 1:
        fix = "pip uninstall -y pyrogram kurigram && pip install kurigram"
        return "fail", "kurigram and pyrogram overwrite one another", fix
    try:
        people = Access(chat, PathPolicy.of(settings.roots)).ids
    except TaskdeckError as error:
        return "fail", error.message, "edit the settings"
    if find_spec("tgcrypto") is None:
        return "warn", "on, but encryption is 400 times slower than it could be", "pip install tgcrypto-pyrofork"
    users = f"{len(people)} user{'' if len(people) == 1 else 's'}"
    return "ok", f"on for {users}, {installed[0]} {_version(installed[0])}", ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
