"""Chat commands from the table of operations: reading them, the menu, the help. Knows no network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engines.commandline import parse_words, usage
from engines.errors import TaskdeckError
from engines.model import Json
from engines.names import display
from engines.operations import OPERATIONS, Accepts, Field, OperationSpec, fields
from tui_app.telegram.tokenizer import Command, Token

HERE: Final = "here"
_PATHS: Final = frozenset({Accepts.SOURCE, Accepts.TARGET, Accepts.FOLDER})
_DESCRIPTION_LIMIT: Final = 256

Exists = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Builtin:
    """A command that is no operation."""

    usage: str
    summary: str
    detail: str = ""


BUILTINS: Final[dict[str, Builtin]] = {
    "status": Builtin("status [ID]", "Show the open tasks, or everything about one."),
    "pause": Builtin("pause ID... | all", "Pause tasks."),
    "resume": Builtin("resume ID... | all", "Let paused tasks go on."),
    "cancel": Builtin("cancel ID... | all", "Stop tasks and remove what they left."),
    "retry": Builtin("retry ID...", "Start failed or cancelled tasks again."),
    "history": Builtin("history [FILTER]", "Show ended tasks.", "Filters: status:failed kind:zip since:1d WORD"),
    "stats": Builtin("stats", "Show totals and the machine."),
    "notify": Builtin("notify [all|own|failed|none]", "Choose which endings you are told."),
    "quiet": Builtin("quiet [HH:MM-HH:MM|off]", "Choose hours without sound."),
    "id": Builtin("id", "Show your user id and the id of this chat."),
    "help": Builtin("help [COMMAND]", "Show what I can do."),
}


@dataclass(frozen=True, slots=True)
class Request:
    """An operation somebody asks for: `op` may still hold secrets, `send_to` is where the result goes."""

    spec: OperationSpec
    op: Json
    secret: bool = False
    send_to: str | None = None


def chat_name(operation: str) -> str:
    """The name of an operation as a chat command: Telegram knows no hyphens there."""
    return operation.replace("-", "_")


def operation_spec(name: str) -> OperationSpec | None:
    """The operation of a chat command, None when it is none."""
    return next((spec for spec in OPERATIONS.values() if chat_name(spec.name) == name), None)


def more_sources(spec: OperationSpec) -> str:
    """The parameter of an operation that takes further sources, "" when there is none."""
    return next((f.name for f in fields(spec.struct) if f.repeated and f.accepts is Accepts.SOURCE), "")


def menu() -> list[tuple[str, str]]:
    """All commands with one line of help, for Telegram's menu."""
    rows = [(chat_name(spec.name), spec.summary) for spec in OPERATIONS.values()]
    rows += [(name, builtin.summary) for name, builtin in BUILTINS.items()]
    return [(name[:32], text[:_DESCRIPTION_LIMIT]) for name, text in rows[:100]]


def read_request(command: Command, spec: OperationSpec, *, exists: Exists, source: str = "") -> Request:
    """The operation a command asks for, validated but for its paths.

    Args:
        exists: Whether a path, as typed, exists and is allowed: words that together name one are one path.
        source: A file the command is about (an answered document): the operation's first parameter.

    Raises:
        TaskdeckError: `usage` or `value`.
    """
    known = fields(spec.struct)
    options, positions, send_to = _sorted_out(command, known)
    free = [field for field in known if field.positional]
    words: list[str] = []
    if source:
        free.pop(0)
        words.append(source)
    words += _positionals(command, positions, free, exists, spec)
    op = parse_words([spec.name, *options, "--", *words])
    return Request(spec, op, any(f.secret and f.name in op for f in known), send_to)


def _sorted_out(command: Command, known: tuple[Field, ...]) -> tuple[list[str], list[int], str | None]:
    """The options with their values, the places of all other words, and where the result is to be sent."""
    flags = {field.flag: field for field in known}
    options: list[str] = []
    positions: list[int] = []
    send_to: str | None = None
    tokens = command.tokens
    index = 0
    while index < len(tokens):
        token = tokens[index]
        index += 1
        if not token.option:
            positions.append(index - 1)
            continue
        flag, equals, value = token.text.partition("=")
        if flag == "--send" and flag not in flags:
            send_to = send_to or HERE
            continue
        if flag == "--send-to" and flag not in flags:
            if not equals:
                value, index = _value(tokens, index, flag), index + 1
            send_to = value
            continue
        options.append(token.text)
        field = flags.get(flag)
        if field is not None and field.type is not bool and not equals:
            options.append(_value(tokens, index, flag))
            index += 1
    return options, positions, send_to


def _value(tokens: tuple[Token, ...], index: int, flag: str) -> str:
    if index >= len(tokens):
        raise TaskdeckError("usage", f"cannot use {display(flag)}", "it needs a value")
    return tokens[index].text


def _positionals(
    command: Command, positions: list[int], free: list[Field], exists: Exists, spec: OperationSpec
) -> list[str]:
    words: list[str] = []
    rest = list(positions)
    for field in free:
        while rest:
            word, used = _longest_path(command, rest, exists) if field.accepts in _PATHS else ("", 0)
            if not used:
                word, used = command.tokens[rest[0]].text, 1
            words.append(word)
            del rest[:used]
            if not field.repeated:
                break
    if rest:
        # Words are not repeated where one may be a password.
        shown = (
            "there"
            if any(field.secret for field in fields(spec.struct))
            else display(f"'{command.tokens[rest[0]].text}'", limit=60)
        )
        raise TaskdeckError(
            "usage", f"cannot {spec.name}", f"{shown} is one word too many", "put quotes round names with spaces"
        )
    return words


def _longest_path(command: Command, rest: list[int], exists: Exists) -> tuple[str, int]:
    """The longest run of words that, with the spaces between them, names something that exists."""
    if command.tokens[rest[0]].quoted:
        return "", 0
    run = 1
    while run < len(rest) and rest[run] == rest[run - 1] + 1 and not command.tokens[rest[run]].quoted:
        run += 1
    for count in range(run, 1, -1):
        text = command.joined(rest[0], rest[count - 1])
        if exists(text):
            return text, count
    return "", 0


def help_text(name: str = "") -> str:
    """The help of everything, or of one command, as plain text.

    Raises:
        TaskdeckError: `usage` for an unknown command.
    """
    name = name.lstrip("/").lower()
    if not name:
        return _overview()
    if name in BUILTINS:
        builtin = BUILTINS[name]
        return "\n".join(x for x in (f"/{builtin.usage}", builtin.summary, builtin.detail) if x)
    spec = operation_spec(name)
    if spec is None:
        raise TaskdeckError("usage", f"cannot explain '{display(name)}'", "there is no such command", "see /help")
    lines = [f"/{chat_name(spec.name)}{usage(spec.name).removeprefix(spec.name)}", spec.summary, ""]
    for field in fields(spec.struct):
        word = field.name.upper() if field.positional else field.flag
        values = f" ({', '.join(field.choices)})" if field.choices else ""
        meaning = f"{field.help} (I delete your message.)" if field.secret else field.help
        lines.append(f"{word}: {meaning}{values}")
    if spec.writes and spec.name != "receive":
        lines += ["--send: Send me the result.", "--send-to CHAT: Send the result to this chat: a number, me or here."]
    lines += ["", "Examples:", *(f"/{chat_name(spec.name)}{x.removeprefix(spec.name)}" for x in spec.examples)]
    return "\n".join(lines)


def _overview() -> str:
    lines = ["Taskdeck", ""]
    for spec in OPERATIONS.values():
        form = usage(spec.name).removeprefix(spec.name)
        lines.append(f"/{chat_name(spec.name)}{form}: {spec.summary}")
    lines.append("")
    lines += [f"/{builtin.usage}: {builtin.summary}" for builtin in BUILTINS.values()]
    lines += ["", "Send me a file, or answer one with a command. Add --send to get the result as a file."]
    return "\n".join(lines)
