"""The one path policy: which paths a task may touch, and how a path given by a user becomes an absolute one."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import msgspec

from engines.errors import TaskdeckError
from engines.names import display


class PathPolicy(msgspec.Struct, frozen=True):
    """The allowed roots, resolved once. Inputs and outputs must lie at or below one of them.

    The check resolves symbolic links, so a link inside a root that leads outside is refused. Code that walks
    a tree afterwards uses directory descriptors and O_NOFOLLOW, so that a later swap of a component cannot
    lead it elsewhere.
    """

    roots: tuple[str, ...]

    @classmethod
    def of(cls, roots: tuple[str, ...] = ()) -> PathPolicy:
        """The policy for these roots; without any, for the home folder.

        Raises:
            TaskdeckError: `settings.invalid` when a root is not an existing absolute folder.
        """
        resolved = []
        for root in roots or ("~",):
            path = os.path.expanduser(root)
            if not os.path.isabs(path) or not os.path.isdir(path):  # "~" stays as it is where there is no home
                raise TaskdeckError(
                    "settings.invalid",
                    f"cannot use root '{display(root)}'",
                    "it is not an existing absolute folder",
                    "correct `roots` in the settings or TASKDECK_ROOTS",
                )
            resolved.append(os.path.realpath(path))
        return cls(tuple(dict.fromkeys(resolved)))

    def narrowed(self, roots: tuple[str, ...]) -> PathPolicy:
        """What this policy and other roots (absolute, links resolved) both allow; itself when there are none.

        Raises:
            TaskdeckError: `path.outside_roots` when nothing is left.
        """
        if not roots:
            return self
        other = PathPolicy(roots)
        both = [root for root in roots if self.allows(root)] + [root for root in self.roots if other.allows(root)]
        if not both:
            raise TaskdeckError(
                "path.outside_roots",
                "cannot work in " + " or ".join(f"'{display(root)}'" for root in roots),
                "it lies outside the allowed folders",
                "add it to `roots` in the settings or choose another",
            )
        return PathPolicy(tuple(dict.fromkeys(both)))

    def allows(self, path: str) -> bool:
        """Whether the path, with links resolved, lies at or below a root."""
        real = os.path.realpath(path)
        return any(real == root or real.startswith(root.rstrip("/") + "/") for root in self.roots)

    def source(self, given: str, *, base: str | None = None, as_link: bool = False) -> Path:
        """The absolute path of an input that exists.

        Args:
            as_link: A link in the last component is taken as itself (packed, not opened): it may be dangling or
                lead anywhere.

        Raises:
            TaskdeckError: `path.missing`, `path.outside_roots`, `path.unreadable`, `unsupported` (URI scheme).
        """
        path = self._absolute(given, base)
        self.contain(path, given, as_link=as_link)
        try:
            os.lstat(path)
        except FileNotFoundError:
            raise TaskdeckError(
                "path.missing", f"cannot find '{display(given)}'", "it does not exist", "check the spelling"
            ) from None
        except OSError as error:
            raise unreadable(given, error) from None
        return path

    def target(self, given: str, *, base: str | None = None) -> Path:
        """The absolute path of an output, which need not exist; its nearest existing parent must be allowed.

        Raises:
            TaskdeckError: `path.outside_roots`, `unsupported` (URI scheme).
        """
        path = self._absolute(given, base)
        self.contain(path, given)
        return path

    def contain(self, path: Path, given: str = "", *, as_link: bool = False) -> None:
        """Refuse an absolute path outside; it need not exist. `given` is what the user wrote, for the sentence.

        Raises:
            TaskdeckError: `path.outside_roots`.
        """
        # Resolved as a whole: what is opened there is what the links lead to. A link that is packed is not opened.
        if self.allows(str(path)):
            return
        link = path.is_symlink() and self.allows(str(path.parent))
        if link and as_link:
            return
        raise TaskdeckError(
            "path.outside_roots",
            f"cannot touch '{display(given or str(path))}'",
            "it is a link that leads out of the allowed folders" if link else "it lies outside the allowed folders",
            "use a path below " + " or ".join(display(root) for root in self.roots) + ", or add a root in the settings",
        )

    def _absolute(self, given: str, base: str | None) -> Path:
        if "\0" in f"{given}{base or ''}" or not given:
            raise TaskdeckError("usage", "cannot use an empty path or one with a NUL character")
        scheme = urlsplit(given).scheme if "://" in given else ""
        if scheme not in ("", "file") and not os.path.lexists(given):
            raise TaskdeckError(
                "unsupported", f"cannot open '{display(given)}'", f"{display(scheme)} addresses are not supported here"
            )
        text = from_uri(given)
        text = os.path.expanduser(text)
        joined = os.path.join(base or os.getcwd(), text)
        return Path(os.path.normpath(joined)) if ".." not in joined.split("/") else Path(_collapse(joined))


def from_uri(given: str) -> str:
    """The path of a local file: URI; anything else as it is."""
    if not given.startswith("file:/"):
        return given
    parts = urlsplit(given)
    return unquote(parts.path, errors="surrogateescape") if parts.netloc in ("", "localhost") else given


def to_uri(path: str) -> str:
    """A path that JSON can carry: itself, or a file: URI when it has bytes that are no UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "file://" + quote(os.fsencode(path))
    return path


def _collapse(path: str) -> str:
    """Resolve ".." the way the kernel does: after following links."""
    head, tail = os.path.split(path.rstrip("/"))
    if tail in ("..", "."):
        return os.path.realpath(path)
    return os.path.join(os.path.realpath(head), tail)


def _missing(path: str | Path) -> tuple[str, str]:
    """Why something is missing, and what to do: a link is there, what it names is not."""
    try:
        target = os.readlink(path)
    except OSError:
        return "it does not exist", "check the spelling"
    return f"it is a link to '{display(target, limit=200)}', which does not exist", "mend the link"


def demand_readable(path: str | Path) -> None:
    """Refuse a file or folder that this user may not read; a symbolic link is read as itself.

    Raises:
        TaskdeckError: `path.unreadable`.
    """
    if os.path.islink(path):
        return
    if not os.access(path, os.R_OK | os.X_OK if os.path.isdir(path) else os.R_OK):
        raise unreadable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def unreadable(given: str | Path, error: OSError) -> TaskdeckError:
    """The error for an OSError met while opening or writing a path."""
    name = display(given)
    match error.errno:
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return TaskdeckError(
                "path.unreadable",
                f"cannot open '{name}'",
                "permission denied" if error.errno != errno.EROFS else "the file system is read-only",
                "check its owner and mode",
            )
        case errno.ENOENT:
            return TaskdeckError("path.missing", f"cannot find '{name}'", *_missing(given))
        case errno.ENOTDIR | errno.EISDIR:
            return TaskdeckError("path.kind", f"cannot open '{name}'", error.strerror or "it is of the wrong kind")
        case errno.ENOSPC | errno.EDQUOT:
            return TaskdeckError("disk.full", f"cannot write '{name}'", "the disk is full", "free some space and retry")
        case errno.ENAMETOOLONG:
            return TaskdeckError("value", f"cannot use '{name}'", "the name is too long for the file system")
        case errno.ELOOP:
            return TaskdeckError("path.outside_roots", f"cannot open '{name}'", "it is a symbolic link")
    return TaskdeckError("disk.io", f"cannot use '{name}'", error.strerror or str(error))
