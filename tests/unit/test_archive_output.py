"""Writing from a thread of its own: in order, never announced too early, errors told."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from engines.archive.create.output import SingleOutput, WriteBehind
from engines.archive.create.space import Buffer


class Held(SingleOutput):
    """Writes only once it may; can be full."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.may = threading.Event()
        self.full = False

    def write(self, buffers: Sequence[Buffer], written: Callable[[], None] | None = None) -> None:
        assert self.may.wait(10)
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(buffers, written)


def test_memory_is_given_back_only_when_its_bytes_are_written(tmp_path: Path) -> None:
    held = Held(tmp_path / "a")
    output = WriteBehind(held)
    back: list[str] = []
    output.write([b"first"], lambda: back.append("first"))
    output.write([b"second"], lambda: back.append("second"))
    assert output.position == 11
    assert back == []
    held.may.set()
    output.sync()
    assert back == ["first", "second"]
    assert (tmp_path / "a").read_bytes() == b"firstsecond"
    output.close()


def test_patches_reads_and_rewinds_see_what_was_written_before(tmp_path: Path) -> None:
    held = Held(tmp_path / "a")
    held.may.set()
    output = WriteBehind(held)
    for number in range(50):
        output.write([b"%02d" % number])
    assert output.read(96, 4) == b"4849"
    output.patch(0, b"xx")
    output.rewind(4)
    output.write([b"!"])
    output.sync()
    output.close()
    assert (tmp_path / "a").read_bytes() == b"xx01!"


def test_a_full_disk_is_told_by_the_next_call_and_does_not_hang_it(tmp_path: Path) -> None:
    held = Held(tmp_path / "a")
    held.full = True
    output = WriteBehind(held)
    output.write([b"lost"])
    held.may.set()
    with pytest.raises(OSError, match="No space left"):
        output.sync()
    with pytest.raises(OSError, match="No space left"):
        output.write([b"more"])
    output.close()


def test_closing_drops_what_waits(tmp_path: Path) -> None:
    held = Held(tmp_path / "a")
    output = WriteBehind(held)
    output.write([b"under way"])
    output.write([b"dropped"])
    threading.Timer(0.05, held.may.set).start()
    output.close()
    assert (tmp_path / "a").read_bytes() == b"under way"
