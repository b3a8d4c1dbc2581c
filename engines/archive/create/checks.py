"""Cheap refusal of bad requests before a task is made."""

from __future__ import annotations

import os

from engines.archive.create.plan import filter_of, options_of, plans_of
from engines.files import exists
from engines.operations import Conflict, Zip
from engines.paths import PathPolicy
from engines.settings import Settings


def check_zip(op: Zip, policy: PathPolicy, settings: Settings) -> None:
    """Refuse what cannot work: only looks at names and inodes.

    Raises:
        TaskdeckError: See `options_of`, `filter_of`, `plans_of`; `path.exists` under the policy `fail`.
    """
    options_of(op, settings, {})
    filter_of(op)
    for plan in plans_of(op, settings):
        policy.target(str(plan.target))
        if op.on_conflict is Conflict.FAIL and os.path.lexists(plan.target):
            raise exists(plan.target)
