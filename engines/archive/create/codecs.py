"""Compression of one buffer or block, by the fastest library present; every library has a stdlib stand-in.

All of them release the interpreter lock while they work, so that threads use all cores.
"""

from __future__ import annotations

import bz2
import contextlib
import importlib
import importlib.util
import lzma
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from engines.archive import levels
from engines.archive.create.space import Buffer
from engines.archive.levels import Engine


def _optional(name: str) -> Any:
    """The module, None when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


isal_zlib: Any = _optional("isal.isal_zlib")
zlib_ng: Any = _optional("zlib_ng.zlib_ng")
libdeflate: Any = _optional("deflate")

DICTIONARY: Final = 32768
"""Bytes of earlier input that a deflate block may refer to."""
DEFLATE_END: Final = b"\x03\x00"
"""An empty final block: ends a deflate stream whose blocks were flushed to a byte boundary."""

_STORED_MAX: Final = 65535
_NOISE_BLOCK: Final = 3
_M_MMAP_THRESHOLD: Final = -3
_PROBES: Final = 8
_PROBE_BYTES: Final = 2048
_GOLDEN: Final = 0.618034
"""The fractions of its multiples lie evenly between 0 and 1 and never repeat."""
_local = threading.local()

crc32: Callable[[Any, int], int] = zlib.crc32 if isal_zlib is None else isal_zlib.crc32  # 40 GB/s instead of 6


def crc32_combine(first: int, second: int, length: int) -> int:
    """The CRC of two pieces put together, from theirs and the byte length of the second."""
    if isal_zlib is not None:
        return cast("int", isal_zlib.crc32_combine(first, second, length))
    # Appending n zero bytes to a message is linear over GF(2): apply the operator by repeated squaring.
    row, matrix = 1, [0xEDB88320]
    for _ in range(31):
        matrix.append(row)
        row <<= 1
    matrix = _square(_square(_square(matrix)))  # one bit -> one byte
    while length:
        if length & 1:
            first = _times(matrix, first)
        length >>= 1
        if length:
            matrix = _square(matrix)
    return first ^ second


def _times(matrix: list[int], vector: int) -> int:
    total = 0
    for row in matrix:
        if not vector:
            break
        if vector & 1:
            total ^= row
        vector >>= 1
    return total


def _square(matrix: list[int]) -> list[int]:
    return [_times(matrix, row) for row in matrix]


def sample_places(size: int, length: int, count: int) -> Iterator[int]:
    """Starts of samples spread over so many bytes, but not regularly: disk images alternate at powers of two.

    Args:
        size: Bytes to choose from.
        length: Bytes of a sample.
        count: Samples.
    """
    step = size / count
    for number in range(count):
        yield max(0, min(size - length, int((number + number * _GOLDEN % 1) * step)))


def incompressible(data: Buffer) -> bool:
    """A cheap guess (about 60 us): whether not one of eight samples of 2 KiB shrinks by 5 %.

    One sample is not enough: blocks that are half noise would be stored, at 2 % of size.
    """
    view = memoryview(data)
    if len(view) < 1024:
        return False
    count = max(1, min(_PROBES, len(view) // _PROBE_BYTES))
    for start in sample_places(len(view), _PROBE_BYTES, count):
        sample = view[start : start + _PROBE_BYTES]
        packed = zlib.compress(sample, 1) if isal_zlib is None else isal_zlib.compress(sample, 1, -15)
        if len(packed) < 0.95 * len(sample):
            return False
    return True


def stored_blocks(data: Buffer) -> list[bytes | memoryview]:
    """The data as raw deflate blocks that store it (RFC 1951 3.2.4), none of them final."""
    view = memoryview(data)
    out: list[bytes | memoryview] = []
    for start in range(0, len(view), _STORED_MAX):
        part = view[start : start + _STORED_MAX]
        out += (struct.pack("<BHH", 0, len(part), len(part) ^ 0xFFFF), part)
    return out


def deflate_whole(data: Buffer, engine: Engine) -> bytes | bytearray:
    """A complete raw deflate stream."""
    if engine.library == "libdeflate" and libdeflate is not None:
        return cast("bytearray", libdeflate.deflate_compress(data, engine.level))
    if engine.library == "isal" and isal_zlib is not None:
        return cast("bytes", isal_zlib.compress(data, engine.level, -15))
    if engine.library == "zng" and zlib_ng is not None:
        return cast("bytes", zlib_ng.compress(data, engine.level, -15))
    packer = zlib.compressobj(_zlib_level(engine), zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def deflate_block(data: Buffer, before: Buffer, engine: Engine, *, fresh: bool) -> tuple[bytes, int]:
    """A raw deflate block flushed to a byte boundary, and the data's CRC.

    Args:
        before: The last `DICTIONARY` bytes of input in front of it.
        fresh: Use no state of earlier blocks: the bytes then depend on the input alone. (The reused state of
            zlib-ng makes the size differ by some bytes with the order in which threads take blocks.)
    """
    module: Any = {"isal": isal_zlib, "zng": zlib_ng}.get(engine.library)
    if module is not None and not fresh and hasattr(module, "_ParallelCompress"):
        return cast("tuple[bytes, int]", _parallel(module, engine, len(data)).compress_and_crc(data, before))
    crc = crc32(data, 0)
    if module is None:
        module, level = zlib, _zlib_level(engine)
    else:
        level = engine.level
    packer = (
        module.compressobj(level, zlib.DEFLATED, -15, zdict=bytes(before))
        if len(before)
        else module.compressobj(level, zlib.DEFLATED, -15)
    )
    return packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH), crc


def _parallel(module: Any, engine: Engine, length: int) -> Any:
    """This thread's block packer of a library, with room for incompressible input (isal grows it by over 20 %)."""
    packers = _local.__dict__.setdefault("packers", {})
    room = max(1, -(-length // levels.MIB)) * levels.MIB  # in steps: one packer serves all lengths
    key = (engine, room)
    if key not in packers:
        packers[key] = module._ParallelCompress(buffersize=room + max(room // 4, 500), level=engine.level)
    return packers[key]


def _zlib_level(engine: Engine) -> int:
    return levels.ZLIB.get((engine.library, engine.level), min(engine.level, 9))


def gzip_member(data: Buffer, level: int) -> list[Buffer]:
    """A complete gzip member (RFC 1952) without name or time; level 0 stores."""
    header = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    trailer = struct.pack("<II", crc32(data, 0), len(data) & 0xFFFFFFFF)
    if not level or incompressible(data):
        return [header, *stored_blocks(data), DEFLATE_END, trailer]
    return [header, deflate_whole(data, levels.DEFLATE[level].whole), trailer]


def bzip2_stream(data: Buffer, level: int) -> list[Buffer]:
    """Complete bzip2 streams: one, or small ones for noise, which take a fifth less time and 0.2 % more room."""
    block = levels.BZIP2[level]
    if block <= _NOISE_BLOCK or not incompressible(data):
        return [bz2.compress(data, block)]
    view = memoryview(data)
    step = _NOISE_BLOCK * 100_000
    return [bz2.compress(view[start : start + step], _NOISE_BLOCK) for start in range(0, len(view), step)]


def give_memory_back() -> None:
    """Let large memory go back to the system when it is freed, instead of staying for later (glibc; else nothing).

    LZMA encoders take 40 MiB each time; glibc keeps pieces of them, half as much again.
    """
    import ctypes

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 512 << 10)


def xz_stream(pieces: list[Buffer], level: int, step: Callable[[int], None]) -> list[Buffer]:
    """A complete .xz stream of the pieces, each let go once packed; `step` hears of every 256 KiB, may raise."""
    packer = lzma.LZMACompressor(lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, filters=lzma_filters(levels.LZMA[level]))
    out: list[Buffer] = []
    pieces.reverse()
    while pieces:
        out += [part for part in feed(packer, pieces.pop(), step) if part]
    return [*out, packer.flush()]


def lzma_filters(chosen: levels.LzmaLevel) -> list[dict[str, Any]]:
    """The LZMA2 filter chain of a level."""
    return [{"id": lzma.FILTER_LZMA2, "preset": chosen.preset, "dict_size": chosen.dictionary}]


def lzma2_piece(data: Buffer, chosen: levels.LzmaLevel, step: Callable[[int], None]) -> list[Buffer]:
    """LZMA2 chunks that start from nothing and do not end the stream: pieces may follow one another."""
    packer = lzma.LZMACompressor(lzma.FORMAT_RAW, filters=lzma_filters(chosen))
    parts = [part for part in (*feed(packer, data, step), packer.flush()) if part]
    parts[-1] = memoryview(parts[-1])[:-1]  # without the end mark
    return parts


def lzma2_stored(data: Buffer) -> list[Buffer]:
    """The same for data that does not shrink: uncompressed chunks, the first one resets the dictionary."""
    view = memoryview(data)
    out: list[Buffer] = []
    for start in range(0, len(view), 65536):
        part = view[start : start + 65536]
        out += (struct.pack(">BH", 2 if start else 1, len(part) - 1), part)
    return out


def feed(packer: lzma.LZMACompressor, data: Buffer, step: Callable[[int], None]) -> list[Buffer]:
    """Pack data in slices, so that a slow packer can be stopped."""
    view = memoryview(data)
    out: list[Buffer] = []
    for start in range(0, len(view), 1 << 18):
        part = view[start : start + (1 << 18)]
        step(len(part))
        out.append(packer.compress(part))
    return out


def zstd_frame(data: Buffer, level: int) -> list[Buffer]:
    """A complete Zstandard frame with checksum."""
    packer = getattr(_local, "zstd", None)
    if packer is None or _local.zstd_level != level:
        import zstandard

        chosen = levels.ZSTD[level]
        parameters = zstandard.ZstdCompressionParameters.from_level(
            chosen.level, source_size=chosen.frame, write_checksum=True, **chosen.tuned
        )
        packer = _local.zstd = zstandard.ZstdCompressor(compression_params=parameters)
        _local.zstd_level = level
    return [cast("bytes", packer.compress(data))]
