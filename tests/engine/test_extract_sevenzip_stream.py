"""A 7z read as one stream: members by their own names, and the other way whenever the stream is not what was listed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from engines.archive.backends import bundled_sevenzip
from engines.archive.extract import sevenzip_names, sevenzip_stream
from engines.archive.extract.job import run
from engines.archive.inspect import run_info
from engines.archive.volumes import Volumes
from engines.errors import TaskdeckError
from engines.names import display
from engines.operations import Unzip, ZipInfo
from engines.settings import ArchiveSettings, Settings
from tests.support.archives import odd_tree, snapshot
from tests.support.jobs import RecordingJob

HOSTILE = [b"a\nb", b"cr\rPath = x", b"bs\bx", b"bad\xff\xfe", b"esc\x1b[31m", b"back\\slash", b"sp : ace", b"trail "]


def pack(folder: Path, *options: str) -> Path:
    archive = folder.with_suffix(".7z")
    subprocess.run(
        [bundled_sevenzip(), "a", "-bso0", "-bsp0", *options, archive, folder.name], cwd=folder.parent, check=True
    )
    return archive


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What each attempt to read a stream came to."""
    seen: list[bool] = []
    write = sevenzip_stream.write

    def watched(*arguments: object) -> bool:
        seen.append(write(*arguments))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(sevenzip_stream, "write", watched)
    return seen


@pytest.mark.parametrize("options", [(), ("-ms=off",), ("-mx0",), ("-mhc=off",), ("-v10k",), ("-m0=PPMd",)])
def test_stream_gives_what_was_packed(tmp_path: Path, streamed: list[bool], options: tuple[str, ...]) -> None:
    root = odd_tree(tmp_path)
    (root / "noise").write_bytes(os.urandom(50_000))
    archive = pack(root, "-snl", *options)
    archive = archive if archive.exists() else archive.with_name(f"{archive.name}.001")
    out = tmp_path / "out"
    settings = Settings(roots=(str(tmp_path),), archive=ArchiveSettings(max_ratio=0))
    run(Unzip(path=str(archive), destination=str(out)), RecordingJob(tmp_path, settings=settings))
    assert streamed == [True]
    names = {name for name, kind in snapshot(root).items()}
    assert set(snapshot(out / root.name)) == names
    for path in root.rglob("*"):
        twin = out / root.name / path.relative_to(root)
        if path.is_symlink():
            assert os.readlink(twin) == os.readlink(path)
        elif path.is_file():
            assert twin.read_bytes() == path.read_bytes()
            assert twin.stat().st_mode == path.stat().st_mode
            assert twin.stat().st_mtime_ns == path.stat().st_mtime_ns // 100 * 100


def test_names_are_those_of_the_archive_and_not_those_7zz_prints(tmp_path: Path, streamed: list[bool]) -> None:
    folder = tmp_path / "names"
    folder.mkdir()
    for name in HOSTILE:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(name)
    archive = pack(folder)
    run(Unzip(path=str(archive), destination=str(tmp_path / "out")), RecordingJob(tmp_path))
    found = os.fsencode(tmp_path / "out/names")
    assert sorted(os.listdir(found)) == sorted(HOSTILE)
    for name in HOSTILE:
        assert Path(os.fsdecode(found + b"/" + name)).read_bytes() == name
    listed = run_info(ZipInfo(path=str(archive)), RecordingJob(tmp_path))
    assert {member.name for member in listed.members} == {
        "names",
        *(display(f"names/{os.fsdecode(n)}") for n in HOSTILE),
    }


def test_damaged_member_is_named_by_the_other_way(tmp_path: Path, streamed: list[bool]) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    for number in range(4):
        (root / f"{number}").write_bytes(os.urandom(20_000))
    archive = pack(root, "-mx0")
    data = bytearray(archive.read_bytes())
    data[32 + 50_000] ^= 0xFF
    archive.write_bytes(data)
    job = RecordingJob(tmp_path)
    with pytest.raises(TaskdeckError) as caught:
        run(Unzip(path=str(archive), destination=str(tmp_path / "out")), job)
    assert caught.value.code == "archive.damaged" and streamed == [False]
    assert sorted(os.listdir(tmp_path)) == ["tree", "tree.7z"] and not job.claimed
    kept = run(Unzip(path=str(archive), destination=str(tmp_path / "out"), keep_broken=True), RecordingJob(tmp_path))
    assert [item.name for item in kept.broken] == ["tree/2"]
    assert (tmp_path / "out (incomplete)/tree/3").read_bytes() == (root / "3").read_bytes()


def test_encrypted_archive_is_not_read_as_a_stream(tmp_path: Path, streamed: list[bool]) -> None:
    root = odd_tree(tmp_path)
    archive = pack(root, "-psecret")
    with pytest.raises(TaskdeckError) as caught:
        run(Unzip(path=str(archive)), RecordingJob(tmp_path))
    assert caught.value.code == "password.needed" and True not in streamed


def test_header_cut_or_changed_anywhere_gives_names_or_none(tmp_path: Path) -> None:
    root = odd_tree(tmp_path)
    for options in (("-mhc=off",), ()):
        archive = pack(root, *options)
        data = archive.read_bytes()
        for at in range(0, len(data), max(1, len(data) // 300)):
            for spoilt in (data[:at], data[:at] + bytes((data[at] ^ 0x81,)) + data[at + 1 :]):
                archive.write_bytes(spoilt)
                with Volumes([archive]) as volumes:
                    sevenzip_names.names(volumes)
        archive.unlink()


@pytest.mark.parametrize(
    ("options", "chain"),
    [
        ((), True),
        (("-mhc=off",), True),
        (("-m0=BCJ", "-m1=LZMA2"), True),
        (("-m0=Delta:4", "-m1=LZMA2"), True),
        (("-m0=LZMA2:c1m", "-mmt2"), False),
        (("-m0=BCJ2", "-m1=LZMA2", "-m2=LZMA2", "-m3=LZMA2"), False),
        (("-m0=PPMd",), False),
        (("-mx0",), False),
        (("-psecret",), False),
        (("-psecret", "-mhe"), False),
    ],
)
def test_data_that_threads_cannot_share_is_recognised_and_unpacked(
    tmp_path: Path, options: tuple[str, ...], chain: bool
) -> None:
    folder = tmp_path / "tree"
    folder.mkdir()
    content = os.urandom(1_500_000) + bytes(2_000_000)
    (folder / "file.exe").write_bytes(content)
    archive = pack(folder, *options)
    with Volumes([archive]) as volumes:
        assert sevenzip_names.is_chain(volumes) is chain
        whole = volumes.pread(volumes.size, 0)
    secret = {"password": "secret"} if "-psecret" in options else None
    run(Unzip(path=str(archive), destination=str(tmp_path / "out")), RecordingJob(tmp_path, secrets=secret))
    assert (tmp_path / "out/tree/file.exe").read_bytes() == content
    cut = tmp_path / "cut.7z"
    for end in (*range(40), len(whole) // 2, len(whole) - 1):
        cut.write_bytes(whole[:end])
        with Volumes([cut]) as volumes:
            assert not sevenzip_names.is_chain(volumes)
