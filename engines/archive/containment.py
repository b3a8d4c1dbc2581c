"""The only writer of unpacked members: nothing leaves one folder, whatever an archive says.

Every component of a path is opened relative to the descriptor of its parent with O_NOFOLLOW, so neither a link
made by the archive nor one slipped in by somebody else while it works can lead a write elsewhere, and no path
is ever long enough to meet PATH_MAX. Files are made with O_EXCL. Only regular files and folders are written
while members are read; symbolic links come last, and only those whose target stays inside.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from engines.errors import TaskdeckError
from engines.names import display

SAFE_BITS: Final = 0o777
"""Permission bits that are kept: no set-user-id, set-group-id or sticky bit comes out of an archive."""

Parts = tuple[str, ...]
_SPECIAL: Final = frozenset(("", ".", ".."))

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FOLDERS: Final = 256  # descriptors kept open; the usual soft limit is 1024


def escape(name: str, why: str) -> TaskdeckError:
    """The error for a member that would leave the destination."""
    return TaskdeckError(
        "archive.escape",
        f"cannot unpack member '{display(name, limit=200)}'",
        why,
        "use --keep-broken to unpack the members that are safe",
    )


def components(name: str, *, max_name: int = 4096, max_components: int = 256) -> Parts:
    """The safe path components of a member's name; empty for the archive's own root (".").

    Backslashes are ordinary characters here, as on every Unix, but a name that would escape where they are
    separators is refused too: it was made to harm whoever unpacks it elsewhere.

    Raises:
        TaskdeckError: `archive.escape` for absolute names, "..", drive letters and NUL; `archive.limit` for
            names longer or deeper than the settings allow.
    """
    if "\0" in name:
        raise escape(name, "its name holds a NUL character")
    if name.startswith("/"):
        raise escape(name, "its name is an absolute path")
    if "\\" in name:
        _refuse_backslash_tricks(name)
    *folders, leaf = name.split("/")
    parts: Parts = (*map(sys.intern, folders), leaf)  # many members share their folders' names
    if not _SPECIAL.isdisjoint(parts):
        parts = tuple(part for part in parts if part not in ("", "."))
    if ".." in parts:
        raise escape(name, "its name leads to a parent folder")
    if len(name) * 4 > max_name or len(name) > 255:  # cheap test first: most names are short
        _measure(name, parts, max_name)
    if len(parts) > max_components:
        raise TaskdeckError(
            "archive.limit",
            f"cannot unpack member '{display(name, limit=200)}'",
            f"it lies {len(parts)} folders deep and the limit is {max_components}",
            "raise archive.max_components in the settings if you trust the archive",
        )
    return parts


def _refuse_backslash_tricks(name: str) -> None:
    if name.startswith("\\") or name[1:2] == ":":
        raise escape(name, "its name is an absolute Windows path")
    if ".." in name.replace("\\", "/").split("/"):
        raise escape(name, "its name leads to a parent folder")


def _measure(name: str, parts: Parts, max_name: int) -> None:
    length = len(os.fsencode(name))
    if length > max_name:
        raise TaskdeckError(
            "archive.limit",
            f"cannot unpack member '{display(name, limit=200)}'",
            f"its name has {length} bytes and the limit is {max_name}",
            "raise archive.max_name in the settings if you trust the archive",
        )
    longest = max((len(os.fsencode(part)) for part in parts), default=0)
    if longest > 255:
        raise TaskdeckError(
            "archive.limit",
            f"cannot unpack member '{display(name, limit=200)}'",
            f"a part of its name has {longest} bytes and file systems take 255",
            "use --keep-broken to unpack the other members",
        )


def link_stays_inside(parts: Parts, target: str) -> bool:
    """Whether a symbolic link at `parts` with this target points into the tree, judged by its text alone.

    Climbing above the root even for a moment is refused: the folder's own name is not the archive's to know.
    """
    if not target or target.startswith("/") or "\0" in target or len(os.fsencode(target)) >= 4096:
        return False
    depth = len(parts) - 1
    for part in target.split("/"):
        if part in ("", "."):
            continue
        depth += -1 if part == ".." else 1
        if depth < 0:
            return False
    return True


def folded(parts: Parts) -> str:
    """The name as a file system sees it that ignores case and Unicode composition: equal ones would collide."""
    text = "/".join(parts)
    return text.casefold() if text.isascii() else unicodedata.normalize("NFC", text).casefold()


class Tree:
    """Writes below one folder. `folder`, `create` and `hardlink` may be called from several threads.

    Args:
        root: An open descriptor of the folder; the tree closes a duplicate of it.
        replace: Files found in the way are replaced (going on after a crash, in our own staging folder).
    """

    def __init__(self, root: int, *, replace: bool = False) -> None:
        self._root = os.dup(root)
        self.replace = replace
        """Whether files found in the way are replaced."""
        self._lock = threading.Lock()
        self._open: OrderedDict[Parts, int] = OrderedDict()
        self._busy: dict[int, int] = {}
        self._pins: dict[tuple[int, int], tuple[Parts, int]] = {}
        self._modes: dict[Parts, tuple[int | None, int | None]] = {}
        self._links: dict[Parts, str] = {}
        self._link_times: dict[Parts, int] = {}
        self._reserved: set[Parts] = set()
        self.strict: dict[Parts, int] = {}
        """Folders whose own mode would lock their owner out: `finish` leaves them open, for whoever publishes."""

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every descriptor."""
        with self._lock:
            for descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()
            self._pins.clear()
            self._busy.clear()
            if self._root >= 0:
                os.close(self._root)
                self._root = -1

    def reset(self) -> None:
        """Forget everything made so far: the folder was emptied."""
        with self._lock:
            for descriptor in self._open.values():
                os.close(descriptor)
            self._open.clear()
            self._pins.clear()
            self._busy.clear()
        self._modes.clear()
        self._links.clear()
        self._link_times.clear()
        self._reserved.clear()
        self.strict.clear()

    @property
    def root(self) -> int:
        """The root's descriptor."""
        return self._root

    def folder(self, parts: Parts, *, mode: int | None = None, mtime_ns: int | None = None) -> None:
        """Make a folder and its parents; its mode and time are applied by `finish`, when nothing more comes.

        Raises:
            TaskdeckError: `archive.escape` when a component is a link, `archive.damaged` when it is a file.
        """
        if not parts:
            return
        self._descriptor(parts)
        if mode is not None or mtime_ns is not None:
            self._modes[parts] = (mode, mtime_ns)

    def create(self, parts: Parts, mode: int = 0o600) -> int:
        """A new regular file open for writing (the caller closes it); parents are made.

        Raises:
            TaskdeckError: `path.exists` when the name is taken; else as `folder`.
        """
        parent = self._descriptor(parts[:-1])
        try:
            try:
                return os.open(parts[-1], _CREATE, mode, dir_fd=parent)
            except FileExistsError:
                if not self.replace:
                    raise
                os.unlink(parts[-1], dir_fd=parent)
                return os.open(parts[-1], _CREATE, mode, dir_fd=parent)
        except OSError as error:
            raise cannot_make(parts, error) from None

    def unlink(self, parts: Parts) -> bool:
        """Remove a file (a later member of the same name replaces it); False when there is none."""
        if self._links.pop(parts, None) is not None:
            return True
        parent = self._descriptor(parts[:-1])
        try:
            os.unlink(parts[-1], dir_fd=parent)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise cannot_make(parts, error) from None
        return True

    def hardlink(self, source: Parts, parts: Parts) -> None:
        """A second name of a file that this tree holds.

        Raises:
            TaskdeckError: `archive.damaged` when the target is no regular file of this tree.
        """
        first = self._descriptor(source[:-1])
        try:
            self._link(source, first, parts, self._descriptor(parts[:-1], slot=1))
        except FileNotFoundError:
            raise TaskdeckError(
                "archive.damaged",
                f"cannot unpack hard link '{display('/'.join(parts), limit=200)}'",
                f"its target '{display('/'.join(source), limit=200)}' is not in the archive before it",
            ) from None
        except OSError as error:
            raise cannot_make(parts, error) from None

    def _link(self, source: Parts, first: int, parts: Parts, parent: int) -> None:
        found = os.stat(source[-1], dir_fd=first, follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode):
            raise escape("/".join(parts), "it is a hard link to something that is no regular file")
        try:
            os.link(source[-1], parts[-1], src_dir_fd=first, dst_dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            if not self.replace or source == parts:
                raise
            os.unlink(parts[-1], dir_fd=parent)
            os.link(source[-1], parts[-1], src_dir_fd=first, dst_dir_fd=parent, follow_symlinks=False)

    def symlink(self, parts: Parts, target: str, mtime_ns: int | None = None) -> bool:
        """Note a symbolic link for `finish`; False (and no link) when its target would lie outside.

        Args:
            mtime_ns: The link's own time.
        """
        if not parts or not link_stays_inside(parts, target):
            self._reserved.add(parts)  # a member beneath a link that was left out is an attempt to escape too
            return False
        self._links[parts] = target
        if mtime_ns is not None:
            self._link_times[parts] = mtime_ns
        return True

    def set_time(self, parts: Parts, mtime_ns: int) -> None:
        """Set the time of a file or link, if it is there."""
        set_times(parts[-1], mtime_ns, self._descriptor(parts[:-1]))

    def reserve(self, parts: Parts) -> None:
        """Keep a name for a link whose target is not known yet: nothing may be written beneath it."""
        self._reserved.add(parts)

    @property
    def links(self) -> dict[Parts, str]:
        """The links noted so far; they are made by `finish`."""
        return self._links

    def finish(self, failed: Callable[[str, TaskdeckError], None] | None = None) -> None:
        """Make the links, then give folders their modes and times, deepest first.

        Args:
            failed: Told of links that cannot be made; without it the first one ends the work.

        Raises:
            TaskdeckError: `archive.escape` when something was written where a link should be.
        """
        for parts, target in self._links.items():
            try:
                self._symlink(parts, target, self._descriptor(parts[:-1]))
            except TaskdeckError as error:
                if failed is None:
                    raise
                failed("/".join(parts), error)
        for parts in sorted(self._modes, key=len, reverse=True):
            mode, mtime_ns = self._modes[parts]
            descriptor = self._descriptor(parts)
            if mtime_ns is not None:
                set_times(descriptor, mtime_ns)
            if mode is not None:
                os.fchmod(descriptor, self.usable(parts, mode))

    def usable(self, parts: Parts, mode: int) -> int:
        """The mode a folder has until it is published; a stricter one is noted in `strict`."""
        if mode & 0o700 != 0o700:
            self.strict[parts] = mode & SAFE_BITS
        return (mode & SAFE_BITS) | 0o700

    def _symlink(self, parts: Parts, target: str, parent: int) -> None:
        try:
            os.symlink(target, parts[-1], dir_fd=parent)
        except FileExistsError:
            found = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                raise escape("/".join(parts), "the archive uses one name for a link and for a folder") from None
            os.unlink(parts[-1], dir_fd=parent)
            os.symlink(target, parts[-1], dir_fd=parent)
        except OSError as error:
            raise cannot_make(parts, error) from None
        mtime_ns = self._link_times.get(parts)
        if mtime_ns is not None:
            set_times(parts[-1], mtime_ns, parent)

    def _descriptor(self, parts: Parts, slot: int = 0) -> int:
        """The folder's descriptor; it stays open until this thread asks for another one in the same slot.

        Members of one folder follow each other, so most calls end at the pin, without a lock.

        Args:
            slot: 0, or 1 for a second folder that is needed at the same time.
        """
        if not parts:
            return self._root
        key = (threading.get_ident(), slot)
        pin = self._pins.get(key)
        if pin is not None and pin[0] == parts:
            return pin[1]
        with self._lock:
            if pin is not None:
                self._unpin(key, pin[1])
            held = self._open.get(parts)
            if held is None:
                held = self._walk(parts)
            else:
                self._open.move_to_end(parts)
            self._busy[held] = self._busy.get(held, 0) + 1
            self._pins[key] = (parts, held)
            return held

    def _unpin(self, key: tuple[int, int], descriptor: int) -> None:
        del self._pins[key]
        left = self._busy[descriptor] - 1
        if left:
            self._busy[descriptor] = left
        else:
            del self._busy[descriptor]

    def _walk(self, parts: Parts) -> int:
        start = len(parts) - 1
        while start and parts[:start] not in self._open:
            start -= 1
        current = self._open[parts[:start]] if start else self._root
        for depth in range(start, len(parts)):
            current = self._step(parts[: depth + 1], current)
            self._open[parts[: depth + 1]] = current
        self._trim(current)
        return current

    def _step(self, parts: Parts, parent: int) -> int:
        if parts in self._links or parts in self._reserved:
            raise escape("/".join(parts), "a member lies beneath a symbolic link of the archive")
        try:
            try:
                return os.open(parts[-1], _DIRECTORY, dir_fd=parent)
            except FileNotFoundError:
                with suppress(FileExistsError):  # made by somebody else meanwhile: opened below, never followed
                    os.mkdir(parts[-1], 0o755, dir_fd=parent)
                return os.open(parts[-1], _DIRECTORY, dir_fd=parent)
        except NotADirectoryError as error:  # what Linux says of a link opened with O_DIRECTORY | O_NOFOLLOW
            found = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                raise escape("/".join(parts), "a part of its path is a symbolic link") from None
            raise cannot_make(parts, error) from None
        except OSError as error:
            raise cannot_make(parts, error) from None

    def _trim(self, keep: int) -> None:
        """Close folders that were not used lately."""
        if len(self._open) <= _OPEN_FOLDERS:
            return
        for parts in list(self._open):
            descriptor = self._open[parts]
            if descriptor != keep and descriptor not in self._busy:
                os.close(self._open.pop(parts))
                if len(self._open) <= _OPEN_FOLDERS // 2:
                    return


def _read_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


UMASK: Final = _read_umask()
"""The process's umask, read once at import while there is one thread."""


def file_mode(mode: int | None) -> int:
    """The permission bits a file gets: what the archive says without special bits, else the usual ones."""
    return 0o666 & ~UMASK if mode is None else mode & SAFE_BITS


def finish(descriptor: int, mode: int | None, mtime_ns: int | None) -> None:
    """Give a written file its mode (where creation with `file_mode` could not) and times."""
    if mode is not None and mode & SAFE_BITS & UMASK:
        os.fchmod(descriptor, mode & SAFE_BITS)
    if mtime_ns is not None:
        set_times(descriptor, mtime_ns)


def set_times(file: int | str, mtime_ns: int, parent: int | None = None) -> None:
    """Set the times of an open file, or of a name in a folder; a time the file system cannot hold is left alone.

    Args:
        parent: The folder of a name; a link there is not followed.
    """
    with suppress(OSError, OverflowError, ValueError):
        os.utime(file, ns=(mtime_ns, mtime_ns), dir_fd=parent, follow_symlinks=parent is None)


def cannot_make(parts: Parts, error: OSError) -> TaskdeckError:
    """The error for an OSError met while a member was written."""
    name = "/".join(parts)
    shown = display(name, limit=200)
    match error.errno:
        case errno.ELOOP:
            return escape(name, "a part of its path is a symbolic link")
        case errno.ENOTDIR | errno.EISDIR:
            return TaskdeckError(
                "archive.damaged",
                f"cannot unpack member '{shown}'",
                "the archive uses one name for a file and for a folder",
                "use --keep-broken to unpack the other members",
            )
        case errno.EEXIST:
            return TaskdeckError("path.exists", f"cannot unpack member '{shown}'", "its name is taken")
        case errno.ENOSPC | errno.EDQUOT:
            return TaskdeckError(
                "disk.full", f"cannot unpack member '{shown}'", "the disk is full", "free some space and retry"
            )
        case errno.EFBIG:
            return TaskdeckError(
                "archive.limit", f"cannot unpack member '{shown}'", "it is larger than the file system allows"
            )
        case errno.ENAMETOOLONG:
            return TaskdeckError(
                "archive.limit", f"cannot unpack member '{shown}'", "its name is too long for the file system"
            )
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return TaskdeckError("path.unreadable", f"cannot unpack member '{shown}'", "permission denied")
        case _:
            return TaskdeckError("disk.io", f"cannot unpack member '{shown}'", error.strerror or str(error))
