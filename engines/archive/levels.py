"""What levels 0 to 9 mean in each format: monotone in effort, chosen by measurement.

zip and tar.gz use three deflate libraries: isal is fastest, zlib-ng makes blocks that continue one another
(big files), libdeflate packs best but only whole buffers (small files, gzip members). Per core on text, logs
and mixed data libdeflate 6 runs at 96 MB/s to 36.3 % where zlib 6 runs at 29 MB/s to 36.8 %.
"""

from __future__ import annotations

from typing import Final

import msgspec

MIB: Final = 1 << 20


class Engine(msgspec.Struct, frozen=True):
    """A library ("isal", "zng", "libdeflate") and its own level."""

    library: str
    level: int


class DeflateLevel(msgspec.Struct, frozen=True):
    """How deflate is done: whole buffers, blocks of larger files, and the largest whole buffer in bytes.

    The bound keeps one uninterruptible library call near 60 ms, for pause and cancel.
    """

    whole: Engine
    block: Engine
    whole_max: int


_ISAL1, _ISAL3 = Engine("isal", 1), Engine("isal", 3)

DEFLATE: Final[dict[int, DeflateLevel]] = {
    1: DeflateLevel(_ISAL1, _ISAL1, 4 * MIB),
    2: DeflateLevel(_ISAL3, _ISAL3, 4 * MIB),
    3: DeflateLevel(Engine("libdeflate", 1), Engine("zng", 3), 4 * MIB),
    4: DeflateLevel(Engine("libdeflate", 4), Engine("zng", 3), 4 * MIB),
    5: DeflateLevel(Engine("libdeflate", 5), Engine("zng", 4), 4 * MIB),
    6: DeflateLevel(Engine("libdeflate", 6), Engine("zng", 5), 4 * MIB),
    7: DeflateLevel(Engine("libdeflate", 7), Engine("zng", 6), 4 * MIB),
    8: DeflateLevel(Engine("libdeflate", 8), Engine("zng", 7), 2 * MIB),
    9: DeflateLevel(Engine("libdeflate", 9), Engine("zng", 7), 2 * MIB),
}
"""zip and tar.gz; level 0 stores. On blocks of logs and tables zlib-ng 9 is slower than its 7, and packs worse."""

ZLIB: Final = {("isal", 0): 1, ("isal", 1): 1, ("isal", 3): 2}
"""zlib level in place of an isal one where isal is missing; other libraries' levels are taken as they are."""

BZIP2: Final[dict[int, int]] = {0: 1, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 9}
"""Block size in units of 100,000 bytes."""


class ZstdLevel(msgspec.Struct, frozen=True):
    """A level of Zstandard, other values for some of its parameters, and the bytes of tar stream in a frame."""

    level: int
    frame: int = 4 * MIB
    tuned: dict[str, int] = {}


ZSTD: Final[dict[int, ZstdLevel]] = {
    **{step: ZstdLevel(level) for step, level in enumerate((1, 1, 2, 3, 5, 7, 9, 12, 15, 19))},
    # Tables and frames that fit the caches and matches from 6 bytes: a fifth less processor time for 0.6 % more bytes
    # (text 2 % more, tables 2 % less).
    3: ZstdLevel(3, 2 * MIB, {"hash_log": 16, "chain_log": 15, "min_match": 6}),
}
"""What our levels are."""


class LzmaLevel(msgspec.Struct, frozen=True):
    """An xz preset, and the bytes of input that are packed on their own (the unit of parallel work)."""

    preset: int
    dictionary: int
    block: int


LZMA: Final[dict[int, LzmaLevel]] = {
    0: LzmaLevel(0, 1 * MIB, 4 * MIB),
    1: LzmaLevel(1, 1 * MIB, 4 * MIB),
    2: LzmaLevel(2, 2 * MIB, 6 * MIB),
    3: LzmaLevel(3, 4 * MIB, 8 * MIB),
    4: LzmaLevel(4, 7 * MIB // 2, 8 * MIB),
    5: LzmaLevel(5, 7 * MIB // 2, 8 * MIB),
    6: LzmaLevel(6, 7 * MIB // 2, 8 * MIB),
    7: LzmaLevel(7, 8 * MIB, 16 * MIB),
    8: LzmaLevel(8, 16 * MIB, 24 * MIB),
    9: LzmaLevel(9, 32 * MIB, 32 * MIB),
}
"""tar.xz. An encoder takes 11.5 times its dictionary: with 3.5 MiB two of them stay below 150 MB, for 0.1 % of size."""


class SevenZipLevel(msgspec.Struct, frozen=True):
    """How 7z is packed, by 7zz (its `-mx` effort and the word size "fb" of its LZMA2) and without that program.

    Attributes:
        block: Bytes of input that one program packs on its own.
        library: liblzma's preset, dictionary and block.
    """

    effort: int
    word: int
    dictionary: int
    block: int
    library: LzmaLevel


SEVENZIP: Final[dict[int, SevenZipLevel]] = {
    1: SevenZipLevel(1, 32, MIB // 4, 4 * MIB, LzmaLevel(0, 1 * MIB, 4 * MIB)),
    2: SevenZipLevel(1, 32, 1 * MIB, 4 * MIB, LzmaLevel(1, 1 * MIB, 8 * MIB)),
    3: SevenZipLevel(1, 32, 4 * MIB, 4 * MIB, LzmaLevel(2, 2 * MIB, 8 * MIB)),
    4: SevenZipLevel(1, 64, 4 * MIB, 8 * MIB, LzmaLevel(3, 4 * MIB, 8 * MIB)),
    5: SevenZipLevel(5, 48, 12 * MIB, 16 * MIB, LzmaLevel(5, 8 * MIB, 16 * MIB)),
    6: SevenZipLevel(5, 64, 16 * MIB, 16 * MIB, LzmaLevel(6, 16 * MIB, 16 * MIB)),
    7: SevenZipLevel(5, 80, 24 * MIB, 24 * MIB, LzmaLevel(7, 24 * MIB, 24 * MIB)),
    8: SevenZipLevel(5, 64, 32 * MIB, 64 * MIB, LzmaLevel(8, 32 * MIB, 32 * MIB)),
    9: SevenZipLevel(5, 96, 48 * MIB, 64 * MIB, LzmaLevel(9, 48 * MIB, 48 * MIB)),
}
"""7z (LZMA2); level 0 stores.

An encoder of 7zz takes 11.5 times its dictionary: two of level 5 together take no more than one `7zz -mx5` does. Its
`.xz` knows dictionaries of 2^n and 3 * 2^n bytes only.
"""

SOLID: Final = 128 * MIB
"""Bytes of files that share one 7z folder: what must be unpacked to reach its last file."""

ZIP_BLOCK: Final = 1 * MIB
GZIP_MEMBER: Final = 1 * MIB
