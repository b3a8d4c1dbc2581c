"""Hostile archives: nothing is ever written outside the destination, no crash, no hang, nothing left behind."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import stat
import struct
import subprocess
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines import files
from engines.archive.backends import bundled_sevenzip
from engines.archive.containment import Tree
from engines.archive.extract.job import Unpacked, run
from engines.archive.inspect import run_test
from engines.errors import TaskdeckError
from engines.operations import Unzip, ZipTest
from engines.settings import ArchiveSettings, Settings
from tests.support.archives import make_cab, make_tar, make_zip, snapshot
from tests.support.jobs import RecordingJob

RARS = Path(__file__).parents[1] / "data" / "rar"
R = stat.S_IFREG | 0o644
L = stat.S_IFLNK | 0o777
F, SYM, LNK, DIR = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


class Arena:
    """A destination inside a folder that must not change outside of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.box = root / "box"
        self.out = root / "out"
        self.box.mkdir()
        self.out.mkdir()
        (self.out / "target").write_text("original")
        self.limits = ArchiveSettings()

    def unpack(self, archive: Path, **options: object) -> Unpacked:
        """Unpack into box/dest; whatever happens, the rest stays as it is."""
        before = snapshot(self.root)
        job = RecordingJob(self.root, settings=Settings(roots=(str(self.root),), archive=self.limits))
        dest = self.box / "dest"
        failed = False
        try:
            return run(Unzip(path=str(archive), destination=str(dest), **options), job)  # type: ignore[arg-type]
        except TaskdeckError:
            failed = True
            raise
        finally:
            after = {name: what for name, what in snapshot(self.root).items() if not name.startswith("box/dest")}
            assert after == {name: what for name, what in before.items() if not name.startswith("box/dest")}
            assert (self.out / "target").stat().st_nlink == 1
            assert not job.claimed
            if failed and "box/dest" not in before:
                assert not os.path.lexists(dest), "a failed run leaves nothing"

    def refused(self, archive: Path, code: str, **options: object) -> TaskdeckError:
        with pytest.raises(TaskdeckError) as caught:
            self.unpack(archive, **options)
        assert caught.value.code == code, caught.value.message
        return caught.value

    def inside(self) -> list[str]:
        return sorted(name[len("box/dest/") :] for name in snapshot(self.root) if name.startswith("box/dest/"))


@pytest.fixture
def arena(tmp_path: Path) -> Arena:
    return Arena(tmp_path)


ESCAPING_ZIPS: dict[str, list[tuple[str, bytes, int]]] = {
    "parent": [("ok", b"ok", R), ("../escaped", b"x", R)],
    "parent in the middle": [("a/../../escaped", b"x", R)],
    "parent at the end": [("a/..", b"", stat.S_IFDIR | 0o755), ("ok", b"x", R)],
    "absolute": [("ok", b"ok", R), ("/tmp/taskdeck-escaped", b"x", R)],
    "write through a link": [("link", b"../../out", L), ("link/target", b"x", R)],
    "write through a link inside": [("link", b".", L), ("link/x", b"x", R)],
    "chain of links": [("a", b".", L), ("a/b", b"..", L), ("a/b/escaped", b"x", R)],
    "backslash parent": [("..\\escaped", b"x", R)],
    "drive letter": [("C:\\escaped", b"x", R)],
    "backslash root": [("\\escaped", b"x", R)],
}


@pytest.mark.parametrize("kind", ESCAPING_ZIPS)
def test_zip_that_tries_to_escape_is_refused_whole(arena: Arena, kind: str) -> None:
    arena.refused(make_zip(arena.root / "evil.zip", ESCAPING_ZIPS[kind]), "archive.escape")


@pytest.mark.parametrize("kind", ESCAPING_ZIPS)
def test_kept_parts_of_an_escaping_zip_stay_inside(arena: Arena, kind: str) -> None:
    archive = make_zip(arena.box / "evil.zip", [*ESCAPING_ZIPS[kind], ("sound", b"sound", R)])
    before = snapshot(arena.out)
    job = RecordingJob(arena.root)
    result = run(Unzip(path=str(archive), keep_broken=True), job)
    assert snapshot(arena.out) == before
    folder = arena.box / "evil (incomplete)"
    assert sorted(os.listdir(arena.box)) == ["evil (incomplete)", "evil.zip"]
    assert (folder / "sound").read_text() == "sound"
    assert result.broken_count >= 1
    assert "NOT-UNPACKED.txt" in os.listdir(folder)


ESCAPING_TARS: dict[str, list[tuple[str, bytes, str, bytes, int]]] = {
    "parent": [("ok", F, "", b"ok", 0o644), ("../escaped", F, "", b"x", 0o644)],
    "absolute": [("/tmp/taskdeck-escaped", F, "", b"x", 0o644)],
    "write through a link": [("link", SYM, "../../out", b"", 0o777), ("link/target", F, "", b"x", 0o644)],
    "write through a safe link": [("d", DIR, "", b"", 0o755), ("s", SYM, "d", b"", 0o777), ("s/x", F, "", b"x", 0o644)],
    "hard link outside": [("h", LNK, "../../out/target", b"", 0o644)],
    "absolute hard link": [("h", LNK, "/etc/passwd", b"", 0o644)],
    "hard link to the root": [("h", LNK, ".", b"", 0o644)],
}


@pytest.mark.parametrize("kind", ESCAPING_TARS)
def test_tar_that_tries_to_escape_is_refused_whole(arena: Arena, kind: str) -> None:
    archive = make_tar(arena.root / "evil.tar", ESCAPING_TARS[kind])
    arena.refused(archive, "archive.escape")


def test_links_that_lead_outside_are_left_out_and_the_rest_unpacked(arena: Arena) -> None:
    members = [("ok", b"ok", R), ("passwd", b"/etc/passwd", L), ("up", b"../../out/target", L), ("in", b"ok", L)]
    result = arena.unpack(make_zip(arena.root / "links.zip", members))
    assert arena.inside() == ["in", "ok"]
    assert {item.name for item in result.left_out} == {"passwd", "up"}


def test_file_after_a_link_of_the_same_name_does_not_write_through_it(arena: Arena) -> None:
    members = [("f", SYM, "../../out/target", b"", 0o777), ("f", F, "", b"OVERWRITTEN", 0o644)]
    arena.unpack(make_tar(arena.root / "x.tar", members))
    assert (arena.box / "dest/f").read_text() == "OVERWRITTEN"


def test_hard_link_to_a_link_does_not_reach_its_target(arena: Arena) -> None:
    members = [
        ("s", SYM, "../../out/target", b"", 0o777),
        ("h", LNK, "s", b"", 0o644),
        ("h", F, "", b"OVERWRITTEN", 0o644),
    ]
    arena.refused(make_tar(arena.root / "x.tar", members), "archive.damaged")


def test_path_longer_than_path_max_with_links_escapes_nowhere(arena: Arena) -> None:
    """The trick that got round CPython 3.11.7's filter='data' (CVE-2025-4517)."""
    part = "d" * 247
    steps = "abcdefghijklmnop"
    archive = arena.root / "pathmax.tar"
    with tarfile.open(archive, "w") as out:
        path = ""
        for step in steps:
            folder = tarfile.TarInfo(os.path.join(path, part))
            folder.type = DIR
            out.addfile(folder)
            link = tarfile.TarInfo(os.path.join(path, step))
            link.type, link.linkname = SYM, part
            out.addfile(link)
            path = os.path.join(path, part)
        long = os.path.join("/".join(steps), "l" * 254)
        for name, kind, target in (
            (long, SYM, "../" * len(steps)),
            ("escape", SYM, long + "/../../../out"),
            ("flag", LNK, "escape/target"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            out.addfile(info)
        info = tarfile.TarInfo("flag")
        info.size = 11
        out.addfile(info, io.BytesIO(b"OVERWRITTEN"))
    arena.refused(archive, "archive.escape")
    assert (arena.out / "target").read_text() == "original"


def test_devices_and_pipes_are_never_made(arena: Arena) -> None:
    members = [("null", tarfile.CHRTYPE, "", b"", 0o666), ("pipe", tarfile.FIFOTYPE, "", b"", 0o666)]
    result = arena.unpack(make_tar(arena.root / "x.tar", [*members, ("f", F, "", b"1", 0o644)]))
    assert arena.inside() == ["f"]
    assert result.left_out_count == 2
    (arena.box / "dest/f").unlink()
    zipped = [("dev", b"", stat.S_IFCHR | 0o666), ("fifo", b"", stat.S_IFIFO | 0o666), ("f", b"1", R)]
    arena.unpack(make_zip(arena.root / "x.zip", zipped))
    assert arena.inside() == ["f"]


@pytest.mark.parametrize(
    "command",
    [
        ["bsdtar", "--format=xar", "-cf", "x", "-C", "tree", "."],
        ["bsdtar", "--format=newc", "-cf", "x", "-C", "tree", "."],
        ["bsdtar", "--format=iso9660", "-cf", "x", "-C", "tree", "."],
        ["mksquashfs", "tree", "x", "-quiet", "-no-progress"],
        [bundled_sevenzip(), "a", "-t7z", "x", "./tree/*"],
    ],
    ids=lambda command: Path(command[0]).name + command[1],
)
def test_pipes_of_other_formats_are_left_out_and_named(arena: Arena, command: list[str]) -> None:
    (arena.root / "tree").mkdir()
    (arena.root / "tree/f").write_text("1")
    os.mkfifo(arena.root / "tree/pipe")
    subprocess.run(command, cwd=arena.root, check=True, stdout=subprocess.DEVNULL, timeout=60)
    archive = next(arena.root.glob("x*"))
    result = arena.unpack(archive)
    assert arena.inside() == ["f"]
    assert [item.name for item in result.left_out] == ["pipe"]


def test_set_user_id_and_sticky_bits_are_stripped(arena: Arena) -> None:
    arena.unpack(make_tar(arena.root / "x.tar", [("su", F, "", b"x", 0o7755), ("d", DIR, "", b"", 0o7777)]))
    assert (arena.box / "dest/su").stat().st_mode & 0o7777 == 0o755
    assert (arena.box / "dest/d").stat().st_mode & 0o7000 == 0
    arena.unpack(make_zip(arena.root / "x.zip", [("su2", b"x", stat.S_IFREG | 0o6711)]))
    assert (arena.box / "dest/su2").stat().st_mode & 0o7777 == 0o711


def test_folder_without_permissions_takes_its_members(arena: Arena) -> None:
    arena.unpack(make_tar(arena.root / "x.tar", [("d", DIR, "", b"", 0), ("d/f", F, "", b"x", 0o644)]))
    assert (arena.box / "dest/d/f").read_text() == "x"


def test_control_characters_in_names_reach_the_disk_but_no_face(arena: Arena) -> None:
    result = arena.unpack(
        make_zip(arena.root / "x.zip", [("a\x1b[31mred\nline", b"/etc/passwd", L), ("b\x1b", b"", R)])
    )
    assert "\x1b" not in result.left_out[0].name
    assert "\n" not in result.left_out[0].name
    assert arena.inside() == ["b\x1b"]


def test_name_with_a_nul_is_no_way_out(arena: Arena) -> None:
    archive = make_zip(arena.root / "x.zip", [("aXb", b"1", R), ("sound", b"2", R)])
    raw = archive.read_bytes().replace(b"aXb", b"a\0b")
    assert raw.count(b"a\0b") == 2, "in the local header and in the directory"
    archive.write_bytes(raw)
    assert "NUL" in arena.refused(archive, "archive.escape").message
    result = arena.unpack(archive, keep_broken=True)
    assert result.broken_count == 1
    assert arena.box.joinpath("dest (incomplete)/sound").read_text() == "2"
    assert not arena.box.joinpath("dest (incomplete)/a").exists(), "the name is not cut at the NUL"


def test_extended_tar_name_with_a_nul_is_refused(arena: Arena) -> None:
    with tarfile.open(arena.root / "x.tar", "w", format=tarfile.PAX_FORMAT) as out:
        info = tarfile.TarInfo("plain")
        info.pax_headers = {"path": "../aXb"}
        out.addfile(info)
    raw = (arena.root / "x.tar").read_bytes()
    assert raw.count(b"path=../aXb") == 1
    (arena.root / "x.tar").write_bytes(raw.replace(b"path=../aXb", b"path=..\0aXb"))
    assert "NUL" in arena.refused(arena.root / "x.tar", "archive.escape").message


@pytest.mark.parametrize(("name", "code"), [("n" * 300, "archive.limit"), ("d/" * 300 + "f", "archive.limit")])
def test_names_too_long_or_too_deep_are_refused(arena: Arena, name: str, code: str) -> None:
    error = arena.refused(make_zip(arena.root / "x.zip", [(name, b"1", R)]), code)
    assert "limit" in error.message or "255" in error.message


def test_name_used_as_file_and_as_folder_is_damage(arena: Arena) -> None:
    arena.refused(make_zip(arena.root / "x.zip", [("a", b"1", R), ("a/b", b"2", R)]), "archive.damaged")
    arena.refused(
        make_tar(arena.root / "x.tar", [("a", F, "", b"1", 0o644), ("a/b", F, "", b"2", 0o644)]), "archive.damaged"
    )


def test_link_waiting_in_the_destination_is_not_followed(arena: Arena) -> None:
    dest = arena.box / "dest"
    dest.mkdir()
    (dest / "sub").symlink_to("../../out")
    (dest / "file").symlink_to("../../out/target")
    arena.unpack(make_zip(arena.root / "x.zip", [("sub/target", b"NEW", R), ("file", b"NEW", R)]))
    assert (arena.out / "target").read_text() == "original"
    assert (dest / "sub (2)/target").read_text() == "NEW"
    assert (dest / "file (2)").read_text() == "NEW"


def test_overwriting_replaces_a_link_itself(arena: Arena) -> None:
    dest = arena.box / "dest"
    dest.mkdir()
    (dest / "file").symlink_to("../../out/target")
    arena.unpack(make_zip(arena.root / "x.zip", [("file", b"NEW", R)]), on_conflict="overwrite")
    assert not (dest / "file").is_symlink()
    assert (arena.out / "target").read_text() == "original"


class Swapper:
    """Replaces folders of the staging tree by links right before a certain file is made."""

    def __init__(self, outside: Path, moment: int) -> None:
        self._outside = outside
        self._left = moment
        self._lock = threading.Lock()
        self._create = Tree.create
        self.swaps = 0

    def create(self, tree: Tree, parts: tuple[str, ...], mode: int = 0o600) -> int:
        """What is called instead of `Tree.create`."""
        with self._lock:
            self._left -= 1
            now = self._left == 0
        if now:
            staging = Path(os.readlink(f"/proc/self/fd/{tree.root}"))
            for name in (f"{parts[0]}/s", parts[0]):  # open folders
                with suppress(FileNotFoundError):
                    (staging / name).rename(staging / f"gone {name.replace('/', ' ')}")
                    (staging / name).symlink_to(self._outside)
                    self.swaps += 1
            for number in range(60):  # folders that were not made yet
                with suppress(FileExistsError):
                    (staging / f"d{number}").symlink_to(self._outside)
                    self.swaps += 1
        return self._create(tree, parts, mode)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_component_swapped_for_a_link_meanwhile_leads_nowhere(
    arena: Arena, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Somebody with the same rights works in the staging tree while members are written."""
    members = [(f"d{n // 5}/s/f{n}", b"x" * 50, R) for n in range(300)]
    if kind == "zip":
        archive = make_zip(arena.root / "x.zip", members)
    else:
        archive = make_tar(arena.root / "x.tar", [(name, F, "", data, 0o644) for name, data, _ in members])
    codes: list[str] = []
    for moment in (1, 2, 50, 148, 290, 300):
        swapper = Swapper(arena.out, moment)
        monkeypatch.setattr(Tree, "create", lambda tree, parts, mode, use=swapper: use.create(tree, parts, mode))
        try:
            run(Unzip(path=str(archive), destination=str(arena.box / f"dest{moment}")), RecordingJob(arena.root))
        except TaskdeckError as error:
            codes.append(error.code)
        monkeypatch.undo()
        assert swapper.swaps >= 2, "folders were really swapped while members were written"
        assert os.listdir(arena.out) == ["target"]
        assert (arena.out / "target").read_text() == "original"
    assert codes.count("archive.escape") >= 4, "and the links were met"
    assert set(codes) <= {"archive.escape", "archive.damaged"}


def bomb(path: Path, size: int) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out, out.open("zeros", "w") as member:
        for _ in range(size >> 20):
            member.write(bytes(1 << 20))
    return path


def test_ratio_bombs_are_refused_and_the_setting_is_named(arena: Arena) -> None:
    arena.limits = ArchiveSettings(max_ratio=500)
    assert "archive.max_ratio" in arena.refused(bomb(arena.root / "x.zip", 32 << 20), "archive.limit").message
    zeros = bytes(1 << 20)
    for suffix, mode in (("gz", "w:gz"), ("xz", "w:xz"), ("bz2", "w:bz2")):
        archive = arena.root / f"x.tar.{suffix}"
        with tarfile.open(archive, mode) as out:  # type: ignore[call-overload]
            info = tarfile.TarInfo("zeros")
            info.size = 16 << 20
            out.addfile(info, io.BytesIO(zeros * 16))
        arena.refused(archive, "archive.limit")
    plain = arena.root / "plain"
    plain.write_bytes(zeros * 32)
    subprocess.run(["zstd", "-q", str(plain)], check=True)
    arena.refused(arena.root / "plain.zst", "archive.limit")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_bomb_is_no_damage_to_a_test(arena: Arena, pack: Callable[[bytes], bytes]) -> None:
    archive = arena.root / "zeros"
    archive.write_bytes(pack(bytes(30 << 20)))
    settings = Settings(roots=(str(arena.root),), archive=ArchiveSettings(max_ratio=500))
    job = RecordingJob(arena.root, settings=settings)
    with pytest.raises(TaskdeckError) as caught:
        run_test(ZipTest(path=str(archive)), job)
    assert caught.value.code == "archive.limit"


def test_bytes_of_archives_inside_archives_count_together(arena: Arena) -> None:
    """Ten archives of 1 MB of zeros: no member, depth or single archive is over a limit, all together are."""
    inner = make_zip(arena.root / "inner.zip", [("zeros", bytes(1_000_000), R)]).read_bytes()
    archive = make_zip(arena.root / "x.zip", [(f"{n}.zip", inner, R) for n in range(10)])
    arena.limits = ArchiveSettings(max_bytes=5_000_000)
    assert "archive.max_bytes" in arena.refused(archive, "archive.limit", nested=True).message
    arena.unpack(archive)  # unpacked singly they are small


def test_archive_that_holds_itself_ends_at_the_depth_limit(arena: Arena) -> None:
    """The shape of a quine: each level is an archive that holds the next."""
    data = b"bottom"
    for level in range(12):
        data = make_zip(arena.root / "level.zip", [(f"level{level}.zip" if level else "text", data, R)]).read_bytes()
    archive = arena.root / "quine.zip"
    archive.write_bytes(data)
    assert "archive.max_depth" in arena.refused(archive, "archive.limit", nested=True).message


def test_total_size_is_limited_declared_or_not(arena: Arena) -> None:
    arena.limits = ArchiveSettings(max_bytes=5_000_000)
    archive = make_zip(arena.root / "x.zip", [(f"f{n}", os.urandom(1_000_000), R) for n in range(6)])
    assert "archive.max_bytes" in arena.refused(archive, "archive.limit").message
    tar = make_tar(arena.root / "x.tar", [(f"f{n}", F, "", bytes(1_000_000), 0o644) for n in range(6)])
    assert "archive.max_bytes" in arena.refused(tar, "archive.limit").message


def test_number_of_entries_is_limited(arena: Arena) -> None:
    arena.limits = ArchiveSettings(max_entries=100)
    archive = make_zip(arena.root / "x.zip", [(f"f{n}", b"", R) for n in range(101)])
    assert "archive.max_entries" in arena.refused(archive, "archive.limit").message
    tar = make_tar(arena.root / "x.tar", [(f"f{n}", F, "", b"", 0o644) for n in range(101)])
    assert "archive.max_entries" in arena.refused(tar, "archive.limit").message


@pytest.mark.parametrize("kind", ["zip", "7z"])
def test_more_than_the_free_space_is_refused_before_writing(
    arena: Arena, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """All but 40 MB of the disk counts as reserved; the archive declares 64 MB and packs to a few KB."""
    (arena.root / "zeros").write_bytes(bytes(64 << 20))
    archive = arena.root / f"x.{kind}"
    subprocess.run(
        [bundled_sevenzip(), "a", "-bso0", "-bsp0", "-mx1", str(archive), "zeros"], cwd=arena.root, check=True
    )
    (arena.root / "zeros").unlink()
    arena.limits = ArchiveSettings(max_ratio=0)
    found = os.statvfs(arena.root)
    monkeypatch.setattr(files, "RESERVE", found.f_bavail * found.f_frsize - (40 << 20))
    made: list[object] = []
    monkeypatch.setattr(Tree, "create", lambda *arguments: made.append(arguments))
    assert "free" in arena.refused(archive, "disk.full").message
    assert not made


def test_disk_that_fills_up_ends_what_declares_nothing(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compressed stream does not say how long it is: the free space is watched while it is written."""
    archive = arena.root / "x.gz"
    archive.write_bytes(gzip.compress(bytes(100 << 20), 1))
    found = os.statvfs(arena.root)
    monkeypatch.setattr(files, "RESERVE", found.f_bavail * found.f_frsize - (20 << 20))
    arena.limits = ArchiveSettings(max_ratio=0)
    assert "free" in arena.refused(archive, "disk.full").message


def test_members_sharing_packed_bytes_are_refused(arena: Arena) -> None:
    data = bytes(1 << 20)
    deflater = zlib.compressobj(9, 8, -15)
    packed = deflater.compress(data) + deflater.flush()
    crc = zlib.crc32(data)
    local = struct.pack("<4s5HIIIHH", b"PK\3\4", 20, 0, 8, 0, 33, crc, len(packed), len(data), 1, 0) + b"a"
    central = b"".join(
        struct.pack("<4s6HIIIHHHHHII", b"PK\1\2", 20, 20, 0, 8, 0, 33, crc, len(packed), len(data), 1, *[0] * 6) + b"a"
        for _ in range(64)
    )
    end = struct.pack("<4s4HIIH", b"PK\5\6", 0, 0, 64, 64, len(central), len(local + packed), 0)
    archive = arena.root / "overlap.zip"
    archive.write_bytes(local + packed + central + end)
    assert "share" in arena.refused(archive, "archive.limit").message


@pytest.mark.parametrize("declared", [0, 10, 1 << 20])
def test_member_longer_than_it_declares_is_stopped(arena: Arena, declared: int) -> None:
    archive = bomb(arena.root / "x.zip", 8 << 20)
    raw = bytearray(archive.read_bytes())
    central = raw.rindex(b"PK\1\2")
    raw[central + 24 : central + 28] = struct.pack("<I", declared)
    archive.write_bytes(raw)
    arena.limits = ArchiveSettings(max_ratio=0)
    arena.refused(archive, "archive.damaged")


def test_local_header_that_names_another_file_is_refused(arena: Arena) -> None:
    archive = make_zip(arena.root / "x.zip", [("good.txt", b"1", R)])
    raw = archive.read_bytes()
    archive.write_bytes(raw.replace(b"good.txt", b"evil.exe", 1))
    arena.refused(archive, "archive.damaged")


def sound(name: str, folder: Path) -> Path:
    """A small archive of one format, with a folder, a link and compressible and random data."""
    root = folder / "root"
    if not root.exists():
        (root / "sub").mkdir(parents=True)
        (root / "text").write_text("hello world " * 40)
        (root / "sub/random").write_bytes(bytes(range(256)))
        (root / "link").symlink_to("text")
    commands: dict[str, list[str]] = {
        "zip": ["zip", "-qry", "x.zip", "root"],
        "tar": ["tar", "-b", "1", "-cf", "x.tar", "root"],
        "tar.gz": ["tar", "-b", "1", "-czf", "x.tar.gz", "root"],
        "tar.bz2": ["tar", "-b", "1", "-cjf", "x.tar.bz2", "root"],
        "tar.xz": ["tar", "-b", "1", "-cJf", "x.tar.xz", "root"],
        "tar.zst": ["tar", "-b", "1", "--zstd", "-cf", "x.tar.zst", "root"],
        "iso": ["bsdtar", "--format=iso9660", "-cf", "x.iso", "root"],
        "7z": [bundled_sevenzip(), "a", "-bso0", "-bsp0", "-snl", "x.7z", "root"],
    }
    if name.endswith(".rar"):
        return RARS / name
    if name == "cab":
        return make_cab(folder / "x.cab", {"root/text": b"hello world " * 40, "root/random": bytes(range(256))})
    subprocess.run(commands[name], cwd=folder, check=True)
    return folder / f"x.{name}"


def whole(folder: Path) -> dict[str, str]:
    return {name: what for name, what in snapshot(folder).items() if name.startswith("root")}


def contents(folder: Path) -> set[str]:
    """Hashes of the regular files below a folder."""
    return {what.split()[2] for what in snapshot(folder).values() if what.startswith("file ")}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst"])
def test_every_truncation_is_an_error_or_harmless(tmp_path: Path, name: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    data = sound(name, source).read_bytes()
    expected = whole(source)
    step = max(1, len(data) // 600) if name == "tar" else 1
    (tmp_path / "arena").mkdir()
    arena = Arena(tmp_path / "arena")
    archive = arena.root / f"cut.{name}"
    errors = 0
    for end in range(0, len(data), step):
        archive.write_bytes(data[:end])
        try:
            arena.unpack(archive)
        except TaskdeckError as error:
            errors += 1
            assert error.code in ("archive.damaged", "archive.not_archive", "archive.escape", "archive.limit")
            continue
        got = {key: value for key, value in snapshot(arena.box / "dest").items() if key.startswith("root")}
        if name != "tar" or end % 512 or end < 512:
            assert got == expected, f"cut at {end} of {len(data)} passed as whole"
        subprocess.run(["rm", "-rf", str(arena.box / "dest")], check=True)
    assert errors > len(data) // step * 0.7


FLIPS = {
    "zip": 150,
    "tar": 150,
    "tar.gz": 150,
    "tar.bz2": 150,
    "tar.xz": 150,
    "tar.zst": 150,
    "7z": 25,  # a process or two for each
    "rar3-subdirs.rar": 15,
    "rar5-subdirs.rar": 15,
    "cab": 60,
    "iso": 60,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FLIPS)
def test_flipped_bits_are_an_error_or_harmless(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    """Whatever is flipped, a file that comes out has the content of one that went in.

    A bare tar and a disc have no checksums, and in a cabinet they are not for where a file begins.
    """
    source = tmp_path_factory.mktemp("source")
    data = sound(name, source).read_bytes()
    whole_arena = Arena(tmp_path_factory.mktemp("whole"))
    (whole_arena.root / f"whole.{name}").write_bytes(data)
    whole_arena.unpack(whole_arena.root / f"whole.{name}")
    known = contents(whole_arena.box) | {hashlib.sha256(b"text").hexdigest()[:16]}  # the link, turned into a file

    @settings(
        max_examples=FLIPS[name],
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(1, 255)), min_size=1, max_size=4))
    def check(flips: list[tuple[int, int]]) -> None:
        raw = bytearray(data)
        for at, mask in flips:
            raw[at] ^= mask
        arena = Arena(tmp_path_factory.mktemp("arena"))
        flipped = arena.root / f"flipped.{name}"
        flipped.write_bytes(raw)
        try:
            arena.unpack(flipped)
        except TaskdeckError as error:
            assert error.code != "internal"
            return
        if name not in ("tar", "iso", "cab") and raw != data:
            assert contents(arena.box / "dest") <= known

    check()


def test_race_and_limits_settings_are_the_documented_ones() -> None:
    names = {field.name for field in msgspec.structs.fields(ArchiveSettings)}
    assert {"max_bytes", "max_ratio", "max_entries", "max_depth", "max_name", "max_components"} <= names
