"""Which password opens each encrypted member of a ZIP file."""

from __future__ import annotations

from collections.abc import Iterable

from engines.archive.extract import zip_codec
from engines.archive.extract.run import Run
from engines.archive.extract.zip_codec import WrongPasswordError
from engines.archive.extract.zip_directory import Entry
from engines.archive.extract.zip_members import Target
from engines.archive.volumes import Volumes
from engines.errors import TaskdeckError


def unlock(run: Run, volumes: Volumes, targets: Iterable[Target]) -> None:
    """Find the password of every encrypted member.

    Raises:
        TaskdeckError: `password.needed`, `password.wrong`.
    """
    name = run.found.path.name
    candidates = [password.encode() for password in run.passwords]
    for target in targets:
        entry = target.entry
        if not entry.encrypted:
            continue
        if not candidates:
            raise password_needed(name)
        for number, password in enumerate(candidates):
            if _opens(volumes, entry, password):
                target.password = password
                candidates.insert(0, candidates.pop(number))
                run.passwords = tuple(item.decode() for item in candidates)
                break
        else:
            raise password_wrong(name, len(candidates))


def _opens(volumes: Volumes, entry: Entry, password: bytes) -> bool:
    if not entry.aes:
        return zip_codec.zipcrypto_opens(entry, volumes, password)
    start, _ = zip_codec.data_range(volumes, entry)
    size = (entry.aes & 3) * 4 + 4
    head = volumes.pread(size + 2, start)
    try:
        zip_codec.aes_key(entry, head[:size], head[size:], password)
    except WrongPasswordError:
        return False
    return True


def password_needed(name: str) -> TaskdeckError:
    """The error for an encrypted archive without a password."""
    return TaskdeckError(
        "password.needed",
        f"cannot unpack '{name}'",
        "it is encrypted",
        "give a password (--password-file, or type it when asked)",
    )


def password_wrong(name: str, tried: int) -> TaskdeckError:
    """The error when no password fits."""
    why = "the password is wrong" if tried < 2 else f"none of the {tried} passwords fits"
    return TaskdeckError("password.wrong", f"cannot unpack '{name}'", why, "try another password")
