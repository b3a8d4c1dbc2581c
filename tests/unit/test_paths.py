"""The one path policy: what users give becomes an absolute path inside the roots, or a clear refusal."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import TaskdeckError
from engines.paths import PathPolicy, from_uri, to_uri, unreadable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "file").write_text("x")
    (tmp_path / "outside").write_text("secret")
    (folder / "out-link").symlink_to(tmp_path / "outside")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "up").symlink_to("..")
    return folder


def code(policy: PathPolicy, given_path: str, base: Path) -> str:
    try:
        policy.source(given_path, base=str(base))
    except TaskdeckError as error:
        assert "\x1b" not in error.message and "\n" not in error.message
        return error.code
    return ""


@pytest.mark.parametrize(
    ("given_path", "refused"),
    [
        ("file", ""),
        ("./file", ""),
        ("sub/../file", "path.missing"),
        ("../root/file", ""),
        ("../outside", "path.outside_roots"),
        ("/etc/passwd", "path.outside_roots"),
        ("up/outside", "path.outside_roots"),
        ("out-link", "path.outside_roots"),
        ("dangling", ""),
        ("missing", "path.missing"),
        ("missing\x1b[31m\n", "path.missing"),
        ("file/", "path.missing"),
        ("", "usage"),
        ("nul\0byte", "usage"),
        ("https://example.org/x", "unsupported"),
    ],
)
def test_source_is_inside_and_exists_or_is_refused(root: Path, given_path: str, refused: str) -> None:
    found = code(PathPolicy.of((str(root),)), given_path, root)
    if given_path in ("file/", "sub/../file"):  # either way of reading it is fine, if it stays inside
        assert found in ("", "path.missing", "path.kind")
    else:
        assert found == refused


def test_target_need_not_exist_but_must_lie_inside(root: Path) -> None:
    policy = PathPolicy.of((str(root),))
    assert policy.target("new/deep/file", base=str(root)) == root / "new/deep/file"
    for outside in ("../new", "up/new", "/tmp"):
        with pytest.raises(TaskdeckError) as caught:
            policy.target(outside, base=str(root))
        assert caught.value.code == "path.outside_roots"


def test_neighbour_with_the_same_beginning_is_outside(root: Path) -> None:
    (root.parent / "root2").mkdir()
    assert not PathPolicy.of((str(root),)).allows(str(root.parent / "root2"))


def test_roots_are_existing_absolute_folders(root: Path) -> None:
    for bad in ("relative", str(root / "file"), str(root / "missing")):
        with pytest.raises(TaskdeckError) as caught:
            PathPolicy.of((bad,))
        assert caught.value.code == "settings.invalid"
    assert PathPolicy.of((str(root), str(root / "up" / "root"))).roots == (str(root),)


@given(st.binary(min_size=1).filter(lambda raw: b"\0" not in raw))
def test_any_file_name_survives_the_way_through_json(raw: bytes) -> None:
    path = "/" + os.fsdecode(raw)
    carried = to_uri(path)
    carried.encode()
    if not path.startswith("file:"):
        assert os.fsencode(from_uri(carried)) == os.fsencode(path)


def test_file_uri_is_a_path(root: Path) -> None:
    policy = PathPolicy.of((str(root),))
    assert policy.source(f"file://{root}/file") == root / "file"
    assert from_uri("file:///a%20b") == "/a b"
    assert from_uri("file://elsewhere/a") == "file://elsewhere/a"


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        (errno.EACCES, "path.unreadable"),
        (errno.ENOENT, "path.missing"),
        (errno.ENOSPC, "disk.full"),
        (errno.EISDIR, "path.kind"),
        (errno.ENAMETOOLONG, "value"),
        (errno.ELOOP, "path.outside_roots"),
        (errno.EIO, "disk.io"),
    ],
)
def test_every_refusal_of_the_system_has_a_code(number: int, wanted: str) -> None:
    error = unreadable("a\nb", OSError(number, os.strerror(number)))
    assert error.code == wanted and "\n" not in error.message
