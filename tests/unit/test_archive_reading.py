"""The pure parts of unpacking: names, links, volumes, limits, code pages, selection, listings and replies."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.archive.containment import components, link_stays_inside
from engines.archive.encodings import Decoder, detect, known
from engines.archive.extract.replies import unzip_reply, zipinfo_reply, ziptest_reply
from engines.archive.extract.selection import Selector
from engines.archive.extract.sevenzip_list import ListParser
from engines.archive.extract.tar_headers import MalformedError, nanoseconds, number, pax_records
from engines.archive.member import Member, MemberKind
from engines.archive.pages import page
from engines.archive.volumes import gather
from engines.errors import TaskdeckError
from engines.operations import Unzip, ZipInfo, ZipTest


@given(st.text(max_size=60))
def test_components_never_lead_anywhere_else(name: str) -> None:
    try:
        parts = components(name)
    except TaskdeckError as error:
        assert error.code in ("archive.escape", "archive.limit")
        return
    assert not any(part in ("", ".", "..") or "/" in part or "\0" in part for part in parts)


@given(st.lists(st.sampled_from(["a", "b", "..", ".", ""]), max_size=8), st.integers(1, 4))
def test_link_that_passes_resolves_inside(target: list[str], depth: int) -> None:
    parts = (*(f"d{n}" for n in range(depth - 1)), "link")
    text = "/".join(target)
    if link_stays_inside(parts, text):
        resolved = os.path.normpath("/".join(("/root", *parts[:-1], text)))
        assert resolved == "/root" or resolved.startswith("/root/")


@pytest.mark.parametrize("target", ["/etc/passwd", "../x", "a/../../x", "", "x\0", "a" * 5000])
def test_links_that_lead_outside_are_seen(target: str) -> None:
    assert not link_stays_inside(("link",), target)


def test_selection_matches_whole_names_parents_and_last_parts() -> None:
    select = Selector(("*.txt", "docs", "src/*.py"))
    assert select.wants(("a", "b.txt"))
    assert select.wants(("docs", "deep", "x.jpg"))
    assert select.wants(("src", "m.py"))
    assert not select.wants(("other", "m.py"))
    assert not select.wants(("a", "b.jpg"))
    assert Selector(("./src/m.py",)).wants(("src", "m.py"))
    assert Selector(()).wants(("anything",))


@pytest.mark.parametrize(
    ("given_name", "names", "expected"),
    [
        ("a.7z.002", ["a.7z.001", "a.7z.002", "a.7z.003"], ["a.7z.001", "a.7z.002", "a.7z.003"]),
        ("a.z02", ["a.z01", "a.z02", "a.zip"], ["a.z01", "a.z02", "a.zip"]),
        ("a.zip", ["a.z01", "a.zip"], ["a.z01", "a.zip"]),
        ("a.part2.rar", ["a.part1.rar", "a.part2.rar"], ["a.part1.rar", "a.part2.rar"]),
        ("a.part02.rar", ["a.part01.rar", "a.part02.rar"], ["a.part01.rar", "a.part02.rar"]),
        ("a.r01", ["a.rar", "a.r00", "a.r01"], ["a.rar", "a.r00", "a.r01"]),
        ("a.rar", ["a.rar", "b.r00"], ["a.rar"]),
        ("notes.2024", ["notes.2024"], ["notes.2024"]),
    ],
)
def test_volumes_are_gathered_from_any_part(
    tmp_path: Path, given_name: str, names: list[str], expected: list[str]
) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert [path.name for path in gather(tmp_path / given_name)] == expected


@pytest.mark.parametrize(
    ("given_name", "names", "missing"),
    [
        ("a.7z.003", ["a.7z.001", "a.7z.003"], "a.7z.002"),
        ("a.z01", ["a.z01"], "a.zip"),
        ("a.r00", ["a.r00"], "a.rar"),
        ("a.part3.rar", ["a.part1.rar", "a.part3.rar"], "a.part2.rar"),
    ],
)
def test_missing_volume_is_named(tmp_path: Path, given_name: str, names: list[str], missing: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(TaskdeckError) as caught:
        gather(tmp_path / given_name)
    assert caught.value.code == "archive.volume"
    assert missing in caught.value.message


@pytest.mark.parametrize(
    ("codec", "names"),
    [
        ("cp932", ["日本語/テスト.txt", "写真.jpg", "ソース一覧.doc"]),
        ("cp936", ["中文文件夹/测试文件.txt", "说明.doc"]),
        ("cp949", ["한국어/테스트.txt", "사진.jpg"]),
        ("cp1251", ["Документы/Отчёт за год.txt"]),
        ("cp866", ["Документы/Отчет за год.txt"]),
        ("cp437", ["Übung/café.txt", "Größe.txt"]),
        ("cp437", ["Größe.txt"]),
        ("utf-8", ["日本語", "Привет", "plain"]),
    ],
)
def test_code_page_is_guessed_from_all_names(codec: str, names: list[str]) -> None:
    raw = [name.encode(codec) for name in names]
    decoder = Decoder()
    decoder.learn(raw)
    assert [decoder.decode(item) for item in raw] == names


def test_undecodable_names_lose_nothing() -> None:
    raw = b"\xff\xfe\x81name"
    assert os.fsencode(Decoder("utf-8").decode(raw)) == raw
    assert detect([b"plain"]) == "utf-8"
    with pytest.raises(TaskdeckError):
        known("cp99999")
    with pytest.raises(TaskdeckError):
        known("base64")


def test_tar_numbers_octal_and_binary() -> None:
    assert number(b"0000644\0") == 0o644
    assert number(b"\x80" + bytes(10) + b"\x07") == 7
    assert number(b"\xff" * 12) == -1
    assert number(bytes(8)) == 0
    with pytest.raises(MalformedError):
        number(b"98765432")


@given(st.binary(max_size=80))
def test_garbled_pax_records_are_refused_cleanly(data: bytes) -> None:
    try:
        pax_records(data, {}, [])
    except MalformedError:
        return


def test_listing_of_7zz_is_read() -> None:
    text = """Path = a.7z
Solid = +

----------
Path = a/b = c.txt
Size = 12
Packed Size =
Modified = 2024-01-02 03:04:05.5
Attributes = A -rwxr-xr-x
CRC = 0000000F
Encrypted = +

Path = a
Folder = +
"""
    parser = ListParser("7z", 1)
    for line in text.splitlines():
        parser.line(line)
    found = parser.end()
    assert [member.name for member in found.members] == ["a/b = c.txt", "a"]
    assert found.members[0].mode == 0o755
    assert found.members[0].crc == 15
    assert found.members[0].mtime_ns == 1_704_164_645_500_000_000
    assert found.members[1].kind is MemberKind.FOLDER
    assert found.encrypted
    assert found.solid


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"1", 1_000_000_000),
        (b"1.", 1_000_000_000),
        (b"1.5", 1_500_000_000),
        (b"1700000000.123456789", 1_700_000_000_123_456_789),
        (b"1700000000.12345678999", 1_700_000_000_123_456_789),
        (b"-1", -1_000_000_000),
        (b"-1.5", -1_500_000_000),
        (b"-0.000000001", -1),
        (b"-0.0000000001", -1),
        (b"-1.0000000010000", -1_000_000_001),
        (b"-1.0000000010001", -1_000_000_002),
        (b"999999999999999.1", 999_999_999_999_999_100_000_000),
        (b"1000000000000000", 0),
        (b"nan", 0),
        (b"1e5", 0),
        (b"", 0),
        (b"-", 0),
        (b"1.5\n", 0),
    ],
)
def test_pax_times_are_read_without_rounding(text: bytes, expected: int) -> None:
    assert nanoseconds(text) == expected


def test_pages_of_a_folder_show_folders_first_with_sums() -> None:
    members = [Member("a/x", size=3), Member("a/y", size=4), Member("b.txt", size=5), Member("a/d/z", size=6)]
    rows, total = page(members, "")
    assert [(row.name, row.kind, row.size) for row in rows] == [("a", "folder", 13), ("b.txt", "file", 5)]
    rows, total = page(members, "a", offset=1, limit=1)
    assert total == 3
    assert [row.name for row in rows] == ["x"]


def test_pages_order_numbers_in_names_by_their_value() -> None:
    members = [Member(name) for name in ("f10", "f2", "F1", "f1", "d10/x", "d9/x", "f02", "e\u00b2")]
    assert [row.name for row in page(members, "")[0]] == ["d9", "d10", "e\u00b2", "F1", "f1", "f02", "f2", "f10"]


def test_replies_follow_the_guide() -> None:
    result = {
        "archive": "archive.zip",
        "files": 247,
        "links": 0,
        "size": 3_140_000_000,
        "seconds": 32.15,
        "destination": "/tmp/extracted",
        "left_out": [],
        "left_out_count": 0,
        "broken": [],
        "broken_count": 0,
        "warnings": [],
    }
    text = unzip_reply(Unzip(path="x"), result).render(emoji=True)
    assert text == (
        "✅ Archive Extracted Successfully!\n\n📁 Archive: archive.zip\n📦 Files Extracted: 247\n"
        "💾 Total Size: 3.14 GB\n⏱️ Time Taken: 32.15s\n🚀 Speed: 97.67 MB/s\n\n📁 Destination: /tmp/extracted"
    )
    shown = {
        "archive": "archive.zip",
        "files": 247,
        "size": 3_140_000_000,
        "packed": 2_850_000_000,
        "ratio": 9.24,
        "format": "zip",
        "encrypted": False,
        "volumes": 1,
        "warnings": [],
        "show": "tree",
        "total_members": 2,
        "truncated": False,
        "members": [{"name": "a/b.txt", "size": 3}, {"name": "a/l", "kind": "symlink", "link": "b.txt"}],
    }
    lines = zipinfo_reply(ZipInfo(path="x"), shown).render(emoji=True).splitlines()
    assert lines[:7] == [
        "📦 Archive Information",
        "",
        "📁 File: archive.zip",
        "📊 Files: 247",
        "💾 Original Size: 3.14 GB",
        "📦 Compressed Size: 2.85 GB",
        "📈 Compression Ratio: 9.2%",
    ]
    assert "a/" in lines
    assert "  b.txt  3 B" in lines
    tested = {"archive": "x", "files": 2, "size": 10, "seconds": 1.0}
    assert "Files Verified: 2" in ziptest_reply(ZipTest(path="x"), tested).render(emoji=False)
    assert msgspec.json.encode(tested)
