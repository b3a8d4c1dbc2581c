"""Files that people send: where they go, and what is offered to be done with them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engines.operations import OPERATIONS
from engines.settings import TelegramSettings
from tui_app.telegram.access import Member
from tui_app.telegram.cards import OFFER
from tui_app.telegram.commands import chat_name
from tui_app.telegram.gateway import Document

_ARCHIVES: Final = (
    ".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".lz4", ".br", ".iso", ".cab", ".001",
)  # fmt: skip
_MEDIA: Final = (
    ".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".ts", ".mpg", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".wav",
)  # fmt: skip
_FOLDER: Final = "Telegram"

_LABELS: Final = {
    "unzip": "📂 Extract",
    "zipinfo": "📦 List",
    "ziptest": "✔️ Test",
    "mediainfo": "🎬 Media info",
    "thumbnail": "🖼 Thumbnail",
    "transcode": "🎞 Transcode",
    "zip": "🗜 Compress",
}


def inbox_folder(settings: TelegramSettings, member: Member) -> Path:
    """Where a member's files are saved: the inbox if it lies in the member's roots, else a folder in the first root."""
    if settings.inbox and member.policy.allows(settings.inbox):
        return Path(settings.inbox)
    return Path(os.path.join(member.base, _FOLDER))


def offers(documents: Sequence[Document], message: int) -> list[tuple[str, str]]:
    """Labels and button data of what can be done with all these files, by their names; the content decides later."""
    if all(document.name.casefold().endswith(_ARCHIVES) for document in documents):
        wanted = ["unzip", "zipinfo", "ziptest"]
    elif all(_is_media(document) for document in documents):
        wanted = ["mediainfo", "thumbnail", "transcode", "zip"]
    else:
        wanted = ["zip"]
    found = [(_LABELS[op], f"{OFFER}:{chat_name(op)}:{message}") for op in wanted if op in OPERATIONS]
    return [*found, ("💾 Save", f"{OFFER}:save:{message}")]


def _is_media(document: Document) -> bool:
    return document.name.casefold().endswith(_MEDIA) or document.mime.startswith(("video/", "audio/"))
