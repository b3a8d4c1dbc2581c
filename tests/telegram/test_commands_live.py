"""Commands end to end: typed by a person, through MTProto and the real engines, to the reply in the guide's layout."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from engines.model import TaskState
from tests.support.operations import added_operations as extra_operations
from tests.telegram.bot import running_bot, settings_for
from tests.telegram_server import TelegramServer

pytestmark = pytest.mark.pyrogram


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


async def test_zip_makes_the_archive_and_replies_in_the_guides_layout(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        asked = ann.say(f"/zip {root}/my movies zip 9")
        await ann.receives(lambda m: "my movies" in m.text and m.reply_to == asked.id)
        reply = await ann.receives(lambda m: "Archive Created Successfully!" in m.text)
    lines = reply.text.splitlines()
    assert lines[0] == "✅ Archive Created Successfully!"
    assert "📦 Format: ZIP" in lines
    assert "📁 Filename: my movies.zip" in lines
    assert f"📁 Location: {root}/my movies.zip" in lines
    with zipfile.ZipFile(root / "my movies.zip") as archive:
        assert archive.testzip() is None
        assert archive.read("my movies/a.txt") == b"alpha " * 2000


async def test_archive_commands_answer_one_another(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    make_zip(root / "it's <odd> & “quoted”.zip", {"in/one.txt": b"1" * 5000, "in/two.txt": b"2" * 5000})
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/zipinfo it's <odd> & “quoted”.zip")  # relative, unquoted, with spaces and markup
        info = await ann.receives(lambda m: "Archive Information" in m.text)
        assert "📁 File: it's <odd> & “quoted”.zip" in info.text
        assert "📊 Files: 2" in info.text
        ann.say("/ziptest “it's <odd> & \\“quoted\\”.zip”")
        await ann.receives(lambda m: "ziptest failed" not in m.text and m.id > info.id and "2" in m.text)
        ann.say("/unzip@taskdeck_test_bot 'it\\'s <odd> & “quoted”.zip'\n out")
        done = await ann.receives(lambda m: "Archive Extracted Successfully!" in m.text)
    assert "📦 Files Extracted: 2" in done.text
    assert len(list((root / "out").rglob("*.txt"))) == 2


async def test_media_commands_send_reports_and_a_real_photo(
    telegram: TelegramServer, tmp_path: Path, root: Path, clip: Path
) -> None:
    ann = telegram.person("Ann")
    (root / "clip.mp4").write_bytes(clip.read_bytes())
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/mediainfo clip.mp4")
        full = await ann.receives(lambda m: m.text.startswith("📊 Media Information"))
        assert "🎬 Video Streams:" in full.text
        ann.say("/mstats clip.mp4")
        await ann.receives(lambda m: m.text.startswith("📊 Quick Media Stats"))
        ann.say("/thumbnail clip.mp4 00:00:01")
        photo = await ann.receives(lambda m: m.media is not None)
    assert photo.media is not None
    assert photo.media.kind == "photo"
    assert photo.media.size == (320, 180)
    assert photo.text.startswith("✅ Thumbnail extracted successfully!")
    assert "📁 Source: clip.mp4" in photo.text


async def test_a_folder_with_a_damaged_film_is_told_as_failed_with_every_file(
    telegram: TelegramServer, tmp_path: Path, root: Path, clip: Path
) -> None:
    ann = telegram.person("Ann")
    films = root / "films"
    films.mkdir()
    (films / "whole.mp4").write_bytes(clip.read_bytes())
    (films / "empty.mp4").write_bytes(b"")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/mediatest films")
        failure = await ann.receives(lambda m: "found damage in 1 of 2 files" in m.text)
        rows = await ann.receives(lambda m: m.id > failure.id and "Damaged: 1 of 2" in m.text)
    assert "whole.mp4" in rows.text and "empty.mp4" in rows.text


async def test_a_video_answered_with_transcode_comes_back_smaller(
    telegram: TelegramServer, tmp_path: Path, root: Path, clip: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        sent = ann.upload("clip.mp4", clip.read_bytes(), mime="video/mp4")
        ann.say("/thumbnail 00:00:02", reply_to=sent)
        await ann.receives(lambda m: m.media is not None and m.media.kind == "photo")
        ann.say("/transcode h264 --crf 40 --speed fastest", reply_to=sent)
        made = await ann.receives(lambda m: m.media is not None and m.media.kind == "document")
    assert made.media is not None
    (tmp_path / "made").write_bytes(made.media.data)
    probe = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(tmp_path / "made")]
    assert float(subprocess.run(probe, capture_output=True, text=True, check=True, timeout=30).stdout) > 2.5


async def test_an_operation_that_joins_the_table_is_a_command_at_once(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    with extra_operations():
        async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
            menu = {command.command for command in telegram.commands["BotCommandScopeDefault"]}
            assert {"zip", "unzip", "zipinfo", "steps", "status", "pause", "help"} <= menu
            ann.say("/help steps")
            await ann.receives(lambda m: "Write a file in steps" in m.text and "--count" in m.text)
            ann.say("/steps made.bin --count 3")
            await ann.sees(lambda: (root / "made.bin").exists())
            assert (await bot.end_of((await bot.only_task("steps")).id)).state is TaskState.COMPLETED


async def test_pause_resume_cancel_retry_and_history_by_command(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    with extra_operations():
        async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
            ann.say("/steps long.bin --count 2000")
            board = await ann.receives(lambda m: "long.bin" in m.text)
            task = (await bot.only_task("steps")).id
            ann.say(f"/pause {task}")
            await ann.receives(lambda m: m.text.startswith(f"{task} long.bin: paus"))
            await ann.receives(lambda m: m.id >= board.id and "Paused" in m.text)
            ann.say("/resume all")
            await ann.receives(lambda m: m.text.startswith(f"{task} long.bin:") and "paus" not in m.text)
            ann.say(f"/status {task}")
            await ann.receives(lambda m: "Running" in m.text.capitalize() or "Compressing" in m.text)
            ann.say(f"/cancel {task}")
            await ann.receives(lambda m: m.text.startswith("🚫 Cancelled: long.bin"))
            ann.say("/history status:cancelled")
            await ann.receives(lambda m: m.text.startswith("History · 1") and "long.bin" in m.text)
            ann.say(f"/retry {task}")
            await ann.receives(lambda m: m.text.startswith(f"{task} long.bin: queued") or "running" in m.text)
            ann.say(f"/cancel {task}")
            assert (await bot.end_of(task)).state is TaskState.CANCELLED


async def test_history_tells_nothing_of_the_tasks_of_others(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann, ben = telegram.person("Ann"), telegram.person("Ben")
    with extra_operations():
        async with running_bot(telegram, tmp_path, settings_for(root, ann, ben, default_role="control")) as bot:
            for person, name in ((ann, "budget 1.bin"), (ann, "budget 2.bin"), (ben, "budget 3.bin")):
                person.say(f"/steps '{name}' --count 1")
                await person.receives(lambda m, name=name: m.text.startswith("✅") and name in m.text)  # type: ignore[misc]
            ben.say("/history budget")
            await ben.receives(lambda m: m.text.startswith("History · 1"))
            for words in (f"owner:telegram:{ann.id} budget", f"OWNER:telegram:{ann.id},telegram:{ben.id}", "x\\"):
                said = ben.say(f"/history {words}")
                answer = await ben.receives(lambda m, said=said: m.reply_to == said.id)  # type: ignore[misc]
                assert "access.denied" in answer.text or answer.text == "No ended tasks."
            assert not (await bot.tasks.stats()).counts["failed"]


async def test_stats_id_and_help_answer(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/stats")
        await ann.receives(lambda m: "Active tasks: 0" in m.text)
        ann.say("/id")
        await ann.receives(lambda m: f"You: {ann.id} (admin)" in m.text)
        ann.say("/help")
        everything = await ann.receives(lambda m: "/zip PATH [FORMAT] [LEVEL]" in m.text)
        ann.say("/nonsense")
        await ann.receives(lambda m: m.id > everything.id and "there is no such command" in m.text)


async def test_errors_say_what_why_and_what_to_do(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        ann.say("/zip /etc/passwd")
        refused = await ann.receives(lambda m: "path.outside_roots" in m.text)
        assert str(root) in refused.text
        ann.say("/zip ../../etc/passwd")
        await ann.receives(lambda m: m.id > refused.id and "path.outside_roots" in m.text)
        ann.say("/zip <b>gone</b>")
        await ann.receives(lambda m: "cannot find '<b>gone</b>'" in m.text and "path.missing" in m.text)
        ann.say('/zip "open')
        await ann.receives(lambda m: "a quote is not closed" in m.text)
        ann.say("/zip 'my movies' zip 12")
        await ann.receives(lambda m: "value" in m.text and "level" in m.text)
        assert (await bot.tasks.stats()).counts.get("completed", 0) == 0


async def test_long_results_are_sent_whole(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    names = [f"folder/a member with a rather long name so that it counts {number:04d}.txt" for number in range(900)]
    make_zip(root / "many.zip", dict.fromkeys(names, b""))
    make_zip(root / "some.zip", dict.fromkeys(names[:90], b""))
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/zipinfo some.zip --tree")
        await ann.receives(lambda m: "0089" in m.text)
        pages = [m for m in ann.from_bot() if "with a rather long name" in m.text]
        assert len(pages) > 1
        ann.say("/zipinfo many.zip --tree")
        file = await ann.receives(lambda m: m.media is not None)
    assert file.media is not None
    assert file.media.name.endswith(".txt")
    assert all(f"{number:04d}.txt" in file.media.data.decode() for number in (0, 190))


async def test_a_question_shows_typing_at_once_and_its_result_once(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    with zipfile.ZipFile(root / "a.zip", "w") as archive:
        archive.writestr("x", "y")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        ann.say("/zipinfo a.zip")
        await ann.receives(lambda m: "Archive Information" in m.text)
        assert telegram.typing == [(ann.id, None)]
        await bot.end_of((await bot.only_task("zipinfo")).id)
        ann.say("/zip 'my movies'")
        await ann.receives(lambda m: "Archive Created" in m.text)
        assert sum("Archive Information" in m.text for m in ann.chat) == 1


async def test_words_that_are_no_password_are_not_deleted(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    with zipfile.ZipFile(root / "my archive.zip", "w") as archive:
        archive.writestr("x", "y")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        plain = ann.say("/unzip my archive.zip out")
        await ann.receives(lambda m: "Archive Extracted" in m.text)
        assert not plain.deleted
        with_password = ann.say("/unzip my archive.zip out s3cret")
        await ann.sees(lambda: with_password.deleted)
        unclear = ann.say("/unzip gone.zip out s3cret words")
        await ann.receives(lambda m: "one word too many" in m.text)
        assert unclear.deleted


async def test_everything_an_operation_made_is_sent(
    telegram: TelegramServer, tmp_path: Path, root: Path, clip: Path
) -> None:
    ann = telegram.person("Ann")
    (root / "clip.mkv").write_bytes(clip.read_bytes())
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/tracks clip.mkv --send")
        made = await ann.receives(lambda m: m.media is not None)
        assert made.media is not None and made.media.name.startswith("clip.")
