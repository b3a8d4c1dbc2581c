"""Commands of somebody whom file modes bind, also when the tests run as root."""

from __future__ import annotations

import os
from collections.abc import Sequence


def bound_by_modes(argv: Sequence[str]) -> list[str]:
    """The command without root's power to pass over file modes."""
    if os.geteuid() != 0:
        return list(argv)
    powers = "-dac_override,-dac_read_search"
    return ["setpriv", f"--inh-caps={powers}", f"--bounding-set={powers}", "--", *argv]
