"""Cheap refusal of bad requests before a task is made."""

from __future__ import annotations

import os

from engines.archive.create.plan import as_zip, convert_target, filter_of, options_of, plans_of
from engines.files import exists
from engines.operations import Conflict, Convert, Estimate, Zip
from engines.paths import PathPolicy, demand_readable
from engines.settings import Settings


def check_zip(op: Zip, policy: PathPolicy, settings: Settings) -> None:
    """Refuse what cannot work: only looks at names and inodes.

    Raises:
        TaskdeckError: See `options_of`, `filter_of`, `plans_of`; `path.exists` under the policy `fail`;
            `path.unreadable` for a source itself (what cannot be read inside a folder is left out and told).
    """
    for source in (op.path, *op.add):
        demand_readable(source)
    options_of(op, settings, {})
    filter_of(op)
    for plan in plans_of(op, settings):
        policy.target(str(plan.target))
        if op.on_conflict is Conflict.FAIL and os.path.lexists(plan.target):
            raise exists(plan.target)


def check_convert(op: Convert, policy: PathPolicy, settings: Settings) -> None:
    """Refuse what cannot work.

    Raises:
        TaskdeckError: See `convert_target`; `path.exists` under the policy `fail`.
    """
    target = convert_target(op, settings)
    policy.target(str(target))
    if op.on_conflict is Conflict.FAIL and os.path.lexists(target):
        raise exists(target)
    options_of(as_zip(Estimate(path=op.path, format=op.format, level=op.level)), settings, {})


def check_estimate(op: Estimate, policy: PathPolicy, settings: Settings) -> None:
    """Refuse a format that cannot be made, and filters that say nothing.

    Raises:
        TaskdeckError: See `options_of`, `filter_of`; `path.unreadable`.
    """
    del policy
    demand_readable(op.path)
    packing = as_zip(op)
    options_of(packing, settings, {})
    filter_of(packing)
