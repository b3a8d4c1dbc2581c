"""The ONE table of operations: parameters, defaults, help, and which function does the work.

Every face is made from it: CLI sub-commands, the TUI's command line, form, palette and help, chat commands,
the web form, request validation and OpenAPI. Adding an operation is one Struct and one `OperationSpec` in the
file of its family, and one worker function.
"""

from __future__ import annotations

import os
import shlex
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from engines.errors import TaskdeckError
from engines.model import Json
from engines.names import display
from engines.operations.archive import (
    ARCHIVE,
    ArchiveFormat,
    Convert,
    Estimate,
    Level,
    Links,
    Owner,
    Unzip,
    Zip,
    ZipInfo,
    ZipTest,
)
from engines.operations.chat import CHAT, Receive, Send
from engines.operations.media import (
    MEDIA,
    ChunkSeconds,
    Compare,
    Compat,
    Container,
    FrameHash,
    Height,
    Loudness,
    MediaInfo,
    MediaReport,
    MediaTest,
    Metadata,
    MStats,
    PictureFormat,
    Preset,
    Quality,
    Remux,
    Shots,
    Speed,
    Split,
    Thumbnail,
    Tracks,
    Transcode,
    Waveform,
    Width,
)
from engines.operations.schema import (
    PATHS,
    Accepts,
    Conflict,
    Field,
    Operation,
    OperationSpec,
    arg,
    bad_value,
    fields,
    load,
)
from engines.paths import PathPolicy, from_uri, to_uri
from engines.reply import Reply
from engines.settings import Settings

__all__ = [
    "OPERATIONS",
    "Accepts",
    "ArchiveFormat",
    "ChunkSeconds",
    "Compare",
    "Compat",
    "Conflict",
    "Container",
    "Convert",
    "Estimate",
    "Field",
    "FrameHash",
    "Height",
    "Level",
    "Links",
    "Loudness",
    "MStats",
    "MediaInfo",
    "MediaReport",
    "MediaTest",
    "Metadata",
    "Operation",
    "OperationSpec",
    "Owner",
    "PictureFormat",
    "Preset",
    "Quality",
    "Receive",
    "Remux",
    "Send",
    "Shots",
    "Speed",
    "Split",
    "Thumbnail",
    "Tracks",
    "Transcode",
    "Unzip",
    "Waveform",
    "Width",
    "Zip",
    "ZipInfo",
    "ZipTest",
    "absolute",
    "arg",
    "as_command",
    "bad_value",
    "check",
    "contain",
    "convert",
    "fields",
    "load",
    "output_of",
    "parse",
    "reply",
    "spec_of",
    "split_secrets",
    "title",
    "to_json",
    "with_defaults",
]

OPERATIONS: Final[dict[str, OperationSpec]] = {spec.name: spec for spec in (*ARCHIVE, *MEDIA, *CHAT)}


def spec_of(op: Operation | str) -> OperationSpec:
    """The row of an operation or of its name.

    Raises:
        TaskdeckError: `usage` for an unknown name.
    """
    name = op if isinstance(op, str) else str(op.__struct_config__.tag)
    try:
        return OPERATIONS[name]
    except KeyError:
        raise TaskdeckError(
            "usage", f"cannot do '{display(name)}'", "there is no such operation", "see `taskdeck --help`"
        ) from None


def parse(data: Json) -> Operation:
    """An operation from JSON ({"op": "zip", "path": ...}), validated.

    Raises:
        TaskdeckError: `usage` for an unknown operation, `value` for a bad parameter.
    """
    return convert(data, spec_of(str(data.get("op", ""))).struct)


def convert(data: Json, struct: type[Operation]) -> Operation:
    """An operation of a known type from JSON, validated.

    Raises:
        TaskdeckError: `value` for a bad parameter.
    """
    try:
        op: Operation = msgspec.convert(data, struct)
    except msgspec.ValidationError as error:
        raise _unfit(data, struct, str(error)) from None
    return _replace_paths(op, lambda _, path: from_uri(path))


def _unfit(data: Json, struct: type[Operation], message: str) -> TaskdeckError:
    """msgspec's message ("Expected `int` <= 9 - at `$.level`") as our sentence about the parameter."""
    text, _, where = message.partition(" - at `$.")
    name = where.rstrip("`").removesuffix("[...]")
    field = next((field for field in fields(struct) if field.name == name), None)
    value = data.get(name)
    if field is not None and isinstance(value, str | int | float) and field.expected:
        return bad_value(field, value)
    text = text[:1].lower() + text[1:]
    return TaskdeckError("value", f"cannot {data.get('op', '')}", f"parameter {name}: {text}" if name else text)


def with_defaults(op: Operation, settings: Settings) -> Operation:
    """The operation with what the settings decide filled in."""
    fill = spec_of(op).defaults
    return fill(op, settings) if fill is not None else op


def absolute(op: Operation, policy: PathPolicy, *, base: str) -> Operation:
    """The operation with every path absolute and allowed; `base` is the caller's working directory.

    Raises:
        TaskdeckError: see `PathPolicy.source` and `PathPolicy.target`.
    """

    def resolve(field: Field, given: str) -> str:
        if field.accepts is Accepts.SOURCE:
            return str(policy.source(given, base=base, as_link=field.as_link))
        return str(policy.target(given, base=base))

    return _replace_paths(op, resolve)


def contain(op: Operation, policy: PathPolicy) -> None:
    """Refuse an operation whose paths, absolute since its submission, lead outside by now.

    A job does this when it starts: it may have waited for days, and its links may have been turned meanwhile.

    Raises:
        TaskdeckError: `path.outside_roots`.
    """
    for field in fields(type(op)):
        value = getattr(op, field.name)
        if value and field.accepts in PATHS:
            for path in value if field.repeated else (value,):
                policy.contain(Path(path), as_link=field.as_link)


def check(op: Operation, policy: PathPolicy, settings: Settings) -> None:
    """Refuse bad input before a task is made (blocking stat calls only)."""
    reference = spec_of(op).check
    if reference:
        load(reference)(op, policy, settings)


def split_secrets(op: Operation) -> tuple[Operation, dict[str, str]]:
    """The operation without its secrets, fit for the store, and the secrets by field name."""
    secrets = {f.name: getattr(op, f.name) for f in fields(type(op)) if f.secret and getattr(op, f.name) is not None}
    return (msgspec.structs.replace(op, **dict.fromkeys(secrets)) if secrets else op), secrets


def to_json(op: Operation) -> Json:
    """The operation as a JSON object with its "op"; never call it on one that still holds secrets.

    Paths with bytes that are no UTF-8 become file: URIs; `parse` turns them back.
    """
    return typing.cast("Json", msgspec.to_builtins(_replace_paths(op, lambda _, path: to_uri(path))))


def _replace_paths(op: Operation, change: Callable[[Field, str], str]) -> Operation:
    """The operation with `change` applied to every path in it."""
    changes: dict[str, Any] = {}
    for field in fields(type(op)):
        value = getattr(op, field.name)
        if value is not None and field.accepts in PATHS:
            changes[field.name] = (
                tuple(change(field, item) for item in value) if field.repeated else change(field, value)
            )
    return msgspec.structs.replace(op, **changes) if changes else op


def title(op: Operation) -> str:
    """A display-safe name for the task: the last component of its main path."""
    first = fields(type(op))[0]
    value = str(getattr(op, first.name))
    return display(os.path.basename(value.rstrip("/")) or value, limit=200)


def as_command(op: Operation) -> str:
    """The operation as a shell command without secrets ("copy as command")."""
    words = ["taskdeck", spec_of(op).name]
    options: list[str] = []
    gap = False
    for field in fields(type(op)):
        value = getattr(op, field.name)
        if field.secret or (value == field.default and not field.required):
            gap = gap or field.positional
            continue
        values = [str(item) for item in value] if field.repeated else [str(value)]
        if field.positional and not gap:
            words += values
        elif field.type is bool:
            options.append(field.flag if value else f"--no-{field.name.replace('_', '-')}")
        else:
            for item in values:
                options += [field.flag, item]
    if any(word.startswith("-") for word in words[2:]):
        words[2:2] = ["--"]
        words, options = [*words[:2], *options, *words[2:]], []
    return " ".join(map(_word, [*words, *options]))


def _word(text: str) -> str:
    """A word for a shell; one that cannot be shown as it is stands as $'...' (POSIX.1-2024, 2.2.4)."""
    if display(text, limit=len(text)) == text:
        return shlex.quote(text)
    plain = set(range(0x20, 0x7F)) - set(b"'\\")
    return "$'" + "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(text)) + "'"


def reply(op: Operation, result: Json) -> Reply:
    """The result in the guide's layout."""
    return typing.cast("Reply", load(spec_of(op).reply)(op, result))


def output_of(name: str, result: Json) -> str | None:
    """The path of what a task of this operation made, exact and absolute; None when it made nothing."""
    key = OPERATIONS[name].output if name in OPERATIONS else ""
    value = result.get(key) if key else None
    return from_uri(value) if isinstance(value, str) and value else None
