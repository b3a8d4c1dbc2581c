"""The hand-over between the thread that decompresses and the one that writes: nobody waits in vain."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import brotli
import pytest

from engines.archive.extract.streams import ahead, open_stream
from engines.archive.volumes import Volumes
from engines.errors import TaskdeckError

DEADLINE = 20.0  # seconds: a hang, not a slow machine


class StopItError(Exception):
    """What a job raises to end the work."""


def finished(work: threading.Thread) -> bool:
    work.join(DEADLINE)
    return not work.is_alive()


def helpers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "decompress"]


def endless(closed: threading.Event) -> Iterator[bytes]:
    try:
        while True:
            yield b"x"
    finally:
        closed.set()


def test_closing_wakes_a_helper_that_waits_for_room() -> None:
    closed = threading.Event()
    blocks = ahead(endless(closed), 2)
    assert next(blocks) == b"x"
    closer = threading.Thread(target=blocks.close)  # type: ignore[attr-defined]
    closer.start()
    assert finished(closer)
    assert closed.is_set(), "the decompressor is closed too"
    assert not helpers()


def test_error_of_the_decompressor_arrives_behind_the_blocks_before_it() -> None:
    def broken() -> Iterator[bytes]:
        yield from (b"1", b"2", b"3")
        raise ValueError("damaged")

    got: list[bytes] = []
    blocks = ahead(broken(), 1)
    with pytest.raises(ValueError, match="damaged"):
        got.extend(blocks)
    assert got == [b"1", b"2", b"3"][: len(got)]
    assert not helpers()


def test_error_in_the_very_first_block_is_not_lost_when_nobody_has_asked_yet() -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"[: 1 // zero]

    zero = 0
    with pytest.raises(ZeroDivisionError):
        list(ahead(broken()))


def test_job_is_asked_while_the_decompressor_gives_nothing() -> None:
    gate = threading.Event()

    def silent() -> Iterator[bytes]:
        assert gate.wait(DEADLINE)
        yield b""

    asked: list[int] = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise StopItError

    with pytest.raises(StopItError):
        list(ahead(silent(), check=check, halt=gate.set))
    assert not helpers()


def test_reader_that_goes_away_leaves_no_thread(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000)))
    with Volumes([path]) as volumes:
        stream = open_stream(volumes, "gz")
        next(stream)
        stream.close()
    assert not helpers()


def zeros_behind(codec: str) -> bytes:
    """A sound file with 64 MB behind it that a decompressor passes over without output."""
    if codec == "zst":
        frame = subprocess.run(["zstd", "-qc"], input=b"x", capture_output=True, check=True).stdout
        return frame + (b"\x50\x2a\x4d\x18" + (1 << 20).to_bytes(4, "little") + bytes(1 << 20)) * 64
    return (gzip.compress(b"x") if codec == "gz" else lzma.compress(b"x")) + bytes(64 << 20)


@pytest.mark.parametrize("codec", ["gz", "xz", "zst"])
def test_padding_behind_a_stream_is_read_to_its_end_or_until_it_is_stopped(tmp_path: Path, codec: str) -> None:
    path = tmp_path / f"x.{codec}"
    path.write_bytes(zeros_behind(codec))
    with Volumes([path]) as volumes:
        assert b"".join(open_stream(volumes, codec)) == b"x"
        stream = open_stream(volumes, codec)
        next(stream)
        stream.close()
    assert not helpers()


@pytest.mark.parametrize("codec", ["gz", "bz2", "xz", "zst", "br", "lz4"])
def test_damage_anywhere_ends_the_stream(tmp_path: Path, codec: str) -> None:
    data = bytes(range(256)) * 400
    pack: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "br": brotli.compress,
    }
    if codec in pack:
        sound = pack[codec](data)
    else:
        sound = subprocess.run(
            ["zstd", "-qc", f"--format={'lz4' if codec == 'lz4' else 'zstd'}"],
            input=data,
            capture_output=True,
            check=True,
        ).stdout
    path = tmp_path / "x"
    for at in range(4, len(sound), max(1, len(sound) // 40)):
        for raw in (
            sound[:at],
            sound[:at] + bytes((sound[at] ^ 0x41,)) + sound[at + 1 :],
            sound[:at] + sound[at + 1 :],
        ):
            path.write_bytes(raw)
            with Volumes([path]) as volumes:
                try:
                    out = sum(len(block) for block in open_stream(volumes, codec))
                    assert out <= len(data) * 2
                except TaskdeckError as error:
                    assert error.code in ("archive.damaged", "archive.limit")
    assert not helpers()
