"""A typed line as an operation: the `:` line of the terminal interface and chat commands share this grammar.

`zip "/a b/c" tar.gz 9 --exclude '*.tmp' --no-test`: words as a shell splits them, positional parameters in the
order of the operations table, `--name value` or `--name=value` for any of them, flags for booleans, `--` ends options.
"""

from __future__ import annotations

import shlex
from enum import StrEnum
from typing import Any

import msgspec

from engines.errors import TaskdeckError
from engines.model import Json
from engines.names import display
from engines.operations import OPERATIONS, Accepts, Field, bad_value, fields, parse, spec_of


def split(line: str) -> list[str]:
    """The words of a line.

    Raises:
        TaskdeckError: `usage` for an open quote.
    """
    try:
        return shlex.split(line)
    except ValueError:
        raise TaskdeckError(
            "usage", "cannot read the line", "a quote is not closed", "close it or put \\ before it"
        ) from None


def parse_line(line: str) -> Json:
    """The operation a line asks for, as JSON, validated.

    Raises:
        TaskdeckError: `usage` for a bad form, `value` for a bad parameter.
    """
    words = split(line)
    if not words:
        raise TaskdeckError("usage", "cannot run an empty line")
    return parse_words(words)


def parse_words(words: list[str]) -> Json:
    """As `parse_line`, for words already split; the first is the operation."""
    spec = spec_of(words[0])
    known = fields(spec.struct)
    by_flag = {field.flag: field for field in known}
    free = [field for field in known if field.positional]
    data: Json = {"op": spec.name}
    rest = list(words[1:])
    options = True
    while rest:
        word = rest.pop(0)
        if options and word == "--":
            options = False
        elif options and word.startswith("--"):
            _option(word, rest, by_flag, data, spec.name)
        elif free:
            field = free[0] if free[0].repeated else free.pop(0)
            _put(data, field, word)
        else:
            raise TaskdeckError(
                "usage", f"cannot {spec.name}", f"'{display(word)}' is one word too many", "put quotes round spaces"
            )
    missing = [field.name for field in known if field.required and field.name not in data]
    if missing:
        raise TaskdeckError("usage", f"cannot {spec.name}", f"the {missing[0]} is missing", f"write {usage(spec.name)}")
    parse(data)
    return data


def _option(word: str, rest: list[str], by_flag: dict[str, Field], data: Json, name: str) -> None:
    flag, equals, value = word.partition("=")
    negated = flag.startswith("--no-") and flag not in by_flag
    field = by_flag.get(f"--{flag[5:]}" if negated else flag)
    if field is None or (negated and field.type is not bool):
        raise TaskdeckError("usage", f"cannot {name}", f"there is no option {display(flag)}", f"write {usage(name)}")
    if field.type is bool and not equals:
        data[field.name] = not negated
        return
    if not equals:
        if not rest:
            raise TaskdeckError("usage", f"cannot {name}", f"{flag} needs a value")
        value = rest.pop(0)
    _put(data, field, value)


def _put(data: Json, field: Field, word: str) -> None:
    value = _value(field, word)
    if field.repeated:
        data.setdefault(field.name, []).append(value)
    else:
        data[field.name] = value


def _value(field: Field, word: str) -> Any:
    """The word as the field's type; what does not convert is left for the validation to name."""
    if field.type in (int, float, bool):
        try:
            return msgspec.convert(word, field.type, strict=False)
        except msgspec.ValidationError:
            raise bad_value(field, word) from None
    return word


def usage(name: str) -> str:
    """The form of an operation: "zip PATH [FORMAT] [LEVEL]"."""
    words = [name]
    for field in fields(spec_of(name).struct):
        if field.positional:
            word = field.name.upper() + ("..." if field.repeated else "")
            words.append(word if field.required else f"[{word}]")
    return " ".join(words)


class Expect(StrEnum):
    """What the word at the end of a line may be."""

    OPERATION = "operation"
    FIELD = "field"
    OPTION = "option"
    NOTHING = "nothing"


class Place(msgspec.Struct, frozen=True):
    """Where the end of a line stands: what is expected, the word begun so far, and where it starts in the line."""

    expect: Expect
    word: str
    start: int
    operation: str = ""
    field: Field | None = None
    used: frozenset[str] = frozenset()
    """Fields that already have a value."""


def place(line: str) -> Place:
    """Understand an unfinished line for completion; never raises."""
    words, start = _begun(line)
    word = words.pop()
    if not words:
        return Place(Expect.OPERATION, word, start)
    name = words[0]
    if name not in OPERATIONS:
        return Place(Expect.NOTHING, word, start, operation=name)
    known = fields(OPERATIONS[name].struct)
    by_flag = {field.flag: field for field in known}
    free = [field for field in known if field.positional]
    used: set[str] = set()
    pending: Field | None = None
    for given in words[1:]:
        if pending is not None:
            used.add(pending.name)
            pending = None
        elif given.startswith("--") and given != "--":
            flag, equals, _ = given.partition("=")
            field = by_flag.get(flag)
            if field is not None and field.type is not bool and not equals:
                pending = field
            elif field is not None:
                used.add(field.name)
        elif free:
            used.add(free[0].name)
            if not free[0].repeated:
                free.pop(0)
    if pending is not None:
        return Place(Expect.FIELD, word, start, name, pending, frozenset(used))
    if word.startswith("-"):
        return Place(Expect.OPTION, word, start, name, None, frozenset(used))
    free = [field for field in free if field.name not in used or field.repeated]
    if free:
        return Place(Expect.FIELD, word, start, name, free[0], frozenset(used))
    return Place(Expect.OPTION, word, start, name, None, frozenset(used))


def _begun(line: str) -> tuple[list[str], int]:
    """The words of an unfinished line and where the last one starts; the last may be empty."""
    words: list[str] = []
    word, start, quote, escaped, inside = "", len(line), "", False, False
    for index, char in enumerate(line):
        if escaped:
            word, escaped = word + char, False
        elif char == "\\" and quote != "'":
            escaped = True
            if not inside:
                start, inside = index, True
        elif quote:
            if char == quote:
                quote = ""
            else:
                word += char
        elif char in "\"'":
            quote = char
            if not inside:
                start, inside = index, True
        elif char.isspace():
            if inside:
                words.append(word)
            word, inside, start = "", False, len(line)
        else:
            if not inside:
                start, inside = index, True
            word += char
    return [*words, word], start if inside else len(line)


def has_secret(line: str) -> bool:
    """Whether a line carries a secret, so that it must not enter a history."""
    try:
        words = split(line)
        data = parse_words(words)
    except TaskdeckError:
        lowered = line.casefold()
        return "password" in lowered or "secret" in lowered or _many_words(line)
    return any(field.secret and field.name in data for field in fields(spec_of(str(data["op"])).struct))


def _many_words(line: str) -> bool:
    """Whether a line that does not parse has as many words as its operation has parameters before a secret one."""
    words, _ = _begun(line)
    spec = OPERATIONS.get(words[0])
    if spec is None:
        return False
    free = [field for field in fields(spec.struct) if field.positional]
    place_of_secret = next((index for index, field in enumerate(free) if field.secret), None)
    return place_of_secret is not None and len(words) - 1 > place_of_secret


def takes_path(field: Field) -> bool:
    """Whether a field is completed from the file system."""
    return field.accepts in (Accepts.SOURCE, Accepts.TARGET, Accepts.FOLDER)
