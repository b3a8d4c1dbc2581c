"""Which members are wanted, and under which names they go: globs, and names an archive holds twice."""

from __future__ import annotations

import fnmatch
import re

from engines import files
from engines.archive.containment import Parts, folded
from engines.errors import TaskdeckError
from engines.names import display
from engines.operations import Conflict


class Selector:
    """Which members the user wants: globs on whole names, on any parent, or (without a slash) on any part.

    A leading slash holds a glob to the top of the archive.
    """

    def __init__(self, globs: tuple[str, ...]) -> None:
        self.globs = globs
        whole, last = [], []
        for glob in globs:
            cleaned = glob.removeprefix("./").strip("/")
            whole.append(fnmatch.translate(cleaned))
            if "/" not in cleaned and not glob.startswith("/"):
                last.append(fnmatch.translate(cleaned))
        self._whole = re.compile("|".join(whole)) if whole else None
        self._last = re.compile("|".join(last)) if last else None
        self.hits = 0

    def __bool__(self) -> bool:
        return bool(self.globs)

    def wants(self, parts: Parts) -> bool:
        """Whether a member is wanted; without globs all are."""
        if self._whole is None:
            return True
        found = bool(self._last and any(self._last.match(part) for part in parts)) or any(
            self._whole.match("/".join(parts[:end])) for end in range(1, len(parts) + 1)
        )
        self.hits += found
        return found


class Names:
    """The names given out so far: equal ones are settled by the conflict policy, near-equal ones reported."""

    def __init__(self, conflict: Conflict) -> None:
        self._conflict = conflict
        self._taken: set[Parts] = set()
        self._folded: set[int] = set()
        """Hashes of the names as `folded` gives them: a third of their size, and they only count for a warning."""
        self.collisions = 0
        self.replaced: set[Parts] = set()
        """Names given out more than once (policy `overwrite`): the later member replaces the earlier."""

    def __contains__(self, parts: Parts) -> bool:
        """Whether this path was given out."""
        return parts in self._taken

    def give(self, parts: Parts, name: str) -> Parts | None:
        """The path for a member of this name; None when the policy leaves it out.

        Raises:
            TaskdeckError: `path.exists` under the policy `fail`.
        """
        if parts in self._taken:
            if self._conflict is Conflict.SKIP:
                return None
            if self._conflict is Conflict.FAIL:
                raise TaskdeckError(
                    "path.exists", f"cannot unpack member '{display(name, limit=200)}'", "the archive holds it twice"
                )
            if self._conflict is Conflict.RENAME:
                number = 2
                while (other := (*parts[:-1], files.numbered(parts[-1], number))) in self._taken:
                    number += 1
                parts = other
            else:
                self.replaced.add(parts)
        self._taken.add(parts)
        key = hash(folded(parts))
        if key in self._folded:
            self.collisions += 1
        self._folded.add(key)
        return parts
