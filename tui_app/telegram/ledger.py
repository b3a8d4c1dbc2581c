"""What the chat face must remember over a restart: where a task came from, what follows it, status messages, wishes.

A small JSON file (mode 0600), replaced as a whole. Secrets never enter it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import Final

import msgspec

from engines.filecopy import write_all
from engines.model import Json

log = logging.getLogger(__name__)

_WRITE_AGAIN: Final = 5.0
_KEPT_PROMPTS: Final = 200
_KEPT_TOLD: Final = 200
_KEPT_HANDLED: Final = 500


class Origin(msgspec.Struct, frozen=True):
    """Where a task was asked for, and what to do with its result."""

    chat: int
    user: int
    message: int | None = None
    then: Json | None = None
    """The operation to start on the result, its "path" still missing."""
    send_to: int | None = None
    """The chat that gets the resulting files."""
    silent_success: bool = False
    """A step of something larger: only a failure is told."""
    topic: int | None = None
    batch: str = ""
    """What the tasks have in common whose results are the sources of one operation; this one is number `place`."""
    place: int = 0
    size: int = 1
    """Tasks in the batch."""
    told: bool = False
    """Its ending was told; kept in case it is tried again."""
    hide: int | None = None
    """The message with the file, to be deleted once that is saved: its caption has a password."""

    def at(self, place: int, *, hide: int | None) -> Origin:
        """The origin of one task of the batch."""
        return msgspec.structs.replace(self, place=place, hide=hide)

    def followed_by(self, then: Json, *, send_to: int | None, batch: str = "", size: int = 1) -> Origin:
        """The origin of a task whose result is used further."""
        return msgspec.structs.replace(self, then=then, send_to=send_to, silent_success=True, batch=batch, size=size)

    def next(self, *, silent_success: bool = False) -> Origin:
        """The origin of a task that carries on; sent results are no longer sent."""
        send_to = None if silent_success else self.send_to
        return Origin(
            self.chat, self.user, self.message, send_to=send_to, silent_success=silent_success, topic=self.topic
        )


class Wishes(msgspec.Struct, frozen=True):
    """What a user chose with /notify and /quiet; empty: the settings decide."""

    notify: str = ""
    quiet: str = ""


class _Content(msgspec.Struct):
    boards: dict[str, int] = {}
    origins: dict[str, Origin] = {}
    batches: dict[str, dict[int, str]] = {}
    prompts: dict[str, str] = {}
    handled: dict[str, None] = {}
    known: set[int] = set()
    wishes: dict[str, Wishes] = {}


class Ledger:
    """The file and its content.

    Args:
        path: The file; a damaged one is set aside and an empty ledger begun, for nothing in it is vital.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = self._read()
        self._dirty = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def _read(self) -> _Content:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Content)
        except FileNotFoundError:
            return _Content()
        except (OSError, msgspec.DecodeError):
            with contextlib.suppress(OSError):
                self._path.rename(self._path.with_suffix(".damaged"))
            return _Content()

    def start(self) -> None:
        """Begin to write changes."""
        self._task = asyncio.create_task(self._run(), name="telegram ledger")

    async def close(self) -> None:
        """Write what is not written yet."""
        self._closing.set()
        self._dirty.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        last = False
        while not last:
            await self._dirty.wait()
            last = self._closing.is_set()
            self._dirty.clear()
            try:
                await asyncio.to_thread(self._write, self._encoded())
            except OSError as error:
                log.warning("cannot write %s: %s", self._path, error.strerror)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), _WRITE_AGAIN)
                self._dirty.set()

    def _encoded(self) -> bytes:
        return msgspec.json.encode(self._content)

    def _write(self, data: bytes) -> None:
        temporary = self._path.with_suffix(".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(self._path)

    # tasks ---------------------------------------------------------------------------------------------------

    def origin(self, task_id: str) -> Origin | None:
        """Where a task came from; None when it was not asked for here."""
        return self._content.origins.get(task_id)

    def remember(self, task_id: str, origin: Origin) -> None:
        """Record where a task came from."""
        self._content.origins[task_id] = origin
        self._dirty.set()

    def forget(self, task_id: str) -> None:
        """A task is done and all was told."""
        if self._content.origins.pop(task_id, None) is not None:
            self._dirty.set()

    def set_told(self, task_id: str) -> None:
        """A task has ended without success and that was told; a later try still knows where it belongs."""
        origins = self._content.origins
        if task_id in origins:
            origins[task_id] = msgspec.structs.replace(origins.pop(task_id), told=True)
            told = [key for key, origin in origins.items() if origin.told]
            for key in told[:-_KEPT_TOLD]:
                del origins[key]
            self._dirty.set()

    def reopen(self, task_id: str) -> None:
        """A task whose ending was told is tried again: its next ending is to be told as well."""
        origin = self._content.origins.get(task_id)
        if origin is not None and origin.told:
            self._content.origins[task_id] = msgspec.structs.replace(origin, told=False)
            self._dirty.set()

    @property
    def open_tasks(self) -> list[str]:
        """Tasks whose ending was not told yet."""
        return [task_id for task_id, origin in self._content.origins.items() if not origin.told]

    def collect(self, origin: Origin, path: str) -> list[str]:
        """Record a result of a batch; returns all of them, in order, once they are complete, else nothing."""
        found = self._content.batches.setdefault(origin.batch, {})
        found[origin.place] = path
        while len(self._content.batches) > _KEPT_TOLD:
            self._content.batches.pop(next(iter(self._content.batches)))
        self._dirty.set()
        return [found[place] for place in sorted(found)] if len(found) >= origin.size else []

    def drop_batch(self, batch: str) -> None:
        """The operation on a batch was started."""
        if self._content.batches.pop(batch, None) is not None:
            self._dirty.set()

    # chats ---------------------------------------------------------------------------------------------------

    def board(self, chat: int) -> int | None:
        """The status message of a chat."""
        return self._content.boards.get(str(chat))

    @property
    def boards(self) -> list[int]:
        """Chats that have a status message."""
        return [int(chat) for chat in self._content.boards]

    def set_board(self, chat: int, message: int | None) -> None:
        """Record the status message of a chat."""
        if message is None:
            self._content.boards.pop(str(chat), None)
        else:
            self._content.boards[str(chat)] = message
        self._dirty.set()

    def set_prompt(self, chat: int, message: int, task_id: str) -> None:
        """Record that an answer to this message is the password of a task."""
        self._content.prompts[f"{chat}:{message}"] = task_id
        while len(self._content.prompts) > _KEPT_PROMPTS:
            self._content.prompts.pop(next(iter(self._content.prompts)))
        self._dirty.set()

    def prompt(self, chat: int, message: int | None) -> str | None:
        """The task an answer to this message is meant for."""
        return self._content.prompts.get(f"{chat}:{message}")

    def prompted(self, chat: int, *, before: int) -> list[str]:
        """The tasks whose password was asked for in a chat before a message, the last one first."""
        places = ((place.partition(":"), task_id) for place, task_id in reversed(self._content.prompts.items()))
        return [task_id for (where, _, message), task_id in places if where == str(chat) and int(message) < before]

    def drop_prompts(self, task_id: str) -> None:
        """The questions about a task were answered."""
        for place in [place for place, found in self._content.prompts.items() if found == task_id]:
            del self._content.prompts[place]
            self._dirty.set()

    # messages ------------------------------------------------------------------------------------------------

    def set_handled(self, chat: int, message: int) -> None:
        """A message was answered: after a crash Telegram delivers the last ones again."""
        handled = self._content.handled
        handled[f"{chat}:{message}"] = None
        while len(handled) > _KEPT_HANDLED:
            del handled[next(iter(handled))]
        self._dirty.set()

    def handled(self, chat: int, message: int) -> bool:
        """Whether a message was answered, perhaps by an earlier run."""
        return f"{chat}:{message}" in self._content.handled

    # users ---------------------------------------------------------------------------------------------------

    def set_known(self, user: int) -> None:
        """A user has written in private: only then a bot may write there."""
        if user not in self._content.known:
            self._content.known.add(user)
            self._dirty.set()

    def known(self, user: int) -> bool:
        """Whether a user has ever written in private."""
        return user in self._content.known or self.board(user) is not None

    def wishes(self, user: int) -> Wishes:
        """What a user chose."""
        return self._content.wishes.get(str(user), Wishes())

    def set_wishes(self, user: int, wishes: Wishes) -> None:
        """Record what a user chose."""
        self._content.wishes[str(user)] = wishes
        self._dirty.set()
