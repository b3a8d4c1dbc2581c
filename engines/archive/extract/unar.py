"""Unpacking with unar (The Unarchiver) where 7zz has no RAR codec; its output is looked over like 7zz's.

unar is known to follow links and backslash names out of its folder: it is run only on archives whose members
were judged before, and never when one of them is a link.
"""

from __future__ import annotations

import os

from engines.archive.backends import probe
from engines.archive.extract import rar_headers, sevenzip
from engines.archive.extract.adopt import adopt
from engines.archive.extract.run import Run
from engines.archive.extract.sevenzip_run import supervise, watcher
from engines.archive.member import MemberKind
from engines.errors import TaskdeckError
from engines.names import display


def extract(run: Run) -> None:
    """Unpack into the run's tree.

    Raises:
        TaskdeckError: `unsupported` when unar may not be used on this archive (links, a password, which it
            takes in its arguments only); `archive.damaged`; see `sevenzip.judge`.
    """
    found = rar_headers.listing(run)
    wanted = sevenzip.judge(run, found)
    if (
        run.select
        or run.broken_count
        or found.encrypted
        or any(member.kind is not MemberKind.FILE for member in found.members if member.link)
    ):
        raise TaskdeckError(
            "unsupported", f"cannot unpack '{display(run.found.path.name)}'", "7zz with RAR codecs is not installed"
        )
    folder = os.readlink(f"/proc/self/fd/{run.tree.root}")
    argv = [probe(run.job.settings.archive).unar, "-quiet", "-force-rename", "-no-directory", "-no-recursion"]
    tool = run.job.tool([*argv, "-output-directory", folder, str(run.found.volumes[0])])
    outcome = supervise(run, tool, watcher(run, wanted))
    if outcome.status:
        raise TaskdeckError(
            "archive.damaged",
            f"cannot unpack '{display(run.found.path.name)}'",
            "its data is damaged",
            detail=tool.errors,
        )
    adopt(run)
