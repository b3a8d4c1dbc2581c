"""What the unpacked is called when the archive does not say: the archive's own name without its suffixes."""

from __future__ import annotations

import os

from engines.archive.detect import Family, Found
from engines.archive.formats import strip_suffix

_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".lz4", ".br", ".lzma", ".lz", ".lzo", ".z")


def name_of(archive: str) -> str:
    """The name of the content: the archive's without its suffix."""
    lowered = archive.lower()
    for suffix in _SUFFIXES:
        if lowered.endswith(suffix) and len(archive) > len(suffix):
            return archive[: -len(suffix)]
    return f"{archive}.out"


def stem(found: Found) -> str:
    """The archive's name without suffix and volume number."""
    name = found.volumes[-1].name if found.family is Family.ZIP else found.volumes[0].name
    if len(found.volumes) > 1 or found.path.suffix[1:].isdigit():
        head, suffix = os.path.splitext(name)
        name = head if suffix[1:].isdigit() else name
    if found.family is Family.RAR:
        name = name.removesuffix(".rar").removesuffix(".RAR")
        head, dot, part = name.rpartition(".part")
        return head if dot and part.isdigit() else name or "archive"
    if found.family is Family.STREAM:
        return name_of(name)
    stripped = strip_suffix(name)
    if stripped == name:
        stripped = os.path.splitext(name)[0]
    return stripped or "archive"
