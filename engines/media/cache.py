"""What was read before: facts by (device, inode, size, mtime), abilities of programs. A look costs 0.1 ms."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from engines.media.facts import MediaFacts

_VERSION: Final = 3
"""Part of every key: raise it when the facts or their rules change."""
_KEPT: Final = 5000


class Key(msgspec.Struct, frozen=True):
    """What identifies a file's content without reading it."""

    device: int
    inode: int
    size: int
    mtime_ns: int


def folder() -> Path:
    """Where the cache lives: below XDG_CACHE_HOME, readable by the user alone."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "taskdeck" / "media"


def load(key: Key) -> MediaFacts | None:
    """The facts kept for a file, None when there are none that can be read."""
    try:
        data = _path(key).read_bytes()
        return msgspec.json.decode(data, type=MediaFacts)
    except (OSError, msgspec.MsgspecError):
        return None


def store(key: Key, facts: MediaFacts) -> None:
    """Keep facts; a cache that cannot be written is no error."""
    _write(_path(key), msgspec.json.encode(facts))


def about_program(program: str, question: str, ask: Callable[[], list[str]]) -> list[str]:
    """What a program said before, as long as its file is the same; else `ask` it (65 ms and more a start).

    An empty answer is not kept: what failed once, on a machine that was too busy, may work the next time.
    """
    status = os.stat(program)
    given = (_VERSION, program, status.st_size, status.st_mtime_ns, question)
    digest = hashlib.blake2s(msgspec.json.encode(given), digest_size=16).hexdigest()
    path = folder() / f"program-{digest}.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[str])
    except (OSError, msgspec.MsgspecError):
        answer = ask()
        if answer:
            _write(path, msgspec.json.encode(answer))
        return answer


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{threading.get_native_id()}")
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
        if path.name.startswith("00"):  # every 256th write
            _prune(path.parent)


def _prune(where: Path) -> None:
    entries = sorted(os.scandir(where), key=lambda entry: entry.stat().st_mtime, reverse=True)
    for entry in entries[_KEPT:]:
        os.unlink(entry.path)


def _path(key: Key) -> Path:
    digest = hashlib.blake2s(msgspec.json.encode((_VERSION, key)), digest_size=16).hexdigest()
    return folder() / f"{digest}.json"
