"""Operations as commands: parameters from the table, then queue, wait, and print the result."""

from __future__ import annotations

import argparse
import os
from typing import Any, Final

import msgspec

from engines.errors import Exit, TaskdeckError
from engines.model import Json, SubmitOptions, TaskView
from engines.operations import OPERATIONS, Accepts, Field, bad_value, fields, parse, split_secrets, to_json
from engines.paths import to_uri
from tui_app.cli import secret
from tui_app.cli.context import Context
from tui_app.cli.output import err, out, out_json

_PATHS: Final = (Accepts.SOURCE, Accepts.TARGET, Accepts.FOLDER)


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Parameters of the operation, then what every operation takes."""
    spec = OPERATIONS[name]
    known = fields(spec.struct)
    for field in known:
        if field.secret:
            secret.add_arguments(parser, field, {item.name for item in known})
        else:
            _add(parser, field)
    group = parser.add_argument_group("task")
    group.add_argument("--detach", "-d", action="store_true", help="print the task's id and return at once")
    group.add_argument("--json", action="store_true", help="print one JSON document")
    group.add_argument("--foreground", action="store_true", help="run here, without a daemon")
    group.add_argument("--priority", type=int, default=0, metavar="N", help="higher runs earlier")
    group.add_argument("--after", action="append", default=[], metavar="ID", help="wait for this task to complete")
    group.add_argument("--at", metavar="TIME", help="not before: 14:00, 2026-01-30T12:00, or 10m for in ten minutes")
    group.add_argument("--paused", action="store_true", help="queue it paused")
    group.add_argument("--key", metavar="KEY", help="the same key gives the same task, however often it is sent")
    if spec.examples:
        parser.epilog = "examples:\n" + "\n".join(f"  taskdeck {example}" for example in spec.examples)


def _add(parser: argparse.ArgumentParser, field: Field) -> None:
    text = _explained(field).replace("%", "%%")
    if field.positional:
        nargs = "*" if field.repeated else None if field.required else "?"
        parser.add_argument(field.name, nargs=nargs, help=text, metavar=field.name.upper())
        if not field.required and not field.repeated:
            # The same as an option, for when the positionals before it are left out.
            parser.add_argument(field.flag, dest=f"{field.name}:flag", help=argparse.SUPPRESS)
        return
    if field.type is bool:
        parser.add_argument(field.flag, dest=field.name, action=argparse.BooleanOptionalAction, help=text)
        return
    if field.choices:
        metavar = "NAME"
    elif field.type in (int, float):
        metavar = "N"
    else:
        metavar = "PATH" if field.accepts in _PATHS else field.accepts.upper()
    action = "append" if field.repeated else "store"
    parser.add_argument(field.flag, dest=field.name, action=action, help=text, metavar=metavar)


def _explained(field: Field) -> str:
    """Help, choices, whether it may be given again, and the default where that says something."""
    text = field.help
    if field.choices:
        text += f" One of {', '.join(field.choices)}."
    if field.repeated and not field.positional:
        text += " May be given several times."
    if field.default not in (None, (), "", False):
        default = "yes" if field.default is True else field.default
        text += f" Default: {default}."
    return text


def run(context: Context, name: str, arguments: argparse.Namespace) -> int:
    """Queue the operation and wait, detach, or run it here."""
    data, secrets = operation_data(name, arguments)
    operation, _ = split_secrets(parse({**data, **secrets}))
    body = to_json(operation) | secrets
    options = SubmitOptions(
        priority=arguments.priority,
        after=tuple(arguments.after),
        not_before=None if arguments.at is None else _moment(arguments.at),
        paused=arguments.paused,
        key=arguments.key,
    )
    if arguments.foreground:
        if arguments.detach:
            raise TaskdeckError("usage", "cannot detach from --foreground", "there is no daemon to go on with it")
        from tui_app.cli.foreground import run_here

        return run_here(context, body, options, json=arguments.json)
    return _queue(context, body, options, arguments)


def _moment(given: str) -> float:
    from tui_app.cli.moments import moment

    return moment(given)


def _queue(context: Context, body: Json, options: SubmitOptions, arguments: argparse.Namespace) -> int:
    """Hand the operation to the daemon; wait for its end unless told to detach."""
    import uuid

    from tui_app.cli.waiting import DetachedError, detached, finish, wait_for
    from tui_app.wire import CreateRequest

    client = context.client()
    request = CreateRequest(body, options, to_uri(os.getcwd()))
    headers = {"Idempotency-Key": options.key or f"cli-{uuid.uuid4()}"}
    view = client.post("/api/v1/tasks", TaskView, request, headers)
    if not view.resumable and OPERATIONS[str(body["op"])].takes_long:
        err(f"taskdeck: task {view.id} starts from the beginning after a crash or reboot")
    if arguments.detach:
        if arguments.json:
            out_json(view)
        else:
            out(view.id)
        return Exit.OK
    try:
        view = wait_for(client, view)
    except DetachedError:
        return detached(view.id)
    return finish(client, view, json=arguments.json)


def operation_data(name: str, arguments: argparse.Namespace) -> tuple[Json, dict[str, str]]:
    """The operation as JSON, and its secrets apart from it."""
    data: Json = {"op": name}
    secrets: dict[str, str] = {}
    given = vars(arguments)
    for field in fields(OPERATIONS[name].struct):
        if field.secret:
            value = secret.given(field, given)
            if value is not None:
                secrets[field.name] = value
            continue
        value = given.get(field.name)
        other = given.get(f"{field.name}:flag")
        if other is not None:
            if value is not None:
                raise TaskdeckError("usage", f"cannot {name}", f"{field.name} is given twice")
            value = other
        if value is None or value == []:
            continue
        data[field.name] = [_typed(field, item) for item in value] if field.repeated else _typed(field, value)
    return data, secrets


def _typed(field: Field, value: Any) -> Any:
    """Text as the field's type.

    Raises:
        TaskdeckError: `value` for a word that is none of the choices, or no number.
    """
    if field.type is str:
        return _sendable(value) if field.accepts in _PATHS else value
    if isinstance(value, bool):
        return value
    if field.choices and value not in field.choices:
        raise bad_value(field, value)
    if field.type not in (int, float):
        return value
    try:
        number = msgspec.convert(value, field.type, strict=False)
    except msgspec.ValidationError:
        raise bad_value(field, value) from None
    if (field.ge is not None and number < field.ge) or (field.le is not None and number > field.le):
        raise bad_value(field, value)
    return number


def _sendable(path: str) -> str:
    """A path whose bytes are no UTF-8 travels as a file: URI, which must be absolute."""
    return path if to_uri(path) == path or os.path.isabs(path) else os.path.join(os.getcwd(), path)
