"""Decompression of tar.* and single files: an iterator of blocks, made ahead by a helper thread.

All codecs used release the GIL, so the main thread writes while the next block is decompressed. Blocks have at
most about 1 MiB and few are kept, whatever the ratio: a bomb costs time until the limits stop it, never memory.
"""

from __future__ import annotations

import bz2
import lzma
import queue
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final, cast

from isal import isal_zlib

from engines.archive.backends import lbzip2
from engines.archive.extract import bzip2
from engines.archive.extract.libarchive_reader import raw_stream
from engines.archive.volumes import Volumes, Window
from engines.errors import TaskdeckError
from engines.names import display

BLOCK: Final = 1 << 20
INFLATE_ERROR: Final = cast("type[Exception]", isal_zlib.IsalError)  # its stub says it is an instance
_PLAIN_BLOCK: Final = 1 << 18
"""Fits the second-level cache: a fifth faster than 1 MiB where nothing is decompressed."""
_GZIP_BLOCK: Final = 1 << 17
"""A tenth faster than half of it: the decompressor waits for the interpreter's lock half as often."""
_AHEAD: Final = 12
"""Blocks made ahead, 12 MiB at most: while small files are written the decoder gains a lead for the large ones."""
_PATIENCE: Final = 0.04  # seconds without a block before the job is asked whether to stop
_LZMA_MEMORY: Final = 512 << 20
_ZSTD_WINDOW: Final = 1 << 27
_PARALLEL_BZ2: Final = 2 << 20  # bytes: smaller files gain nothing from more threads


class Stream:
    """An iterator of unpacked blocks that knows how many packed bytes it has taken."""

    def __init__(self, blocks: Iterator[bytes], window: Window, *, plain: bool = False) -> None:
        self._blocks = blocks
        self._window = window
        self.plain = window if plain else None
        """The file itself where nothing is decompressed: its position may be moved between two blocks."""

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> bytes:
        return next(self._blocks)

    @property
    def packed(self) -> int:
        """Packed bytes read so far."""
        return self._window.position

    def close(self) -> None:
        """Stop the helper thread and release the decompressor."""
        close = getattr(self._blocks, "close", None)
        if close is not None:
            close()


def open_stream(
    source: Volumes,
    codec: str,
    *,
    helper: bool = True,
    threads: int = 2,
    check: Callable[[], None] = lambda: None,
    start: bzip2.Start | None = None,
) -> Stream:
    """The unpacked content of a compressed file (`codec` "" for a plain one).

    Args:
        check: Called while the decompressor makes nothing; may raise to stop.
        start: Starts a program where one decompresses faster than a library; without it none is.

    Raises:
        TaskdeckError: While iterating: `archive.damaged` (with a word when it is cut off), `archive.limit`
            (needs too much memory), `unsupported`.
    """
    window = Window(source)
    if start is not None and codec == "bz2" and _worth_threads(source, threads) and lbzip2():
        return Stream(
            bzip2.ByProgram(source, window, threads, start, lambda: _blocks(window, source, codec, threads), check),
            window,
        )
    blocks = _blocks(window, source, codec, threads if helper else 1)
    if not helper or not codec:  # the kernel reads ahead by itself
        return Stream(blocks, window, plain=not codec)
    return Stream(ahead(blocks, check=check, halt=window.cut), window)


def bzip2_behind(source: Volumes, start: int, check: Callable[[], None]) -> Stream:
    """The unpacked content of bzip2 streams that begin inside a file (the payload of an old RPM package).

    Raises:
        TaskdeckError: While iterating: `archive.damaged`.
    """
    window = Window(source)
    window.position = start
    blocks = _guarded(_chain(window, bz2.BZ2Decompressor, b"BZh"), source)
    return Stream(ahead(blocks, check=check, halt=window.cut), window)


def _worth_threads(source: Volumes, threads: int) -> bool:
    return threads > 1 and source.size > _PARALLEL_BZ2 and source.descriptor is not None


def _blocks(window: Window, source: Volumes, codec: str, threads: int) -> Iterator[bytes]:
    return _guarded(_decoder(window, source, codec, threads), source)


def _decoder(window: Window, source: Volumes, codec: str, threads: int) -> Iterator[bytes]:
    match codec:
        case "":
            return _plain(window)
        case "gz":
            return _gzip(window)
        case "bz2":
            if _worth_threads(source, threads):
                return bzip2.by_library(source, window, threads)
            return _chain(window, bz2.BZ2Decompressor, b"BZh")
        case "xz":
            return _chain(window, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY), b"\xfd7zXZ")
        case "lzma":
            return _chain(window, lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_LZMA_MEMORY), b"]")
        case "zst":
            return _zstd(window, source)
        case "br":
            return _brotli(window)
        case "lz4" | "lz" | "lzo" | "Z":
            return _libarchive(window, codec)
    raise TaskdeckError("unsupported", "cannot unpack the file", f"compression '{codec}' is not supported")


def ahead(
    blocks: Iterator[bytes],
    depth: int = _AHEAD,
    *,
    check: Callable[[], None] | None = None,
    halt: Callable[[], None] | None = None,
) -> Iterator[bytes]:
    """The same blocks, made by a thread up to `depth` ahead; closing the iterator ends the thread.

    Neither side can wait for the other in vain: the thread takes a slot before it puts anything and closing gives
    it one with the word to stop, and whatever ends the thread is put as its last item, which never waits.

    Args:
        check: Called while nothing comes (a decoder may chew for long without output); may raise to stop.
        halt: Called on closing, to end a read of `blocks` that is under way.
    """
    done: Final = object()
    ready: queue.SimpleQueue[Any] = queue.SimpleQueue()
    slots: queue.SimpleQueue[None] = queue.SimpleQueue()  # a semaphore in C: a tenth of the time of threading's
    for _ in range(depth):
        slots.put(None)
    stop = threading.Event()

    def work() -> None:
        last: object = done
        try:
            for block in blocks:
                slots.get()
                if stop.is_set():
                    return
                ready.put(block)
        except BaseException as error:  # handed to the thread that iterates
            last = error
        finally:
            ready.put(last)
            close = getattr(blocks, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=work, name="decompress", daemon=True)
    thread.start()
    try:
        while (item := _next(ready, check)) is not done:
            if isinstance(item, BaseException):
                raise item
            slots.put(None)
            yield item
    finally:
        stop.set()
        if halt is not None:
            halt()
        slots.put(None)
        thread.join()


def _next(ready: queue.SimpleQueue[Any], check: Callable[[], None] | None) -> Any:
    if check is None:
        return ready.get()
    while True:
        try:
            return ready.get(timeout=_PATIENCE)
        except queue.Empty:
            check()


def _guarded(blocks: Iterator[bytes], source: Volumes) -> Iterator[bytes]:
    """Decoder faults in our words."""
    name = display(source.paths[0].name)
    try:
        yield from blocks
    except EOFError:
        raise cut_off(name) from None
    except MemoryError:
        raise TaskdeckError("archive.limit", f"cannot unpack '{name}'", "it needs too much memory") from None
    except (OSError, ValueError, RuntimeError, lzma.LZMAError, zlib.error) as error:
        if isinstance(error, lzma.LZMAError) and "memory" in str(error).lower():
            raise TaskdeckError(
                "archive.limit", f"cannot unpack '{name}'", "it needs more than 512 MiB of memory"
            ) from None
        raise TaskdeckError(
            "archive.damaged",
            f"cannot unpack '{name}'",
            f"its compressed data is damaged ({error})",
            "get the archive again, or use --keep-broken to save what is sound",
        ) from None


def cut_off(name: str) -> TaskdeckError:
    """The error for an archive that ends too early."""
    return TaskdeckError(
        "archive.damaged",
        f"cannot unpack '{name}'",
        "it is cut off, probably while it was copied or downloaded",
        "get it again, or use --keep-broken to save what is sound",
    )


def _plain(window: Window) -> Iterator[bytes]:
    while block := window.read(_PLAIN_BLOCK):
        yield block


def _gzip(window: Window) -> Iterator[bytes]:
    """gzip, any number of members (RFC 1952), through ISA-L: 2.6 times zlib's speed.

    Not its file reader, which is no faster and loses up to a block of what a cut-off file still holds.
    """
    block = b""
    inflater = isal_zlib.decompressobj(31)
    fresh = True
    while True:
        block = block or window.read(_GZIP_BLOCK)
        if not block:
            if fresh:
                return
            raise EOFError
        fresh = False
        try:
            out = inflater.decompress(block, 8 * _GZIP_BLOCK)
        except INFLATE_ERROR as error:
            raise ValueError(str(error)) from None
        if out:
            yield out
        if not out and not inflater.eof and len(inflater.unconsumed_tail) == len(block):
            raise ValueError("no progress")
        block = inflater.unconsumed_tail
        if inflater.eof:
            block = _skip_padding(inflater.unused_data, window)
            if not block.startswith(b"\x1f\x8b"):
                return
            inflater, fresh = isal_zlib.decompressobj(31), True


def _chain(window: Window, make: Any, mark: bytes) -> Iterator[bytes]:
    """Streams of one codec behind each other; padding of zeros and trailing foreign bytes end it."""
    decoder = make()
    fresh = True
    pending = b""
    while True:
        block = pending or window.read(BLOCK // 4)
        pending = b""
        if not block:
            if fresh:
                return
            raise EOFError
        fresh = False
        out = decoder.decompress(block, BLOCK)
        if out:
            yield out
        while not decoder.eof and not decoder.needs_input:
            out = decoder.decompress(b"", BLOCK)
            if not out:
                break
            yield out
        if decoder.eof:
            pending = _skip_padding(decoder.unused_data, window)
            if not pending.startswith(mark):
                return
            decoder, fresh = make(), True


def _skip_padding(rest: bytes, window: Window) -> bytes:
    """What follows a stream, without the zeros xz allows there; enough of it to recognise a mark."""
    rest = rest.lstrip(b"\0")
    while len(rest) < 6 and (more := window.read(1 << 16)):
        rest = (rest + more).lstrip(b"\0")
    return rest


def _zstd(window: Window, source: Volumes) -> Iterator[bytes]:
    import zstandard

    truncated = not zstd_whole(source, window)
    reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).stream_reader(
        cast("BinaryIO", window),
        read_size=1 << 19,
        read_across_frames=True,
    )
    try:
        while block := reader.read(BLOCK):
            yield block
    except zstandard.ZstdError as error:
        if "memory" in str(error).lower():
            raise MemoryError from None
        raise ValueError(str(error)) from None
    if truncated:
        raise EOFError


def zstd_whole(source: Volumes, window: Window) -> bool:
    """Whether the last Zstandard frame ends where the file does (RFC 8878 section 3.1.1).

    The library reads a file that is cut off without a word; this walks over the block headers, 128 KiB a step.
    """
    at = 0
    while at < source.size:
        head = source.pread(18, at)
        magic = int.from_bytes(head[:4], "little")
        if magic & 0xFFFFFFF0 == 0x184D2A50:
            at += 8 + int.from_bytes(head[4:8], "little")
            continue
        if magic != 0xFD2FB528 or len(head) < 6:
            return False
        flags = head[4]
        single = flags >> 5 & 1
        dictionary = (0, 1, 2, 4)[flags & 3]
        content = (single, 2, 4, 8)[flags >> 6]
        at = _zstd_blocks_end(source, window, at + 5 + (not single) + dictionary + content)
        at += 4 if flags & 4 else 0
    return at == source.size


def _zstd_blocks_end(source: Volumes, window: Window, at: int) -> int:
    """Where a frame's last block ends; beyond the file when it is cut off (or nobody waits for the answer)."""
    near, base = b"", 0  # a page at a time: hostile blocks may have three bytes each
    while not window.ended:
        offset = at - base
        if not 0 <= offset <= len(near) - 3:
            near, base, offset = source.pread(4096, at), at, 0
            if len(near) < 3:
                break
        block = int.from_bytes(near[offset : offset + 3], "little")
        at += 3 + (1 if block >> 1 & 3 == 1 else block >> 3)
        if block & 1:
            return at
    return source.size + 1


def _brotli(window: Window) -> Iterator[bytes]:
    import brotli

    decoder = brotli.Decompressor()
    while not decoder.is_finished():
        block = window.read(BLOCK // 4) if decoder.can_accept_more_data() else b""
        if not block and decoder.can_accept_more_data():
            raise EOFError
        try:
            out = decoder.process(block, output_buffer_limit=BLOCK)
        except brotli.error as error:
            raise ValueError(str(error)) from None
        if out:
            yield out
        elif not block and not decoder.is_finished() and not decoder.can_accept_more_data():
            raise ValueError("no progress")


def _libarchive(window: Window, codec: str) -> Iterator[bytes]:
    return raw_stream(window, codec)
