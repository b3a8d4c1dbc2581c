"""A packing that dies before any step of its way: going on ends as if nothing had happened.

The job runs in a forked child that leaves without a word before its n-th step (a checkpoint, a claim, a file opened
for writing, renamed or removed), for every n. Then a second attempt goes on: from the checkpoint that the daemon had
heard of, and from the last durable one, as after a death of the daemon too.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engines import files
from engines.archive.create.convert import run as convert
from engines.archive.create.job import run as pack
from engines.job import Job
from engines.model import Json
from engines.operations import ArchiveFormat, Conflict, Convert, Operation, Zip
from tests.support.jobs import RecordingJob, commit_at_once
from tests.support.trees import noise, tool

ZIP, TAR, TGZ, SEVENZIP = ArchiveFormat.ZIP, ArchiveFormat.TAR, ArchiveFormat.TAR_GZ, ArchiveFormat.SEVENZIP
FILES = {"a.txt": b"alpha", "b.bin": noise(150_000, 1), "sub/c.txt": b"gamma", "sub/d.bin": noise(60_000, 2)}


@pytest.fixture(autouse=True)
def eager_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    commit_at_once(monkeypatch)


class Dying(RecordingJob):
    """Writes what it is told to a file, and ends its process before step `last`."""

    def __init__(self, root: Path, log: Path, last: int) -> None:
        super().__init__(root)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        self._left = last
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"):
            self._step()

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            os._exit(9)

    def _tell(self, what: str, value: Any) -> None:
        self._step()
        os.write(self._log, json.dumps([what, value]).encode() + b"\n")

    def save(self, checkpoint: Json) -> None:
        self._tell("save", checkpoint)

    def claim(self, path: Path) -> Path:
        self._tell("claim", os.fspath(path))
        return path

    def release(self, path: Path) -> None:
        self._tell("release", os.fspath(path))


def die_before(step: int, op: Operation, root: Path, log: Path) -> bool:
    """Run in a child that dies before a step; whether it did."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work(op, Dying(root, log, step))
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 9)
    return status != 0


def work(op: Operation, job: Job) -> None:
    if isinstance(op, Convert):
        convert(op, job)
    else:
        assert isinstance(op, Zip)
        pack(op, job)


def heard(log: Path) -> tuple[Json | None, Json | None, set[str]]:
    """The last checkpoint, the last durable one, and the claims."""
    saved: Json | None = None
    durable: Json | None = None
    claims: set[str] = set()
    for line in log.read_bytes().splitlines():
        what, value = json.loads(line)
        if what == "save":
            saved = value
        elif what == "claim":
            durable = saved
            claims.add(value)
        else:
            claims.discard(value)
    return saved, durable, claims


def make(root: Path) -> None:
    """A new tree, and an old archive of it."""
    shutil.rmtree(root, ignore_errors=True)
    for name, content in FILES.items():
        path = root / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "taken.zip").write_bytes(b"another")
    tool("7zz", "a", "-v100k", root / "old.7z", "./tree", cwd=root)


def content(archives: list[Path], into: Path) -> dict[str, bytes]:
    """The files in archives, unpacked by 7-Zip and bsdtar."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    for archive in archives:
        if ".tar" in archive.name:
            tool("bsdtar", "-xf", archive, "-C", into)
        else:
            tool("7zz", "x", "-y", f"-o{into}", archive)
    return {str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()}


def deaths(op: Operation, root: Path, log: Path) -> Iterator[Json | None]:
    """Die before every step, twice if the daemon would know less; yields what it knows after it did its part."""
    step = 0
    while True:
        make(root)
        if not die_before(step, op, root, log):
            return
        saved, durable, claims = heard(log)
        yield restarted(saved, claims)
        if saved != durable:
            make(root)
            die_before(step, op, root, log)
            _, durable, claims = heard(log)
            yield restarted(durable, claims)
        step += 1


def restarted(checkpoint: Json | None, claims: set[str]) -> Json | None:
    """What the daemon does before it tries again: without a checkpoint, claimed paths go."""
    if checkpoint is None:
        for path in claims:
            files.remove(path)
    return checkpoint


WHOLE = {f"tree/{name}": data for name, data in FILES.items()}
PARTS = ["x.z01", "x.z02", "x.zip"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "made", "read", "kept"),
    [
        ({"format": ZIP, "output": "taken.zip"}, ["taken (2).zip"], ["taken (2).zip"], True),
        ({"format": ZIP, "output": "taken.zip", "on_conflict": Conflict.OVERWRITE}, [], ["taken.zip"], True),
        ({"format": TGZ, "manifest": True}, ["tree.tar.gz", "tree.tar.gz.sha256"], ["tree.tar.gz"], True),
        ({"format": SEVENZIP, "test": True}, ["tree.7z"], ["tree.7z"], True),
        ({"format": ZIP, "output": "x.zip", "volume": "100KB"}, PARTS, ["x.zip"], True),
        (
            {"format": ZIP, "output": "x.zip", "volume": "100KB", "delete_source": True},
            [*PARTS, "x.zip.sha256"],
            ["x.zip"],
            False,
        ),
        ({"format": TAR, "delete_source": True}, ["tree.tar", "tree.tar.sha256"], ["tree.tar"], False),
        ({"format": SEVENZIP, "delete_source": True}, ["tree.7z", "tree.7z.sha256"], ["tree.7z"], False),
    ],
    ids=str,
)
def test_going_on_after_a_death_before_any_step_ends_as_if_nothing_had_happened(
    tmp_path: Path, options: dict[str, Any], made: list[str], read: list[str], kept: bool
) -> None:
    root, log = tmp_path / "root", tmp_path / "log"
    output = {"output": str(root / options["output"])} if "output" in options else {}
    op = Zip(path=str(root / "tree"), level=1, **{**options, **output})
    packed_again = 0
    for number, checkpoint in enumerate(deaths(op, root, log)):
        before = set(os.listdir(root))
        job = RecordingJob(root, checkpoint=checkpoint)
        result = pack(op, job)
        expected = {"taken.zip", *(f"old.7z.{part:03d}" for part in (1, 2, 3)), *made, *(["tree"] if kept else [])}
        assert set(os.listdir(root)) == expected, (number, checkpoint, before)
        assert content([root / name for name in read], tmp_path / "out") == WHOLE, (number, checkpoint)
        if result.manifest:
            tool("sha256sum", "--quiet", "-c", root / made[-1], cwd=tmp_path / "out")
        if "volume" in options:
            assert result.volumes == PARTS
        if not kept:
            assert result.deleted == len(FILES) + 2
        packed_again += bool(checkpoint) and any("starting anew" in line for _, line in job.logged)
    assert number > 10
    assert not packed_again
