"""Durable publishing: outputs are staged beside their target under a temporary name and appear whole or not at all.

The steps of every output: `staged_path` (claimed before it exists) -> write -> `publish` (fsync the file, rename
without replacing, fsync the folder). Trees are removed through directory descriptors, so that a component
swapped for a link meanwhile cannot lead the removal elsewhere.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final, Protocol

import msgspec

from engines import text
from engines.errors import TaskdeckError
from engines.names import display
from engines.operations import Conflict
from engines.paths import unreadable

NAME_LIMIT: Final = 255
"""NAME_MAX in bytes of every common Linux file system."""
RESERVE: Final = 16 << 20
"""Bytes a job leaves free beyond what it expects to write."""
DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

_AT_FDCWD: Final = -100
_NOREPLACE: Final = 1
_EXCHANGE: Final = 2
_COMPOUND: Final = (".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar.lz4", ".tar.br", ".tar.lzma", ".tar.Z")
_NAME_ATTEMPTS: Final = 10_000


class Claims(Protocol):
    """The part of a job that records temporary paths."""

    @property
    def id(self) -> str:
        """The task's id."""

    def claim(self, path: Path) -> Path:
        """Record a path durably before it is made."""

    def release(self, path: Path) -> None:
        """Forget a path that was published or removed."""


def fit_name(name: str, *, before: str = "", after: str = "") -> str:
    """`before + name + after` with `name` cut so that the whole fits `NAME_LIMIT` bytes."""
    room = NAME_LIMIT - len(os.fsencode(before)) - len(os.fsencode(after))
    raw = os.fsencode(name)
    if len(raw) > room:
        raw = raw[:room]
        while raw and (raw[-1] & 0xC0) == 0x80:  # never leave half a UTF-8 character
            raw = raw[:-1]
        if raw and raw[-1] >= 0xC0:
            raw = raw[:-1]
    return f"{before}{os.fsdecode(raw)}{after}"


def staged_path(job: Claims, target: Path, *, kind: str = "part") -> Path:
    """The claimed temporary path of an output: `.{name}.{task id}.{kind}` beside its target."""
    return job.claim(target.parent / fit_name(target.name, before=".", after=f".{job.id}.{kind}"))


def split_suffix(name: str) -> tuple[str, str]:
    """Stem and suffix, with "x.tar.gz" -> ("x", ".tar.gz") and ".profile" -> (".profile", "")."""
    lowered = name.lower()
    for suffix in _COMPOUND:
        if lowered.endswith(suffix.lower()) and len(name) > len(suffix):
            return name[: -len(suffix)], name[-len(suffix) :]
    return os.path.splitext(name)


def numbered(name: str, number: int) -> str:
    """The n-th alternative of a name that is taken: "a.tar.gz" -> "a (2).tar.gz"."""
    if number < 2:
        return name
    stem, suffix = split_suffix(name)
    if len(os.fsencode(suffix)) > 64:
        stem, suffix = name, ""
    return fit_name(stem, after=f" ({number}){suffix}")


def free_path(target: Path, taken: Callable[[Path], bool] = os.path.lexists) -> Path:
    """The target, or its first numbered alternative that is not taken now."""
    for number in range(1, _NAME_ATTEMPTS):
        candidate = target.with_name(numbered(target.name, number))
        if not taken(candidate):
            return candidate
    raise TaskdeckError("path.exists", f"cannot name '{display(target)}'", "too many alternatives exist already")


@cache
def _renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return function


def _rename2(source: str, target: str, source_fd: int, target_fd: int, flags: int) -> bool:
    """renameat2(2); False when kernel or file system cannot do these flags."""
    function = _renameat2()
    if function is None:
        return False
    if function(source_fd, os.fsencode(source), target_fd, os.fsencode(target), flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), source, None, target)


def rename_exclusive(
    source: str | Path, target: str | Path, *, source_fd: int | None = None, target_fd: int | None = None
) -> None:
    """Rename a file or folder, never replacing anything.

    Args:
        source_fd: Directory descriptor `source` is relative to.
        target_fd: Directory descriptor `target` is relative to.

    Raises:
        FileExistsError: The target exists.
        OSError: Anything else the kernel says.
    """
    old, new = os.fspath(source), os.fspath(target)
    from_fd = _AT_FDCWD if source_fd is None else source_fd
    to_fd = _AT_FDCWD if target_fd is None else target_fd
    if _rename2(old, new, from_fd, to_fd, _NOREPLACE):
        return
    # File systems without the flag (some network ones): link(2) never replaces; folders cannot be linked.
    if stat.S_ISDIR(os.stat(old, dir_fd=source_fd, follow_symlinks=False).st_mode):
        os.mkdir(new, dir_fd=target_fd)  # ours now; rename(2) replaces an empty folder
        os.rename(old, new, src_dir_fd=source_fd, dst_dir_fd=target_fd)
        return
    os.link(old, new, src_dir_fd=source_fd, dst_dir_fd=target_fd, follow_symlinks=False)
    os.unlink(old, dir_fd=source_fd)


def sync_folder(path: str | Path) -> None:
    """Make names in a folder durable; file systems that cannot are left alone."""
    with open_folder(path) as fd, suppress(OSError):
        os.fsync(fd)


@contextmanager
def open_folder(path: str | Path) -> Iterator[int]:
    """A directory descriptor, closed afterwards."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


Mark = list[int]
"""Inode number and size of a finished file: it is known by them whatever its name is by now. For checkpoints."""


def mark_of(path: str | Path) -> Mark:
    """The mark of a file."""
    info = os.stat(path)
    return [info.st_ino, info.st_size]


def find_marked(folder: Path, marks: Sequence[Mark]) -> list[Path] | None:
    """The files with these marks in a folder; None when one of them is gone."""
    wanted = {inode: number for number, (inode, _) in enumerate(marks)}
    found: dict[int, Path] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            number = wanted.get(entry.inode())
            if number is not None and entry.stat(follow_symlinks=False).st_size == marks[number][1]:
                found[number] = folder / entry.name
    return [found[number] for number in range(len(marks))] if len(found) == len(marks) else None


def sync_file(path: str | Path) -> None:
    """Make a file's content durable."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def publish(job: Claims, staged: Path, target: Path, conflict: Conflict, *, sync: bool = True) -> Path | None:
    """Give a finished file or folder its final name, durably and atomically.

    Args:
        sync: fsync a staged file first (callers that did it already pass False; folders are the caller's).

    Returns:
        The path it got, or None when the target exists and the policy is `skip` (the staged one is removed).

    Raises:
        TaskdeckError: `path.exists` under the policy `fail`, `path.kind` when a folder stands where a file
            would be replaced, `disk.full`, `disk.io`.
    """
    try:
        if sync and not staged.is_dir():
            sync_file(staged)
        placed = _place(staged, target, conflict)
        if placed is not None:
            sync_folder(target.parent)
    except OSError as error:
        raise unreadable(target, error) from error
    if placed is None:
        remove(staged)
    job.release(staged)
    return placed


def _place(staged: Path, target: Path, conflict: Conflict) -> Path | None:
    if conflict is Conflict.OVERWRITE:
        _replace(staged, target)
        return target
    for number in range(1, _NAME_ATTEMPTS):
        candidate = target.with_name(numbered(target.name, number))
        try:
            rename_exclusive(staged, candidate)
            return candidate
        except FileExistsError:
            if conflict is Conflict.SKIP:
                return None
            if conflict is Conflict.FAIL:
                raise exists(target) from None
    raise TaskdeckError("path.exists", f"cannot name '{display(target)}'", "too many alternatives exist already")


def _replace(staged: Path, target: Path) -> None:
    """Put `staged` at `target` whatever is there, but never a file in place of a folder or the reverse."""
    if os.path.lexists(target) and staged.is_dir() != (target.is_dir() and not target.is_symlink()):
        raise TaskdeckError("path.kind", f"cannot replace '{display(target)}'", "one is a folder, the other a file")
    if not staged.is_dir():
        os.replace(staged, target)
        return
    try:
        rename_exclusive(staged, target)
        return
    except FileExistsError:
        pass
    if not _rename2(os.fspath(staged), os.fspath(target), _AT_FDCWD, _AT_FDCWD, _EXCHANGE):
        remove(target)
        rename_exclusive(staged, target)
        return
    remove(staged)  # now the old folder


def exists(target: str | Path) -> TaskdeckError:
    """The error of the conflict policy `fail`."""
    return TaskdeckError(
        "path.exists", f"cannot write '{display(target)}'", "it exists already", "choose another name or policy"
    )


def free_space(folder: str | Path) -> int:
    """Bytes this user may still write in the file system of a folder."""
    info = os.statvfs(folder)
    return info.f_bavail * info.f_frsize


def require_space(folder: str | Path, need: int, *, what: str, have: int | None = None) -> None:
    """Refuse work that cannot fit.

    Args:
        have: Bytes that were free before it began; by default those that are free now.

    Raises:
        TaskdeckError: `disk.full`, with what is needed and what is there.
    """
    have = free_space(folder) if have is None else have
    if need + RESERVE > have:
        raise TaskdeckError(
            "disk.full",
            f"cannot {what}",
            f"it needs {text.size(need)} and '{display(folder)}' has {text.size(have)} free",
            "free some space or write elsewhere",
        )


def remove(path: str | Path) -> None:
    """Remove a file, link or whole folder if it is there; links are never followed.

    Raises:
        OSError: Something could not be removed.
    """
    folder, name = os.path.split(os.path.abspath(path))
    try:
        with open_folder(folder) as fd:
            remove_at(fd, name)
    except FileNotFoundError:
        return


def remove_at(folder_fd: int, name: str, *, backwards: bool = False) -> None:
    """Remove `name` in an open folder, with everything below it; absent names are fine.

    Depth is limited by memory, not by descriptors or the longest path: at most three descriptors are open, and
    the way back up is checked, so that a folder moved meanwhile ends the removal instead of leading it away.

    Args:
        backwards: Take the entries of each folder last to first. Two processes that start from either end share
            the work: each lets the other remove what it finds gone.
    """
    try:
        os.unlink(name, dir_fd=folder_fd)
        return
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        if not stat.S_ISDIR(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode):
            raise
    with suppress(FileNotFoundError):
        _remove_folder(folder_fd, name, backwards)


class _Level(msgspec.Struct):
    """A folder being emptied: its name, who its parent was, and the folders still in it."""

    name: str
    parent: tuple[int, int]
    folders: list[str]
    rescans: int = 3


def _remove_folder(folder_fd: int, name: str, backwards: bool) -> None:
    trail: list[_Level] = []
    current = os.dup(folder_fd)
    try:
        current = _descend(current, name, trail, backwards)
        while trail:
            level = trail[-1]
            if level.folders:
                with suppress(FileNotFoundError):
                    current = _descend(current, level.folders.pop(), trail, backwards)
                continue
            trail.pop()
            above = os.open("..", DIRECTORY_FLAGS, dir_fd=current) if trail else os.dup(folder_fd)
            if _identity(above) != level.parent:
                os.close(above)
                raise OSError(errno.ESTALE, "a folder was moved while it was removed", level.name)
            current = _leave(current, above, level, trail, backwards)
    finally:
        os.close(current)


def _leave(current: int, above: int, level: _Level, trail: list[_Level], backwards: bool) -> int:
    """Remove the emptied folder `current` from `above`; the descriptor to go on with."""
    try:
        _rmdir(level.name, above, ours=bool(trail))
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno == errno.ENOTEMPTY and level.rescans:  # somebody still writes into it
            level.rescans -= 1
            level.folders = _empty_files(current, backwards)
            trail.append(level)
            os.close(above)
            return current
        os.close(above)
        raise
    os.close(current)
    return above


def _rmdir(name: str, fd: int, *, ours: bool) -> None:
    """Remove an empty folder; a folder above it that is being removed too (`ours`) is opened up for that."""
    try:
        os.rmdir(name, dir_fd=fd)
    except PermissionError:
        if not ours:
            raise
        os.fchmod(fd, 0o700)
        os.rmdir(name, dir_fd=fd)


def _descend(current: int, name: str, trail: list[_Level], backwards: bool) -> int:
    """Open a folder below `current` (which is closed) and remove what is no folder in it."""
    try:
        below = os.open(name, DIRECTORY_FLAGS, dir_fd=current)
    except PermissionError:  # ours but closed (mode 000 out of an archive): open it up
        os.chmod(name, 0o700, dir_fd=current)
        below = os.open(name, DIRECTORY_FLAGS, dir_fd=current)
    parent = _identity(current)
    os.close(current)
    trail.append(_Level(name, parent, _empty_files(below, backwards)))
    return below


def _empty_files(fd: int, backwards: bool) -> list[str]:
    """Unlink everything in a folder that is no folder; the names of the folders in it, the last to be next."""
    folders = []
    for entry in _listing(fd)[:: -1 if backwards else 1]:
        try:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                _unlink(entry.name, fd)
        except FileNotFoundError:
            continue
    return folders[::-1]


def _listing(fd: int) -> list[os.DirEntry[str]]:
    os.lseek(fd, 0, os.SEEK_SET)
    with suppress(FileNotFoundError), os.scandir(fd) as entries:  # a folder that is gone by now cannot be listed
        return list(entries)
    return []


def _unlink(name: str, fd: int) -> None:
    try:
        os.unlink(name, dir_fd=fd)
    except PermissionError:
        os.fchmod(fd, 0o700)
        os.unlink(name, dir_fd=fd)


def _identity(fd: int) -> tuple[int, int]:
    info = os.fstat(fd)
    return info.st_dev, info.st_ino
