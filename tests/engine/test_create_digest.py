"""A piece that is given up while another thread waits for its turn: the job must still come to its end."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from engines.archive.create.reading import Digest
from engines.archive.create.session import Session
from engines.operations import ArchiveFormat, Zip
from tests.support.jobs import RecordingJob


@pytest.mark.parametrize("format_", [ArchiveFormat.SEVENZIP, ArchiveFormat.TAR_ZST])
def test_a_stop_between_two_pieces_of_a_file_leaves_no_thread_waiting(
    tmp_path: Path, format_: ArchiveFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engines.archive.create.job import run

    (tmp_path / "large").write_bytes(b"x" * (24 << 20))
    waits = threading.Event()
    update, step = Digest.update, Session.step

    def feed(self: Digest, at: int, data: bytes) -> None:
        if at:
            waits.set()
        update(self, at, data)

    def halt(self: Session, amount: int = 0) -> None:
        """The first piece is slow, and stopped when the second waits for it."""
        if threading.current_thread().name == "pack_0" and not amount:
            waits.wait(10)
            raise RuntimeError("stopped")
        step(self, amount)

    monkeypatch.setattr(Digest, "update", feed)
    monkeypatch.setattr(Session, "step", halt)
    op = Zip(path=str(tmp_path / "large"), format=format_, level=1, delete_source=True)
    with pytest.raises(RuntimeError, match="stopped"):
        run(op, RecordingJob(tmp_path))
    for thread in threading.enumerate():
        if thread.name.startswith("pack_"):
            thread.join(10)
            assert not thread.is_alive(), f"{thread.name} waits for ever"
