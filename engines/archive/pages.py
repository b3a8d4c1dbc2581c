"""Pages of an archive's members for tree browsers, and the listing kept between two of them.

Listing a tar.gz means reading all of it. So what was listed is kept below the user's cache folder, by the identity
of the archive's files; not when it took a password, because names can be the secret.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from engines.archive.detect import Found, detect
from engines.archive.extract import readers
from engines.archive.inspect import MemberRow, reading, row
from engines.archive.member import Listing, Member, MemberKind
from engines.errors import TaskdeckError
from engines.job import Job
from engines.looks import Members
from engines.names import display
from engines.operations import ZipInfo
from engines.text import natural

_VERSION: Final = 2
"""Part of every key: raise it when members or their rules change."""
_KEPT: Final = 32
_WORTH_KEEPING: Final = 500
"""Members from which on a listing is kept; smaller ones are read again in no time, but for compressed tar."""


class Page(msgspec.Struct, kw_only=True):
    """A window on one folder of an archive, and what is known of the whole."""

    format: str
    files: int
    size: int
    """Bytes of all members once unpacked, as the archive declares."""
    encrypted: bool
    folder: str
    total: int
    """Rows of the folder."""
    rows: list[MemberRow]


def run(op: Members, job: Job) -> Page:
    """One page.

    Raises:
        TaskdeckError: as `inspect.run_info`.
    """
    found = detect(Path(op.path), job.policy)
    key = _key(found)
    listing = _load(key)
    if listing is None:
        secret = bool(job.secrets.get("password"))
        with reading(ZipInfo(path=op.path), job, found) as run:
            listing = readers.listing(run)
        if not secret and (len(listing.members) >= _WORTH_KEEPING or found.path.stat().st_size > 1 << 20):
            _keep(key, listing)
    rows, total = page(listing.members, op.folder, offset=op.offset, limit=op.limit)
    return Page(
        format=listing.format,
        files=listing.files,
        size=listing.size,
        encrypted=listing.encrypted,
        folder=op.folder,
        total=total,
        rows=rows,
    )


def page(members: Iterable[Member], folder: str, *, offset: int = 0, limit: int = 500) -> tuple[list[MemberRow], int]:
    """The rows of one folder, folders first, numbers in names by their value.

    Args:
        members: All members of the archive.
        folder: Path inside the archive as display-safe names without slashes at its ends; "" for the top.
        offset: First row.
        limit: Rows at most.

    Returns:
        The rows with names relative to the folder (sizes of folders are sums), and how many there are.
    """
    prefix = f"{folder}/" if folder else ""
    folders: dict[str, int] = {}
    rows: list[MemberRow] = []
    for member in members:
        name = display("/".join(part for part in member.name.split("/") if part not in ("", ".")), limit=1000)
        if not name.startswith(prefix) or name == folder:
            continue
        head, slash, _ = name[len(prefix) :].partition("/")
        if slash or member.kind is MemberKind.FOLDER:
            folders[head] = folders.get(head, 0) + member.size
        else:
            rows.append(msgspec.structs.replace(row(member), name=head))
    rows.sort(key=lambda item: natural(item.name))
    branches = [
        MemberRow(name, MemberKind.FOLDER, size)
        for name, size in sorted(folders.items(), key=lambda item: natural(item[0]))
    ]
    everything = branches + rows
    return everything[offset : offset + limit], len(everything)


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "taskdeck" / "listings"


def _key(found: Found) -> Path:
    """Where the listing of these very files is kept."""
    states = [os.stat(path) for path in found.volumes]
    identity = [_VERSION, found.format, *((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for s in states)]
    digest = hashlib.blake2s(msgspec.json.encode(identity), digest_size=16).hexdigest()
    return _folder() / f"{digest}.msgpack"


def _load(path: Path) -> Listing | None:
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Listing)
    except (OSError, msgspec.MsgspecError):
        return None


def _keep(path: Path, listing: Listing) -> None:
    """Keep a listing for the next page; a cache that cannot be written is no error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_native_id()}")
    with suppress(OSError, OverflowError, UnicodeEncodeError, TaskdeckError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(msgspec.msgpack.encode(listing))
        os.replace(temporary, path)
        old = sorted(os.scandir(path.parent), key=lambda entry: entry.stat().st_mtime, reverse=True)
        for entry in old[_KEPT:]:
            os.unlink(entry.path)
