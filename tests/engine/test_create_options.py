"""Options of packing: what is selected, several archives at once, manifests, removal, conversion, estimates."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from engines.archive.create import convert, estimate
from engines.archive.create.checks import check_convert, check_estimate, check_zip
from engines.archive.create.job import run
from engines.archive.create.output import SingleOutput
from engines.archive.create.result import ZipResult, zip_reply
from engines.archive.create.space import Buffer
from engines.archive.inspect import run_info, run_test
from engines.archive.manifest import lines, read
from engines.errors import TaskdeckError
from engines.job import Stop, Stopped
from engines.model import Json
from engines.operations import ArchiveFormat, Conflict, Convert, Estimate, Links, Zip, ZipInfo, ZipTest
from engines.settings import Settings
from tests.support.jobs import RecordingJob
from tests.support.trees import noise, odd_tree, picture, prose, tool


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Memory instead of a disk: every archive is flushed before it is published."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        yield Path(name)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for name in ("a.txt", "b.log", "sub/c.txt", "sub/d.tmp", "sub/deep/e.txt", "build/out.bin"):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tree


def names(result: ZipResult) -> set[str]:
    with zipfile.ZipFile(result.path) as opened:
        return {name for name in opened.namelist() if not name.endswith("/")}


def pack(tmp_path: Path, path: Path, **more: object) -> ZipResult:
    more.setdefault("on_conflict", Conflict.OVERWRITE)
    return run(Zip(path=str(path), format=ArchiveFormat.ZIP, level=1, **more), RecordingJob(tmp_path))  # type: ignore[arg-type]


def test_globs_choose_files_at_any_depth(tmp_path: Path, tree: Path) -> None:
    assert names(pack(tmp_path, tree, exclude=("*.tmp", "build/"))) == {
        "tree/a.txt", "tree/b.log", "tree/sub/c.txt", "tree/sub/deep/e.txt",
    }  # fmt: skip
    assert names(pack(tmp_path, tree, include=("*.txt",))) == {"tree/a.txt", "tree/sub/c.txt", "tree/sub/deep/e.txt"}
    assert names(pack(tmp_path, tree, exclude=("/sub/c.txt",), include=("sub/**",))) == {
        "tree/sub/d.tmp", "tree/sub/deep/e.txt",
    }  # fmt: skip


def test_gitignore_files_apply_to_their_folder_and_deeper_ones_decide(tmp_path: Path, tree: Path) -> None:
    (tree / ".git").mkdir()
    (tree / ".git" / "HEAD").touch()
    (tree / ".gitignore").write_text("*.tmp\n*.log\n/build/\n")
    (tree / "sub" / ".gitignore").write_text("!d.tmp\n")
    assert names(pack(tmp_path, tree, gitignore=True)) == {
        "tree/.gitignore", "tree/a.txt",
        "tree/sub/.gitignore", "tree/sub/c.txt", "tree/sub/d.tmp", "tree/sub/deep/e.txt",
    }  # fmt: skip


def test_sizes_and_dates_choose_files_and_empty_folders_are_dropped(tmp_path: Path, tree: Path) -> None:
    (tree / "a.txt").write_bytes(bytes(5000))
    os.utime(tree / "b.log", (1_000_000_000, 1_000_000_000))
    assert names(pack(tmp_path, tree, min_size="4KB")) == {"tree/a.txt"}
    assert names(pack(tmp_path, tree, older="2005-01-01")) == {"tree/b.log"}
    assert "tree/b.log" not in names(pack(tmp_path, tree, newer="1d"))
    with zipfile.ZipFile(pack(tmp_path, tree, older="2005-01-01").path) as opened:
        assert opened.namelist() == ["tree/", "tree/b.log"]


def test_nothing_selected_is_an_error_and_writes_nothing(tmp_path: Path, tree: Path) -> None:
    with pytest.raises(TaskdeckError) as caught:
        pack(tmp_path, tree, include=("*.nothing",))
    assert caught.value.code == "value"
    assert os.listdir(tmp_path) == ["tree"]


def test_an_archive_inside_its_source_leaves_itself_out(tmp_path: Path, tree: Path) -> None:
    for _ in range(2):
        result = pack(tmp_path, tree, output=str(tree / "self.zip"))
        assert len(names(result)) == 6
        assert not [name for name in names(result) if "self" in name]


def test_sources_of_the_same_name_keep_apart(tmp_path: Path, tree: Path) -> None:
    other = tmp_path / "other" / "tree"
    other.mkdir(parents=True)
    (other / "x").touch()
    result = pack(tmp_path, tree, add=(str(other),))
    assert "tree (2)/x" in names(result)
    assert "is packed as 'tree (2)'" in result.warnings[0]


@pytest.mark.parametrize("exists", [True, False])
def test_each_makes_one_archive_for_every_item(tmp_path: Path, tree: Path, exists: bool) -> None:
    if exists:
        (tmp_path / "out").mkdir()
    result = pack(tmp_path, tree, each=True, output=str(tmp_path / "out"))
    assert sorted(os.listdir(tmp_path / "out")) == ["a.txt.zip", "b.log.zip", "build.zip", "sub.zip"]
    assert [archive.files for archive in result.archives] == [1, 1, 1, 3]
    assert result.files == 6


def test_each_tells_which_archive_its_progress_is_of(tmp_path: Path, tree: Path) -> None:
    job = RecordingJob(tmp_path)
    run(Zip(path=str(tree), format=ArchiveFormat.ZIP, level=1, each=True, test=True), job)
    stages = list(dict.fromkeys(progress.stage for progress in job.seen[:-1]))
    assert stages == [f"{n} of 4, {stage}" for n in (1, 2, 3, 4) for stage in ("listing", "packing", "testing")]
    job = RecordingJob(tmp_path)
    run(Zip(path=str(tree / "a.txt"), format=ArchiveFormat.TAR, level=1, each=True), job)
    assert {progress.stage for progress in job.seen[:-1]} == {"listing", "packing"}


@pytest.mark.parametrize("options", [{"each": True}, {"test": True}])
def test_a_finished_task_has_counted_all_it_packed(tmp_path: Path, tree: Path, options: Json) -> None:
    job = RecordingJob(tmp_path)
    result = run(msgspec.structs.replace(Zip(path=str(tree), format=ArchiveFormat.TAR_GZ, level=1), **options), job)
    assert (job.seen[-1].done, job.seen[-1].total) == (result.original, result.original) == (55, 55)
    convert.run(Convert(path=result.archives[0].path if result.archives else result.path, test=True), job)
    assert job.seen[-1].done == job.seen[-1].total == (55 if options.get("test") else 5)


def test_each_goes_on_with_the_archive_it_was_at(tmp_path: Path, tree: Path) -> None:
    (tmp_path / "out").mkdir()
    op = Zip(path=str(tree), format=ArchiveFormat.ZIP, level=1, each=True, output=str(tmp_path / "out"))
    job = RecordingJob(tmp_path, stop_when=lambda job: Stop.SUSPEND if len(job.saved) >= 2 else None)
    with pytest.raises(Stopped):
        run(op, job)
    result = run(op, RecordingJob(tmp_path, checkpoint=job.saved[-1]))
    assert sorted(os.listdir(tmp_path / "out")) == ["a.txt.zip", "b.log.zip", "build.zip", "sub.zip"]
    assert len(result.archives) == 4


def test_each_leaves_out_items_that_cannot_be_packed_and_goes_on(tmp_path: Path, tree: Path) -> None:
    os.mkfifo(tree / "aa-pipe")
    (tmp_path / "out").mkdir()
    result = pack(tmp_path, tree, each=True, output=str(tmp_path / "out"), exclude=("*.log",))
    assert sorted(os.listdir(tmp_path / "out")) == ["a.txt.zip", "build.zip", "sub.zip"]
    assert result.skipped == 2
    assert "aa-pipe': it is a named pipe" in result.warnings[0]
    assert "b.log': nothing is selected" in result.warnings[1]


def test_each_in_which_nothing_can_be_packed_fails_and_leaves_no_new_folder(tmp_path: Path, tree: Path) -> None:
    with pytest.raises(TaskdeckError, match="nothing is selected"):
        pack(tmp_path, tree, each=True, exclude=("*",), output=str(tree / "out"))
    assert not (tree / "out").exists()


@pytest.mark.parametrize(
    ("output", "why"), [("a.txt", "it is no folder"), ("none/out", "its folder does not exist; make the folder first")]
)
def test_each_refuses_a_folder_that_cannot_be_made(tmp_path: Path, tree: Path, output: str, why: str) -> None:
    with pytest.raises(TaskdeckError, match=why):
        pack(tmp_path, tree, each=True, output=str(tree / output))


def test_each_beside_its_items_does_not_pack_its_own_archives_when_it_goes_on(tmp_path: Path, tree: Path) -> None:
    op = Zip(path=str(tree), format=ArchiveFormat.ZIP, level=1, each=True, manifest=True)
    before = set(os.listdir(tree))
    job = RecordingJob(tmp_path, stop_when=lambda job: Stop.SUSPEND if len(job.saved) >= 2 else None)
    with pytest.raises(Stopped):
        run(op, job)
    assert set(os.listdir(tree)) > before
    result = run(op, RecordingJob(tmp_path, checkpoint=job.saved[-1]))
    assert set(os.listdir(tree)) == {name + more for name in before for more in ("", ".zip", ".zip.sha256")}
    assert len(result.archives) == len(before)


def test_links_are_followed_inside_the_roots_only(tmp_path: Path) -> None:
    root = tmp_path / "root"
    tree = root / "tree"
    tree.mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (root / "inside").mkdir()
    (root / "inside" / "f").write_text("fine")
    (tree / "in").symlink_to(root / "inside")
    (tree / "out").symlink_to(tmp_path / "outside")
    (tree / "outfile").symlink_to(tmp_path / "outside" / "secret")
    (tree / "loop").symlink_to(tree)
    op = Zip(path=str(tree), format=ArchiveFormat.ZIP, level=1, links=Links.FOLLOW)
    result = run(op, RecordingJob(root))
    assert names(result) == {"tree/in/f"}
    assert "leads back" in "\n".join(result.warnings)
    assert result.skipped == 1


@pytest.mark.parametrize("form", ArchiveFormat)
def test_delete_source_removes_exactly_what_was_packed(tmp_path: Path, form: ArchiveFormat) -> None:
    tree = odd_tree(tmp_path / "tree", raw_names=form is not ArchiveFormat.SEVENZIP)  # bsdtar changes them
    (tree / "kept.tmp").write_text("excluded")
    before = picture(tree)
    op = Zip(path=str(tree), format=form, level=1, delete_source=True, exclude=("*.tmp",))
    result = run(op, RecordingJob(tmp_path))
    assert [path.name for path in tree.rglob("*")] == ["kept.tmp"]
    assert result.tested
    assert result.deleted == len(before) - 1  # all but the excluded one; the folder it lies in stays too
    archive = Path(result.path)
    (tmp_path / "out").mkdir()
    tool("bsdtar", "-xpf", archive, "-C", tmp_path / "out")
    del before[b"kept.tmp"]
    assert picture(tmp_path / "out" / "tree") == before
    manifest = dict(read(Path(result.manifest)))
    assert len(manifest) == sum(what[0] == "file" for what in before.values())  # type: ignore[index]


def test_a_failed_test_removes_the_archive_and_keeps_the_source(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = SingleOutput.write

    def spoil(self: SingleOutput, buffers: Sequence[Buffer], written: Callable[[], None] | None = None) -> None:
        write(self, [bytes(buffer).replace(b"a.txt", b"Z.txt") for buffer in buffers], written)

    monkeypatch.setattr(SingleOutput, "write", spoil)
    (tree / "a.txt").write_bytes(prose(1000) + b"a.txt")
    for form in (ArchiveFormat.TAR, ArchiveFormat.ZIP):
        with pytest.raises(TaskdeckError) as caught:
            run(Zip(path=str(tree), format=form, level=0, delete_source=True), RecordingJob(tmp_path))
        assert caught.value.code == "archive.damaged"
        assert os.listdir(tmp_path) == ["tree"]
        assert len(list(tree.rglob("*"))) == 9


def test_manifest_lines_escape_names_as_sha256sum_does(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("plain", "new\nline", "back\\slash", "cr\rname"):
        (tree / name).write_text(name)
    result = pack(tmp_path, tree, manifest=True)
    tool("sha256sum", "--quiet", "-c", Path(result.manifest).name, cwd=tmp_path)
    assert list(lines([(b"a\nb", b"\x01")])) == [b"\\01  a\\nb\n"]
    assert {name for name, _ in read(Path(result.manifest))} == {
        os.fsencode(path.relative_to(tmp_path)) for path in tree.iterdir()
    }


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"format": "tar", "password": "x"}, "unsupported"),
        ({"format": "zip", "encrypt_names": True}, "unsupported"),
        ({"format": "7z", "encrypt_names": True}, "password.needed"),
        ({"format": "zip", "single_member": True}, "unsupported"),
        ({"format": "zip", "volume": "lots"}, "value"),
        ({"format": "zip", "volume": "10KB"}, "value"),
        ({"format": "zip", "newer": "yesterday-ish"}, "value"),
        ({"format": "zip", "output": "{tmp}/x.tar.gz"}, "value"),
        ({"format": "zip", "output": "{tmp}/missing/x.zip"}, "path.missing"),
        ({"format": "zip", "output": "{tmp}/there.zip", "on_conflict": "fail"}, "path.exists"),
        ({"format": "zip", "output": "/etc/x.zip"}, "path.outside_roots"),
    ],
)
def test_bad_requests_are_refused_before_they_become_tasks(tmp_path: Path, tree: Path, fields: Json, code: str) -> None:
    (tmp_path / "there.zip").touch()
    fields = {key: value.format(tmp=tmp_path) if isinstance(value, str) else value for key, value in fields.items()}
    op = msgspec.convert({"op": "zip", "path": str(tree), **fields}, Zip)
    job = RecordingJob(tmp_path)
    with pytest.raises(TaskdeckError) as caught:
        check_zip(op, job.policy, job.settings)
    assert caught.value.code == code


def test_the_format_follows_the_suffix_of_the_output(tmp_path: Path, tree: Path) -> None:
    op = Zip(path=str(tree), output=str(tmp_path / "x.tgz"))
    assert run(op, RecordingJob(tmp_path)).format == "TAR.GZ"
    tool("tar", "-tzf", tmp_path / "x.tgz")


def test_a_password_file_must_be_private(tmp_path: Path, tree: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from file\n")
    file.chmod(0o644)
    with pytest.raises(TaskdeckError) as caught:
        pack(tmp_path, tree, password_file=str(file))
    assert caught.value.code == "path.unreadable"
    file.chmod(0o600)
    result = pack(tmp_path, tree, password_file=str(file), test=True)
    tool("7zz", "t", result.path, stdin=b"from file\n")


@pytest.mark.parametrize("form", ArchiveFormat)
def test_convert_keeps_the_tree(tmp_path: Path, form: ArchiveFormat) -> None:
    source = odd_tree(tmp_path / "tree", raw_names=False)
    (source / "a\\b:c*?").unlink()
    tool("bsdtar", "-cf", "old.tar", "tree", cwd=tmp_path)
    job = RecordingJob(tmp_path)
    result = convert.run(Convert(path=str(tmp_path / "old.tar"), format=form, level=1, test=True), job)
    assert not job.claimed
    (tmp_path / "out").mkdir()
    tool("bsdtar", "-xpf", result.path, "-C", tmp_path / "out")
    assert picture(tmp_path / "out" / "tree") == picture(source)
    assert sorted(os.listdir(tmp_path)) == sorted({"old.tar", "out", "tree", Path(result.path).name})


def test_convert_removes_every_volume_of_its_source_after_test_and_manifest(tmp_path: Path, tree: Path) -> None:
    (tree / "noise").write_bytes(noise(300_000))
    old = Zip(path=str(tree), format=ArchiveFormat.SEVENZIP, level=1, volume="100KB", output=str(tmp_path / "old.7z"))
    run(old, RecordingJob(tmp_path))
    assert len(list(tmp_path.glob("old.7z.*"))) > 3
    op = Convert(path=str(tmp_path / "old.7z.002"), format=ArchiveFormat.ZIP, level=1, delete_source=True)
    result = convert.run(op, RecordingJob(tmp_path))
    assert result.deleted > 3
    assert result.tested
    assert list(tmp_path.glob("old.7z*")) == []
    assert Path(result.path) == tmp_path / "old.zip"
    assert Path(result.manifest).read_text().count("tree/") == result.files


def test_convert_to_a_format_without_encryption_never_drops_a_password_silently(tmp_path: Path, tree: Path) -> None:
    job = RecordingJob(tmp_path, secrets={"password": "s"})
    old = run(Zip(path=str(tree), format=ArchiveFormat.ZIP, level=1), job).path
    with pytest.raises(TaskdeckError) as caught:
        convert.run(Convert(path=old, format=ArchiveFormat.TAR_GZ), job)
    assert caught.value.code == "unsupported"
    new = convert.run(Convert(path=old, format=ArchiveFormat.SEVENZIP, level=1), job)
    assert new.encrypted
    tool("7zz", "t", new.path, stdin=b"s\n")
    check_convert(Convert(path=old, format=ArchiveFormat.SEVENZIP), job.policy, Settings())


@pytest.mark.parametrize("form", ArchiveFormat)
def test_estimates_come_near_the_archive(tmp_path: Path, form: ArchiveFormat) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "text").write_bytes(prose(3_000_000))
    (tree / "noise").write_bytes(noise(2_000_000))
    found = estimate.run(Estimate(path=str(tree), format=form, level=3), RecordingJob(tmp_path))
    real = run(Zip(path=str(tree), format=form, level=3), RecordingJob(tmp_path))
    assert found.original == real.original
    assert abs(found.packed - real.packed) < 0.12 * real.original
    assert found.fits
    assert found.seconds > 0


def test_the_reply_follows_the_guide(tmp_path: Path, tree: Path) -> None:
    op = Zip(path=str(tree), format=ArchiveFormat.ZIP, level=6)
    shown = zip_reply(op, msgspec.to_builtins(run(op, RecordingJob(tmp_path)))).render(emoji=True)
    assert shown.splitlines()[:5] == [
        "✅ Archive Created Successfully!", "", "📦 Format: ZIP", "📁 Filename: tree.zip", "💾 Original Size: 55 B",
    ]  # fmt: skip
    assert f"📁 Location: {tmp_path / 'tree.zip'}" in shown


def test_progress_moves_inside_a_slow_block(tmp_path: Path) -> None:
    source = tmp_path / "words"
    source.write_bytes(b"some words that pack well, and some more of them. " * 40_000)
    job = RecordingJob(tmp_path)
    run(Zip(path=str(source), format=ArchiveFormat.TAR_XZ, level=1), job)
    packing = [seen for seen in job.seen if seen.stage == "packing"]
    assert packing[0].total is not None and packing[0].total >= source.stat().st_size
    reached = [seen.done for seen in packing]
    assert reached == sorted(reached) and len(set(reached)) > 4 and reached[-1] == packing[-1].total


def test_estimates_are_of_what_the_filters_leave(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "small.txt").write_bytes(prose(100))
    (tree / "large.txt").write_bytes(prose(50_000))
    os.utime(tree / "small.txt", (1, 1))
    job = RecordingJob(tmp_path)
    asked = Estimate(path=str(tree))
    filters: tuple[tuple[Json, int], ...] = (
        ({"min_size": "1KB"}, 1), ({"max_size": "10"}, 0), ({"older": "1d"}, 1), ({"newer": "1d"}, 1),
    )  # fmt: skip
    for filtered, files in filters:
        assert estimate.run(msgspec.structs.replace(asked, **filtered), job).files == files, filtered
    with pytest.raises(TaskdeckError, match="--min-size"):
        check_estimate(Estimate(path=str(tree), min_size="much"), job.policy, job.settings)


@pytest.mark.parametrize("form", [ArchiveFormat.ZIP, ArchiveFormat.TAR_GZ, ArchiveFormat.SEVENZIP])
def test_no_face_is_told_of_unpacking_where_nothing_is_unpacked(
    tmp_path: Path, tree: Path, form: ArchiveFormat
) -> None:
    job = RecordingJob(tmp_path)
    made = run(Zip(path=str(tree), format=form, level=1, test=True), job).path
    assert "unpacking" not in {progress.stage for progress in job.seen}
    for look, stage in ((ZipTest(path=made), "testing"), (ZipInfo(path=made), "reading")):
        job = RecordingJob(tmp_path)
        (run_test(look, job) if isinstance(look, ZipTest) else run_info(look, job))
        assert {progress.stage for progress in job.seen} <= {stage}
