"""From a request to a record: the operation is parsed, completed, checked and stripped of its secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field

from engines import operations
from engines.errors import TaskdeckError
from engines.model import Json, SubmitOptions
from engines.operations import Operation, OperationSpec
from engines.paths import PathPolicy
from engines.settings import Settings
from engines.tasks.rows import text

_PRIORITY_LIMIT = 1000
_STAND_IN = "given later"


@dataclass(frozen=True, slots=True)
class Request:
    """A checked operation, ready to become a task."""

    spec: OperationSpec
    op: Operation
    json: Json
    title: str
    resumable: bool
    roots: tuple[str, ...]
    secrets: dict[str, str] = field(repr=False)

    @property
    def digest(self) -> str:
        """What an idempotency key stands for; secrets are no part of it."""
        return hashlib.sha256(text(self.json).encode()).hexdigest()


def prepare(
    data: Json,
    policy: PathPolicy,
    settings: Settings,
    base: str | None,
    *,
    unknown: Collection[str] = (),
    roots: tuple[str, ...] = (),
) -> Request:
    """Check a request; touches the disk (stat calls), so call it off the event loop.

    Args:
        data: The operation as JSON.
        policy: What paths are allowed.
        settings: Defaults of parameters that were left out.
        base: Directory of relative paths.
        unknown: Secrets that will be given later; the checks see a stand-in for each.
        roots: Folders the task must stay in; empty: those of the policy.

    Raises:
        TaskdeckError: `usage`, `value`, `path.*`, and what the operation's own check raises.
    """
    if roots:
        try:
            roots = PathPolicy.of(roots).roots
        except TaskdeckError as error:
            why = "a folder it should stay in does not exist"
            raise TaskdeckError("path.missing", "cannot queue the task", why, "correct `roots`") from error
        policy = policy.narrowed(roots)
    op = operations.with_defaults(operations.parse({**data, **dict.fromkeys(unknown, _STAND_IN)}), settings)
    op = operations.absolute(op, policy, base=base or policy.roots[0])
    operations.check(op, policy, settings)
    bare, secrets = operations.split_secrets(op)
    for name in unknown:
        secrets.pop(name, None)
    spec = operations.spec_of(op)
    return Request(
        spec, bare, operations.to_json(bare), operations.title(bare), spec.is_resumable(bare), roots, secrets
    )


def demand_options(options: SubmitOptions) -> None:
    """Refuse options out of range.

    Raises:
        TaskdeckError: `value`.
    """
    demand_priority(options.priority)
    if options.max_attempts is not None and not 1 <= options.max_attempts <= 100:
        raise TaskdeckError("value", "cannot submit the task", "max_attempts must be between 1 and 100")
    if options.key is not None and not 0 < len(options.key) <= 200:
        raise TaskdeckError("value", "cannot submit the task", "a key has 1 to 200 characters")
    if options.not_before is not None and not 0 <= options.not_before < 1e11:
        raise TaskdeckError("value", "cannot submit the task", "not_before is not a time in seconds since 1970")


def demand_priority(priority: int) -> None:
    """Refuse a priority out of range.

    Raises:
        TaskdeckError: `value`.
    """
    if not -_PRIORITY_LIMIT <= priority <= _PRIORITY_LIMIT:
        raise TaskdeckError(
            "value", "cannot set the priority", f"it must be between -{_PRIORITY_LIMIT} and {_PRIORITY_LIMIT}"
        )
