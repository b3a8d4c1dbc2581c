"""Files both ways: byte-equal, as tasks, through floods, lost parts, lost connections and restarts."""

from __future__ import annotations

import asyncio
import io
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines.model import Action, Actor, TaskState
from tests.telegram.bot import running_bot, settings_for
from tests.telegram_server import Media, Person, RpcError, TelegramServer
from tui_app.telegram import upload

pytestmark = pytest.mark.pyrogram

MB = 1_000_000
ME = Actor("telegram:1000", "telegram")


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


async def received(person: Person, wanted: Callable[[Media], bool] = lambda _: True, *, limit: float = 60) -> Media:
    message = await person.receives(lambda m: m.media is not None and wanted(m.media), limit=limit)
    assert message.media is not None
    return message.media


async def until(condition: Callable[[], bool], *, limit: float = 60) -> None:
    """Return once a condition holds; polled, for it changes outside the chat."""
    async with asyncio.timeout(limit):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_25_megabytes_come_and_go_byte_equal(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    data = noise(25 * MB)
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        asked = ann.upload("big <1>.bin", data)
        offer = await ann.receives(lambda m: m.reply_to == asked.id and "Save" in str(m.buttons))
        await ann.press(offer, "Save")
        saved = await ann.receives(lambda m: "File Saved!" in m.text)
        assert "📁 File: big <1>.bin" in saved.text
        path = root / "Telegram" / "big <1>.bin"
        assert path.read_bytes() == data
        ann.say(f"/send '{path}'")
        media = await received(ann, lambda m: m.name == "big <1>.bin" and m is not asked.media)
        assert media.kind == "document"
        assert media.data == data
        await bot.end_of((await bot.only_task("send")).id)
        stats = await bot.tasks.stats()
        assert (stats.total_downloads, stats.total_uploads) == (1, 1)


async def test_a_file_answered_with_a_command_comes_back_done(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        sent = ann.upload("notes.txt", b"words " * 1000)
        ann.say("/zip tar.gz 9", reply_to=sent)
        archive = await received(ann, lambda m: m.name == "notes.txt.tar.gz")
        assert archive.data[:2] == b"\x1f\x8b"
        ann.upload("two.zip", zipped({"a.txt": b"first", "b.txt": b"second"}), "/unzip")
        assert (await received(ann, lambda m: m.name == "a.txt")).data == b"first"
        assert (await received(ann, lambda m: m.name == "b.txt")).data == b"second"
        ann.upload("list.zip", zipped({"seen.txt": b"x"}), "/zipinfo --tree")
        await ann.receives(lambda m: "Archive Information" in m.text and "seen.txt" in m.text)


async def test_pack_and_send_is_one_command(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    ops = telegram.group("Ops")
    async with running_bot(telegram, tmp_path, settings_for(root, ann, allowed_chats=(ops,))):
        ann.say(f"/zip my movies --send-to {ops}")
        message = await ann.receives(lambda m: m.media is not None and m.chat_id == ops)
        assert message.media is not None
        with zipfile.ZipFile(io.BytesIO(message.media.data)) as archive:
            assert archive.testzip() is None
        ann.say("/zip my movies --send-to 999999")
        await ann.receives(lambda m: "cannot use chat 999999" in m.text)


async def test_a_picture_goes_where_it_is_to_be_sent_too(
    telegram: TelegramServer, tmp_path: Path, root: Path, clip: Path
) -> None:
    ann = telegram.person("Ann")
    ops = telegram.group("Ops")
    (root / "clip.mp4").write_bytes(clip.read_bytes())
    async with running_bot(telegram, tmp_path, settings_for(root, ann, allowed_chats=(ops,))):
        ann.say(f"/thumbnail clip.mp4 --send-to {ops}")
        await ann.receives(lambda m: m.media is not None and m.chat_id == ops)
        assert sum(m.media is not None and m.chat_id == ann.id for m in ann.from_bot()) == 1


async def test_a_flooded_part_costs_only_itself(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    data = noise(12 * MB)
    (root / "a.bin").write_bytes(data)
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        telegram.fail("upload.SaveBigFilePart", "FLOOD_WAIT_1", 420, times=3)
        ann.say("/send a.bin")
        assert (await received(ann)).data == data
        assert telegram.count("upload.SaveBigFilePart") == -(-12 * MB // (512 * 1024)) + 3


async def test_a_lost_key_costs_no_upload(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    data = noise(12 * MB)
    (root / "a.bin").write_bytes(data)
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        telegram.fail("upload.SaveBigFilePart", "AUTH_KEY_UNREGISTERED", 401, times=3)
        ann.say("/send a.bin")
        assert (await received(ann)).data == data


async def test_a_result_of_any_size_is_sent(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    data = noise(12 * MB)
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        ann.say("/id")
        await ann.receives(lambda m: "You:" in m.text)
        await bot.service._transfers.send_bytes(ann.id, "sheet.png", data)
        assert (await received(ann)).data == data


async def test_parts_the_service_lost_are_sent_again(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    data = noise(11 * MB)
    (root / "a.bin").write_bytes(data)
    lost: list[int] = []

    def lose_a_part(name: str, request: Any) -> RpcError | None:
        if name == "messages.SendMedia" and not lost:
            lost.append(request.media.file.id)
            del telegram.parts[request.media.file.id][7]
        return None

    telegram.rules.append(lose_a_part)
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/send a.bin")
        assert (await received(ann)).data == data


async def test_a_lost_connection_during_upload_is_survived(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    data = noise(15 * MB)
    (root / "a.bin").write_bytes(data)
    telegram.delays["upload.SaveBigFilePart"] = 0.02
    async with running_bot(telegram, tmp_path, settings_for(root, ann)):
        ann.say("/send a.bin")
        await until(lambda: telegram.received_bytes > 4 * MB)
        telegram.drop_connections()
        assert (await received(ann)).data == data
        assert sum(m.media is not None for m in ann.from_bot()) == 1


async def test_an_answer_lost_after_sending_makes_no_second_message(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    (root / "a.bin").write_bytes(b"x" * 1000)
    genuine = telegram.messages_SendMedia
    cut: list[bool] = []

    def send_and_cut(request: Any) -> Any:
        result = genuine(request)
        if not cut:
            cut.append(True)
            telegram.drop_connections()
        return result

    telegram.messages_SendMedia = send_and_cut  # type: ignore[method-assign]
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        ann.say("/send a.bin")
        await received(ann)
        task = await bot.only_task("send")
        assert (await bot.end_of(task.id)).state is TaskState.COMPLETED
        assert sum(m.media is not None for m in ann.from_bot()) == 1


async def test_a_file_whose_receipt_was_lost_long_ago_is_not_sent_twice(
    telegram: TelegramServer, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = telegram.person("Ann")
    (root / "a.bin").write_bytes(b"x" * 1000)
    telegram.late["messages.SendMedia"] = 60.0
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        ann.say("/send a.bin")
        await received(ann)
        await bot.service.stop()
    telegram.late.clear()
    monkeypatch.setattr(upload, "PARTS_KEPT", 0.0)  # the parts are not counted on any more
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        assert (await bot.end_of((await bot.only_task("send")).id)).state is TaskState.COMPLETED
    assert sum(m.media is not None for m in ann.from_bot()) == 1


async def test_uploads_pause_and_resume_and_cancel(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    data = noise(40 * MB)
    (root / "a.bin").write_bytes(data)
    telegram.delays["upload.SaveBigFilePart"] = 0.5
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        ann.say("/send a.bin")
        await until(lambda: telegram.received_bytes > 2 * MB)
        task = await bot.only_task("send")
        await bot.tasks.control([task.id], Action.PAUSE, actor=ME)
        still = -1
        while telegram.received_bytes != still:  # parts under way may still arrive
            still = telegram.received_bytes
            await asyncio.sleep(1.0)
        assert still < len(data)
        await bot.tasks.control([task.id], Action.RESUME, actor=ME)
        await until(lambda: telegram.received_bytes > still + 2 * MB)
        await bot.tasks.control([task.id], Action.CANCEL, actor=ME)
        assert (await bot.end_of(task.id)).state is TaskState.CANCELLED
        assert not any(m.media for m in ann.from_bot())


async def test_stop_during_upload_waits_for_no_part_and_it_goes_on_after_a_restart(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    data = noise(20 * MB)
    (root / "a.bin").write_bytes(data)
    telegram.delays["upload.SaveBigFilePart"] = 0.15
    loop = asyncio.get_running_loop()
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        ann.say("/send a.bin")
        await until(lambda: telegram.received_bytes > 8 * MB)
        telegram.delays["upload.SaveBigFilePart"] = 60.0
        task = await bot.only_task("send")
        before = loop.time()
        await bot.service.stop()
        assert loop.time() - before < 20  # five on a machine that is not busy; a part would take a minute
    assert not any(m.media for m in ann.from_bot())
    telegram.delays.clear()
    sent = telegram.count("upload.SaveBigFilePart")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        assert (await received(ann)).data == data
        assert (await bot.end_of(task.id)).state is TaskState.COMPLETED
    again = telegram.count("upload.SaveBigFilePart") - sent
    assert again < -(-20 * MB // (512 * 1024))


async def test_a_download_goes_on_where_it_stopped(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    data = noise(80 * MB)
    telegram.delays["upload.GetFile"] = 0.02
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        offer_for = ann.upload("a.bin", data)
        offer = await ann.receives(lambda m: m.reply_to == offer_for.id)
        await ann.press(offer, "Save")
        await until(lambda: telegram.count("upload.GetFile") > 45)
        telegram.delays["upload.GetFile"] = 60.0
        await bot.service.stop()
        assert not (root / "Telegram" / "a.bin").exists()
    telegram.delays.clear()
    before = telegram.count("upload.GetFile")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        await ann.receives(lambda m: "File Saved!" in m.text)
    assert (root / "Telegram" / "a.bin").read_bytes() == data
    assert telegram.count("upload.GetFile") - before < 60
    assert [p.name for p in (root / "Telegram").iterdir()] == ["a.bin"]


async def test_a_file_that_is_replaced_while_it_is_saved_is_not_mixed_with_the_other(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    data, other = noise(8 * MB), bytes(8 * MB)
    telegram.delays["upload.GetFile"] = 0.5
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        asked = ann.upload("a.bin", data)
        offer = await ann.receives(lambda m: m.reply_to == asked.id)
        await ann.press(offer, "Save")
        await until(lambda: telegram.count("upload.GetFile") > 1)
        replacement = ann.upload("a.bin", other)
        asked.media = replacement.media
        telegram.fail("upload.GetFile", "FILE_REFERENCE_EXPIRED", times=2)
        await ann.receives(lambda m: "path.changed" in m.text)
        assert list((root / "Telegram").iterdir()) == []
        task = await bot.only_task("receive")
        await bot.tasks.control([task.id], Action.RETRY, actor=ME)
        assert (await bot.end_of(task.id)).state is TaskState.COMPLETED
        assert (root / "Telegram" / "a.bin").read_bytes() == other


async def test_a_cancelled_download_leaves_nothing(telegram: TelegramServer, tmp_path: Path, root: Path) -> None:
    ann = telegram.person("Ann")
    telegram.delays["upload.GetFile"] = 0.05
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        asked = ann.upload("a.bin", noise(30 * MB))
        offer = await ann.receives(lambda m: m.reply_to == asked.id)
        await ann.press(offer, "Save")
        await until(lambda: telegram.count("upload.GetFile") > 5)
        telegram.delays["upload.GetFile"] = 60.0
        task = await bot.only_task("receive")
        await bot.tasks.control([task.id], Action.CANCEL, actor=ME)
        assert (await bot.end_of(task.id)).state is TaskState.CANCELLED
        assert list((root / "Telegram").iterdir()) == []


async def test_a_button_under_a_file_works_again_once_its_task_has_ended(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    telegram.delays["upload.GetFile"] = 60.0
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        asked = ann.upload("a.bin", noise(5 * MB))
        offer = await ann.receives(lambda m: m.reply_to == asked.id)
        await asyncio.gather(ann.press(offer, "Save"), ann.press(offer, "Save"))
        task = await bot.only_task("receive")
        await bot.tasks.control([task.id], Action.CANCEL, actor=ME)
        assert (await bot.end_of(task.id)).state is TaskState.CANCELLED
        telegram.delays.clear()
        for name in ("a.bin", "a (2).bin"):
            await ann.press(offer, "Save")
            await ann.receives(lambda m, name=name: f"Telegram/{name}" in m.text)  # type: ignore[misc]
        counts = (await bot.tasks.stats()).counts
        assert (counts["completed"], counts["cancelled"]) == (2, 1)


async def test_files_above_the_limit_go_in_parts_read_from_the_file(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    data = noise(5 * MB)
    (root / "a.bin").write_bytes(data)
    limit = 2 * 1024 * 1024
    async with running_bot(telegram, tmp_path, settings_for(root, ann), file_limit=limit):
        ann.say("/send a.bin")
        manifest = await received(ann, lambda m: m.name == "a.bin.parts.txt")
        parts = [m.media for m in ann.from_bot() if m.media and m.media.name != manifest.name]
    assert [part.name for part in parts] == ["a.bin.001", "a.bin.002", "a.bin.003"]
    assert b"".join(part.data for part in parts) == data
    assert {path.name for path in root.iterdir()} == {"a.bin", "my movies"}
    (tmp_path / "joined").mkdir()
    for part in parts:
        (tmp_path / "joined" / part.name).write_bytes(part.data)
    sums = "\n".join(line for line in manifest.data.decode().splitlines() if "  a.bin." in line)
    process = await asyncio.create_subprocess_exec(
        "sha256sum", "--check", "--status", cwd=tmp_path / "joined", stdin=asyncio.subprocess.PIPE
    )
    await process.communicate(sums.encode() + b"\n")
    assert process.returncode == 0


async def test_names_that_people_send_stay_inside_the_inbox(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    names = ["../../escape.bin", "/etc/passwd", "..", ".hidden", "a\nb\u202egnp.exe", "x" * 300 + ".bin"]
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        for name in names:
            asked = ann.upload(name, b"data")
            offer = await ann.receives(lambda m, asked=asked: m.reply_to == asked.id)  # type: ignore[misc]
            await ann.press(offer, "Save")
            await bot.end_of((await bot.only_task("receive")).id)
    saved = sorted(path.name for path in (root / "Telegram").iterdir())
    assert len(saved) == len(names)
    assert all(os.sep not in name and not name.startswith(".") and len(name.encode()) <= 255 for name in saved)
    assert not (tmp_path / "escape.bin").exists()


async def test_what_cannot_be_sent_is_refused_before_a_task_is_made(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann = telegram.person("Ann")
    (root / "empty").touch()
    (root / "leak").symlink_to("/etc/passwd")
    async with running_bot(telegram, tmp_path, settings_for(root, ann)) as bot:
        ann.say("/send empty")
        await ann.receives(lambda m: "Telegram takes no empty files" in m.text)
        ann.say("/send 'my movies'")
        await ann.receives(lambda m: "it is not a file" in m.text)
        ann.say("/send leak")
        await ann.receives(lambda m: "cannot" in m.text and "leak" in m.text)
        assert telegram.count("messages.SendMedia") == 0
        assert not any((await bot.tasks.stats()).counts.values())


async def test_nobody_can_take_files_out_of_somebody_elses_chat(
    telegram: TelegramServer, tmp_path: Path, root: Path
) -> None:
    ann, ben = telegram.person("Ann"), telegram.person("Ben")
    async with running_bot(telegram, tmp_path, settings_for(root, ann, ben, default_role="control")):
        private = ann.upload("diary.txt", b"dear diary")
        await ann.receives(lambda m: m.reply_to == private.id)
        ben.say(f"/receive {ann.id} {private.id}")
        await ben.receives(lambda m: f"cannot use chat {ann.id}" in m.text)
        ben.say(f"/send 'my movies/a.txt' {ann.id}")
        await ben.receives(lambda m: f"cannot use chat {ann.id}" in m.text and m.reply_to is not None)
        assert not (root / "Telegram").exists()
        assert not any(m.media for m in ann.from_bot())
