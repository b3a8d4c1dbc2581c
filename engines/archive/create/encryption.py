"""WinZip AES-256 (AE-2): PBKDF2-HMAC-SHA1, AES-CTR with a little-endian counter, HMAC-SHA1-80.

Source: https://www.winzip.com/en/support/aes-encryption/
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

from engines.archive.create.space import Buffer
from engines.errors import TaskdeckError

SALT: Final = 16
CHECK: Final = 2
MAC: Final = 10
OVERHEAD: Final = SALT + CHECK + MAC
"""Bytes that encryption adds to a member."""

_ROUNDS: Final = 1000
_KEY: Final = 32


def require_aes() -> None:
    """Refuse early when the cipher is not installed.

    Raises:
        TaskdeckError: `unsupported`.
    """
    try:
        from Cryptodome.Cipher import AES  # noqa: F401
    except ImportError:
        raise TaskdeckError(
            "unsupported", "cannot encrypt", "the package pycryptodomex is not installed", "install it with pip"
        ) from None


class Encryptor:
    """Encrypts one member's bytes in order.

    Args:
        salt: Given to go on with a member; new random bytes else.
        at: Encrypted bytes an earlier attempt wrote (the MAC must then be fed with them by `replay`).
    """

    def __init__(self, password: bytes, salt: bytes | None = None, at: int = 0) -> None:
        import hashlib
        import hmac

        from Cryptodome.Cipher import AES
        from Cryptodome.Util import Counter

        self.salt = os.urandom(SALT) if salt is None else salt
        keys = hashlib.pbkdf2_hmac("sha1", password, self.salt, _ROUNDS, 2 * _KEY + CHECK)
        self.head = self.salt + keys[2 * _KEY :]
        counter = Counter.new(128, little_endian=True, initial_value=1 + at // 16)
        self._cipher: Any = AES.new(keys[:_KEY], AES.MODE_CTR, counter=counter)
        if at % 16:
            self._cipher.encrypt(bytes(at % 16))
        self._mac = hmac.new(keys[_KEY : 2 * _KEY], digestmod="sha1")

    def replay(self, data: Buffer) -> None:
        """Feed the MAC with encrypted bytes that are in the archive already."""
        self._mac.update(data)

    def encrypt(self, buffers: Sequence[Buffer]) -> list[Buffer]:
        """The buffers encrypted, as one."""
        data: bytes = self._cipher.encrypt(b"".join(buffers))
        self._mac.update(data)
        return [data]

    def tail(self) -> bytes:
        """The authentication code that ends the member."""
        return self._mac.digest()[:MAC]
