"""Packing and unpacking that die before any step of its way: going on ends as if nothing had happened.

The job runs in a forked child that leaves without a word before its n-th step, for every n. Then a second attempt goes
on: from the checkpoint that the daemon had heard of, and from the last durable one, as after a death of the daemon too.
"""

from __future__ import annotations

import gzip
import os
import shutil
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from engines.archive.create.convert import run as convert
from engines.archive.create.job import run as pack
from engines.archive.extract.job import run as unpack
from engines.operations import ArchiveFormat, Conflict, Convert, Unzip, Zip
from engines.paths import to_uri
from tests.support.dying import Place, content
from tests.support.jobs import RecordingJob, commit_at_once
from tests.support.trees import noise, tool

ZIP, TAR, TGZ, SEVENZIP = ArchiveFormat.ZIP, ArchiveFormat.TAR, ArchiveFormat.TAR_GZ, ArchiveFormat.SEVENZIP
FILES = {"a.txt": b"alpha", "b.bin": noise(150_000, 1), "sub/c.txt": b"gamma", "sub/d.bin": noise(60_000, 2)}


@pytest.fixture(autouse=True)
def eager_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    commit_at_once(monkeypatch)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree, archives of it, and files that are in the way."""
    root = tmp_path_factory.mktemp("template")
    for name, data in FILES.items():
        path = root / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    tool("7zz", "a", "-v100k", root / "old.7z", "./tree", cwd=root)
    tool("7zz", "a", root / "plain.zip", "./tree", cwd=root)
    tool("bsdtar", "-czf", root / "plain.tar.gz", "tree", cwd=root)
    (root / "taken.zip").write_bytes(b"another")
    tool("7zz", "a", root / "nested.zip", "./plain.zip", "./taken.zip", cwd=root)
    with gzip.open(root / "b.bin.gz", "wb", compresslevel=1) as file:
        file.write(FILES["b.bin"])
    (root / "into/tree").mkdir(parents=True)
    (root / "into/tree/a.txt").write_bytes(b"in the way")
    return root


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Place:
    return Place(template, tmp_path)


def unpacked(place: Place, *archives: str) -> Path:
    """A folder with the files of archives, unpacked by 7-Zip and bsdtar."""
    out = place.root.with_name("out")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for name in archives:
        if ".tar" in name:
            tool("bsdtar", "-xf", place.root / name, "-C", out)
        else:
            tool("7zz", "x", "-y", f"-o{out}", place.root / name)
    return out


WHOLE = {f"tree/{name}": data for name, data in FILES.items()}
PARTS = ["x.z01", "x.z02", "x.zip"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "new", "archive"),
    [
        ({"format": ZIP, "output": "taken.zip"}, ["taken (2).zip"], "taken (2).zip"),
        ({"format": ZIP, "output": "taken.zip", "on_conflict": Conflict.OVERWRITE}, [], "taken.zip"),
        ({"format": TGZ, "manifest": True}, ["tree.tar.gz", "tree.tar.gz.sha256"], "tree.tar.gz"),
        ({"format": SEVENZIP, "test": True}, ["tree.7z"], "tree.7z"),
        ({"format": ZIP, "output": "x.zip", "volume": "100KB"}, PARTS, "x.zip"),
        (
            {"format": ZIP, "output": "x.zip", "volume": "100KB", "delete_source": True},
            ["-tree", *PARTS, "x.zip.sha256"],
            "x.zip",
        ),
        ({"format": TAR, "delete_source": True}, ["-tree", "tree.tar", "tree.tar.sha256"], "tree.tar"),
        ({"format": SEVENZIP, "delete_source": True}, ["-tree", "tree.7z", "tree.7z.sha256"], "tree.7z"),
    ],
    ids=str,
)
def test_packing_goes_on_after_a_death_before_any_step(
    place: Place, options: dict[str, Any], new: list[str], archive: str
) -> None:
    output = {"output": str(place.root / options["output"])} if "output" in options else {}
    op = Zip(path=str(place.root / "tree"), level=1, **{**options, **output})
    for number, checkpoint in enumerate(place.deaths(partial(pack, op))):
        before = set(os.listdir(place.root))
        job = RecordingJob(place.root, checkpoint=checkpoint)
        result = pack(op, job)
        assert place.new() == new, (number, checkpoint, before)
        out = unpacked(place, archive)
        assert content(out) == WHOLE, (number, checkpoint)
        assert not any("starting anew" in line for _, line in job.logged)
        assert result.path == to_uri(str(place.root / archive))
        if new[-1:] == [f"{archive}.sha256"]:
            assert result.manifest.endswith(new[-1])
            tool("sha256sum", "--quiet", "-c", place.root / new[-1], cwd=out)
        assert result.volumes == (PARTS if "volume" in options else [])
        assert result.deleted == (len(FILES) + 2 if "delete_source" in options else 0)
    assert number > 10


@pytest.mark.slow
def test_several_archives_go_on_after_a_death_before_any_step(place: Place) -> None:
    made = ["a.txt.zip", "b.bin.zip", "sub.zip"]
    tree, output = str(place.root / "tree"), str(place.root / "out")
    op = Zip(path=tree, format=ZIP, level=1, each=True, output=output, delete_source=True)
    steps = islice(place.deaths(partial(pack, op)), 0, None, 2)  # every second one: there are three times as many
    for number, checkpoint in enumerate(steps):
        result = pack(op, RecordingJob(place.root, checkpoint=checkpoint))
        sums = [f"{name}.sha256" for name in made]
        assert sorted(os.listdir(place.root / "out")) == sorted([*made, *sums]), (number, checkpoint)
        assert os.listdir(place.root / "tree") == [], (number, checkpoint)
        assert content(unpacked(place, *(f"out/{name}" for name in made))) == FILES, (number, checkpoint)
        assert result.deleted == len(FILES) + 1
    assert number > 15


@pytest.mark.slow
@pytest.mark.parametrize(("form", "removes"), [(TGZ, True), (ZIP, False)], ids=str)
def test_a_conversion_goes_on_after_a_death_before_any_step(place: Place, form: ArchiveFormat, removes: bool) -> None:
    name = f"new.{form}"
    old, output = str(place.root / "old.7z.001"), str(place.root / name)
    op = Convert(path=old, format=form, level=1, output=output, delete_source=removes)
    new = ["-old.7z.001", "-old.7z.002", "-old.7z.003", name, f"{name}.sha256"] if removes else [name]
    for number, checkpoint in enumerate(place.deaths(partial(convert, op))):
        result = convert(op, RecordingJob(place.root, checkpoint=checkpoint))
        assert place.new() == new, (number, checkpoint)
        assert content(unpacked(place, name)) == WHOLE, (number, checkpoint)
        assert result.deleted == (3 if removes else 0)
        assert result.source is not None and result.source > 200_000
    assert number > 20


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"path": "old.7z.001"},
        {"path": "plain.zip"},
        {"path": "plain.zip", "strip_root": True},
        {"path": "plain.zip", "on_conflict": Conflict.OVERWRITE},
        {"path": "plain.zip", "on_conflict": Conflict.SKIP},
        {"path": "plain.zip", "destination": "into"},
        {"path": "plain.tar.gz", "destination": "into/a/new/one"},
        {"path": "plain.tar.gz", "destination": "into", "on_conflict": Conflict.OVERWRITE},
        {"path": "nested.zip", "destination": "fresh", "nested": True},
        {"path": "b.bin.gz"},
    ],
    ids=str,
)
def test_unpacking_goes_on_after_a_death_before_any_step(place: Place, options: dict[str, Any]) -> None:
    paths: dict[str, Any] = {
        name: str(place.root / options[name]) for name in ("path", "destination") if name in options
    }
    op = Unzip(**{**options, **paths})
    place.begin()
    unpack(op, RecordingJob(place.root))
    expected = place.files()
    for number, checkpoint in enumerate(place.deaths(partial(unpack, op))):
        before = sorted(place.files())
        unpack(op, RecordingJob(place.root, attempt=2, checkpoint=checkpoint))
        assert place.files() == expected, (number, checkpoint, before)
    assert number > 5
