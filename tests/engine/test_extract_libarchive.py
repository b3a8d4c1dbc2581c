"""What libarchive decodes for us: names of old code pages, files with several names, packages."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.archive.extract.job import Unpacked, run
from engines.archive.inspect import ArchiveInfo, run_info, run_test
from engines.errors import TaskdeckError
from engines.operations import Unzip, ZipInfo, ZipTest
from tests.support.archives import make_lha, make_rpm, snapshot
from tests.support.jobs import RecordingJob

JAPANESE = ["資料/日本語の説明.txt", "資料/表示ソフト.txt", "資料/plain.txt"]
"""表 and ソ end in 0x5C, a backslash, in cp932."""


def unzip(path: Path, **options: object) -> Unpacked:
    op = Unzip(path=str(path), destination=str(path.parent / "out"), **options)  # type: ignore[arg-type]
    return run(op, RecordingJob(path.parent))


def info(path: Path, encoding: str | None = None) -> ArchiveInfo:
    return run_info(ZipInfo(path=str(path), encoding=encoding), RecordingJob(path.parent))


def linked_tree(folder: Path, mode: int = 0o644) -> Path:
    """A folder in which three names share a file, and one is alone."""
    root = folder / "root"
    root.mkdir()
    (root / "a").write_bytes(b"shared" * 1000)
    os.link(root / "a", root / "b")
    os.link(root / "a", root / "c")
    (root / "z alone").write_bytes(b"alone" * 1000)
    for name in ("a", "z alone"):
        (root / name).chmod(mode)
    return root


@pytest.mark.parametrize("form", ["gnutar", "pax", "iso9660"])
@pytest.mark.parametrize("packed", [[], ["-z"]])
@pytest.mark.parametrize("chosen", [("b",), ("c", "b"), ("a", "c"), ("z*", "c")])
def test_hard_link_is_chosen_without_the_file_it_leads_to(
    tmp_path: Path, form: str, packed: list[str], chosen: tuple[str, ...]
) -> None:
    if packed and form == "iso9660":
        return
    root = linked_tree(tmp_path)
    large = b"0123456789abcdef" * 200_000
    (root / "a").write_bytes(large)
    (root / "s").symlink_to("a")
    os.link(root / "s", root / "s2", follow_symlinks=False)
    names = sorted_names(tmp_path)
    subprocess.run(["bsdtar", f"--format={form}", *packed, "-cf", "x", *names], cwd=tmp_path, check=True)
    result = unzip(tmp_path / "x", files=(*chosen, "s2"))
    assert not result.left_out
    found = {path.name: path for path in (tmp_path / "out/root").iterdir()}
    assert len(found) == len(chosen) + 1
    assert os.readlink(found.pop("s2")) == "a"
    assert found.pop("z alone", None) is None or "z*" in chosen
    assert {path.read_bytes() for path in found.values()} == {large}
    assert len({path.stat().st_ino for path in found.values()}) == 1


def cpio(folder: Path, form: str = "newc") -> Path:
    """`root` as a cpio archive, in order of names."""
    subprocess.run(["bsdtar", f"--format={form}", "-cf", "x.cpio", *sorted_names(folder)], cwd=folder, check=True)
    return folder / "x.cpio"


def sorted_names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in (folder / "root").rglob("*"))


@pytest.mark.parametrize("form", ["newc", "odc", "bin"])
@pytest.mark.parametrize("mode", [0o644, 0o444])
def test_every_name_of_a_shared_file_has_its_content(tmp_path: Path, form: str, mode: int) -> None:
    root = linked_tree(tmp_path, mode)
    archive = cpio(tmp_path, form)
    result = unzip(archive)
    assert snapshot(tmp_path / "out/root") == snapshot(root)
    assert result.files == 4
    if form == "newc":
        assert (tmp_path / "out/root/a").stat().st_nlink == 3
    assert run_test(ZipTest(path=str(archive)), RecordingJob(tmp_path)).files == 4


@pytest.mark.parametrize("form", ["newc", "odc"])
@pytest.mark.parametrize("chosen", [("a",), ("b",), ("c",), ("a", "c"), ("b", "c"), ("a", "b")])
def test_chosen_names_of_a_shared_file_have_its_content(tmp_path: Path, form: str, chosen: tuple[str, ...]) -> None:
    linked_tree(tmp_path)
    assert unzip(cpio(tmp_path, form), files=chosen).files == len(chosen)
    found = {path.name: path.read_bytes() for path in (tmp_path / "out/root").iterdir()}
    assert found == dict.fromkeys(chosen, b"shared" * 1000)


@pytest.mark.parametrize("cut", [b"shared", b"root/b", b"root/c"])
def test_cut_archive_leaves_no_name_of_a_shared_file_without_its_content(tmp_path: Path, cut: bytes) -> None:
    linked_tree(tmp_path)
    archive = cpio(tmp_path)
    data = archive.read_bytes()
    archive.write_bytes(data[: data.index(cut) + (500 if cut == b"shared" else -50)])
    with pytest.raises(TaskdeckError, match="cut off"):
        unzip(archive)
    assert not (tmp_path / "out").exists()
    result = unzip(archive, keep_broken=True)
    assert result.broken_count and result.files == 0
    assert [path.name for path in Path(result.location).rglob("*") if path.is_file()] == ["NOT-UNPACKED.txt"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_files_of_a_package_are_unpacked_whatever_compresses_them(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    root = linked_tree(tmp_path)
    package = make_rpm(tmp_path / "x.rpm", pack(cpio(tmp_path).read_bytes()))
    assert info(package).files == 4
    unzip(package)
    assert snapshot(tmp_path / "out/root") == snapshot(root)


@pytest.mark.parametrize("suffix", ["bz2", "lz4", "zst", "Z"])
def test_packed_cpio_is_unpacked_to_its_files(tmp_path: Path, suffix: str) -> None:
    root = linked_tree(tmp_path)
    command = {"bz2": ["bzip2", "-k"], "lz4": ["lz4", "-q"], "zst": ["zstd", "-q"]}.get(suffix)
    archive = cpio(tmp_path)
    if command is None:
        subprocess.run(["bsdtar", "-Z", "--format=newc", "-cf", "x.cpio.Z", "root"], cwd=tmp_path, check=True)
    else:
        subprocess.run([*command, str(archive), *([f"{archive}.lz4"] if suffix == "lz4" else [])], check=True)
    unzip(tmp_path / f"x.cpio.{suffix}")
    assert snapshot(tmp_path / "out/root") == snapshot(root)


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("encoding", [None, "cp932"])
def test_japanese_names_of_lha_archives_are_read(tmp_path: Path, level: int, encoding: str | None) -> None:
    archive = make_lha(tmp_path / "x.lzh", {name.encode("cp932"): name.encode() for name in JAPANESE}, level)
    assert [row.name for row in info(archive, encoding).members] == JAPANESE
    result = unzip(archive, encoding=encoding)
    assert result.encoding == "cp932"
    for name in JAPANESE:
        assert (tmp_path / "out" / name).read_text() == name


@pytest.mark.parametrize("level", [0, 2])
def test_other_names_of_lha_archives_are_read(tmp_path: Path, level: int) -> None:
    names = ["Документы/Отчёт за год.txt", "Документы/Приложение.txt", "Документы/Список.txt"]
    unzip(make_lha(tmp_path / "x.lzh", {name.encode("cp866"): b"x" for name in names}, level))
    assert sorted(path.name for path in (tmp_path / "out/Документы").iterdir()) == sorted(
        name.partition("/")[2] for name in names
    )


def test_names_of_an_lha_archive_cannot_lead_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in (b"../out.txt", b"..\\out.txt", b"/tmp/out.txt", b"a/../../out.txt"):
        for level in (0, 2):
            with pytest.raises(TaskdeckError) as caught:
                unzip(make_lha(tmp_path / "in/x.lzh", {name: b"x"}, level))
            assert caught.value.code == "archive.escape"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "x.lzh"]


def test_damaged_lha_is_told_of_in_words(tmp_path: Path) -> None:
    archive = make_lha(tmp_path / "x.lzh", {b"a.txt": b"a" * 1000, b"b.txt": b"b" * 1000}, 2)
    archive.write_bytes(archive.read_bytes()[:-900])
    with pytest.raises(TaskdeckError) as caught:
        unzip(archive)
    assert caught.value.code == "archive.damaged"
    assert "retcode" not in caught.value.message + caught.value.detail and "x.lzh" in caught.value.message
