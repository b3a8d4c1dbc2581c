"""Names of other times and systems, in formats of Unix: read when their code page is certain, kept when it is not."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from engines.archive.backends import bundled_sevenzip
from engines.archive.extract.job import Unpacked, run
from engines.archive.inspect import ArchiveInfo, run_info, run_test
from engines.errors import TaskdeckError
from engines.operations import Conflict, Unzip, ZipInfo, ZipTest
from tests.support.jobs import RecordingJob

LANGUAGES = {
    "cp932": ["写真/夏休み.jpg", "写真/運動会.jpg", "資料/ソフト一覧.txt"],
    "cp936": ["照片/暑假.jpg", "照片/运动会.jpg", "文件/软件列表.txt"],
    "cp949": ["사진/여름방학.jpg", "사진/운동회.jpg", "문서/보고서.doc"],
    "cp1251": ["Фото/Лето.jpg", "Фото/Дача.jpg", "Документы/Отчёт.doc"],
    "cp866": ["Фото/Лето.jpg", "Фото/Дача.jpg", "Документы/Отчёт.doc"],
    "cp437": ["Bilder/Größe.jpg", "Übung/Äpfel.jpg", "Café/résumé.doc", "Ñandú/año.txt", "Fête/Noël à Nîmes.jpg"]
    + [f"Müller/Prüfung für Jürgen, Übergrößen {number}.txt" for number in range(3)],
}


def tar_of(path: Path, names: list[str], codec: str, mode: str = "w") -> Path:
    """A tar whose names are in a code page, with a hard and a symbolic link of the first."""
    with tarfile.open(path, mode, format=tarfile.GNU_FORMAT, encoding=codec) as out:  # type: ignore[call-overload]
        for name in names:
            item = tarfile.TarInfo(name)
            item.size = len(name.encode())
            out.addfile(item, io.BytesIO(name.encode()))
        for name, kind, target in (
            ("twin", tarfile.LNKTYPE, names[0]),
            ("link", tarfile.SYMTYPE, names[0]),
        ):
            item = tarfile.TarInfo(name)
            item.type, item.linkname = kind, target
            out.addfile(item)
    return path


def unzip(path: Path, **options: object) -> Unpacked:
    op = Unzip(path=str(path), destination=str(path.parent / "out"), **options)  # type: ignore[arg-type]
    return run(op, RecordingJob(path.parent, secrets={"password": "secret"}))


def info(path: Path) -> ArchiveInfo:
    return run_info(ZipInfo(path=str(path)), RecordingJob(path.parent))


@pytest.mark.parametrize("codec", LANGUAGES)
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_names_of_a_tar_are_read_in_their_code_page(tmp_path: Path, codec: str, given: bool, mode: str) -> None:
    names = LANGUAGES[codec]
    archive = tar_of(tmp_path / "x.tar", names, codec, mode)
    result = unzip(archive, encoding=codec if given else None)
    for name in (*names, "twin", "link"):
        assert (tmp_path / "out" / name).read_text() in names
    assert (tmp_path / "out/twin").samefile(tmp_path / "out" / names[0])
    assert os.readlink(tmp_path / "out/link") == names[0]
    if given:
        assert result.encoding == codec
    else:
        assert [row.name for row in info(archive).members][: len(names)] == names
        assert run_test(ZipTest(path=str(archive)), RecordingJob(tmp_path)).files == len(names) + 2


def test_bytes_of_names_too_short_to_judge_are_kept_and_told_of(tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "x.tar", ["Größe.txt"], "cp1252")
    result = unzip(archive)
    assert "Größe.txt".encode("cp1252") in os.listdir(os.fsencode(tmp_path / "out"))
    assert "--encoding" in result.warnings[0] and "--encoding" in info(archive).warnings[0]
    assert result.encoding == ""


def test_bytes_of_names_are_kept_on_request(tmp_path: Path) -> None:
    names = LANGUAGES["cp932"]
    unzip(tar_of(tmp_path / "x.tar", names, "cp932"), encoding="utf-8")
    kept = os.path.join(os.fsencode(tmp_path / "out"), names[0].encode("cp932"))
    assert os.path.exists(kept)
    assert (tmp_path / "out/twin").read_text() == names[0]


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("command", [["zip", "-q", "-P", "secret"], [bundled_sevenzip(), "a", "-bso0", "-mm=PPMd"]])
def test_names_of_a_zip_that_another_program_decodes_are_read(tmp_path: Path, command: list[str], given: bool) -> None:
    names = LANGUAGES["cp932"]
    plain = [
        "/".join(f"{number}{part}".ljust(len(item.encode("cp932")), "x") for part, item in enumerate(name.split("/")))
        for number, name in enumerate(names)
    ]
    for name, text in zip(plain, names, strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text * 100)
    subprocess.run([*command, "x.zip", *plain], cwd=tmp_path, check=True, timeout=60)
    archive = tmp_path / "x.zip"
    data = archive.read_bytes()
    for name, text in zip(plain, names, strict=True):
        data = data.replace(name.encode(), text.encode("cp932"))
    archive.write_bytes(data)
    encoding = "cp932" if given else None
    result = unzip(archive, encoding=encoding)
    assert result.encoding == "cp932" and result.files == 3
    for name in names:
        assert (tmp_path / "out" / name).read_text() == name * 100
    assert unzip(archive, encoding=encoding, files=("*.txt",), on_conflict=Conflict.OVERWRITE).files == 1
    with pytest.raises(TaskdeckError) as caught:
        unzip(archive, files=("*.none",))
    assert caught.value.code == "archive.member"


def test_names_of_a_cpio_archive_are_read_in_their_code_page(tmp_path: Path) -> None:
    names = LANGUAGES["cp932"]
    root = os.path.join(os.fsencode(tmp_path), b"root")
    for name in names:
        path = os.path.join(root, name.encode("cp932"))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(name)
    subprocess.run(["bsdtar", "--format=newc", "-cf", tmp_path / "x.cpio", "-C", root, "."], check=True, timeout=60)
    assert unzip(tmp_path / "x.cpio").encoding == "cp932"
    for name in names:
        assert (tmp_path / "out" / name).read_text() == name
