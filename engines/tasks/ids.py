"""Task ids: six characters that can be read aloud and typed, and prefixes of them."""

from __future__ import annotations

import os
from typing import Final

ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""No 0/o, 1/l/i: 31 letters, so 887 million ids."""
LENGTH: Final = 6
_FAIR: Final = 256 - 256 % len(ALPHABET)
"""Bytes from here on would make the first letters more likely than the others."""


def new_id() -> str:
    """A random id; the store refuses one that is taken."""
    letters = ""
    while len(letters) < LENGTH:  # `secrets` would do, but brings 3 ms of imports to every command
        letters += "".join(ALPHABET[byte % len(ALPHABET)] for byte in os.urandom(2 * LENGTH) if byte < _FAIR)
    return letters[:LENGTH]


def is_id(text: str) -> bool:
    """Whether the text is an id or the beginning of one."""
    return 0 < len(text) <= LENGTH and all(char in ALPHABET for char in text)
