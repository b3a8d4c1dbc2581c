"""Commands that act on tasks: pause, resume, cancel, retry, remove, priority, unlock."""

from __future__ import annotations

import argparse
import time
from typing import Final

from engines.errors import Exit, TaskdeckError
from engines.model import Action, Outcome, Stats, TaskView
from engines.query import parse_filter
from tui_app import wire
from tui_app.cli import secret
from tui_app.cli.context import Context
from tui_app.cli.moments import duration, moment
from tui_app.cli.output import out, out_json, show_error
from tui_app.client.local import LocalClient, task_path

_ALL: Final = ("pause", "resume")


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Parameters of the commands of this module."""
    if name == "priority":
        parser.add_argument("id", metavar="ID")
        parser.add_argument("priority", metavar="N", type=int, nargs="?", help="higher runs earlier, 0 is normal")
        parser.add_argument("--move", type=int, default=0, metavar="PLACES", help="negative: earlier in its priority")
    elif name == "unlock":
        parser.add_argument("id", metavar="ID")
        secret.add_arguments(parser)
    elif name == "again":
        parser.add_argument("id", nargs="+", metavar="ID", help="ids, or unique beginnings of them")
    else:
        parser.add_argument("id", nargs="*", metavar="ID", help="ids, or unique beginnings of them")
        parser.add_argument("--filter", metavar="FILTER", help="all tasks that match, such as `status:failed since:1d`")
    if name in _ALL:
        parser.add_argument("--all", action="store_true", help="everything, and what is queued later too")
    if name == "pause":
        parser.add_argument("--for", dest="duration", metavar="TIME", help="resume after 10m, 1h30m")
        parser.add_argument("--until", metavar="TIME", help="resume at 14:00 or 2026-01-30T12:00")
        parser.add_argument("--finish-current", action="store_true", help="with --all: let running tasks finish")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(context: Context, name: str, arguments: argparse.Namespace) -> int:
    """Run a command of this module."""
    match name:
        case "priority":
            return _priority(context, arguments)
        case "unlock":
            return _unlock(context, arguments)
        case "again":
            return _again(context, arguments)
    if getattr(arguments, "all", False):
        return _everything(context, Action(name), arguments)
    if not arguments.id and arguments.filter is None:
        raise TaskdeckError("usage", f"cannot {name} nothing", "no id is given", f"write `taskdeck {name} ID`")
    if arguments.id and arguments.filter is not None:
        raise TaskdeckError("usage", f"cannot {name}", "give ids or a filter, not both")
    if arguments.filter is not None:
        parse_filter(arguments.filter)
    for task_id in arguments.id:
        task_path(task_id)
    request = wire.BulkRequest(Action(name), arguments.id, arguments.filter, _until(arguments))
    client = context.client()
    outcomes = client.post("/api/v1/tasks/bulk", wire.BulkResponse, request).outcomes
    return _report(name, outcomes, json=arguments.json)


def _until(arguments: argparse.Namespace) -> float | None:
    wanted, at = getattr(arguments, "duration", None), getattr(arguments, "until", None)
    if wanted is not None and at is not None:
        raise TaskdeckError("usage", "cannot pause", "give --for or --until, not both")
    if wanted is not None:
        return time.time() + duration(wanted)
    return None if at is None else moment(at)


def _report(name: str, outcomes: list[Outcome], *, json: bool) -> int:
    status: int = Exit.OK
    if json:
        out_json({"outcomes": outcomes})
    for outcome in outcomes:
        if outcome.error is not None:
            show_error(outcome.error)
            status = status or outcome.error.exit
        elif not json:
            view = None if name == Action.REMOVE else outcome.view
            state = "removed" if view is None else view.state.value
            note = f": {view.note}" if view is not None and view.note else ""
            out(f"{outcome.id} {state}{note}")
    return status


def _everything(context: Context, action: Action, arguments: argparse.Namespace) -> int:
    if arguments.id or arguments.filter is not None or _until(arguments) is not None:
        raise TaskdeckError("usage", f"cannot {action} all", "--all stands alone")
    client: LocalClient = context.client()
    body = {"action": action.value, "finish_current": getattr(arguments, "finish_current", False)}
    stats = client.post("/api/v1/control_all", Stats, body)
    if arguments.json:
        out_json(stats)
    else:
        out("everything is paused" if stats.paused_all else "everything goes on")
    return Exit.OK


def _priority(context: Context, arguments: argparse.Namespace) -> int:
    if arguments.priority is None and not arguments.move:
        raise TaskdeckError("usage", "cannot change the place", "give a priority or --move")
    body = wire.ReorderRequest(arguments.priority, arguments.move)
    view = context.client().post(task_path(arguments.id, "/reorder"), TaskView, body)
    return _shown(view, f"{view.id} {view.state} priority {view.priority}", json=arguments.json)


def _unlock(context: Context, arguments: argparse.Namespace) -> int:
    path = task_path(arguments.id, "/unlock")
    password = secret.given(None, vars(arguments)) or secret.ask("Password")
    view = context.client().post(path, TaskView, wire.UnlockRequest({"password": password}))
    return _shown(view, f"{view.id} {view.state}", json=arguments.json)


def _again(context: Context, arguments: argparse.Namespace) -> int:
    paths = [task_path(task_id, "/repeat") for task_id in arguments.id]
    client = context.client()
    views: list[TaskView] = []
    status: int = Exit.OK
    for path in paths:
        try:
            views.append(client.post(path, TaskView, {}))
        except TaskdeckError as error:
            show_error(error.info)
            status = status or error.info.exit
    if arguments.json:
        out_json({"tasks": views})
    else:
        for view in views:
            out(f"{view.id} {view.state}")
    return status


def _shown(view: TaskView, text: str, *, json: bool) -> int:
    if json:
        out_json(view)
    else:
        out(text)
    return Exit.OK
