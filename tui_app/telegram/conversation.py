"""Messages and button presses become actions. Everything is denied to strangers, and they hear nothing."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from engines import operations
from engines.errors import TaskdeckError
from engines.model import Action, Json, Kind, SubmitOptions, TaskView, WaitReason
from engines.names import display
from engines.operations import Accepts, Operation, OperationSpec, fields
from engines.query import Query, Sort
from tui_app.telegram import cards, commands, notices
from tui_app.telegram.access import Member, Role
from tui_app.telegram.commands import BUILTINS, HERE, Request
from tui_app.telegram.context import Context
from tui_app.telegram.editor import Post
from tui_app.telegram.follow import Follower
from tui_app.telegram.gateway import Document, Flood, GatewayError, Incoming, Press, Unreachable
from tui_app.telegram.inbox import inbox_folder, offers
from tui_app.telegram.ledger import Origin, Wishes
from tui_app.telegram.tokenizer import Command, parse_command

log = logging.getLogger(__name__)

TOO_OLD: Final = 600.0
"""Seconds after which a command that waited for us is told, not done."""
_SEEN: Final = 2000
_SOON: Final = 1.0
_DELETE_AGAIN: Final = 2.0
_DELETE_TRIES: Final = 300
_PRESS_LIMIT: Final = 3.0
_HISTORY: Final = 10
_ME: Final = "me"

Builtin = Callable[[Member, Incoming, Command], Awaitable[None]]


class Conversation:
    """Talks with members.

    Args:
        context: Shared parts.
        follower: The open tasks and boards.
        bot: The bot's user name, known once it is logged in.
    """

    def __init__(self, context: Context, follower: Follower, bot: Callable[[], str]) -> None:
        self._context = context
        self._follower = follower
        self._bot = bot
        self._seen: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._later: set[asyncio.Task[None]] = set()
        self._strangers: OrderedDict[int, None] = OrderedDict()
        self._builtins: dict[str, Builtin] = {
            "status": self._status,
            "pause": self._control(Action.PAUSE),
            "resume": self._control(Action.RESUME),
            "cancel": self._control(Action.CANCEL),
            "retry": self._control(Action.RETRY),
            "history": self._history,
            "stats": self._stats,
            "notify": self._notify,
            "quiet": self._quiet,
            "id": self._id,
            "help": self._help,
            "start": self._help,
        }
        assert self._builtins.keys() >= BUILTINS.keys()

    async def close(self) -> None:
        """End what waits."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)

    # messages ------------------------------------------------------------------------------------------------

    async def message(self, incoming: Incoming) -> None:
        """Answer a message."""
        member = self._context.access.member(incoming.user, incoming.chat)
        if member is None:
            self._note_stranger(incoming)
            return
        if not self._is_new(incoming):
            return
        try:
            await self._answer(member, incoming)
        except TaskdeckError as error:
            self._say(incoming, cards.error(error))
        except GatewayError as error:
            log.warning("chat %s: %s", incoming.chat, error.code)
        except Exception:
            log.exception("cannot answer a message")
            self._say(incoming, cards.error(TaskdeckError("internal", "cannot do this", "see the daemon's log")))

    def _note_stranger(self, incoming: Incoming) -> None:
        """Log once who was ignored: the id is what an administrator needs to let somebody in."""
        key = incoming.user or incoming.chat
        if key not in self._strangers:
            self._strangers[key] = None
            log.info("ignored a message of user %s in chat %s: not allowed", incoming.user, incoming.chat)
            while len(self._strangers) > _SEEN:
                self._strangers.popitem(last=False)

    def _is_new(self, incoming: Incoming) -> bool:
        """Whether a message was not answered yet: after an outage Telegram delivers some twice."""
        key = (incoming.chat, incoming.id)
        if key in self._seen:
            return False
        self._seen[key] = None
        while len(self._seen) > _SEEN:
            self._seen.popitem(last=False)
        return True

    async def _answer(self, member: Member, incoming: Incoming) -> None:
        prompted = self._context.ledger.prompt(incoming.chat, incoming.reply_to)
        if prompted is not None and incoming.text:
            await self._unlock(member, incoming, prompted)
            return
        # Somebody else's words are not commands, but somebody else's file is welcome.
        text = "" if incoming.forwarded else incoming.text
        command = await self._command(incoming, text)
        if command is None:
            if incoming.document is not None:
                self._offer(member, incoming, incoming.document)
            elif incoming.private and not incoming.forwarded:
                self._say(incoming, "Send /help to see what I can do.")
            return
        if self._context.now() - incoming.date > TOO_OLD:
            await self._hide_secret(incoming, command)
            self._say(incoming, f"I was away; /{cards.escape(command.name)} was not done. Send it again if needed.")
            return
        await self._run(member, incoming, command)

    async def _command(self, incoming: Incoming, text: str) -> Command | None:
        try:
            return parse_command(text, bot=self._bot())
        except TaskdeckError:
            if "assword" in text or text.lstrip().lower().startswith("/unzip"):
                await self._delete(incoming)  # it cannot be read, but a password may stand in it
            raise

    async def _run(self, member: Member, incoming: Incoming, command: Command) -> None:
        builtin = self._builtins.get(command.name)
        if builtin is not None:
            await builtin(member, incoming, command)
            return
        spec = commands.operation_spec(command.name)
        if spec is None:
            if incoming.private:
                raise TaskdeckError("usage", f"cannot do /{command.name}", "there is no such command", "see /help")
            return
        await self._operation(member, incoming, command, spec)

    def _say(self, incoming: Incoming, html: str) -> Post:
        return self._context.editor(incoming.chat).say(Post(html, reply_to=incoming.id))

    # operations ----------------------------------------------------------------------------------------------

    async def _operation(self, member: Member, incoming: Incoming, command: Command, spec: OperationSpec) -> None:
        hidden = await self._hide_secret(incoming, command)
        member.require_operation(spec)
        source = await self._source_message(incoming, spec)

        def read() -> Request:
            def exists(path: str) -> bool:
                try:
                    member.policy.source(path, base=member.base)
                except TaskdeckError:
                    return False
                return True

            place = str(inbox_folder(self._context.settings, member)) if source is not None else ""
            return commands.read_request(command, spec, exists=exists, source=place)

        request = await asyncio.to_thread(read)
        if request.secret and not hidden:
            await self._delete(incoming)
        if source is not None:
            message, document = source
            await self._save_first(member, incoming, message, document, request)
            return
        await self._submit(member, incoming, request)

    async def _hide_secret(self, incoming: Incoming, command: Command) -> bool:
        """Delete a message that holds a password, before anything can go wrong with it."""
        spec = commands.operation_spec(command.name)
        if spec is None or not _may_hold_secret(command, spec, answered=incoming.reply_to is not None):
            return False
        await self._delete(incoming)
        return True

    async def _delete(self, incoming: Incoming) -> None:
        """Delete a message that holds a password; while Telegram cannot be reached, as soon as it can."""
        wait = await self._try_to_delete(incoming)
        if wait:
            self._spawn(self._delete_later(incoming, wait))

    async def _delete_later(self, incoming: Incoming, wait: float) -> None:
        for _ in range(_DELETE_TRIES):
            await asyncio.sleep(wait)
            wait = await self._try_to_delete(incoming)
            if not wait:
                return

    async def _try_to_delete(self, incoming: Incoming) -> float:
        """The seconds to wait before it should be tried again, 0 when it is done or cannot be."""
        try:
            await self._context.gateway.delete(incoming.chat, [incoming.id])
        except Flood as flood:
            return flood.seconds
        except Unreachable:
            return _DELETE_AGAIN
        except GatewayError as error:
            log.info("chat %s: a message with a password could not be deleted: %s", incoming.chat, error.code)
            self._context.editor(incoming.chat).say(
                Post("⚠️ I may not delete messages here: delete the one with your password yourself.")
            )
        return 0.0

    async def _source_message(self, incoming: Incoming, spec: OperationSpec) -> tuple[int, Document] | None:
        """The file a command is about: sent with it as its caption, or answered by it."""
        first = fields(spec.struct)[0]
        if not first.positional or first.accepts is not Accepts.SOURCE:
            return None
        if incoming.document is not None:
            return incoming.id, incoming.document
        if incoming.reply_to is None:
            return None
        message = await self._context.gateway.fetch(incoming.chat, incoming.reply_to)
        if message is None or message.document is None:
            return None
        return message.id, message.document

    async def _submit(self, member: Member, incoming: Incoming, request: Request) -> None:
        send_to = self._destination(member, incoming.chat, request)
        op = self._for_chat(operations.parse(request.op), incoming.chat)
        ready = await asyncio.to_thread(operations.absolute, op, member.policy, base=member.base)
        await asyncio.to_thread(_refuse_outside, ready, member)
        view = await self._start(member, ready, key=f"telegram-{incoming.chat}-{incoming.id}")
        origin = Origin(incoming.chat, member.id, incoming.id, send_to=send_to)
        self._context.ledger.remember(view.id, origin)
        self._acknowledge(incoming.chat, incoming.id, view)

    def _for_chat(self, op: Operation, chat: int) -> Operation:
        """What is sent without a chat goes where it was asked for."""
        if isinstance(op, operations.Send) and op.chat is None:
            return operations.Send(path=op.path, chat=chat, caption=op.caption)
        return op

    async def _start(self, member: Member, op: Operation, *, key: str) -> TaskView:
        bare, secrets = operations.split_secrets(op)
        if isinstance(op, operations.Send | operations.Receive) and op.chat is not None:
            self._require_chat(member, op.chat)
        return await self._context.tasks.submit(
            operations.to_json(bare) | secrets, actor=member.actor, options=SubmitOptions(key=key)
        )

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

    def _acknowledge(self, chat: int, message: int | None, view: TaskView) -> None:
        """Show the new task: as the status message, or soon when it may be done before anybody looks."""
        self._follower.add(view)
        if view.kind is Kind.INFO:
            self._spawn(self._show_late(chat, message, view))
            return
        self._show_task(chat, message, view)

    def _show_task(self, chat: int, message: int | None, view: TaskView) -> None:
        editor = self._context.editor(chat)
        if editor.may_place:
            editor.place(self._follower.board(chat), reply_to=message, silent=True)
        else:
            state = "Waiting" if view.reason is not WaitReason.NONE else "Queued"
            name = cards.escape(display(view.title, limit=80))
            editor.say(Post(f"{state}: {name} · <code>{cards.escape(view.id)}</code>", reply_to=message, silent=True))
            editor.show(self._follower.board(chat))

    async def _show_late(self, chat: int, message: int | None, view: TaskView) -> None:
        await asyncio.sleep(_SOON)
        if not (await self._context.tasks.view(view.id)).terminal:
            self._show_task(chat, message, view)

    def _spawn(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            try:
                await work
            except TaskdeckError as error:
                log.info("%s", error.message)

        task = asyncio.create_task(run())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    # files ---------------------------------------------------------------------------------------------------

    def _offer(self, member: Member, incoming: Incoming, document: Document) -> None:
        """Ask what to do with a file."""
        if not member.at_least(Role.CONTROL):
            return
        html = f"📄 <b>{cards.escape(display(document.name, limit=200))}</b>\nWhat shall I do with it?"
        buttons = cards.choices(offers(document, incoming.id))
        self._context.editor(incoming.chat).say(Post(html, buttons, reply_to=incoming.id))

    async def _save_first(
        self, member: Member, incoming: Incoming, message: int, document: Document, request: Request | None
    ) -> None:
        """Save a file, then do what was asked with it."""
        member.require(Role.CONTROL, "save files")
        send_to: int | None = None
        then: Json | None = None
        secrets: dict[str, str] = {}
        if request is not None:
            send_to = incoming.chat if request.send_to is None else self._destination(member, incoming.chat, request)
            bare, secrets = operations.split_secrets(operations.parse(request.op))
            then = {k: v for k, v in operations.to_json(bare).items() if k != "path"}
            if request.spec.kind is Kind.INFO:
                send_to = None
        folder = inbox_folder(self._context.settings, member)
        member.policy.target(str(folder))
        op = operations.Receive(
            chat=incoming.chat, message=message, destination=str(folder), name=display(document.name, limit=200)
        )
        name = request.spec.name if request else "save"
        view = await self._start(member, op, key=f"telegram-{incoming.chat}-{message}-{name}-{incoming.id}")
        if secrets:
            self._context.secrets[view.id] = secrets
        origin = Origin(
            incoming.chat, member.id, incoming.id, then=then, send_to=send_to, silent_success=request is not None
        )
        self._context.ledger.remember(view.id, origin)
        self._acknowledge(incoming.chat, incoming.id, view)

    # passwords -----------------------------------------------------------------------------------------------

    async def needs_password(self, view: TaskView) -> None:
        """Ask for the password a task waits for; the answer to that message is it."""
        origin = self._context.ledger.origin(view.id)
        if origin is None:
            return
        name = cards.escape(display(view.title, limit=120))
        post = self._context.editor(origin.chat).say(
            Post(f"🔒 <b>{name}</b> needs a password.\nAnswer this message with it; I delete your answer at once.")
        )
        message = await post.sent
        if message is not None:
            self._context.ledger.set_prompt(origin.chat, message, view.id)

    async def _unlock(self, member: Member, incoming: Incoming, task_id: str) -> None:
        await self._delete(incoming)
        view = await self._context.tasks.view(task_id)
        member.require_task(view, Action.RESUME)
        await self._context.tasks.unlock(task_id, {"password": incoming.text.strip()}, actor=member.actor)
        self._context.ledger.drop_prompt(incoming.chat, incoming.reply_to)

    # commands that are no operations -------------------------------------------------------------------------

    async def _status(self, member: Member, incoming: Incoming, command: Command) -> None:
        if not command.tokens:
            self._context.editor(incoming.chat).place(self._follower.board(incoming.chat), reply_to=incoming.id)
            return
        view = await self._visible(member, command.tokens[0].text)
        detail = await self._context.tasks.detail(view.id, log_lines=10)
        lines = [cards.card(view)]
        if view.error is not None:
            lines.append(f"❌ {cards.escape(view.error.message)}")
        if detail.log:
            lines.append("<pre>" + "\n".join(cards.escape(line)[:200] for line in detail.log[-10:]) + "</pre>")
        self._say(incoming, "\n".join(lines))

    async def _visible(self, member: Member, task_id: str) -> TaskView:
        """A task by its id; one the member may not see is as missing as one that is not."""
        view = await self._context.tasks.view(task_id.casefold())
        if not member.sees(view):
            raise TaskdeckError("task.missing", f"cannot find task {display(task_id)}")
        return view

    def _control(self, action: Action) -> Builtin:
        async def control(member: Member, incoming: Incoming, command: Command) -> None:
            member.require(Role.CONTROL, f"{action.value} a task")
            words = [token.text for token in command.tokens]
            if not words:
                raise TaskdeckError("usage", f"cannot {action.value}", "no task is named", f"write {action.value} ID")
            ids = await self._named(member, incoming.chat, words, action)
            if not ids:
                self._say(incoming, "There is nothing to do.")
                return
            outcomes = await self._context.tasks.control(ids, action, actor=member.actor)
            lines = []
            for outcome in outcomes:
                if outcome.view is not None:
                    self._follower.replace(outcome.view)
                shown = cards.escape(outcome.id)
                if outcome.error is not None:
                    lines.append(f"❌ <code>{shown}</code>: {cards.escape(outcome.error.message)}")
                elif outcome.view is not None:
                    name = cards.escape(display(outcome.view.title, limit=60))
                    lines.append(f"<code>{shown}</code> {name}: {outcome.view.state.value}")
            self._say(incoming, "\n".join(lines) or "Done.")
            self._follower.refresh()

        return control

    async def _named(self, member: Member, chat: int, words: list[str], action: Action) -> list[str]:
        if words == ["all"]:
            return [view.id for view in self._follower.visible(chat) if action in view.actions and member.sees(view)]
        views = [await self._visible(member, word) for word in words]
        for view in views:
            member.require_task(view, action)
        return [view.id for view in views]

    async def _history(self, member: Member, incoming: Incoming, command: Command) -> None:
        wanted = f"status:ended {command.rest.strip()}"
        if member.role is not Role.ADMIN:
            wanted += f" owner:{member.owner}"
        page = await self._context.tasks.query(Query(filter=wanted, sort=Sort.FINISHED, limit=_HISTORY))
        shown = [view for view in page.items if member.sees(view)]
        if not shown:
            self._say(incoming, "No ended tasks.")
            return
        head = f"<b>History</b> · {page.total}"
        self._say(incoming, "\n\n".join([head, *(cards.card(view) for view in shown)]))

    async def _stats(self, member: Member, incoming: Incoming, _: Command) -> None:
        self._say(incoming, cards.statistics(await self._context.tasks.stats()))

    async def _notify(self, member: Member, incoming: Incoming, command: Command) -> None:
        wishes = self._context.ledger.wishes(member.id)
        if command.tokens:
            level = notices.parse_level(command.tokens[0].text)
            self._context.ledger.set_wishes(member.id, Wishes(level.value, wishes.quiet))
        self._say(incoming, f"You are told: <b>{self._context.level(member).value}</b>")

    async def _quiet(self, member: Member, incoming: Incoming, command: Command) -> None:
        wishes = self._context.ledger.wishes(member.id)
        if command.rest.strip():
            hours = command.rest.strip()
            quiet = "off" if notices.parse_quiet(hours) is None else hours
            self._context.ledger.set_wishes(member.id, Wishes(wishes.notify, quiet))
            wishes = self._context.ledger.wishes(member.id)
        shown = wishes.quiet or self._context.settings.quiet or "off"
        self._say(incoming, f"Quiet hours: <b>{cards.escape(shown)}</b>")

    async def _id(self, member: Member, incoming: Incoming, _: Command) -> None:
        self._say(
            incoming,
            f"You: <code>{member.id}</code> ({member.role.value})\nThis chat: <code>{incoming.chat}</code>",
        )

    async def _help(self, member: Member, incoming: Incoming, command: Command) -> None:
        plain = commands.help_text(command.tokens[0].text if command.tokens and command.name == "help" else "")
        for page in cards.pages(plain):
            self._say(incoming, cards.titled(page))

    # buttons -------------------------------------------------------------------------------------------------

    async def press(self, press: Press) -> None:
        """Answer a pressed button."""
        member = self._context.access.member(press.user, press.chat)
        if member is None:
            return
        try:
            note = await asyncio.wait_for(self._pressed(member, press), _PRESS_LIMIT)
        except TaskdeckError as error:
            note = error.message
        except TimeoutError:
            note = "Asked for; it takes a moment."
        except GatewayError as error:
            note = error.code
        except Exception:
            log.exception("cannot answer a button")
            note = "That did not work; see the daemon's log."
        try:
            await self._context.gateway.answer(press.id, note)
        except GatewayError as error:
            log.info("a button could not be answered: %s", error.code)

    async def _pressed(self, member: Member, press: Press) -> str:
        action = cards.pressed_action(press.data)
        if action is not None:
            return await self._pressed_action(member, press, *action)
        verb, _, rest = press.data.partition(":")
        if verb == "g" and rest.isdigit():
            self._follower.turn(press.chat, int(rest))
        elif verb == "o":
            return await self._pressed_offer(member, press, rest)
        elif verb != "f":
            raise TaskdeckError("usage", "cannot use this button", "it is of another version", "send /status")
        editor = self._context.editor(press.chat)
        # A newer message than the known one is that one: its receipt is still on the way.
        if not editor.placing and press.message < (editor.board or press.message + 1):
            editor.place(self._follower.board(press.chat))
            return "See the newest status below."
        editor.show(self._follower.board(press.chat))
        return "" if verb == "g" else "Up to date"

    async def _pressed_action(self, member: Member, press: Press, action: Action, task_id: str) -> str:
        view = await self._visible(member, task_id)
        member.require_task(view, action)
        outcome = (await self._context.tasks.control([view.id], action, actor=member.actor))[0]
        if outcome.error is not None:
            return outcome.error.message
        if outcome.view is not None:
            self._follower.replace(outcome.view)
        if action is Action.RETRY:
            self._context.ledger.remember(view.id, Origin(press.chat, member.id))
        self._follower.refresh()
        state = outcome.view.state.value if outcome.view is not None else action.value
        return f"{display(view.title, limit=100)}: {state}"

    async def _pressed_offer(self, member: Member, press: Press, rest: str) -> str:
        name, _, number = rest.partition(":")
        spec = commands.operation_spec(name) if name != "save" else None
        if not number.isdigit() or (spec is None and name != "save"):
            raise TaskdeckError("usage", "cannot use this button", "it is of another version")
        found = await self._context.gateway.fetch(press.chat, int(number))
        if found is None or found.document is None:
            raise TaskdeckError("path.missing", "cannot use the file", "its message is gone", "send it again")
        request = None
        if spec is not None:
            member.require_operation(spec)
            place = str(inbox_folder(self._context.settings, member))
            request = Request(spec, {"op": spec.name, "path": place}, send_to=None)
        incoming = Incoming(press.chat, press.private, member.id, found.id, "", self._context.now())
        await self._save_first(member, incoming, found.id, found.document, request)
        return "Saving it"


def _may_hold_secret(command: Command, spec: OperationSpec, *, answered: bool) -> bool:
    """Whether a command names a secret or has as many words as it would take to reach one."""
    known = fields(spec.struct)
    flags = {field.flag for field in known if field.secret}
    if any(token.option and token.text.partition("=")[0] in flags for token in command.tokens):
        return True
    free = [field for field in known if field.positional]
    place = next((index for index, field in enumerate(free) if field.secret), None)
    if place is None:
        return False
    words = sum(not token.option for token in command.tokens)
    return words > place - answered


def _refuse_outside(op: Operation, member: Member) -> None:
    """Keep links from leading a member out of own roots, inside the daemon's: jobs only know those.

    Raises:
        TaskdeckError: `path.outside_roots`, `access.denied`.
    """
    if getattr(op, "links", None) is operations.Links.FOLLOW:
        member.require(Role.ADMIN, "follow links")
    if isinstance(op, operations.Zip):
        return  # packs a link as a link
    for field in fields(type(op)):
        value = getattr(op, field.name)
        if field.accepts is Accepts.SOURCE and value:
            for path in value if field.repeated else (value,):
                if not member.policy.allows(path):
                    why = "it is a link that leads out of your folders"
                    raise TaskdeckError("path.outside_roots", f"cannot use '{display(path)}'", why)
