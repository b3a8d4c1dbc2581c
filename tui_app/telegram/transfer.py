"""The hosted jobs of the chat: `send` and `receive`, with progress, pause, cancel and checkpoints like any task."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import msgspec

from engines.errors import TaskdeckError
from engines.files import fit_name, free_path, numbered, remove, rename_exclusive, require_space, sync_folder
from engines.model import Json
from engines.names import display, safe_component
from engines.operations import Receive, Send
from engines.paths import PathPolicy, unreadable
from engines.settings import Settings
from engines.transfer.chat import ReceiveResult, SendResult, check_chat
from tui_app.telegram.gateway import (
    BIG_FILE,
    CAPTION_LIMIT,
    CHUNK,
    FILE_LIMIT,
    PART_SIZE,
    Delivery,
    Document,
    Duplicate,
    Flood,
    Gateway,
    GatewayError,
    PartMissing,
    Unreachable,
    Uploaded,
    utf16,
)
from tui_app.telegram.upload import Mark, Sender, Slice, fresh_mark

_SYNC_EVERY: Final = 32 * CHUNK
_PATIENCE: Final = 900.0
_PHOTO_LIMIT: Final = 10 * 1024 * 1024
_PHOTOS: Final = (".jpg", ".jpeg", ".png", ".webp")


class Job(Protocol):
    """What a hosted job gets: see `engines.tasks.hosted.HostedJob`."""

    @property
    def id(self) -> str: ...
    @property
    def checkpoint(self) -> Json | None: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def policy(self) -> PathPolicy: ...
    def progress(
        self, done: int, total: int | None = None, *, item: str = "", stage: str = "", unit: str = "bytes"
    ) -> None: ...
    def save(self, checkpoint: Json) -> None: ...
    def log(self, message: str, *, level: str = "info") -> None: ...
    def keep_partial(self) -> bool: ...
    async def ready(self) -> None: ...
    async def claim(self, path: Path) -> Path: ...
    async def release(self, path: Path) -> None: ...


class SendPoint(msgspec.Struct, frozen=True):
    """The checkpoint of `send`."""

    size: int
    modified: int
    piece: int
    mark: Mark
    digests: tuple[str, ...] = ()


class ReceivePoint(msgspec.Struct, frozen=True):
    """The checkpoint of `receive`: `done` bytes of the staged file are durable."""

    staged: str
    size: int
    done: int
    unique: str = ""
    """Of the document: a message may be given another file."""


class Transfers:
    """The two functions, bound to a connection.

    Args:
        gateway: Telegram.
        limit: Bytes of the largest file one message may carry.
    """

    def __init__(self, gateway: Gateway, *, limit: int = FILE_LIMIT) -> None:
        self._gateway = gateway
        self._limit = limit
        self._running: set[asyncio.Task[object]] = set()
        self._suspending = False

    async def suspend(self) -> None:
        """Stop what runs, so that it goes on from its checkpoint another time."""
        self._suspending = True
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=1.0)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            yield
        finally:
            self._running.discard(task)

    # send ----------------------------------------------------------------------------------------------------

    async def send(self, op: Send, job: Job) -> SendResult:
        """Upload a file and put it into a chat, in parts when it is larger than one message may be."""
        with self._counted():
            return await self._send(op, job)

    async def _send(self, op: Send, job: Job) -> SendResult:
        began = time.monotonic()
        chat = op.chat if op.chat is not None else _first_user(job.settings)
        check_chat(chat, job.settings)
        path = job.policy.source(op.path)
        with _opened(path, job.policy) as (fd, info):
            pieces = _pieces(fd, path.name, info.st_size, self._limit)
            point = _send_point(job.checkpoint, info)
            digests = list(point.digests)
            for number in range(point.piece, len(pieces)):
                mark = point.mark if number == point.piece else fresh_mark()
                await self._send_piece(op, job, chat, pieces, number, mark, info, digests)
            if len(pieces) > 1:
                await self._send_manifest(chat, op.topic, path.name, pieces, digests)
        size = info.st_size
        job.progress(size, size)
        return SendResult(str(path), display(path.name), size, len(pieces), chat, time.monotonic() - began)

    async def _send_piece(
        self,
        op: Send,
        job: Job,
        chat: int,
        pieces: list[Slice],
        number: int,
        mark: Mark,
        info: os.stat_result,
        digests: list[str],
    ) -> None:
        piece = pieces[number]
        total = info.st_size

        def save(mark: Mark) -> None:
            point = SendPoint(total, info.st_mtime_ns, number, mark, tuple(digests))
            job.save(msgspec.to_builtins(point))

        sender = Sender(
            self._gateway,
            job.ready,
            lambda sent: job.progress(min(piece.offset + sent, total), total, item=piece.name),
            save,
        )
        caption = op.caption if number == 0 and utf16(op.caption) <= CAPTION_LIMIT else ""
        while True:
            if len(pieces) > 1:
                piece.digest = hashlib.sha256()
            save(mark)
            uploaded, mark = await sender.upload(piece, mark)
            if _changed(piece.fd, info):
                raise TaskdeckError(
                    "path.changed", f"cannot send '{display(op.path)}'", "the file changed meanwhile", "send it again"
                )
            try:
                await self._deliver(job, chat, uploaded, Delivery(random_id=mark.random_id, topic=op.topic), caption)
                break
            except PartMissing as missing:
                job.log(f"Telegram lost part {missing.part}; sending it again", level="warning")
                mark = await sender.again(piece, mark, missing)
        if piece.digest is not None:
            digests.append(piece.digest.hexdigest())

    async def _deliver(self, job: Job, chat: int, file: Uploaded, delivery: Delivery, caption: str) -> None:
        """Send the message; asking again with the same random id never makes a second one."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            await job.ready()
            try:
                await self._gateway.send_file(chat, file, delivery, caption=caption)
                return
            except Duplicate:
                return
            except Flood as flood:
                await asyncio.sleep(flood.seconds + 0.5)
            except Unreachable:
                if time.monotonic() > deadline:
                    raise _silent(file.name) from None
                await asyncio.sleep(1.0)
            except PartMissing:
                raise
            except GatewayError as error:
                raise TaskdeckError("network", f"cannot send '{display(file.name)}'", error.code) from None

    async def _send_manifest(
        self, chat: int, topic: int | None, name: str, pieces: list[Slice], digests: list[str]
    ) -> None:
        """A small text file that says how the parts belong together."""
        lines = [f"{digest}  {piece.name}" for digest, piece in zip(digests, pieces, strict=True)]
        lines += ["", f"cat {display(name)}.??? > {display(name)}", "sha256sum --check of the lines above"]
        data = "\n".join(lines).encode()
        await self.send_bytes(chat, fit_name(name, after=".parts.txt"), data, topic=topic)

    async def send_bytes(
        self,
        chat: int,
        name: str,
        data: bytes,
        *,
        caption: str = "",
        photo: bool = False,
        reply_to: int | None = None,
        topic: int | None = None,
        silent: bool = False,
    ) -> None:
        """Send a small file from memory; floods and outages are waited out for a while.

        Raises:
            GatewayError: Telegram refused it for good.
        """
        mark = fresh_mark()
        pieces = [data[start : start + PART_SIZE] for start in range(0, len(data), PART_SIZE)]
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        big = len(data) > BIG_FILE
        file = Uploaded(mark.file_id, len(pieces), name, big=big, md5="" if big else md5)
        delivery = Delivery(random_id=mark.random_id, reply_to=reply_to, topic=topic, silent=silent)
        for attempt in range(10):
            try:
                for number, piece in enumerate(pieces):
                    await self._gateway.save_part(mark.file_id, number, piece, total=len(pieces), big=big)
                await self._gateway.send_file(
                    chat,
                    file,
                    delivery,
                    caption=caption,
                    photo=photo,
                    mime="text/plain" if name.endswith(".txt") else "",
                )
                return
            except Duplicate:
                return
            except Flood as flood:
                await asyncio.sleep(flood.seconds + 0.5)
            except Unreachable:
                await asyncio.sleep(min(20.0, 2.0**attempt / 2))
        raise Unreachable("gave up")

    # receive -------------------------------------------------------------------------------------------------

    async def receive(self, op: Receive, job: Job) -> ReceiveResult:
        """Save the file of a message, going on where an earlier run stopped."""
        with self._counted():
            return await self._receive(op, job)

    async def _receive(self, op: Receive, job: Job) -> ReceiveResult:
        began = time.monotonic()
        check_chat(op.chat, job.settings)
        document = await self._document(op, job)
        folder = self._folder(op, job)
        name = safe_component(op.name or document.name)
        point = _receive_point(job.checkpoint, document)
        if point is None:
            require_space(folder, document.size, what=f"save '{display(name)}'")
            staged = await job.claim(folder / fit_name(name, before=".", after=f".{job.id}.part"))
            point = ReceivePoint(str(staged), document.size, 0, document.unique)
        staged = Path(point.staged)
        job.policy.target(point.staged)
        try:
            await self._download(op, job, document, point)
            output = await asyncio.to_thread(_publish, staged, folder / name)
        except OSError as error:
            raise unreadable(staged, error) from error
        finally:
            if staged.exists() and not job.keep_partial() and not self._suspending:
                remove(staged)
        await job.release(staged)
        return ReceiveResult(str(output), display(name), document.size, time.monotonic() - began)

    async def _document(self, op: Receive, job: Job) -> Document:
        deadline = time.monotonic() + _PATIENCE
        while True:
            await job.ready()
            try:
                message = await self._gateway.fetch(op.chat, op.message)
                break
            except Flood as flood:
                await asyncio.sleep(flood.seconds + 0.5)
            except Unreachable:
                if time.monotonic() > deadline:
                    raise _silent(op.name or str(op.message)) from None
                await asyncio.sleep(1.0)
            except GatewayError as error:
                raise TaskdeckError("network", "cannot save the file", error.code) from None
        if message is None or message.document is None:
            raise TaskdeckError("path.missing", "cannot save the file", "the message or its file is gone")
        return message.document

    def _folder(self, op: Receive, job: Job) -> Path:
        given = op.destination or job.settings.telegram.inbox or os.path.join(job.policy.roots[0], "Telegram")
        folder = job.policy.target(given)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unreadable(folder, error) from error
        return folder

    async def _download(self, op: Receive, job: Job, document: Document, point: ReceivePoint) -> None:
        """Fill the staged file, chunk by chunk; a stream that breaks is taken up where it stands."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(point.staged, flags, 0o600 if point.done == 0 else 0o666)
        done = point.done - point.done % CHUNK
        try:
            os.ftruncate(fd, done)
            moved = time.monotonic()
            synced = done
            job.progress(done, document.size, item=document.name)
            while done < document.size:
                before = done
                try:
                    async for chunk in self._gateway.chunks(document, first=done // CHUNK):
                        await job.ready()
                        await asyncio.to_thread(_write_all, fd, chunk, done)
                        done += len(chunk)
                        job.progress(min(done, document.size), document.size, item=document.name)
                        if done - synced >= _SYNC_EVERY:
                            await asyncio.to_thread(os.fdatasync, fd)
                            synced = done
                            job.save(msgspec.to_builtins(msgspec.structs.replace(point, done=done)))
                except Flood as flood:
                    moved = time.monotonic()
                    await asyncio.sleep(flood.seconds + 0.5)
                except GatewayError as error:
                    job.log(f"the download was interrupted ({error.code}); going on", level="warning")
                if done == before:
                    if time.monotonic() - moved > _PATIENCE:
                        raise _silent(document.name)
                    await asyncio.sleep(1.0)
                    document = _same(document, await self._document(op, job))  # its reference may have expired
                else:
                    moved = time.monotonic()
                    done -= done % CHUNK if done < document.size else 0
            if done != document.size:
                raise TaskdeckError(
                    "network", f"cannot save '{display(document.name)}'", "its size is not as announced"
                )
            await asyncio.to_thread(os.fsync, fd)
        except asyncio.CancelledError:
            os.fdatasync(fd)
            job.save(msgspec.to_builtins(msgspec.structs.replace(point, done=done)))
            raise
        finally:
            os.close(fd)


def is_photo(path: Path) -> bool:
    """Whether a file can be shown as a photo."""
    return path.suffix.lower() in _PHOTOS and path.stat().st_size <= _PHOTO_LIMIT


def _first_user(settings: Settings) -> int:
    telegram = settings.telegram
    return next(iter((*telegram.allowed_users, *map(int, telegram.users))))


@contextmanager
def _opened(path: Path, policy: PathPolicy) -> Iterator[tuple[int, os.stat_result]]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(path, error) from error
    try:
        info = os.fstat(fd)
        # What was opened decides, not what the path said a moment ago.
        if not stat.S_ISREG(info.st_mode) or not policy.allows(os.readlink(f"/proc/self/fd/{fd}")):
            raise TaskdeckError("path.outside_roots", f"cannot send '{display(path)}'", "it is not a file in the roots")
        yield fd, info
    finally:
        os.close(fd)


def _changed(fd: int, info: os.stat_result) -> bool:
    now = os.fstat(fd)
    return (now.st_size, now.st_mtime_ns) != (info.st_size, info.st_mtime_ns)


def _pieces(fd: int, name: str, size: int, limit: int) -> list[Slice]:
    """The file as messages: itself, or "name.001", "name.002", ... of at most `limit` bytes."""
    name = safe_component(name)
    if size <= limit:
        return [Slice(fd, name, 0, size)]
    count = -(-size // limit)
    return [
        Slice(fd, fit_name(name, after=f".{n + 1:03d}"), n * limit, min(limit, size - n * limit)) for n in range(count)
    ]


def _send_point(checkpoint: Json | None, info: os.stat_result) -> SendPoint:
    """Where to go on: an earlier checkpoint when the file is still the same."""
    if checkpoint is not None:
        point = msgspec.convert(checkpoint, SendPoint)
        if (point.size, point.modified) == (info.st_size, info.st_mtime_ns):
            return point
    return SendPoint(info.st_size, info.st_mtime_ns, 0, fresh_mark())


def _receive_point(checkpoint: Json | None, document: Document) -> ReceivePoint | None:
    if checkpoint is None:
        return None
    point = msgspec.convert(checkpoint, ReceivePoint)
    try:
        enough = os.lstat(point.staged).st_size >= point.done
    except OSError:
        return None
    same = point.size == document.size and point.unique in ("", document.unique)
    return point if enough and same else None


def _same(begun: Document, found: Document) -> Document:
    if found.unique != begun.unique:
        raise TaskdeckError(
            "path.changed", f"cannot save '{display(begun.name)}'", "its message was given another file", "retry"
        )
    return found


def _write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def _publish(staged: Path, target: Path) -> Path:
    """Give the staged file its name, never replacing anything."""
    staged.chmod(0o644)
    for number in range(1, 10_000):
        candidate = target.with_name(numbered(target.name, number))
        try:
            rename_exclusive(staged, candidate)
        except FileExistsError:
            continue
        sync_folder(target.parent)
        return candidate
    return free_path(target)


def _silent(name: str) -> TaskdeckError:
    return TaskdeckError("network", f"cannot move '{display(name)}'", "Telegram does not answer", "retry later")
