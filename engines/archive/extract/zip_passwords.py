"""Which password opens each encrypted member of a ZIP file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from engines.archive.extract import zip_codec
from engines.archive.extract.run import Run
from engines.archive.extract.zip_codec import AesKeys, WrongPasswordError, label
from engines.archive.extract.zip_directory import Entry
from engines.archive.passwords import needed, wrong
from engines.archive.volumes import Volumes
from engines.errors import TaskdeckError

if TYPE_CHECKING:
    from engines.archive.extract.zip_members import Target


class Keyring:
    """Passwords to try on AES members, the one that opened the last member first. For several threads."""

    def __init__(self, passwords: Iterable[bytes]) -> None:
        self._passwords = tuple(passwords)

    def keys(self, entry: Entry, volumes: Volumes, start: int, end: int) -> AesKeys:
        """The keys of a member whose data lies there.

        Raises:
            TaskdeckError: `password.wrong`, `archive.damaged`.
        """
        salt = zip_codec.aes_salt(entry, volumes, start, end)
        passwords = self._passwords
        for password in passwords:
            try:
                keys = zip_codec.aes_keys(entry, salt, password)
            except WrongPasswordError:
                continue
            if password is not passwords[0]:
                self._passwords = (password, *(other for other in passwords if other is not password))
            return keys
        raise wrong(label(entry), len(passwords))


def unlock(run: Run, volumes: Volumes, targets: Iterable[Target], *, all_now: bool = False) -> None:
    """Give encrypted members what opens them, and put the password that fits the first one first.

    A wrong password is told before anything is written. The keys of the other members take a millisecond each and are
    made where they are needed, on all cores.

    Args:
        all_now: Check every member: for a program that reports a wrong password and damage alike.

    Raises:
        TaskdeckError: `password.needed`, `password.wrong`.
    """
    passwords = [password.encode() for password in run.passwords]
    encrypted = [target for target in targets if target.entry.encrypted]
    if encrypted and not passwords:
        raise needed(run.what)
    for target in encrypted:
        run.job.check()
        try:
            opening = next((one for one in passwords if _opens(volumes, target.entry, one)), None)
        except TaskdeckError:  # its header is damaged: whoever unpacks it says so
            continue
        if opening is None:
            raise wrong(run.what, len(passwords))
        passwords.remove(opening)
        passwords.insert(0, opening)
        if not all_now:
            break
    run.passwords = tuple(password.decode() for password in passwords)
    keyring = Keyring(passwords)
    for target in encrypted:
        target.keyring = keyring


def _opens(volumes: Volumes, entry: Entry, password: bytes) -> bool:
    if not entry.aes:
        return zip_codec.zipcrypto_opens(entry, volumes, password)
    start, end = zip_codec.data_range(volumes, entry)
    try:
        zip_codec.aes_keys(entry, zip_codec.aes_salt(entry, volumes, start, end), password)
    except WrongPasswordError:
        return False
    return True
