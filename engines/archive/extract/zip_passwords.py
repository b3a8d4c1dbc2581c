"""Which password opens each encrypted member of a ZIP file."""

from __future__ import annotations

from collections.abc import Iterable

from engines.archive.extract import zip_codec
from engines.archive.extract.run import Run
from engines.archive.extract.zip_codec import WrongPasswordError
from engines.archive.extract.zip_directory import Entry
from engines.archive.extract.zip_members import Target
from engines.archive.passwords import needed, wrong
from engines.archive.volumes import Volumes


def unlock(run: Run, volumes: Volumes, targets: Iterable[Target]) -> None:
    """Find the password of every encrypted member.

    Raises:
        TaskdeckError: `password.needed`, `password.wrong`.
    """
    candidates = [password.encode() for password in run.passwords]
    for target in targets:
        entry = target.entry
        if not entry.encrypted:
            continue
        if not candidates:
            raise needed(run.what)
        run.job.check()  # a key takes a millisecond to make, and there may be thousands
        for number, password in enumerate(candidates):
            if _opens(volumes, entry, password):
                target.password = password
                candidates.insert(0, candidates.pop(number))
                run.passwords = tuple(item.decode() for item in candidates)
                break
        else:
            raise wrong(run.what, len(candidates))


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
