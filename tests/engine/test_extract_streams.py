"""The hand-over between the thread that decompresses and the one that writes: nobody waits in vain."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import brotli
import pytest

from engines.archive.extract.streams import Stream, ahead, open_stream
from engines.archive.volumes import Volumes
from engines.errors import TaskdeckError
from engines.process import Tool

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


@pytest.fixture
def noise(tmp_path: Path) -> tuple[Path, bytes]:
    """A bzip2 file that is worth threads, and what is in it."""
    data = random.Random(1).randbytes(4 << 20)
    path = tmp_path / "noise.bz2"
    path.write_bytes(bz2.compress(data))
    return path, data


def by_program(path: Path, started: list[Tool], check: Callable[[], None] = lambda: None) -> Stream:
    def start(argv: Sequence[str | bytes], *, stdin: int) -> Tool:
        started.append(Tool(argv, stdin=stdin))
        return started[-1]

    return open_stream(Volumes([path]), "bz2", start=start, check=check)


def test_program_for_bzip2_gives_the_same_and_tells_how_far_it_has_read(noise: tuple[Path, bytes]) -> None:
    path, data = noise
    started: list[Tool] = []
    path.write_bytes(path.read_bytes() * 2)
    stream = by_program(path, started)
    reached = []
    blocks = []
    for block in stream:
        blocks.append(block)
        reached.append(stream.packed)
    stream.close()
    assert b"".join(blocks) == data * 2
    assert reached == sorted(reached) and reached[0] > 0 and stream.packed == path.stat().st_size
    assert started and started[0].poll() == 0


@pytest.mark.parametrize("damage", ["cut off", "flipped"])
def test_library_goes_on_where_the_program_for_bzip2_gives_up(noise: tuple[Path, bytes], damage: str) -> None:
    path, data = noise
    raw = bytearray(path.read_bytes())
    if damage == "flipped":
        raw[3 << 20] ^= 0x41
    path.write_bytes(raw if damage == "flipped" else raw[: 3 << 20])
    stream = by_program(path, [])
    got = b""
    with pytest.raises(TaskdeckError) as caught:
        for block in stream:
            got += block
    stream.close()
    assert caught.value.code == "archive.damaged"
    assert len(got) >= 1_800_000 and data.startswith(got), "what is sound comes first, and once"


def test_closing_ends_the_program_for_bzip2(noise: tuple[Path, bytes]) -> None:
    started: list[Tool] = []
    stream = by_program(noise[0], started)
    next(stream)
    stream.close()
    assert started[0].poll() is not None


def test_job_may_stop_while_the_program_for_bzip2_is_silent(noise: tuple[Path, bytes]) -> None:
    started: list[Tool] = []
    asked = []

    def check() -> None:
        asked.append(1)
        raise StopItError

    stream = by_program(noise[0], started, check)
    os.kill(started[0].pid, signal.SIGSTOP)
    with pytest.raises(StopItError):
        for _ in stream:
            pass
    stream.close()
    assert asked and started[0].poll() == -signal.SIGKILL
