"""Whatever small tree is packed, foreign tools restore it exactly."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from engines.archive.create.job import run
from engines.operations import ArchiveFormat, Zip
from tests.support.jobs import RecordingJob
from tests.support.trees import picture, tool

NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=60
).filter(lambda name: name not in {".", ".."} and len(os.fsencode(name)) <= 255)  # fmt: skip
FILES = st.tuples(st.just("file"), st.binary(max_size=3000), st.sampled_from([0o400, 0o600, 0o644, 0o755, 0o777]))
LINKS = st.tuples(st.just("link"), NAMES, st.just(0))
FOLDERS = st.recursive(
    st.dictionaries(NAMES, FILES | LINKS, max_size=4),
    lambda inside: st.dictionaries(NAMES, FILES | LINKS | inside, max_size=4),
    max_leaves=8,
)
CHECKS = {ArchiveFormat.ZIP: ("bsdtar", "-xpf"), ArchiveFormat.TAR_GZ: ("tar", "-xpzf")}


def build(folder: Path, items: dict[str, object]) -> None:
    """Make the drawn tree."""
    folder.mkdir()
    for name, item in items.items():
        path = folder / name
        match item:
            case ("file", bytes(content), int(mode)):
                path.write_bytes(content)
                path.chmod(mode)
            case ("link", str(target), _):
                path.symlink_to(target)
            case dict():
                build(path, item)


@settings(max_examples=60, deadline=None)
@given(items=FOLDERS, form=st.sampled_from(sorted(CHECKS)), level=st.integers(0, 9))
def test_foreign_tools_restore_any_small_tree(items: dict[str, object], form: ArchiveFormat, level: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        build(root / "tree", items)
        result = run(Zip(path=str(root / "tree"), format=form, level=level), RecordingJob(root))
        (root / "out").mkdir()
        tool(*CHECKS[form], result.path, "-C", root / "out")
        assert picture(root / "out" / "tree") == picture(root / "tree")
