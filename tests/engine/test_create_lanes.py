"""Helper processes of a packing: the same bytes as without them, no harm when they die, none left behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from random import Random

import pytest

from engines.archive import backends
from engines.archive.create import lanes
from engines.archive.create.job import Packing, run
from engines.archive.create.lanes import Lanes
from engines.archive.create.listing import Listing
from engines.archive.create.result import ZipResult
from engines.archive.create.session import Session
from engines.archive.create.space import Space
from engines.archive.formats import FORMATS
from engines.job import Stop, Stopped
from engines.operations import ArchiveFormat, Zip
from engines.paths import PathPolicy
from engines.settings import ArchiveSettings, Settings
from tests.support.jobs import RecordingJob
from tests.support.trees import noise, odd_tree, picture, prose, tool

LANED = [ArchiveFormat.ZIP, ArchiveFormat.TAR, ArchiveFormat.TAR_GZ, ArchiveFormat.TAR_BZ2, ArchiveFormat.TAR_ZST]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An odd tree with some hundred small files around it, and a few large ones."""
    root = odd_tree(tmp_path_factory.mktemp("lanes") / "tree")
    text = prose(60_000)
    for number in range(1000):
        folder = root / f"f{number % 23:02d}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number:03d}").write_bytes(Random(number).randbytes(9000) + text[number * 97 :][: number * 7 % 999])
    (root / "m-large").write_bytes(prose(3_000_000))
    (root / "n-noise").write_bytes(noise(300_000))
    return root


@pytest.fixture(autouse=True)
def without_lbzip2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs take the place of helpers."""
    monkeypatch.setattr(backends, "lbzip2", str)


def pack(tree: Path, to: Path, form: ArchiveFormat, level: int = 6, **more: object) -> ZipResult:
    job = RecordingJob(tree.parent, secrets={"password": "open sesame"} if more.pop("locked", False) else None)
    job.settings = Settings(
        roots=(str(tree.parent), str(to)), archive=ArchiveSettings(threads=int(str(more.pop("threads", 2))))
    )
    job.policy = PathPolicy.of((str(tree.parent), str(to)))
    output = str(to / f"a{FORMATS[form].suffix}")
    return run(Zip(path=str(tree), format=form, level=level, output=output, **more), job)  # type: ignore[arg-type]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each batch that was offered to a helper was packed by it."""
    answers: list[bool] = []
    original = Lanes.run

    def counting(self: Lanes, first: int, last: int) -> tuple[Space, bytes] | None:
        answer = original(self, first, last)
        answers.append(answer is not None)
        return answer

    monkeypatch.setattr(Lanes, "run", counting)
    return answers


def no_children() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG) is None
    except ChildProcessError:
        return True


@pytest.mark.parametrize("level", [0, 6])
@pytest.mark.parametrize("form", LANED)
def test_helpers_change_no_byte_of_a_reproducible_archive(
    tree: Path, tmp_path: Path, form: ArchiveFormat, level: int, asked: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for name, threads, fewest in (("helped", 2, 1), ("more", 5, 1), ("alone", 1, 1 << 30)):
        monkeypatch.setattr(lanes, "FEWEST", fewest)
        (tmp_path / name).mkdir()
        results.append(Path(pack(tree, tmp_path / name, form, level, reproducible=True, threads=threads).path))
    assert any(asked)
    assert results[0].read_bytes() == results[1].read_bytes() == results[2].read_bytes()
    assert no_children()


@pytest.mark.parametrize("form", LANED)
def test_foreign_tools_restore_what_helpers_packed(
    tree: Path, tmp_path: Path, form: ArchiveFormat, asked: list[bool]
) -> None:
    archive = pack(tree, tmp_path, form).path
    assert all(asked)
    assert asked
    tool("bsdtar", "-xpf", archive, "-C", tmp_path)
    assert picture(tmp_path / "tree") == picture(tree)


def test_helpers_encrypt_with_a_salt_for_each_member(tree: Path, tmp_path: Path, asked: list[bool]) -> None:
    archive = pack(tree, tmp_path, ArchiveFormat.ZIP, locked=True, volume="100KB", test=True).path
    assert all(asked)
    assert asked
    tool("7zz", "t", "-popen sesame", archive)


@pytest.mark.parametrize("form", LANED)
def test_a_helper_that_dies_costs_nothing_but_time(
    tree: Path, tmp_path: Path, form: ArchiveFormat, asked: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Session.open_lanes

    def doomed(self: Session, size: int, work: lanes.Work) -> None:
        original(self, size, work)
        assert self.lanes is not None
        os.kill(self.lanes._lanes[0].pid, signal.SIGKILL)

    monkeypatch.setattr(Session, "open_lanes", doomed)
    archive = pack(tree, tmp_path, form).path
    assert False in asked
    tool("bsdtar", "-xpf", archive, "-C", tmp_path)
    assert picture(tmp_path / "tree") == picture(tree)
    assert no_children()


@pytest.mark.parametrize("form", LANED)
def test_what_helpers_find_changed_or_gone_is_reported(
    tree: Path, tmp_path: Path, form: ArchiveFormat, asked: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(500):
        (source / f"{number:03d}").write_bytes(noise(10_000))
    original = Packing._list

    def listed(self: Packing, *, resumes: bool) -> Listing:
        listing = original(self, resumes=resumes).finish()
        (source / "007").unlink()
        (source / "008").write_bytes(b"as it is now, longer")
        return listing

    monkeypatch.setattr(Packing, "_list", listed)
    result = pack(source, tmp_path, form, manifest=True)
    assert all(asked)
    assert asked
    assert result.skipped == 1
    assert any("'source/007' is left out: it vanished" in warning for warning in result.warnings)
    out = tmp_path / "out"
    out.mkdir()
    tool("bsdtar", "-xpf", result.path, "-C", out)
    assert picture(out / "source") == picture(source)
    assert result.original == sum(path.stat().st_size for path in source.iterdir())


def test_a_cancel_ends_helpers_and_leaves_nothing(tree: Path, tmp_path: Path) -> None:
    class Cancelling(RecordingJob):
        def progress(
            self, done: int, total: int | None = None, *, item: str = "", stage: str = "", unit: str = "bytes"
        ) -> None:
            if done and stage == "packing":
                self.stop = Stop.CANCEL

    job = Cancelling(tree.parent)
    with pytest.raises(Stopped):
        run(Zip(path=str(tree), format=ArchiveFormat.ZIP, output=str(tmp_path / "a.zip")), job)
    assert os.listdir(tmp_path) == []
    assert no_children()


def test_a_batch_that_does_not_fit_the_shared_memory_is_packed_by_a_thread(tmp_path: Path, asked: list[bool]) -> None:
    source = tmp_path / "source"
    folder = source
    for _ in range(15):  # names of 3,800 bytes, 256 to a batch, twice each: header and data
        folder = folder / ("n" * 250)
    folder.mkdir(parents=True)
    for number in range(600):
        (folder / f"{number:03d}").write_bytes(noise(2000))
    archive = pack(source, tmp_path, ArchiveFormat.ZIP, 0).path
    assert asked
    tool("unzip", "-tq", archive)
