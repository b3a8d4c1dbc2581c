"""Commands that show tasks: status, show, wait, logs, history."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Final

from engines.errors import Exit, TaskdeckError
from engines.model import Stats, TaskDetail, TaskState, TaskView
from engines.query import Page, Sort, parse_filter
from engines.text import elapsed, percent, plural, rate, size
from tui_app import wire
from tui_app.cli.context import Context
from tui_app.cli.output import err, fit, is_fancy, out, out_json, show_error, task_line
from tui_app.cli.waiting import DetachedError, detached, exit_status, wait_for
from tui_app.client.local import LocalClient, task_path, with_query

_DEFAULT_LIMIT: Final = 20
_SPOKEN_LIMIT: Final = 500
_PERIOD: Final = 1.0


def add_arguments(parser: argparse.ArgumentParser, name: str) -> None:
    """Parameters of the commands of this module."""
    if name in ("status", "history"):
        parser.add_argument(
            "filter", nargs="*", metavar="FILTER", help="such as `status:failed kind:zip since:1d name`"
        )
        parser.add_argument("--limit", "-n", type=int, default=_DEFAULT_LIMIT, metavar="N", help="tasks to show")
        parser.add_argument("--sort", choices=[sort.value for sort in Sort], default=None, help="order of the list")
        parser.add_argument("--json", action="store_true", help="print one JSON document")
    if name == "status":
        parser.add_argument("--watch", "-w", action="store_true", help="show again every second until Ctrl-C")
        parser.add_argument(
            "--plain",
            action="store_true",
            help="one line a task, no heading, nothing cut; with --watch one line a change",
        )
    elif name == "history":
        parser.add_argument("--csv", action="store_true", help="print all that match as CSV")
    elif name == "show":
        parser.add_argument("id", metavar="ID")
        parser.add_argument("--json", action="store_true", help="print one JSON document")
    elif name == "wait":
        parser.add_argument("id", nargs="+", metavar="ID")
        parser.add_argument("--json", action="store_true", help="print one JSON document")
        parser.add_argument("--quiet", "-q", action="store_true", help="no progress line")
    elif name == "logs":
        parser.add_argument("id", metavar="ID")
        parser.add_argument("--follow", "-f", action="store_true", help="go on until the task has ended")


def run(context: Context, name: str, arguments: argparse.Namespace) -> int:
    """Run a command of this module."""
    match name:
        case "status":
            return _status(context, arguments)
        case "history":
            return _history(context, arguments)
        case "show":
            return _show(context, arguments)
        case "wait":
            return _wait(context, arguments)
    return _logs(context, arguments)


def _window(arguments: argparse.Namespace, words: str, sort: Sort) -> str:
    parse_filter(words)
    if not 0 <= arguments.limit <= 500:
        raise TaskdeckError("value", f"cannot show {arguments.limit} tasks", "the limit is 0 to 500")
    query = {"filter": words, "limit": arguments.limit, "sort": arguments.sort or sort.value}
    return with_query("/api/v1/tasks", query)


def _status(context: Context, arguments: argparse.Namespace) -> int:
    words = " ".join(arguments.filter)
    speaking = arguments.watch and (arguments.plain or not is_fancy(sys.stdout))
    if speaking and arguments.limit == _DEFAULT_LIMIT:
        arguments.limit = _SPOKEN_LIMIT  # who listens must not miss the end of a task further down
    path = _window(arguments, words, Sort.STATE)
    if arguments.watch and arguments.json:
        raise TaskdeckError("usage", "cannot watch as JSON", "it is one document", "use the API's stream instead")
    client = context.client()
    if not arguments.watch:
        _print_status(client, path, arguments)
        return Exit.OK
    spoken: dict[str, tuple[object, ...]] = {}
    try:
        while True:
            if speaking:
                _speak(client.get(path, Page).items, spoken)
            else:
                sys.stdout.write("\x1b[H\x1b[2J")
                _print_status(client, path, arguments)
            time.sleep(_PERIOD)
    except KeyboardInterrupt:
        return Exit.OK


def _speak(views: Sequence[TaskView], spoken: dict[str, tuple[object, ...]]) -> None:
    """Print what changed since the last time, a line a change: another state or note, the next tenth done.

    For screen readers, dumb terminals and pipes. `spoken` is what was told of each task so far.
    """
    first = not spoken
    for view in views:
        tenth = int((view.fraction or 0.0) * 10) if view.state is TaskState.RUNNING else 0
        told = (view.state, view.note, tenth)
        if spoken.get(view.id) != told:
            spoken[view.id] = told
            if not (first and view.terminal):  # what had ended before is no change
                out(task_line(view, whole=True))
    if first:
        spoken.setdefault("", ())
        active = sum(not view.terminal for view in views)
        out(f"{plural(active, 'open task')}; changes follow as lines, ctrl+c ends")
    sys.stdout.flush()


def _print_status(client: LocalClient, path: str, arguments: argparse.Namespace) -> None:
    page = client.get(path, Page)
    if arguments.json:
        out_json({"tasks": page.items, "total": page.total, "stats": client.get("/api/v1/stats", Stats)})
        return
    fancy = is_fancy(sys.stdout) and not arguments.plain
    width = shutil.get_terminal_size((80, 24)).columns if fancy else 0
    if not arguments.plain:
        stats = client.get("/api/v1/stats", Stats)
        out(fit(_headline(stats), width or 10_000))
        for notice in stats.notices:
            out(f"! {notice}")
    for view in page.items:
        out(task_line(view, width=width, whole=arguments.plain))
    if not arguments.plain and page.total > len(page.items):
        out(f"... and {plural(page.total - len(page.items), 'more task')} (--limit, or `taskdeck history`)")


def _headline(stats: Stats) -> str:
    counts = stats.counts
    parts = [f"{stats.active_tasks} active", f"{counts.get('queued', 0) + counts.get('waiting', 0)} waiting"]
    parts += [
        f"{counts.get('paused', 0)} paused",
        f"today {stats.completed_today} completed, {stats.failed_today} failed",
    ]
    if stats.total_speed:
        parts.append(rate(stats.total_speed))
    host = stats.host
    parts.append(f"CPU {percent(host.cpu / 100, digits=0)} memory {percent(host.memory / 100, digits=0)}")
    parts.append(f"disk {size(host.disk_free)} free")
    if stats.paused_all:
        parts.insert(0, "EVERYTHING PAUSED")
    return " | ".join(parts)


def _history(context: Context, arguments: argparse.Namespace) -> int:
    words = " ".join(["status:ended", *arguments.filter])
    path = _window(arguments, words, Sort.FINISHED)
    client = context.client()
    if arguments.csv:
        if arguments.json:
            raise TaskdeckError("usage", "cannot print both", "--json and --csv exclude each other")
        query = {"format": "csv", "filter": " ".join(arguments.filter)}
        sys.stdout.write(client.request("GET", with_query("/api/v1/history", query)).decode())
        return Exit.OK
    page = client.get(path, Page)
    if arguments.json:
        out_json({"tasks": page.items, "total": page.total})
        return Exit.OK
    for view in page.items:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(view.finished or view.created))
        out(f"{when}  {task_line(view)}")
    if page.total > len(page.items):
        err(f"... and {plural(page.total - len(page.items), 'more task')} (--limit N, or --csv for all)")
    return Exit.OK


def _show(context: Context, arguments: argparse.Namespace) -> int:
    detail = context.client().get(task_path(arguments.id), TaskDetail)
    if arguments.json:
        out_json(detail)
        return Exit.OK
    view = detail.view
    out(task_line(view, whole=True))
    out(f"  command   {detail.command}")
    out(f"  asked by  {view.owner} through {view.face}, {_when(view.created)}")
    if view.started is not None:
        end = view.finished or time.time()
        out(f"  started   {_when(view.started)}, {elapsed(max(0.0, end - view.started))}, attempt {view.attempt}")
    if view.note:
        out(f"  note      {view.note}")
    if view.item and not view.terminal:
        out(f"  at work   {view.item}")
    if view.usage is not None:
        out(f"  uses      {view.usage.cpu:.0f}% CPU, {size(view.usage.rss)} memory")
    if view.error is not None:
        out(f"  error     {view.error.message} [{view.error.code}]")
    if view.actions:
        out(f"  actions   {', '.join(view.actions)}")
    for event in detail.events[-10:]:
        out(f"  {_when(event.at)}  {event.type}  {event.actor} {event.face}".rstrip())
    if detail.reply:
        out("")
        out(detail.reply)
    if detail.log:
        out("")
        for line in detail.log[-20:]:
            out(line)
    return Exit.OK


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _wait(context: Context, arguments: argparse.Namespace) -> int:
    client = context.client()
    views: list[TaskView] = []
    status: int = Exit.OK
    for task_id in arguments.id:
        view = client.get(task_path(task_id, "/view"), TaskView)
        if not view.terminal:
            try:
                view = wait_for(client, view, quiet=arguments.quiet)
            except DetachedError:
                return detached(view.id)
        views.append(view)
        status = status or exit_status(view)
        if not arguments.json:
            out(task_line(view))
        if view.state is TaskState.FAILED and view.error is not None:
            show_error(view.error)
    if arguments.json:
        out_json(views[0] if len(views) == 1 else views)
    return status


def _logs(context: Context, arguments: argparse.Namespace) -> int:
    client = context.client()
    seen = 0
    while True:
        # The state first: lines written before the end are then sure to be in the page.
        view = client.get(task_path(arguments.id, "/view"), TaskView)
        page = client.get(with_query(task_path(view.id, "/log"), {"after": seen}), wire.LogPage)
        seen = page.after
        for line in page.lines:
            out(line)
        if not arguments.follow or view.terminal:
            return Exit.OK
        try:
            time.sleep(0.5)
        except KeyboardInterrupt:
            return Exit.OK
