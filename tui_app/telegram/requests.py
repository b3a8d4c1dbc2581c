"""An operation asked for in a chat becomes tasks: on a path, or on files that were sent, one by one or together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Final

from engines import operations
from engines.errors import TaskdeckError
from engines.model import Json, Kind, TaskView, WaitReason
from engines.names import display
from engines.operations import Accepts, Operation, OperationSpec, fields
from tui_app.telegram import cards, commands
from tui_app.telegram.access import Member, Role
from tui_app.telegram.commands import HERE, Request
from tui_app.telegram.context import Context
from tui_app.telegram.follow import Follower
from tui_app.telegram.gateway import Document, GatewayError, Incoming, Press
from tui_app.telegram.inbox import inbox_folder, offers
from tui_app.telegram.ledger import Origin
from tui_app.telegram.passwords import Passwords
from tui_app.telegram.tokenizer import Command

log = logging.getLogger(__name__)

_SOON: Final = 1.0
_ME: Final = "me"
_NAMES_SHOWN: Final = 5

File = tuple[int, Document]
"""The id of a message and the file in it."""


class Requests:
    """Makes the tasks.

    Args:
        context: Shared parts.
        follower: Told of new tasks before the engine's next update.
        passwords: Deletes messages that hold one.
    """

    def __init__(self, context: Context, follower: Follower, passwords: Passwords) -> None:
        self._context = context
        self._follower = follower
        self._passwords = passwords
        self._later: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """End what waits."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)

    async def operation(
        self, member: Member, incoming: Incoming, command: Command, spec: OperationSpec, files: Sequence[File] = ()
    ) -> None:
        """Do what a command says: on the files that came with it or that it answers, else on the path in it."""
        try:
            member.require_operation(spec)
            files = await self._files(incoming, spec, files)
            request = await self._read(member, command, spec, about_files=bool(files))
        except (TaskdeckError, GatewayError):
            await self._passwords.hide(incoming, command)  # whatever it was meant to be, one word may be a password
            raise
        if files:
            await self._save_for(member, incoming, files, request)
        else:
            if request.secret:
                await self._passwords.delete(incoming)
            await self._submit(member, incoming, request)

    async def _read(self, member: Member, command: Command, spec: OperationSpec, *, about_files: bool) -> Request:
        def read() -> Request:
            def exists(path: str) -> bool:
                try:
                    member.policy.source(path, base=member.base)
                except TaskdeckError:
                    return False
                return True

            place = str(inbox_folder(self._context.settings, member)) if about_files else ""
            return commands.read_request(command, spec, exists=exists, source=place)

        return await asyncio.to_thread(read)

    async def _files(self, incoming: Incoming, spec: OperationSpec, files: Sequence[File]) -> Sequence[File]:
        """The files a command is about: sent with it as their caption, or answered by it."""
        first = fields(spec.struct)[0]
        if not first.positional or first.accepts is not Accepts.SOURCE:
            return ()
        if files or incoming.reply_to is None:
            return files
        message = await self._context.gateway.fetch(incoming.chat, incoming.reply_to)
        return [(message.id, message.document)] if message is not None and message.document is not None else ()

    async def _submit(self, member: Member, incoming: Incoming, request: Request) -> None:
        send_to = self._destination(member, incoming.chat, request)
        op = self._for_chat(operations.parse(request.op), incoming)
        origin = Origin(incoming.chat, member.id, incoming.id, topic=incoming.topic, send_to=send_to)
        view = await self._start(member, op, origin, key=f"telegram-{incoming.chat}-{incoming.id}")
        self._acknowledge(incoming, [view])

    def _for_chat(self, op: Operation, incoming: Incoming) -> Operation:
        """What is sent without a chat goes where it was asked for."""
        if isinstance(op, operations.Send) and op.chat is None:
            return operations.Send(path=op.path, chat=incoming.chat, topic=incoming.topic, caption=op.caption)
        return op

    async def _start(self, member: Member, op: Operation, origin: Origin, *, key: str) -> TaskView:
        if isinstance(op, operations.Send | operations.Receive) and op.chat is not None:
            self._require_chat(member, op.chat)
        return await self._context.submit(member, op, origin, key=key)

    def _destination(self, member: Member, chat: int, request: Request) -> int | None:
        if request.send_to is None:
            return None
        where = request.send_to.casefold()
        if where in (HERE, _ME):
            return chat if where == HERE else member.id
        try:
            target = int(where)
        except ValueError:
            raise TaskdeckError(
                "value", f"cannot send to '{display(request.send_to)}'", "a chat is a number, `me` or `here`"
            ) from None
        self._require_chat(member, target)
        return target

    def _require_chat(self, member: Member, chat: int) -> None:
        if not self._context.access.may_receive(member, chat):
            raise TaskdeckError("access.denied", f"cannot use chat {chat}", "it is not allowed")

    # telling that it begins ----------------------------------------------------------------------------------

    def _acknowledge(self, incoming: Incoming, views: Sequence[TaskView]) -> None:
        """Show new tasks: as the status message, or soon when they may be done before anybody looks."""
        for view in views:
            self._follower.add(view)
        if all(view.kind is Kind.INFO for view in views):
            for view in views:
                self._follower.expect(view)
            self._spawn(self._context.gateway.typing(incoming.chat, topic=incoming.topic))
            self._spawn(self._show_late(incoming, views))
        else:
            self._show(incoming, views)

    def _show(self, incoming: Incoming, views: Sequence[TaskView]) -> None:
        editor = self._context.editor(incoming.chat)
        board = self._follower.board(incoming.chat)
        if editor.may_place:
            editor.place(board, reply_to=incoming.id, topic=incoming.topic, silent=True)
            return
        lines = []
        for view in views:
            state = "Waiting" if view.reason is not WaitReason.NONE else "Queued"
            name = cards.escape(display(view.title, limit=80))
            lines.append(f"{state}: {name} · <code>{cards.escape(view.id)}</code>")
        self._context.say(incoming, "\n".join(lines), silent=True)
        editor.show(board)

    async def _show_late(self, incoming: Incoming, views: Sequence[TaskView]) -> None:
        await asyncio.sleep(_SOON)
        left = [view for view in views if not (await self._context.tasks.view(view.id)).terminal]
        if left:
            self._show(incoming, left)

    def _spawn(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            try:
                await work
            except TaskdeckError as error:
                log.info("%s", error.message)
            except GatewayError as error:
                log.info("chat: %s", error.code)

        task = asyncio.create_task(run())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    # files ---------------------------------------------------------------------------------------------------

    def offer(self, member: Member, incoming: Incoming, files: Sequence[File]) -> None:
        """Ask what to do with a file, or with the files of an album."""
        if not member.at_least(Role.CONTROL):
            return
        documents = [document for _, document in files]
        names = [cards.escape(display(document.name, limit=200)) for document in documents[:_NAMES_SHOWN]]
        if len(documents) == 1:
            html = f"📄 <b>{names[0]}</b>\nWhat shall I do with it?"
        else:
            more = ["…"] if len(documents) > len(names) else []
            html = "\n".join([f"📚 <b>{len(documents)} files</b>", *names, *more, "What shall I do with them?"])
        self._context.say(incoming, html, cards.choices(offers(documents, files[0][0])))

    async def chosen(self, member: Member, press: Press, rest: str) -> str:
        """A button of `offer` was pressed; `rest` is "operation:message"."""
        name, _, number = rest.partition(":")
        spec = commands.operation_spec(name) if name != "save" else None
        if not number.isdigit() or (spec is None and name != "save"):
            raise TaskdeckError("usage", "cannot use this button", "it is of another version")
        album = await self._context.gateway.fetch_album(press.chat, int(number))
        files = [(found.id, found.document) for found in album if found.document is not None]
        if not files:
            raise TaskdeckError("path.missing", "cannot use the file", "its message is gone", "send it again")
        request = None
        if spec is not None:
            member.require_operation(spec)
            request = Request(spec, {"op": spec.name, "path": str(inbox_folder(self._context.settings, member))})
        about = album[0]
        incoming = Incoming(press.chat, press.private, member.id, about.id, "", self._context.now(), topic=about.topic)
        await self._save(member, incoming, files, request, again=True)
        return "Saving it" if len(files) == 1 else f"Saving {len(files)} files"

    async def _save_for(self, member: Member, incoming: Incoming, files: Sequence[File], request: Request) -> None:
        """Save the files of a command. With a password it is deleted, but not before the file that it came with."""
        brings_file = any(message == incoming.id for message, _ in files)
        if request.secret and not brings_file:
            await self._passwords.delete(incoming)
        try:
            await self._save(member, incoming, files, request)
        except (TaskdeckError, GatewayError):
            if request.secret and brings_file:
                await self._passwords.delete(incoming)
            raise

    async def _save(
        self,
        member: Member,
        incoming: Incoming,
        files: Sequence[File],
        request: Request | None,
        *,
        again: bool = False,
    ) -> None:
        """Save files, then do what was asked with them.

        Args:
            again: What was asked for with the same words before, and has ended, is begun anew.
        """
        member.require(Role.CONTROL, "save files")
        origin = Origin(incoming.chat, member.id, incoming.id, topic=incoming.topic)
        secrets: dict[str, str] = {}
        if request is not None:
            origin, secrets = self._followed(member, incoming, files, request, origin)
        folder = inbox_folder(self._context.settings, member)
        views = []
        for place, (message, document) in enumerate(files):
            op = operations.Receive(
                chat=incoming.chat, message=message, destination=str(folder), name=display(document.name, limit=200)
            )
            name = request.spec.name if request else "save"
            key = f"telegram-{incoming.chat}-{message}-{name}-{incoming.id}"
            hide = message if message == incoming.id and request is not None and request.secret else None
            view = await self._start(member, op, origin.at(place, hide=hide), key=key)
            while again and view.terminal:
                view = await self._start(member, op, origin.at(place, hide=hide), key=f"{key}-{view.id}")
            if secrets:
                self._context.secrets[origin.batch or view.id] = secrets
            views.append(view)
        self._acknowledge(incoming, views)

    def _followed(
        self, member: Member, incoming: Incoming, files: Sequence[File], request: Request, origin: Origin
    ) -> tuple[Origin, dict[str, str]]:
        """What is to follow the saving, and its secrets: the operation on all files at once where it takes several."""
        send_to = incoming.chat if request.send_to is None else self._destination(member, incoming.chat, request)
        bare, secrets = operations.split_secrets(operations.parse(request.op))
        then: Json = {k: v for k, v in operations.to_json(bare).items() if k != "path"}
        together = len(files) > 1 and bool(commands.more_sources(request.spec))
        return origin.followed_by(
            then,
            send_to=None if request.spec.kind is Kind.INFO else send_to,
            batch=f"{incoming.chat}:{incoming.id}" if together else "",
            size=len(files) if together else 1,
        ), secrets
