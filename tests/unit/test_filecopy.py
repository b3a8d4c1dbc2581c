"""Bytes from file to file, whatever the kernel says to it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.filecopy import SourceError, copied

DATA = os.urandom(9_000_001)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "in").write_bytes(DATA)
    descriptor = os.open(tmp_path / "in", os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "out", os.O_RDWR | os.O_CREAT)
    os.write(descriptor, b"before")
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("refusal", [None, errno.EXDEV, errno.ENOSYS, errno.EIO])
def test_a_stretch_is_appended_whoever_copies_it(
    tmp_path: Path, source: int, target: int, monkeypatch: pytest.MonkeyPatch, refusal: int | None
) -> None:
    calls: list[int] = []
    real = os.copy_file_range

    def copy(src: int, dst: int, count: int, offset_src: int) -> int:
        calls.append(count)
        if refusal is not None and len(calls) == 2:
            raise OSError(refusal, os.strerror(refusal))
        return real(src, dst, count, offset_src)

    monkeypatch.setattr(os, "copy_file_range", copy)
    steps = list(copied(source, target, 1000, 8_500_000))
    assert sum(steps) == 8_500_000
    assert len(calls) == (2 if refusal else 3), "a kernel that refused is not asked again"
    assert (tmp_path / "out").read_bytes() == b"before" + DATA[1000:8_501_000]


def test_it_ends_where_the_source_does(tmp_path: Path, source: int, target: int) -> None:
    assert sum(copied(source, target, 9_000_000, 500)) == 1
    assert list(copied(source, target, 10_000_000, 500)) == []
    assert (tmp_path / "out").read_bytes() == b"before" + DATA[-1:]


def test_who_stops_asking_stops_the_copying(tmp_path: Path, source: int, target: int) -> None:
    step = next(copied(source, target, 0, 9_000_000))
    assert (tmp_path / "out").read_bytes() == b"before" + DATA[:step]
    assert step < 9_000_000


def test_a_source_that_cannot_be_read_is_told_from_a_target_that_cannot_be_written(
    tmp_path: Path, source: int, target: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    with pytest.raises(SourceError):
        list(copied(folder, target, 0, 10))
    os.close(folder)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:  # the source is open for reading only
        list(copied(target, source, 0, 6))
    assert not isinstance(caught.value, SourceError)
    with open("/dev/full", "wb") as full, pytest.raises(OSError, match="No space left") as caught:
        list(copied(source, full.fileno(), 0, 100))
    assert not isinstance(caught.value, SourceError)
