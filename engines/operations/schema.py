"""How an operation is described: its base Struct, the words for its fields, and its row in the table.

A field is described by `arg` inside `Annotated`: its help, whether it is positional, what it completes to,
and whether it is secret. None as a default means "the setting decides" (`OperationSpec.defaults`).
"""

from __future__ import annotations

import importlib
import typing
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from engines.errors import TaskdeckError
from engines.model import Kind
from engines.names import display
from engines.settings import Settings


class Accepts(StrEnum):
    """What a field holds, for completion, file pickers and checks of the path policy."""

    TEXT = "text"
    SOURCE = "source"
    """A path that exists."""
    TARGET = "target"
    """A path that may not exist yet."""
    FOLDER = "folder"
    """A folder that may not exist yet."""
    SECRET = "secret"  # noqa: S105 - a word, not a secret
    GLOB = "glob"
    SIZE = "size"
    DURATION = "duration"


PATHS: Final = frozenset({Accepts.SOURCE, Accepts.TARGET, Accepts.FOLDER})
"""What holds a path."""


def arg(
    text: str,
    *,
    positional: bool = False,
    accepts: Accepts = Accepts.TEXT,
    advanced: bool = False,
    as_link: bool = False,
) -> Meta:
    """Describe a field: its help, place and content. `advanced` fields are folded away in forms.

    A source that is a link is what the link leads to, which must lie in the roots as well; `as_link` means the
    link itself, which is packed and never opened.

    Ranges belong to the value's own type: `Annotated[Level | None, arg(...)]`.
    """
    return Meta(
        description=text,
        extra={"positional": positional, "accepts": accepts, "advanced": advanced, "as_link": as_link},
        extra_json_schema={
            "x-accepts": accepts.value,
            **({"writeOnly": True} if accepts is Accepts.SECRET else {}),
            **({"minLength": 1} if accepts in PATHS else {}),
        },
    )


class Operation(msgspec.Struct, tag_field="op", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all operations: what to do, without who, when or how."""


class Conflict(StrEnum):
    """What to do when a target exists."""

    RENAME = "rename"
    """Write "name (2).ext"."""
    OVERWRITE = "overwrite"
    """Replace it atomically."""
    SKIP = "skip"
    """Leave it and go on."""
    FAIL = "fail"
    """End with `path.exists`."""


class OperationSpec(msgspec.Struct, frozen=True):
    """One row of the table.

    Functions are named "module:function" and loaded where they are used, so that the table imports no work.

    Attributes:
        struct: The operation's Struct; its docstring is the summary, its tag the name on every face.
        kind: Family: parallel limit and guide word.
        run: Worker function `(op, job) -> Struct`, called in the job process.
        reply: `(op, result as JSON object) -> Reply`, called by faces.
        check: `(op, policy, settings) -> None`: cheap refusal of bad input before a task is made (stat calls
            only); raises TaskdeckError.
        resumable: Whether a later attempt goes on from a checkpoint: a bool, a function `(op) -> bool`, or the
            name of one that has to look at the file (it must not raise).
        writes: Whether the disk guard applies.
        output: The field of the result that holds the path of what was made (a path or a file: URI), "" for
            operations that make nothing.
        examples: Command lines for help and docs, without the program's name.
        defaults: `(op, settings) -> op`: fills in what the settings decide.
        hosted: The work needs a live connection of the daemon: it runs there, by the function registered with
            `TaskService.host`, and `run` is not used.
    """

    struct: type[Operation]
    kind: Kind
    run: str
    reply: str
    check: str = ""
    resumable: bool | str | Callable[[Any], bool] = False
    writes: bool = False
    output: str = ""
    examples: tuple[str, ...] = ()
    defaults: Callable[[Any, Settings], Operation] | None = None
    hosted: bool = False

    @property
    def name(self) -> str:
        """The word users type."""
        return str(self.struct.__struct_config__.tag)

    @property
    def summary(self) -> str:
        """One line of help."""
        return (self.struct.__doc__ or "").splitlines()[0]

    @property
    def takes_long(self) -> bool:
        """Whether starting over may cost hours: worth a word beforehand when it cannot be resumed."""
        return self.writes and self.kind in (Kind.COMPRESS, Kind.EXTRACT, Kind.TRANSCODE)

    def is_resumable(self, op: Operation) -> bool:
        """Whether this very operation goes on from a checkpoint after a crash."""
        if isinstance(self.resumable, bool):
            return self.resumable
        decide = load(self.resumable) if isinstance(self.resumable, str) else self.resumable
        return bool(decide(op))


class Field(msgspec.Struct, frozen=True):
    """One parameter of an operation as faces see it."""

    name: str
    type: type[Any]
    """str, int, float, bool or a StrEnum: the type of one value."""
    repeated: bool
    required: bool
    default: Any
    help: str
    positional: bool
    accepts: Accepts
    advanced: bool
    as_link: bool
    ge: float | None
    le: float | None

    @property
    def flag(self) -> str:
        """The command line option: "--on-conflict"."""
        return "--" + self.name.replace("_", "-")

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of an enumeration, else empty."""
        return tuple(member.value for member in self.type) if issubclass(self.type, StrEnum) else ()

    @property
    def secret(self) -> bool:
        """Whether the value must never be stored, logged or shown."""
        return self.accepts is Accepts.SECRET

    @property
    def expected(self) -> str:
        """What a value must be, "" when every text will do."""
        if self.choices:
            return "known are " + ", ".join(self.choices)
        if self.type is bool:
            return "it must be true or false"
        if self.type not in (int, float):
            return ""
        text = "it must be a whole number" if self.type is int else "it must be a number"
        return text if self.ge is None or self.le is None else f"{text} from {self.ge:g} to {self.le:g}"


def bad_value(field: Field, value: object) -> TaskdeckError:
    """The one sentence about a value that does not fit, whatever face it came from."""
    return TaskdeckError("value", f"cannot use '{display(str(value), limit=60)}' as {field.name}", field.expected)


@cache
def fields(struct: type[Operation]) -> tuple[Field, ...]:
    """The parameters of an operation in declaration order."""
    hints = get_type_hints(struct, include_extras=True)
    found = []
    for info in msgspec.structs.fields(struct):
        base, meta = _unwrap(hints[info.name])
        extra = meta.extra or {}
        inner, repeated, limits = _value_type(base)
        if meta.ge is not None or meta.le is not None:
            limits = meta
        found.append(
            Field(
                name=info.name,
                type=inner,
                repeated=repeated,
                required=info.required,
                default=None if info.required else info.default,
                help=meta.description or "",
                positional=extra.get("positional", False),
                accepts=extra.get("accepts", Accepts.TEXT),
                advanced=extra.get("advanced", False),
                as_link=extra.get("as_link", False),
                ge=limits.ge,
                le=limits.le,
            )
        )
    return tuple(found)


def _unwrap(hint: Any) -> tuple[Any, Meta]:
    """The bare type and what is said about it; `Annotated` inside `Annotated` is one list to Python."""
    if get_origin(hint) is not Annotated:
        return hint, Meta()
    base, *extras = get_args(hint)
    said = [extra for extra in extras if isinstance(extra, Meta)]
    merged: dict[str, Any] = {}
    for meta in said:
        for name in ("description", "extra", "ge", "le"):
            if (value := getattr(meta, name)) is not None:
                merged[name] = value
    return base, Meta(**merged)


def _value_type(base: Any) -> tuple[type[Any], bool, Meta]:
    """The type of one value, whether it repeats, and its range."""
    repeated = False
    if isinstance(base, UnionType) or get_origin(base) is typing.Union:
        base = next(option for option in get_args(base) if option is not NoneType)
    if get_origin(base) is tuple:
        base, repeated = get_args(base)[0], True
    base, limits = _unwrap(base)
    return base, repeated, limits


@cache
def load(reference: str) -> Callable[..., Any]:
    """The function named "module:function"."""
    module, _, name = reference.partition(":")
    return typing.cast("Callable[..., Any]", getattr(importlib.import_module(module), name))
