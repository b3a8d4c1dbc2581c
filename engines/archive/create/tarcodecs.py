"""What packs the chunks of a tar stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engines.archive.create import codecs
from engines.archive.create.space import Buffer
from engines.archive.levels import GZIP_MEMBER, LZMA, ZSTD
from engines.operations import ArchiveFormat


def codec(form: ArchiveFormat, level: int) -> tuple[int, Callable[[Buffer], Sequence[Buffer]]]:
    """Bytes of tar stream in a chunk, and what makes a stream of its own of one."""
    match form:
        case ArchiveFormat.TAR_GZ:
            return GZIP_MEMBER, lambda data: codecs.gzip_member(data, level)
        case ArchiveFormat.TAR_BZ2:
            return max(1, level) * 100_000, lambda data: codecs.bzip2_stream(data, level)
        case ArchiveFormat.TAR_ZST:
            return ZSTD[level].frame, lambda data: codecs.zstd_frame(data, level)
    raise ValueError(form)


def xz(level: int, step: Callable[[int], None]) -> tuple[int, Callable[[list[Buffer]], Sequence[Buffer]]]:
    """The same for xz, whose encoders take all the memory there is: a chunk comes in pieces, each let go once packed.

    Args:
        step: Hears of what is packed, may raise.
    """
    codecs.give_memory_back()
    return LZMA[level].block, lambda pieces: codecs.xz_stream(pieces, level, step)
