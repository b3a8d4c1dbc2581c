"""tar.bz2 by the program lbzip2: what foreign tools read, and no harm when it is missing, fails or is ended."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest

from engines.archive import backends
from engines.archive.create import bzip2
from engines.archive.create.job import run
from engines.archive.create.result import ZipResult
from engines.job import Stop, Stopped
from engines.operations import ArchiveFormat, Zip
from engines.paths import PathPolicy
from tests.support.jobs import RecordingJob
from tests.support.trees import noise, picture, prose, tool


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bzip2") / "tree"
    root.mkdir()
    text = prose(9_000_000)
    (root / "log").write_bytes(text)
    (root / "media").write_bytes(noise(3_000_000))
    for number in range(600):
        (root / f"{number:03d}").write_bytes(text[number * 997 :][:8000])
    return root


@pytest.fixture(autouse=True)
def few_bytes_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bzip2, "_WORTH", 1)


def stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Another program in the place of lbzip2; the file it may write to."""
    program, trace = folder / "lbzip2", folder / "trace"
    program.write_text(f"#!/bin/sh\n{script.format(trace=trace)}\n")
    program.chmod(0o755)
    monkeypatch.setattr(backends, "lbzip2", lambda: str(program))
    return trace


def pack(tree: Path, to: Path, **more: object) -> tuple[ZipResult, RecordingJob]:
    job = RecordingJob(tree.parent)
    wish = Zip(path=str(tree), format=ArchiveFormat.TAR_BZ2, output=str(to / "a.tar.bz2"), level=9)
    job.policy = PathPolicy.of((str(tree.parent), str(to)))
    return run(msgspec.structs.replace(wish, **more), job), job


def test_archive_made_by_the_program_is_read_by_foreign_tools(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = stand_in(tmp_path, monkeypatch, f'echo run >> {{trace}}; exec {backends.lbzip2()} "$@"')
    archive = pack(tree, tmp_path)[0].path
    assert trace.read_text().count("run") > 3
    tool("bzip2", "-t", archive)
    tool("tar", "-xpjf", archive, "-C", tmp_path)
    assert picture(tmp_path / "tree") == picture(tree)


@pytest.mark.parametrize("script", ["head -c 100; echo broken >&2; exit 3", "exec /nowhere", "kill -9 $$"])
def test_program_that_fails_costs_nothing_but_time(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    stand_in(tmp_path, monkeypatch, script)
    result, job = pack(tree, tmp_path, test=True)
    assert sum("going on without lbzip2" in line for _, line in job.logged) == 1
    tool("tar", "-tjf", result.path)


def test_reproducible_archive_is_the_same_without_the_program(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for name, program in (("with", backends.lbzip2()), ("without", "")):
        monkeypatch.setattr(backends, "lbzip2", lambda program=program: program)
        (tmp_path / name).mkdir()
        pack(tree, tmp_path / name, reproducible=True)
        made.append((tmp_path / name / "a.tar.bz2").read_bytes())
    assert made[0] == made[1]


def test_cancel_ends_running_programs_at_once(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = stand_in(tmp_path, monkeypatch, "echo $$ >> {trace}; exec sleep 60")

    def started(_: RecordingJob) -> Stop | None:
        return Stop.CANCEL if trace.exists() and trace.read_text().strip() else None

    job = RecordingJob(tree.parent, stop_when=started)
    job.policy = PathPolicy.of((str(tree.parent), str(tmp_path)))
    begun = time.monotonic()
    with pytest.raises(Stopped):
        run(Zip(path=str(tree), format=ArchiveFormat.TAR_BZ2, output=str(tmp_path / "a.tar.bz2")), job)
    assert time.monotonic() - begun < 30  # the programs would sleep for 60
    for pid in map(int, trace.read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lbzip2", "trace"]
