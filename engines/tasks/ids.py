"""Task ids: six characters that can be read aloud and typed, and prefixes of them."""

from __future__ import annotations

import random
from typing import Final

ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
"""No 0/o, 1/l/i: 31 letters, so 887 million ids."""
LENGTH: Final = 6
_random = random.SystemRandom()  # what `secrets.choice` uses, without its imports


def new_id() -> str:
    """A random id; the store refuses one that is taken."""
    return "".join(_random.choice(ALPHABET) for _ in range(LENGTH))


def is_id(text: str) -> bool:
    """Whether the text is an id or the beginning of one."""
    return 0 < len(text) <= LENGTH and all(char in ALPHABET for char in text)
