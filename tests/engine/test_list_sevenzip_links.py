"""Lists of 7z and wim tell where links lead, though only the members' data does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from engines.archive.backends import bundled_sevenzip
from engines.archive.inspect import ArchiveInfo, run_info
from engines.operations import ZipInfo
from tests.support.jobs import RecordingJob

TARGETS = {"up": "../f", "absolute": "/etc/passwd", "odd\x1b[31m": "täst\x1b\n", "gone": "x" * 200, "a*": "star"}


def pack(root: Path, suffix: str, *options: str) -> Path:
    archive = root / f"a.{suffix}"
    command: list[str | Path] = [bundled_sevenzip(), "a", "-snl", "-bso0", "-bsp0", *options, archive, "tree"]
    subprocess.run(command, cwd=root, check=True)
    return archive


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "file").write_bytes(b"some content")
    (root / "a-file").write_bytes(b"its name fits a pattern")
    for name, target in TARGETS.items():
        (root / name).symlink_to(target)
    return root


def links(archive: Path, password: str | None = None) -> tuple[dict[str, str], ArchiveInfo]:
    job = RecordingJob(archive.parent, secrets={"password": password} if password else None)
    info = run_info(ZipInfo(path=str(archive)), job)
    return {row.name: row.link for row in info.members if row.kind == "symlink"}, info


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("7z", ()),
        ("7z", ("-ms=off",)),
        ("7z", ("-mx0",)),
        ("7z", ("-psecret",)),
        ("7z", ("-psecret", "-mhe")),
        ("wim", ()),
    ],
)
def test_list_tells_where_links_lead(tree: Path, suffix: str, options: tuple[str, ...]) -> None:
    found, info = links(pack(tree.parent, suffix, *options), "secret" if options[:1] == ("-psecret",) else None)
    assert found["tree/up"] == "../f"
    assert found["tree/absolute"] == "/etc/passwd"
    assert found["tree/gone"] == "x" * 200
    assert found["tree/a*"] == "star"
    assert all(found.values())
    assert not any("\x1b" in text or "\n" in text for text in (*found, *found.values()))
    assert not info.warnings


def test_list_without_the_password_of_the_data_leaves_links_empty(tree: Path) -> None:
    found, _ = links(pack(tree.parent, "7z", "-psecret"))
    assert set(found.values()) == {""}


def test_list_with_a_wrong_password_leaves_links_empty(tree: Path) -> None:
    found, _ = links(pack(tree.parent, "7z", "-psecret"), "wrong")
    assert set(found.values()) == {""}


def test_list_does_not_unpack_much_to_tell_where_links_lead(tree: Path) -> None:
    (tree / "0").write_bytes(bytes(40 << 20))
    found, info = links(pack(tree.parent, "7z", "-mx1", "-ms=on"))
    assert set(found.values()) == {""}
    assert any("links" in text for text in info.warnings)
    (tree.parent / "a.7z").unlink()
    found, info = links(pack(tree.parent, "7z", "-mx1", "-ms=off"))
    assert found["tree/up"] == "../f"
    assert not info.warnings


def test_list_of_damaged_data_leaves_links_empty(tree: Path) -> None:
    archive = pack(tree.parent, "7z", "-mx0")
    data = bytearray(archive.read_bytes())
    data[data.index(b"/etc/passwd")] ^= 1
    archive.write_bytes(data)
    found, _ = links(archive)
    assert found["tree/absolute"] == ""
    assert found["tree/up"] == "../f"


def test_link_of_a_hostile_name_does_not_disturb_the_others(tree: Path) -> None:
    (tree / os.fsdecode(b"bad\xff")).symlink_to("x")
    (tree / "line\nbreak").symlink_to("y")
    found, _ = links(pack(tree.parent, "7z"))
    assert found["tree/up"] == "../f"
