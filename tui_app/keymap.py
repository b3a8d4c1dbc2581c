"""What users make of the key table: `[tui.keymap]` read with tolerance, what cannot be used told in words."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Mapping
from typing import Final

from engines.names import display
from tui_app.keys import KEY_WORDS, KEYS, key_words, rooms_of, within
from widgets.keys import KeySpec

_MODIFIERS: Final = frozenset({"ctrl", "shift", "alt", "meta", "super", "hyper"})
_NAMES: Final = {word: name for name, word in KEY_WORDS.items()}
_TYPING: Final = ("prompt", "form", "app.interrupt", "app.force_quit")
"""Rows whose keys are taken before the line that is typed in sees them."""


def usable(wanted: Mapping[str, str]) -> dict[str, str]:
    """The user's keys in Textual's spelling, without what `faults` tells of."""
    return {name: ",".join(keys) for name, text in wanted.items() if name in KEYS and (keys := _keys(name, text))}


def faults(wanted: Mapping[str, str]) -> list[str]:
    """What of the user's keys cannot be used, and why: phrases without full stop."""
    found: list[str] = []
    for name, text in wanted.items():
        if name not in KEYS:
            close = difflib.get_close_matches(name, KEYS, 1)
            found.append(f"{display(name, limit=40)} is no action{f' (perhaps {close[0]})' if close else ''}")
            continue
        keys = _split(text)
        found += [f"{name}: {why}" for key in keys if (why := refusal(KEYS[name], key))]
        if not keys:
            found.append(f"{name} has no key, so it keeps its own")
    return found + _clashes(usable(wanted))


def _clashes(keymap: dict[str, str]) -> list[str]:
    told: set[frozenset[str]] = set()
    found = []
    for name, keys in keymap.items():
        for key in keys.split(","):
            owner = owner_of(key, KEYS[name], keymap)
            if owner is not None and frozenset((key, name, owner.id)) not in told:
                told.add(frozenset((key, name, owner.id)))
                found.append(f"{key_words(key)[0]} is the key of both {name} and {owner.id}")
    return found


def refusal(spec: KeySpec, key: str) -> str:
    """Why a key cannot serve a row, a phrase; "" when it can."""
    if not _is_key(key):
        return f"'{display(key, limit=40)}' is no key"
    if within(spec.id, _TYPING) and _types(key):
        return f"{key_words(key)[0]} could not be typed into a line any more"
    return ""


def owner_of(key: str, wanted: KeySpec, keymap: Mapping[str, str]) -> KeySpec | None:
    """The row that has this key already where `wanted` works too, None when it is free there."""
    rooms = rooms_of(wanted.id)
    for spec in KEYS.values():
        near = any(within(spec.id, room) for room in rooms)
        if spec is not wanted and near and key in keys_of(spec.id, keymap).split(","):
            return spec
    return None


def keys_of(name: str, keymap: Mapping[str, str]) -> str:
    """The keys of a row after the user's changes, which are `usable`."""
    return keymap.get(name, KEYS[name].keys)


def first_key(name: str, keymap: Mapping[str, str]) -> str:
    """The first key of a row, for hints; "" when it has none."""
    words = key_words(keys_of(name, keymap))
    return words[0] if words else ""


def _keys(name: str, text: str) -> list[str]:
    return [key for key in _split(text) if not refusal(KEYS[name], key)]


def _split(text: str) -> list[str]:
    """The keys of an entry in Textual's spelling; "/", "^s" and "esc" may be written as hints show them."""
    return [_named(key.strip()) for key in text.split(",") if key.strip()]


def _named(key: str) -> str:
    from textual.keys import KEY_NAME_REPLACEMENTS

    lead, plus, base = key.replace("^", "ctrl+", 1).rpartition("+") if len(key) > 1 else ("", "", key)
    if len(base) > 1:
        base = base.casefold()
    base = _NAMES.get(base, base)
    if len(base) == 1 and not base.isalnum():
        name = unicodedata.name(base, base).casefold().replace("-", "_").replace(" ", "_")
        base = KEY_NAME_REPLACEMENTS.get(name, name)
    return f"{lead.casefold()}{plus}{base}"


def _is_key(key: str) -> bool:
    """Whether a terminal can send it, by its name in Textual."""
    from textual.keys import Keys

    *modifiers, base = key.split("+")
    return set(modifiers) <= _MODIFIERS and (base in {member.value for member in Keys} or _types(base))


def _types(key: str) -> bool:
    """Whether the key puts a character into a line."""
    from textual.keys import KEY_NAME_REPLACEMENTS, key_to_character

    names = {short: name for name, short in KEY_NAME_REPLACEMENTS.items()}
    character = key_to_character(names.get(key, key))
    return character is not None and character.isprintable()
