"""Archives inside archives: each becomes a folder beside itself, down to the depth the settings allow.

Documents that happen to be ZIP files (office files, e-books, Java and Android packages) stay as they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from engines import files
from engines.archive.containment import Tree
from engines.archive.detect import Family, Found, detect
from engines.archive.extract import readers
from engines.archive.extract.naming import stem
from engines.archive.extract.run import Run
from engines.archive.limits import refuse
from engines.errors import TaskdeckError
from engines.names import display

_DOCUMENTS: Final = re.compile(
    r"\.(doc[xm]|dotx|xls[xm]|xltx|ppt[xm]|potx|od[tspg]|ott|epub|[jwe]ar|apk|aab|ipa|xpi|whl|egg|crx|vsix|nupkg|kmz"
    r"|3mf|cb[zr7]|sketch|fig|o?xps|pages|numbers|key|swf|svgz|deb|rpm|msi|exe)$",
    re.IGNORECASE,
)
"""Suffixes of files that people open, not unpack."""


def unpack_nested(run: Run, begin: Callable[[], None]) -> int:
    """Unpack every archive in the run's tree; how many there were.

    Args:
        begin: Called before the first one: from here on the tree no longer shows what was done and what was not,
            so an attempt that ends here cannot be taken up.

    The members of inner archives count against the same limits; an inner archive is removed once its folder holds
    all of it (the outer one still has it).

    Raises:
        TaskdeckError: `archive.limit` when they are nested deeper than `archive.max_depth`; whatever an inner
            archive raises (with --keep-broken it is noted instead, and the inner archive stays).
    """
    root = Path(os.readlink(f"/proc/self/fd/{run.tree.root}"))
    return _folder(run, root, 1, begin)


def _folder(run: Run, folder: Path, depth: int, begin: Callable[[], None]) -> int:
    count = 0
    done: set[Path] = set()
    for base, folders, names in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(base, name)
            run.job.check()
            if path in done or _DOCUMENTS.search(name) or not _regular(path):
                continue
            found = _recognise(path)
            if found is None:
                continue
            if depth > run.limits.max_depth:
                raise refuse(
                    f"cannot unpack '{display(name, limit=200)}'",
                    f"archives are nested more than {run.limits.max_depth} deep",
                    "archive.max_depth",
                )
            done.update(found.volumes)
            if depth == 1 and not count:
                begin()
            inner = _unpack(run, found, path)
            if inner is not None:
                count += 1 + _folder(run, inner, depth + 1, begin)
                folders[:] = [item for item in folders if Path(base, item) != inner]
    return count


def _regular(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1


def _recognise(path: Path) -> Found | None:
    try:
        found = detect(path)
    except TaskdeckError:
        return None
    if found.family is Family.STREAM and not found.path.suffix[1:].isalnum():
        return None
    return None if found.offset else found


def _unpack(run: Run, found: Found, path: Path) -> Path | None:
    """The folder an inner archive became; None when it is damaged and broken archives are to be kept."""
    target = files.free_path(path.with_name(stem(found)), lambda p: os.path.lexists(p) and p != path)
    if target == path or os.path.lexists(target):
        target = files.free_path(path.with_name(f"{path.name}.d"))
    target.mkdir(mode=0o700)
    try:
        with files.open_folder(target) as descriptor, Tree(descriptor) as tree:
            inner = run.inner(found, tree)
            readers.extract(inner)
            tree.finish(inner.spoiled)
            run.absorb(inner)
    except TaskdeckError as error:
        files.remove(target)
        run.spoiled(str(path.name), error)
        return None
    if not inner.broken_count:
        for volume in found.volumes:
            files.remove(volume)
    target.chmod(0o755)
    return target
