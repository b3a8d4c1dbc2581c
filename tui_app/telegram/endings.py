"""What happens in the chat when a task has ended: its result is told, files are sent, the next step is started."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from engines import operations
from engines.errors import TaskdeckError
from engines.model import Json, Kind, TaskDetail, TaskState, TaskView
from engines.names import display
from engines.paths import from_uri
from engines.reply import Reply
from tui_app.telegram import cards, commands, notices
from tui_app.telegram.access import Member
from tui_app.telegram.context import Context
from tui_app.telegram.editor import Post
from tui_app.telegram.gateway import CAPTION_LIMIT, GatewayError, utf16
from tui_app.telegram.ledger import Origin
from tui_app.telegram.passwords import Passwords
from tui_app.telegram.transfer import Transfers, is_photo

log = logging.getLogger(__name__)

PAGES_AT_MOST: Final = 3
"""Longer results are sent as a text file."""
FILES_AT_MOST: Final = 10
"""Files of a folder that are sent back one by one."""
_SETTLE: Final = 0.5
_COMMAND_NAMED: Final = re.compile(r"^Use (unzip) (?=to )", re.MULTILINE)

OnStarted = Callable[[TaskView], Awaitable[None]]


class Endings:
    """Tells of endings and carries on."""

    def __init__(self, context: Context, transfers: Transfers, passwords: Passwords) -> None:
        self._context = context
        self._transfers = transfers
        self._passwords = passwords

    async def ended(self, view: TaskView) -> None:
        """A task has ended."""
        ledger = self._context.ledger
        await self._drop_questions(view)
        origin = ledger.origin(view.id)
        if origin is None and self._context.access.by_owner(view.owner) is not None:
            await asyncio.sleep(_SETTLE)  # it may have ended before its submission was written down
            origin = ledger.origin(view.id)
        if origin is None:
            await self._tell_others(view)
            return
        await self._passwords.delete_saved(origin)
        member = self._context.access.member(origin.user, origin.chat)
        if member is not None:
            completed = view.state is TaskState.COMPLETED
            ended = completed or view.state is TaskState.FAILED
            detail = await self._context.tasks.detail(view.id, log_lines=0) if ended else None
            shown = False
            if not (completed and origin.silent_success) and self._is_told(member, view):
                shown = await self._tell(view, detail, origin)
            if completed and detail is not None and not (shown and origin.send_to in (None, origin.chat)):
                await self._carry_on(view, detail, origin, member)
            await self._tell_others(view, but=member)
        (ledger.forget if view.state is TaskState.COMPLETED else ledger.set_told)(view.id)

    async def _drop_questions(self, view: TaskView) -> None:
        for chat, post in self._context.questions.pop(view.id, ()):
            if (message := await post.sent) is not None:
                with contextlib.suppress(GatewayError):
                    await self._context.gateway.delete(chat, [message])

    def _is_told(self, member: Member, view: TaskView) -> bool:
        # A question was asked: the answer comes whatever the level.
        return view.kind is Kind.INFO or notices.wants(self._context.level(member), view, own=True)

    async def _tell_others(self, view: TaskView, *, but: Member | None = None) -> None:
        """Tell members who want to hear of tasks they did not ask for in this chat."""
        for number in self._context.access.ids:
            member = self._context.access.member(number, number)
            if member is None or member == but or not member.sees(view) or view.kind is Kind.INFO:
                continue
            if not self._context.ledger.known(member.id):
                continue  # never talked to us: a bot may not begin
            if notices.wants(self._context.level(member), view, own=view.owner == member.owner):
                detail = await self._context.tasks.detail(view.id, log_lines=0)
                await self._tell(view, detail, Origin(member.id, member.id))

    # telling -------------------------------------------------------------------------------------------------

    async def _tell(self, view: TaskView, detail: TaskDetail | None, origin: Origin) -> bool:
        """Send how it ended; True when that was the result itself, a picture."""
        silent = self._context.quiet(origin.user)
        editor = self._context.editor(origin.chat)
        if view.state is not TaskState.COMPLETED or detail is None:
            post = Post(cards.failure(view), cards.retry(view), origin.message, silent, origin.topic)
            await editor.announce(post).sent
            if detail is None or not detail.result:
                return False
            # A batch in which some files failed: what became of each follows.
        reply = reply_of(detail)
        if reply is not None and reply.image and await self._show(reply, origin, silent):
            return True
        plain = in_chat(reply) if reply is not None else f"✅ {view.op}: {view.title}\n{detail.reply}"
        pages = cards.pages(plain.rstrip())
        if len(pages) > PAGES_AT_MOST:
            await self._as_file(view, "\n".join(pages), origin, silent)
            return False
        for number, page in enumerate(pages):
            html = cards.titled(page) if number == 0 else cards.escape_lines(page)
            post = Post(html, (), origin.message if number == 0 else None, silent, origin.topic)
            # The answer to a question is no ending among others: it does not wait for its turn.
            sent = editor.say(post) if view.kind is Kind.INFO else editor.announce(post)
            await sent.sent
        return False

    async def _show(self, reply: Reply, origin: Origin, silent: bool) -> bool:
        """Send the picture of a reply as a photo with the reply under it; False when that cannot be."""
        path = Path(from_uri(reply.image))
        try:
            data = await asyncio.to_thread(path.read_bytes)
            photo = await asyncio.to_thread(is_photo, path)
        except OSError:
            return False
        caption = in_chat(reply)
        if utf16(caption) > CAPTION_LIMIT or not data:
            return False
        for as_photo in (True, False) if photo else (False,):
            try:
                await self._transfers.send_bytes(
                    origin.chat,
                    path.name,
                    data,
                    caption=caption,
                    photo=as_photo,
                    reply_to=origin.message,
                    topic=origin.topic,
                    silent=silent,
                )
                return True
            except GatewayError as error:
                log.info("a picture was not taken as %s: %s", "photo" if as_photo else "file", error.code)
        return False

    async def _as_file(self, view: TaskView, plain: str, origin: Origin, silent: bool) -> None:
        head = cards.pages(plain, limit=CAPTION_LIMIT)[0].split("\n")[0]
        try:
            await self._transfers.send_bytes(
                origin.chat,
                f"{view.op}-{view.id}.txt",
                plain.encode("utf-8", "replace"),
                caption=head,
                reply_to=origin.message,
                topic=origin.topic,
                silent=silent,
            )
        except GatewayError as error:
            log.warning("chat %s: a long result could not be sent: %s", origin.chat, error.code)

    # carrying on ---------------------------------------------------------------------------------------------

    async def _carry_on(self, view: TaskView, detail: TaskDetail, origin: Origin, member: Member) -> None:
        """Start what was asked to follow: an operation on the saved file, or sending the result."""
        result = detail.result or {}
        try:
            if origin.then is not None:
                await self._start_next(view, result, origin, member)
            elif origin.send_to is not None:
                await self._send_result(view, result, origin, member)
        except TaskdeckError as error:
            self._context.editor(origin.chat).say(Post(cards.error(error), reply_to=origin.message, topic=origin.topic))

    async def _start_next(self, view: TaskView, result: Json, origin: Origin, member: Member) -> None:
        ledger = self._context.ledger
        saved = next(iter(made_by(view.op, result)), "")
        paths = ledger.collect(origin, saved) if origin.batch else [saved]
        if not paths:
            return  # others of the batch are still under way
        given: Json = {**(origin.then or {}), "path": paths[0]}
        if len(paths) > 1:
            name = commands.more_sources(operations.spec_of(str(given.get("op"))))
            given[name] = [*given.get(name, []), *paths[1:]]
        secrets = self._context.secrets.pop(origin.batch or view.id, {})
        op = operations.parse({**given, **secrets})
        await self._context.submit(member, op, origin.next(), key=f"telegram-next-{origin.batch or view.id}")
        ledger.drop_batch(origin.batch)

    async def _send_result(self, view: TaskView, result: Json, origin: Origin, member: Member) -> None:
        files: list[Path] = []
        for path in made_by(view.op, result):
            files += await asyncio.to_thread(_files, Path(path), member)
        if len(files) > FILES_AT_MOST:
            raise TaskdeckError(
                "unsupported",
                f"cannot send all of '{display(os.path.dirname(files[0]))}'",
                f"more than {FILES_AT_MOST} would flood the chat",
                "pack them with /zip and --send",
            )
        for number, file in enumerate(files):
            topic = origin.topic if origin.send_to == origin.chat else None
            op = operations.Send(path=str(file), chat=origin.send_to, topic=topic)
            key = f"telegram-send-{view.id}-{number}"
            await self._context.submit(member, op, origin.next(silent_success=True), key=key)


def made_by(operation: str, result: Json) -> list[str]:
    """The exact paths of what a task made: its main output, or the files its result lists."""
    main = operations.output_of(operation, result)
    if main is not None:
        return [main]
    listed = [*result.get("files", []), *result.get("parts", [])] if isinstance(result.get("source"), str) else []
    paths = [item.get("path") if isinstance(item, dict) else item for item in listed]
    return [from_uri(path) for path in paths if isinstance(path, str) and os.path.isabs(from_uri(path))]


def in_chat(reply: Reply) -> str:
    """A reply as chats show it: commands have a slash."""
    return _COMMAND_NAMED.sub(lambda match: f"Use /{match[1]} ", reply.render(emoji=True))


def reply_of(detail: TaskDetail) -> Reply | None:
    """The result in the guide's layout, None when it cannot be made."""
    try:
        op = operations.parse({"op": detail.view.op, **detail.params})
        return operations.reply(op, detail.result or {})
    except Exception as error:
        log.warning("no reply for task %s: %s", detail.view.id, type(error).__name__)
        return None


def _files(path: Path, member: Member) -> list[Path]:
    """The regular files of a result, links left out."""
    if not path.is_dir():
        return [path]
    found: list[Path] = []
    for folder, _, names in os.walk(path):
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink() and file.stat().st_size and member.policy.allows(str(file)):
                found.append(file)
        if len(found) > FILES_AT_MOST:
            break
    return found
