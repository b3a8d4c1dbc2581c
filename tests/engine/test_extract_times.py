"""Unpacked files, folders and links have the times of the archive, to the last digit that it keeps."""

from __future__ import annotations

import os
import struct
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engines.archive import inspect, pages
from engines.archive.backends import bundled_sevenzip
from engines.archive.detect import detect
from engines.archive.encodings import Decoder
from engines.archive.extract import rar_headers, readers, sevenzip
from engines.archive.extract.job import run
from engines.archive.extract.libarchive_reader import Archive
from engines.archive.extract.sevenzip_list import _minute
from engines.archive.volumes import Volumes, Window
from engines.looks import Members
from engines.operations import Unzip, ZipInfo
from tests.support.archives import make_cab
from tests.support.jobs import RecordingJob
from tests.support.trees import tool

SECOND = 1_000_000_000
WHOLE = {"file": 1_200_000_006 * SECOND, "folder": 1_100_000_004 * SECOND, "folder/up": 1_000_000_002 * SECOND}
FINE = {
    "winter": 1_673_784_000_123_456_789,
    "summer": 1_689_422_400_999_999_999,
    "first of two": 1_698_539_400_000_000_001,  # half past two in Berlin, on the day summer time ends
    "second of two": 1_698_543_000_987_654_321,
    "old": -614_000_000_876_543_211,
    "just before": -1,
    "folder/up": 1_000_000_002_246_813_579,
    "folder": 1_100_000_004_135_792_468,
}
SEVENZIP = [bundled_sevenzip(), "a", "-snl", "-bso0", "-bsp0"]
COMMANDS: dict[str, list[str]] = {
    "a.7z": [*SEVENZIP, "a.7z", "tree"],
    "locked.7z": [*SEVENZIP, "-psecret", "locked.7z", "tree"],
    "a.tar": ["tar", "-cf", "a.tar", "tree"],
    "a.zip": ["zip", "-qry", "a.zip", "tree"],
    "a.cpio": ["bsdtar", "--format", "newc", "-cf", "a.cpio", "tree"],
    "a.xar": ["bsdtar", "--format", "xar", "-cf", "a.xar", "tree"],
    "a.iso": ["bsdtar", "--format", "iso9660", "-cf", "a.iso", "tree"],
    "a.squashfs": ["mksquashfs", "tree", "a.squashfs", "-quiet", "-no-progress", "-keep-as-directory"],
}


@pytest.fixture(params=["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "EST5EDT,M3.2.0,M11.1.0"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Two of the three have summer time, whatever the season in which the test runs."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        _minute.cache_clear()
        yield request.param
    time.tzset()
    _minute.cache_clear()


def make(root: Path, times: dict[str, int]) -> Path:
    tree = root / "tree"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder" / "up").symlink_to("../file")
    for name, at in times.items():
        path = tree / name
        if not os.path.lexists(path):
            path.write_text(name)
        os.utime(path, ns=(at, at), follow_symlinks=False)
    return tree


def unpacked(archive: Path) -> Path:
    """The tree as we unpack it."""
    secrets = {"password": "secret"} if archive.name == "locked.7z" else None
    out = archive.parent / "ours"
    run(Unzip(path=str(archive), destination=str(out)), RecordingJob(archive.parent, secrets=secrets))
    return out / "tree"


def times(tree: Path) -> dict[str, int]:
    return {str(path.relative_to(tree)): path.lstat().st_mtime_ns for path in sorted(tree.rglob("*"))}


def listed(archive: Path) -> dict[str, float | None]:
    """The times that `zipinfo --json` shows."""
    secrets = {"password": "secret"} if archive.name == "locked.7z" else None
    found = inspect.run_info(ZipInfo(path=str(archive)), RecordingJob(archive.parent, secrets=secrets))
    return {member.name.rstrip("/").removeprefix("tree/"): member.mtime for member in found.members}


def cut(seconds: dict[str, int], step: int) -> dict[str, int]:
    """Times as a format of such steps keeps them."""
    return {name: at // step * step for name, at in seconds.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_links_and_their_folders_keep_their_times(tmp_path: Path, name: str) -> None:
    make(tmp_path, WHOLE)
    tool(*COMMANDS[name], cwd=tmp_path)
    out = unpacked(tmp_path / name)
    assert os.readlink(out / "folder" / "up") == "../file"
    assert times(out) == WHOLE


@pytest.mark.parametrize("writer", [("tar", "--format=pax"), ("bsdtar", "--format=pax")])
def test_nanoseconds_of_a_tar_are_those_gnu_tar_gives(tmp_path: Path, writer: tuple[str, str]) -> None:
    tree = make(tmp_path, FINE)
    tool(*writer, "-cf", "a.tar", "tree", cwd=tmp_path)
    (tmp_path / "theirs").mkdir()
    tool("tar", "-xPf", "a.tar", "-C", "theirs", "--delay-directory-restore", cwd=tmp_path)  # -P: links at once
    theirs = times(tmp_path / "theirs/tree")
    assert times(unpacked(tmp_path / "a.tar")) == theirs
    exact = {name for name, at in FINE.items() if theirs[name] == at}
    assert exact == (set(FINE) if writer[0] == "tar" else {name for name, at in FINE.items() if at > 0})
    assert times(tree) == FINE


def test_nanoseconds_of_a_tar_are_those_bsdtar_gives_after_1970(tmp_path: Path) -> None:
    """Before 1970 bsdtar writes and reads other numbers than POSIX asks for."""
    make(tmp_path, {name: at for name, at in FINE.items() if at > 0})
    tool("tar", "--format=pax", "-cf", "a.tar", "tree", cwd=tmp_path)
    (tmp_path / "theirs").mkdir()
    tool("bsdtar", "-xf", "a.tar", "-C", "theirs", cwd=tmp_path)
    assert times(unpacked(tmp_path / "a.tar")) == times(tmp_path / "theirs/tree")


@pytest.mark.parametrize("options", [(), ("-mhe=on", "-psecret"), ("-ms=off",), ("-mhc=off",)])
def test_times_of_a_7z_are_those_7zz_gives(tmp_path: Path, options: tuple[str, ...], zone: str) -> None:
    make(tmp_path, FINE)
    name = "locked.7z" if "-psecret" in options else "a.7z"
    tool(*SEVENZIP, *options, name, "tree", cwd=tmp_path)
    tool(bundled_sevenzip(), "x", "-snld", "-psecret", "-otheirs", name, cwd=tmp_path)
    ours = times(unpacked(tmp_path / name))
    assert ours == times(tmp_path / "theirs/tree") == cut(FINE, 100)
    shown = listed(tmp_path / name)
    assert {member: shown[member] for member in ours} == {member: at / SECOND for member, at in ours.items()}


def test_squashfs_is_listed_with_its_times_in_every_zone(tmp_path: Path, zone: str) -> None:
    moments = cut({name: at for name, at in FINE.items() if at > 0}, SECOND)
    make(tmp_path, moments)
    tool(*COMMANDS["a.squashfs"], cwd=tmp_path)
    shown = listed(tmp_path / "a.squashfs")
    assert {name: shown[name] for name in moments} == {name: at / SECOND for name, at in moments.items()}
    assert times(unpacked(tmp_path / "a.squashfs")) == moments


def test_ntfs_times_of_a_zip_are_those_7zz_gives(tmp_path: Path, zone: str) -> None:
    make(tmp_path, FINE)
    tool(*SEVENZIP, "-tzip", "a.zip", "tree", cwd=tmp_path)
    tool(bundled_sevenzip(), "x", "-snld", "-otheirs", "a.zip", cwd=tmp_path)
    assert times(unpacked(tmp_path / "a.zip")) == times(tmp_path / "theirs/tree") == cut(FINE, 100)


def test_dos_times_of_a_zip_are_those_of_a_clock_on_the_wall(tmp_path: Path, zone: str) -> None:
    once = {name: at for name, at in FINE.items() if name in ("winter", "summer")}
    make(tmp_path, once)
    tool("zip", "-qrX", "a.zip", "tree", cwd=tmp_path)
    ours = times(unpacked(tmp_path / "a.zip"))
    for name, at in once.items():
        assert 0 <= ours[name] - at // SECOND * SECOND <= 2 * SECOND
        assert ours[name] % (2 * SECOND) == 0


def test_of_two_times_of_a_zip_that_agree_the_finer_one_counts(tmp_path: Path) -> None:
    ticks = 116_444_736_000_000_000 + 17_000_000_001_234_567
    ntfs = struct.pack("<2HI2H3Q", 0x000A, 32, 0, 1, 24, ticks, ticks, ticks)
    same, other = (struct.pack("<2HBi", 0x5455, 5, 1, at) for at in (1_700_000_000, 1_600_000_000))
    members = {"a": same + ntfs, "b": ntfs + same, "c": ntfs + other, "d": ntfs, "e": other}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as out:
        for name, extra in members.items():
            info = zipfile.ZipInfo(f"tree/{name}", (2001, 1, 1, 0, 0, 0))
            info.extra = extra
            out.writestr(info, name)
    fine, coarse = 1_700_000_000_123_456_700, 1_600_000_000 * SECOND
    assert times(unpacked(tmp_path / "a.zip")) == {"a": fine, "b": fine, "c": coarse, "d": fine, "e": coarse}


def test_libarchive_gives_all_digits(tmp_path: Path) -> None:
    make(tmp_path, FINE)
    tool(*SEVENZIP, "-mx0", "a.7z", "tree", cwd=tmp_path)
    found = {}
    with Volumes((tmp_path / "a.7z",)) as volumes:
        archive = Archive(Window(volumes))
        try:
            while archive.next():
                member = archive.member(Decoder(None))
                found[member.name.rstrip("/").removeprefix("tree/")] = member.mtime_ns
        finally:
            archive.close()
    assert {name: found[name] for name in FINE} == cut(FINE, 100)


@pytest.mark.parametrize(
    "sample", ["rar3-solid", "rar3-subdirs", "rar5-subdirs", "rar5-symlink-unix", "rar5-vols.part1"]
)
def test_times_of_a_rar_are_those_7zz_prints(tmp_path: Path, sample: str, zone: str) -> None:
    path = Path(__file__).parents[1] / "data/rar" / f"{sample}.rar"
    job = RecordingJob(path.parent)
    op = ZipInfo(path=str(path))
    with inspect.reading(op, job, detect(path, job.policy)) as there:
        ours = {member.name: member.mtime_ns for member in rar_headers.listing(there).members}
        theirs = {member.name: member.mtime_ns for member in sevenzip.listing(there).members}
    assert ours == theirs
    assert any(at for at in ours.values())


@pytest.mark.parametrize("sample", ["rar3-subdirs", "rar3-solid", "rar3-comment-psw", "rar5-subdirs"])
def test_files_of_a_rar_have_the_times_that_are_listed(tmp_path: Path, sample: str, zone: str) -> None:
    """Some were made in summer, some in winter: 7zz itself gives one of them an hour too many or too few."""
    path = Path(__file__).parents[1] / "data/rar" / f"{sample}.rar"
    job = RecordingJob(path.parent, secrets={"password": "password"})
    with inspect.reading(ZipInfo(path=str(path)), job, detect(path, job.policy)) as there:
        want = {member.name: member.mtime_ns for member in rar_headers.listing(there).members}
    run(Unzip(path=str(path), destination=str(tmp_path / "out")), job)
    found = {name: (tmp_path / "out" / name).lstat().st_mtime_ns for name in want}
    assert found == want


def test_files_of_a_cabinet_have_the_times_that_a_clock_on_the_wall_showed(tmp_path: Path, zone: str) -> None:
    for name, date in (("winter", (2023, 1, 15)), ("summer", (2023, 7, 15))):
        make_cab(tmp_path / f"{name}.cab", {name: b"x"}, (*date, 12, 0, 2))
        out = tmp_path / "out" / name
        run(Unzip(path=str(tmp_path / f"{name}.cab"), destination=str(tmp_path / "out")), RecordingJob(tmp_path))
        assert time.localtime(out.stat().st_mtime)[:6] == (*date, 12, 0, 2)


def test_single_file_has_the_time_of_its_archive(tmp_path: Path) -> None:
    (tmp_path / "tree").write_text("x")
    tool("gzip", "tree", cwd=tmp_path)
    at = FINE["summer"]
    os.utime(tmp_path / "tree.gz", ns=(at, at))
    assert unpacked(tmp_path / "tree.gz").stat().st_mtime_ns == at
    assert listed(tmp_path / "tree.gz") == {"tree": at / SECOND}


def test_times_far_away_are_listed_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nanoseconds of the year 3000 do not fit the 64 bits of a kept listing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make(tmp_path, {f"{number}": SECOND for number in range(600)})
    tool("tar", "--mtime=@32503680000", "-czf", "a.tar.gz", "tree", cwd=tmp_path)
    job = RecordingJob(tmp_path)
    with inspect.reading(ZipInfo(path=str(tmp_path / "a.tar.gz")), job, detect(tmp_path / "a.tar.gz", job.policy)) as r:
        assert len(readers.listing(r).members) > 600
    for _ in range(2):
        page = pages.run(Members(path=str(tmp_path / "a.tar.gz"), folder="tree"), job)
        assert {row.mtime for row in page.rows if row.name.isdigit()} == {32_503_680_000.0}
