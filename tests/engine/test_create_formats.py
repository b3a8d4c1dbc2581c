"""Every format and level of an odd tree, read back by foreign tools."""

from __future__ import annotations

import os
import subprocess
import tarfile
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest

from engines.archive.create.job import run
from engines.archive.create.result import ZipResult
from engines.archive.formats import FORMATS, TAR_FAMILY
from engines.operations import ArchiveFormat, Conflict, Owner, Zip
from engines.settings import ArchiveSettings, Settings
from tests.support.jobs import RecordingJob
from tests.support.trees import noise, odd_tree, picture, prose, tool


def pack(root: Path, source: Path, form: ArchiveFormat, level: int = 6, **more: object) -> ZipResult:
    job = RecordingJob(root, secrets={"password": str(more.pop("secret"))} if "secret" in more else None)
    threads = int(str(more.pop("threads", 0)))
    job.settings = Settings(roots=(str(root),), archive=ArchiveSettings(threads=threads))
    result = run(Zip(path=str(source), format=form, level=level, **more), job)  # type: ignore[arg-type]
    assert not job.claimed, "claims left"
    leftovers = [name for name in os.listdir(root) if job.id in name]
    assert not leftovers
    return result


def unpack(archive: Path, into: Path, form: ArchiveFormat) -> Path:
    into.mkdir()
    if form is ArchiveFormat.SEVENZIP:
        tool("7zz", "x", "-snl", f"-o{into}", archive)
    elif form is ArchiveFormat.ZIP:
        tool("bsdtar", "-xpf", archive, "-C", into)
    else:
        tool("tar", "-xpf", archive, "-C", into)
    return into


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return odd_tree(tmp_path_factory.mktemp("odd") / "tree")


@pytest.mark.parametrize("form", ArchiveFormat)
@pytest.mark.parametrize("level", range(10))
def test_foreign_tools_restore_every_format_and_level(
    tree: Path, tmp_path: Path, form: ArchiveFormat, level: int
) -> None:
    result = pack(tree.parent, tree, form, level, output=str(tmp_path / f"a{FORMATS[form].suffix}"))
    archive = Path(result.path)
    assert result.skipped == result.changed == 0
    assert archive.stat().st_size == result.packed
    restored = unpack(archive, tmp_path / "out", form)
    assert picture(restored / "tree") == picture(tree)


@pytest.mark.parametrize("form", ArchiveFormat)
def test_testing_tools_accept_the_archive(tree: Path, tmp_path: Path, form: ArchiveFormat) -> None:
    archive = Path(pack(tree.parent, tree, form, 3, output=str(tmp_path / f"a{FORMATS[form].suffix}")).path)
    tool("7zz", "t", archive)
    count = len(tool("bsdtar", "-tf", archive).splitlines())
    assert count > 20
    if form is ArchiveFormat.ZIP:
        tool("unzip", "-tq", archive)
        with zipfile.ZipFile(archive) as opened:
            assert opened.testzip() is None
    if form in TAR_FAMILY:
        tool("tar", "-tf", archive)
        if form is not ArchiveFormat.TAR_ZST:
            with tarfile.open(archive) as opened_tar:
                names = {os.fsencode(name) for name in opened_tar.getnames()}
                assert {b"tree/" + name for name in picture(tree)} < names


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_large_zip_members_are_packed_in_blocks(tmp_path: Path, level: int) -> None:
    source = tmp_path / "large"
    source.write_bytes(prose(4_000_000) + noise(3_000_000) + prose(2_345_678, 2))
    archive = pack(tmp_path, source, ArchiveFormat.ZIP, level).path
    tool("7zz", "t", archive)
    with zipfile.ZipFile(archive) as opened:
        assert opened.read("large") == source.read_bytes()
        assert opened.infolist()[0].compress_type == (zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED)


@pytest.mark.parametrize("size", [4 << 20, 32 << 20])
def test_a_file_whose_every_eighth_begins_with_noise_is_not_stored(tmp_path: Path, size: int) -> None:
    source = tmp_path / "image"
    source.write_bytes((noise(size // 32) + prose(size // 32) * 3) * 8)
    result = pack(tmp_path, source, ArchiveFormat.ZIP)
    assert result.packed < 0.7 * result.original


def test_unzip_restores_times_modes_and_links(tree: Path, tmp_path: Path) -> None:
    source = odd_tree(tmp_path / "plain", raw_names=False)
    (source / "new\nline").unlink()  # unzip drops line breaks from names
    archive = pack(tmp_path, source, ArchiveFormat.ZIP).path
    (tmp_path / "out").mkdir()
    tool("unzip", "-q", archive, "-d", tmp_path / "out")
    assert picture(tmp_path / "out" / "plain") == picture(source)


def test_tar_keeps_hard_links_and_holes(tree: Path, tmp_path: Path) -> None:
    result = pack(tree.parent, tree, ArchiveFormat.TAR, output=str(tmp_path / "a.tar"))
    out = unpack(Path(result.path), tmp_path / "out", ArchiveFormat.TAR) / "tree"
    assert (out / "text").stat().st_ino == (out / "twin of text").stat().st_ino
    assert (out / "large").stat().st_ino == (out / "twin of large").stat().st_ino
    assert (out / "holes").stat().st_blocks * 512 < 1_000_000
    assert result.packed < 4_500_000
    for command in (["bsdtar", "-xf", result.path, "-C"], ["7zz", "x", "-snl", result.path, "-o"]):
        other = tmp_path / command[0]
        other.mkdir()
        tool(*command[:-1], command[-1] + str(other)) if command[0] == "7zz" else tool(*command, other)
        assert (other / "tree" / "holes").read_bytes() == (tree / "holes").read_bytes()
        assert (other / "tree" / "all hole").read_bytes() == bytes(2_000_000)


def test_tar_without_hard_links_and_holes_holds_copies(tree: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "a.tar")
    result = pack(tree.parent, tree, ArchiveFormat.TAR, output=output, hardlinks=False, sparse=False)
    out = unpack(Path(result.path), tmp_path / "out", ArchiveFormat.TAR) / "tree"
    assert (out / "text").stat().st_ino != (out / "twin of text").stat().st_ino
    assert picture(out) == picture(tree)
    assert result.packed > 8_000_000


@pytest.mark.parametrize("form", [ArchiveFormat.ZIP, ArchiveFormat.TAR_GZ, ArchiveFormat.SEVENZIP])
def test_more_effort_never_packs_much_worse(tmp_path: Path, form: ArchiveFormat) -> None:
    source = tmp_path / "text"
    library = sorted(Path(os.__file__).parent.glob("*.py"))
    source.write_bytes(b"".join(path.read_bytes() for path in library)[:2_000_000])
    sizes = [
        pack(tmp_path, source, form, level, output=str(tmp_path / f"{level}{FORMATS[form].suffix}")).packed
        for level in (0, 1, 3, 6, 9)
    ]
    assert sizes[0] > 2_000_000
    assert all(after <= before * 1.01 for before, after in pairwise(sizes))


def test_single_member_gzip_is_one_member_and_the_default_is_several(tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.write_bytes(prose(4_000_000) + noise(2_000_000))
    counts = {}
    for single in (True, False):
        archive = pack(tmp_path, source, ArchiveFormat.TAR_GZ, single_member=single).path
        tool("gzip", "-t", archive)
        import zlib

        data, members = Path(archive).read_bytes(), 0
        while data:
            reader = zlib.decompressobj(31)
            reader.decompress(data)
            data, members = reader.unused_data, members + 1
        counts[single] = members
    assert counts == {True: 1, False: 6}


@pytest.mark.parametrize("form", list(ArchiveFormat))
def test_reproducible_archives_do_not_depend_on_threads_times_or_order(tmp_path: Path, form: ArchiveFormat) -> None:
    level = 1 if form in (ArchiveFormat.TAR_XZ, ArchiveFormat.SEVENZIP) else 6
    large = 9_500_000 if form is ArchiveFormat.ZIP else 1_300_000
    first, second = odd_tree(tmp_path / "tree", large=large), tmp_path / "copy" / "tree"
    second.parent.mkdir()
    tool("cp", "-a", first, second)
    os.chmod(second / "text", 0o640)
    os.utime(second / "tiny", (1, 1))
    made = []
    for number, (source, threads) in enumerate(((first, 1), (second, 4), (first, 3))):
        output = str(tmp_path / f"{number}{FORMATS[form].suffix}")
        result = pack(tmp_path, source, form, level, output=output, threads=threads, reproducible=True)
        made.append(Path(result.path).read_bytes())
    assert made[0] == made[1] == made[2]


def test_more_than_65535_members_and_zip64_counts(tmp_path: Path) -> None:
    source = tmp_path / "many"
    source.mkdir()
    fd = os.open(source, os.O_RDONLY)
    for number in range(65_700):
        os.mkdir(f"{number:05d}", dir_fd=fd)
    os.close(fd)
    archive = pack(tmp_path, source, ArchiveFormat.ZIP, 1).path
    with zipfile.ZipFile(archive) as opened:
        assert len(opened.infolist()) == 65_701
    assert "Folders: 65701" in tool("7zz", "l", archive).replace("65701 folders", "Folders: 65701")


@pytest.mark.slow
@pytest.mark.parametrize("form", [ArchiveFormat.ZIP, ArchiveFormat.TAR])
def test_member_over_4_gib(tmp_path: Path, form: ArchiveFormat) -> None:
    source = tmp_path / "huge"
    size = (4 << 30) + 12345
    with open(source, "wb") as file:
        file.truncate(size)
        file.seek(size - 5)
        file.write(b"tail!")
    archive = pack(tmp_path, source, form, 1).path
    if form is ArchiveFormat.ZIP:
        with zipfile.ZipFile(archive) as opened:
            info = opened.getinfo("huge")
            assert (info.file_size, info.CRC) == (size, info.CRC)
            assert info.extra[:2] == b"\1\0"
        assert f"{size}" in tool("unzip", "-l", archive)
        assert f"Size = {size}" in tool("7zz", "l", "-slt", archive)
    else:
        assert f"{size}" in tool("tar", "-tvf", archive)
        assert Path(archive).stat().st_size < 100_000


@pytest.mark.parametrize("form", [ArchiveFormat.ZIP, ArchiveFormat.SEVENZIP])
@pytest.mark.parametrize("level", [0, 6])
def test_encrypted_archives_open_with_the_password_only(tmp_path: Path, form: ArchiveFormat, level: int) -> None:
    large = 9_000_000 if form is ArchiveFormat.ZIP else 1_300_000
    source = odd_tree(tmp_path / "tree", large=large)
    result = pack(tmp_path, source, form, level, secret="pässwörd 'x'")
    assert result.encrypted
    data = Path(result.path).read_bytes()
    assert b"leading dash" not in data
    done = subprocess.run(["7zz", "t", "-p", result.path], input=b"wrong\n", capture_output=True, timeout=60)
    assert done.returncode != 0
    tool("7zz", "x", "-snl", f"-o{tmp_path / 'out'}", result.path, stdin="pässwörd 'x'\n".encode())
    assert picture(tmp_path / "out" / "tree") == picture(source)


def test_encrypted_names_are_not_listed_without_the_password(tmp_path: Path) -> None:
    source = tmp_path / "very secret name"
    source.write_text("x")
    output = str(tmp_path / "a.7z")
    archive = pack(tmp_path, source, ArchiveFormat.SEVENZIP, secret="s", encrypt_names=True, output=output).path
    done = subprocess.run(["7zz", "l", "-p", archive], input=b"wrong\n", capture_output=True, timeout=60)
    assert done.returncode != 0
    assert b"very secret" not in done.stdout
    assert "very secret name" in tool("7zz", "l", archive, stdin=b"s\n")


@pytest.mark.parametrize("form", ArchiveFormat)
def test_volumes_join_to_the_archive(tmp_path: Path, form: ArchiveFormat) -> None:
    source = odd_tree(tmp_path / "tree", large=2_000_000)
    result = pack(tmp_path, source, form, 1, volume="300KB", output=str(tmp_path / f"v{FORMATS[form].suffix}"))
    parts = [tmp_path / name for name in result.volumes]
    assert len(parts) > 3
    assert all(part.stat().st_size <= 300_000 for part in parts)
    out = tmp_path / "out"
    if form in TAR_FAMILY:
        whole = tmp_path / f"whole{FORMATS[form].suffix}"
        whole.write_bytes(b"".join(part.read_bytes() for part in parts))
        unpack(whole, out, form)
    else:
        tool("7zz", "x", "-snl", f"-o{out}", result.path)
    assert picture(out / "tree") == picture(source)


def test_split_zip_is_joined_by_info_zip(tmp_path: Path) -> None:
    source = tmp_path / "s"
    source.mkdir()
    for number in range(300):
        (source / f"{number}").write_bytes(noise(1000, number))
    result = pack(tmp_path, source, ArchiveFormat.ZIP, 1, volume="64KiB")
    assert result.volumes[:2] == ["s.z01", "s.z02"]
    tool("zip", "-q", "-s", "0", result.path, "--out", tmp_path / "joined.zip")
    tool("unzip", "-tq", tmp_path / "joined.zip")


def test_owners_and_extended_attributes_follow_the_policy(tmp_path: Path) -> None:
    source = tmp_path / "f"
    source.write_text("x")
    os.setxattr(source, "user.colour", b"blue")
    kept = pack(tmp_path, source, ArchiveFormat.TAR, xattrs=True, output=str(tmp_path / "kept.tar")).path
    with tarfile.open(kept) as opened:
        assert opened.getmember("f").pax_headers["SCHILY.xattr.user.colour"] == "blue"
    (tmp_path / "x").mkdir()
    tool("tar", "--xattrs", "-xf", kept, "-C", tmp_path / "x")
    assert os.getxattr(tmp_path / "x" / "f", "user.colour") == b"blue"
    none = pack(tmp_path, source, ArchiveFormat.TAR, owner=Owner.NONE, output=str(tmp_path / "none.tar")).path
    with tarfile.open(none) as opened:
        member = opened.getmember("f")
        assert (member.uid, member.uname, member.pax_headers) == (0, "", {})
    numbers = pack(tmp_path, source, ArchiveFormat.ZIP, owner=Owner.KEEP).path
    assert b"ux\x0b\x00\x01\x04" in Path(numbers).read_bytes()


def test_conflict_policies_reach_the_archive(tmp_path: Path) -> None:
    source = tmp_path / "f"
    source.write_text("x")
    assert pack(tmp_path, source, ArchiveFormat.ZIP).name == "f.zip"
    assert pack(tmp_path, source, ArchiveFormat.ZIP).name == "f (2).zip"
    skipped = pack(tmp_path, source, ArchiveFormat.ZIP, on_conflict=Conflict.SKIP)
    assert not skipped.written and skipped.location == str(tmp_path / "f.zip")
    assert pack(tmp_path, source, ArchiveFormat.ZIP, on_conflict=Conflict.OVERWRITE).name == "f.zip"
    assert sorted(os.listdir(tmp_path)) == ["f", "f (2).zip", "f.zip"]
