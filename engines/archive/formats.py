"""Archive formats: one table of names, suffixes and what each can do."""

from __future__ import annotations

from typing import Final

import msgspec

from engines.operations import ArchiveFormat


class FormatInfo(msgspec.Struct, frozen=True):
    """What Taskdeck knows of a format it can make.

    Attributes:
        suffix: Suffix of files it makes.
        suffixes: All suffixes that mean this format, lower case.
        label: The name people read.
        encrypts: Whether a password can be used.
        hides_names: Whether names can be encrypted too.
        hardlinks: Whether hard links are kept.
        sparse: Whether holes are kept.
        xattrs: Whether extended attributes are kept.
        resumable: Whether making one goes on from a checkpoint after a crash.
    """

    format: ArchiveFormat
    suffix: str
    suffixes: tuple[str, ...]
    label: str
    encrypts: bool = False
    hides_names: bool = False
    hardlinks: bool = False
    sparse: bool = False
    xattrs: bool = False
    resumable: bool = True


def _tar(archive_format: ArchiveFormat, suffix: str, *more: str) -> FormatInfo:
    label = suffix.removeprefix(".").upper()
    return FormatInfo(archive_format, suffix, (suffix, *more), label, hardlinks=True, sparse=True, xattrs=True)


FORMATS: Final[dict[ArchiveFormat, FormatInfo]] = {
    info.format: info
    for info in (
        FormatInfo(ArchiveFormat.ZIP, ".zip", (".zip", ".zipx", ".jar", ".cbz", ".epub"), "ZIP", encrypts=True),
        _tar(ArchiveFormat.TAR, ".tar", ".cbt"),
        _tar(ArchiveFormat.TAR_GZ, ".tar.gz", ".tgz", ".taz"),
        _tar(ArchiveFormat.TAR_BZ2, ".tar.bz2", ".tbz2", ".tbz", ".tb2"),
        _tar(ArchiveFormat.TAR_XZ, ".tar.xz", ".txz"),
        _tar(ArchiveFormat.TAR_ZST, ".tar.zst", ".tzst"),
        FormatInfo(
            ArchiveFormat.SEVENZIP,
            ".7z",
            (".7z", ".cb7"),
            "7Z",
            encrypts=True,
            hides_names=True,
            resumable=False,
        ),
    )
}

TAR_FAMILY: Final = frozenset(
    {ArchiveFormat.TAR, ArchiveFormat.TAR_GZ, ArchiveFormat.TAR_BZ2, ArchiveFormat.TAR_XZ, ArchiveFormat.TAR_ZST}
)

_BY_SUFFIX: Final[tuple[tuple[str, ArchiveFormat], ...]] = tuple(
    sorted(
        ((suffix, info.format) for info in FORMATS.values() for suffix in info.suffixes),
        key=lambda pair: -len(pair[0]),
    )
)


def format_of_name(name: str) -> ArchiveFormat | None:
    """The format a file name asks for, None when its suffix is unknown. Only for outputs: inputs go by content."""
    lowered = name.lower()
    return next((found for suffix, found in _BY_SUFFIX if lowered.endswith(suffix) and lowered != suffix), None)


def strip_suffix(name: str) -> str:
    """The name without a known archive suffix: "x.tar.gz" -> "x"; other names as they are."""
    lowered = name.lower()
    for suffix, _ in _BY_SUFFIX:
        if lowered.endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name
