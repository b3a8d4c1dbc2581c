"""7z by the program 7zz: what foreign tools read, and no harm when it is missing, fails or is ended."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import msgspec
import py7zr
import pytest

from engines.archive.backends import bundled_sevenzip
from engines.archive.create.job import run
from engines.archive.create.result import ZipResult
from engines.archive.create.sevenzipplan import cuts, solids
from engines.archive.create.source import Entry
from engines.archive.create.xzblocks import lzma2_chunks
from engines.job import Stop, Stopped
from engines.operations import ArchiveFormat, Zip
from engines.paths import PathPolicy
from engines.settings import ArchiveSettings, Settings
from tests.support.jobs import RecordingJob
from tests.support.trees import noise, picture, prose, tool

MIB = 1 << 20


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sevenzip") / "tree"
    root.mkdir()
    text = prose(9_000_000)
    (root / "a.log").write_bytes(text)
    (root / "media.mp4").write_bytes(noise(3_000_000))
    (root / "link").symlink_to("a.log")
    (root / "empty").mkdir()
    for number in range(60):
        (root / f"{number:03d}.txt").write_bytes(text[number * 997 :][:8000])
    return root


class StandIn:
    """Another program in the place of 7zz.

    Attributes:
        trace: The file that its script writes to as "{trace}".
    """

    def __init__(self, folder: Path, script: str) -> None:
        self.program, self.trace = folder / "7zz", folder / "trace"
        self.program.write_text(f"#!/bin/sh\n{script.format(trace=self.trace, sevenzip=bundled_sevenzip())}\n")
        self.program.chmod(0o755)

    def settings(self, threads: int = 0) -> Settings:
        return Settings(archive=ArchiveSettings(sevenzip_path=str(self.program), threads=threads))


def pack(tree: Path, to: Path, settings: Settings | None = None, **more: object) -> tuple[ZipResult, RecordingJob]:
    secret = more.pop("secret", None)
    job = RecordingJob(tree.parent, secrets={"password": str(secret)} if secret else None)
    job.settings = settings or Settings()
    wish = Zip(path=str(tree), format=ArchiveFormat.SEVENZIP, output=str(to / "a.7z"), level=1)
    job.policy = PathPolicy.of((str(tree.parent), str(to)))
    return run(msgspec.structs.replace(wish, **more), job), job


def read_by_others(archive: Path, into: Path, password: str | None = None) -> list[Path]:
    """The trees that 7zz, py7zr and bsdtar unpack."""
    folders = [into / name for name in ("by-7zz", "by-py7zr", "by-bsdtar")]
    for folder in folders:
        folder.mkdir()
    secret = [f"-p{password}"] if password else []
    tool("7zz", "x", "-snl", *secret, f"-o{folders[0]}", archive)
    with py7zr.SevenZipFile(archive, password=password) as opened:
        opened.extractall(folders[1])
    if password:  # bsdtar cannot decrypt 7z
        folders.pop()
    else:
        tool("bsdtar", "-xpf", archive, "-C", folders[2])
    return folders


@pytest.mark.parametrize("level", [1, 5, 9])
@pytest.mark.parametrize("password", [None, "pässword"])
def test_archive_made_by_the_program_is_read_by_foreign_tools(
    tree: Path, tmp_path: Path, level: int, password: str | None
) -> None:
    stand_in = StandIn(tmp_path, 'echo "$@" >> {trace}; exec {sevenzip} "$@"')
    result, job = pack(tree, tmp_path, stand_in.settings(), level=level, secret=password)
    assert stand_in.trace.exists() and not any("without 7zz" in line for _, line in job.logged)
    assert (password or "tree") not in stand_in.trace.read_text()
    for folder in read_by_others(Path(result.path), tmp_path, password):
        assert picture(folder / "tree") == picture(tree), folder.name


@pytest.mark.parametrize(
    "script",
    [
        "head -c 100; echo broken >&2; exit 3",
        "exec /nowhere",
        "kill -9 $$",
        "echo short",
        'head -c 300000 | {sevenzip} "$@"',
        '{sevenzip} "$@" | head -c 9000',
    ],
)
def test_program_that_fails_costs_nothing_but_time(tree: Path, tmp_path: Path, script: str) -> None:
    result, job = pack(tree, tmp_path, StandIn(tmp_path, script).settings(), test=False)
    assert sum("going on without 7zz" in line for _, line in job.logged) == 1
    tool("7zz", "t", result.path)


def test_program_that_wants_a_larger_dictionary_is_refused(tree: Path, tmp_path: Path) -> None:
    script = 'exec {sevenzip} a -txz -an -si -so -bso0 -bsp0 -mx9 "-m0=LZMA2:d192m"'
    packed = subprocess.run(
        ["sh", "-c", script.format(sevenzip=bundled_sevenzip())],
        input=(tree / "a.log").read_bytes(), stdout=subprocess.PIPE, check=True,
    ).stdout  # fmt: skip
    size = (tree / "a.log").stat().st_size
    assert lzma2_chunks(packed, size, 192 * MIB)
    with pytest.raises(ValueError, match="dictionary"):
        lzma2_chunks(packed, size, 4 * MIB)
    with pytest.raises(ValueError, match="hold"):
        lzma2_chunks(packed, size + 1, 192 * MIB)


def test_no_cut_of_a_stream_is_taken_for_a_whole_one() -> None:
    command = [bundled_sevenzip(), "a", "-txz", "-an", "-si", "-so", "-bso0", "-bsp0", "-mx1"]
    whole = subprocess.run(command, input=b"some text " * 50, stdout=subprocess.PIPE, check=True).stdout
    assert lzma2_chunks(whole, 500, MIB)
    for end in range(len(whole)):
        with pytest.raises(ValueError, match=r"it |a block|its "):
            lzma2_chunks(whole[:end], 500, MIB)


def test_reproducible_archive_depends_on_no_program_and_no_number_of_threads(tree: Path, tmp_path: Path) -> None:
    stand_in = StandIn(tmp_path, "exit 9")
    made = []
    for name, settings in (
        ("bundled", Settings()),
        ("other", stand_in.settings()),
        ("one", stand_in.settings(1)),
        ("five", stand_in.settings(5)),
    ):
        (tmp_path / name).mkdir()
        pack(tree, tmp_path / name, settings, reproducible=True)
        made.append((tmp_path / name / "a.7z").read_bytes())
    assert made[0] == made[1] == made[2] == made[3]


def test_cancel_ends_running_programs_at_once(tree: Path, tmp_path: Path) -> None:
    stand_in = StandIn(tmp_path, "echo $$ >> {trace}; exec sleep 60")

    def started(_: RecordingJob) -> Stop | None:
        return Stop.CANCEL if stand_in.trace.exists() and stand_in.trace.read_text().strip() else None

    job = RecordingJob(tree.parent, stop_when=started)
    job.settings = stand_in.settings()
    job.policy = PathPolicy.of((str(tree.parent), str(tmp_path)))
    begun = time.monotonic()
    with pytest.raises(Stopped):
        run(Zip(path=str(tree), format=ArchiveFormat.SEVENZIP, output=str(tmp_path / "a.7z")), job)
    assert time.monotonic() - begun < 30  # the programs would sleep for 60
    for pid in map(int, stand_in.trace.read_text().split()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["7zz", "trace"]


def test_progress_moves_while_a_piece_is_packed(tree: Path, tmp_path: Path) -> None:
    script = "{sevenzip} \"$@\" > {trace} 2>/dev/null; printf ' 10%% \b\b 60%%' >&2; cat {trace}"
    _, job = pack(tree, tmp_path, StandIn(tmp_path, script).settings(1), level=9)
    size = sum(path.lstat().st_size for path in tree.iterdir() if path.name != "empty")  # the link: its target's length
    assert {size * 10 // 100, size * 60 // 100} <= {told.done for told in job.seen}


def entries(*sizes: tuple[str, int]) -> list[Entry]:
    """Files of these names and sizes, as far as a plan looks at them."""
    made = []
    for name, size in sizes:
        entry = object.__new__(Entry)
        entry.leaf, entry.name, entry.size = name, name.encode(), size
        made.append(entry)
    return made


def test_pieces_are_even_in_number_and_size() -> None:
    assert cuts(entries(("a", 16 * MIB)), 16 * MIB) == []
    assert cuts(entries(("a", 57 * MIB)), 16 * MIB) == [round(57 * MIB * n / 4) for n in (1, 2, 3)]


def test_piece_ends_where_another_kind_of_file_begins() -> None:
    files = entries(("a.log", 13 * MIB), ("b.py", 17 * MIB), ("c.py", 14 * MIB), ("d.txt", 16 * MIB))
    assert cuts(files, 16 * MIB) == [13 * MIB, 30 * MIB, 44 * MIB]


def test_folder_holds_no_more_than_must_be_unpacked_to_reach_its_last_file() -> None:
    files = entries(("b.py", 100 * MIB), ("a.py", 20 * MIB), ("c.py", 20 * MIB), ("a.log", 300 * MIB))
    assert [[entry.leaf for entry in group] for group in solids(files, MIB)] == [["a.log"], ["a.py", "b.py"], ["c.py"]]
