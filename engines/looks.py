"""Quick questions about files, answered without making a task: what a form, a browser or a preview wants to know.

A look is described by a Struct like an operation and answered by a job process like one, but it stands in no
queue, leaves no trace in the history, and is given up when nobody waits for it any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

from msgspec import Meta

from engines.errors import TaskdeckError
from engines.model import Json
from engines.names import display
from engines.operations import (
    OPERATIONS,
    Accepts,
    Estimate,
    Operation,
    absolute,
    arg,
    check,
    convert,
    split_secrets,
    to_json,
    with_defaults,
)
from engines.paths import PathPolicy
from engines.settings import Settings

PAGE: Final = 500
"""Rows of a page of members unless asked otherwise."""


class Members(Operation, frozen=True, kw_only=True, tag="members"):
    """A page of one folder of an archive, folders first."""

    path: Annotated[str, arg("Archive to look into.", accepts=Accepts.SOURCE)]
    folder: Annotated[str, arg("Folder inside the archive, as pages name it; empty for the top.")] = ""
    offset: Annotated[Annotated[int, Meta(ge=0, le=1 << 40)], arg("First row.")] = 0
    limit: Annotated[Annotated[int, Meta(ge=1, le=2000)], arg("Rows at most.")] = PAGE
    password: Annotated[str | None, arg("Password, for archives with hidden names.", accepts=Accepts.SECRET)] = None


class Picture(Operation, frozen=True, kw_only=True, tag="picture"):
    """A small picture of an image or video file as packed RGB."""

    path: Annotated[str, arg("Image or video.", accepts=Accepts.SOURCE)]
    width: Annotated[Annotated[int, Meta(ge=2, le=400)], arg("Pixels across at most.")] = 40
    height: Annotated[Annotated[int, Meta(ge=2, le=400)], arg("Pixels down at most.")] = 24


@dataclass(frozen=True, slots=True)
class LookSpec:
    """One row: what can be asked, the function that answers in a job process, and how long it may take in seconds."""

    struct: type[Operation]
    run: str
    seconds: float

    @property
    def name(self) -> str:
        """The word it is asked by."""
        return str(self.struct.__struct_config__.tag)


LOOKS: Final[dict[str, LookSpec]] = {
    spec.name: spec
    for spec in (
        LookSpec(Estimate, OPERATIONS["estimate"].run, 20.0),
        LookSpec(Members, "engines.archive.pages:run", 120.0),
        LookSpec(Picture, "engines.media.preview:run", 10.0),
    )
}


@dataclass(frozen=True, slots=True)
class Question:
    """A checked look."""

    spec: LookSpec
    json: Json
    secrets: Mapping[str, str] = field(repr=False)


def prepare(data: Json, policy: PathPolicy, settings: Settings, base: str | None) -> Question:
    """Check a look; touches the disk (stat calls), so call it off the event loop.

    Raises:
        TaskdeckError: `usage` for an unknown look, `value`, `path.*`.
    """
    name = str(data.get("op", ""))
    spec = LOOKS.get(name)
    if spec is None:
        raise TaskdeckError("usage", f"cannot look for '{display(name)}'", f"known are {', '.join(LOOKS)}")
    op = convert(data, spec.struct)
    if name in OPERATIONS:
        op = with_defaults(op, settings)
    op = absolute(op, policy, base=base or policy.roots[0])
    if name in OPERATIONS:
        check(op, policy, settings)
    bare, secrets = split_secrets(op)
    return Question(spec, to_json(bare), secrets)
