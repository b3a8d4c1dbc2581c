"""Everything about one task as rows: facts, speed graph, result or error, parameters, command and log. Pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from engines.model import Json, TaskDetail, TaskState, TaskView
from engines.names import display
from engines.operations import OPERATIONS, fields
from engines.text import amount, clock, percent, rate, size
from widgets.glyphs import Glyphs, bar, sparkline
from widgets.result_rows import reply_rows, tree_rows
from widgets.spans import Row, Span, cut, fill, wrap
from widgets.task_card import STATE_STYLES

_LABEL = 11
_LOG_ROWS = 200
_RESULTS = {"mediainfo": "Media report", "mstats": "Media report", "zipinfo": "Archive"}


def detail_rows(detail: TaskDetail, width: int, glyphs: Glyphs, *, picture: Sequence[Row] = ()) -> list[Row]:
    """The whole pane; `picture` is a preview of the output."""
    view = detail.view
    rows: list[Row] = [*_heading(view, width, glyphs), *_facts(detail, width)]
    if picture:
        rows += [[Span("")], *picture]
    graph = _graph(detail, width, glyphs)
    if graph:
        rows += [*_section("Speed", width, glyphs), *graph]
    if view.error is not None and view.state is not TaskState.COMPLETED:
        rows += [*_section("Error", width, glyphs), *_error(view, width)]
    if detail.reply:
        rows += [*_section(_RESULTS.get(view.op, "Result"), width, glyphs), *reply_rows(detail.reply, width)]
    if view.op == "zipinfo" and detail.result:
        rows += [*_section("Members", width, glyphs), *tree_rows(detail.result, width, glyphs)]
    if detail.params:
        rows += [*_section("Parameters", width, glyphs), *_params(view.op, detail.params, width)]
    if detail.command:
        rows += [*_section("Command", width, glyphs), *_text(detail.command, width)]
    if detail.log:
        rows += [*_section("Log", width, glyphs), *_text("\n".join(detail.log[-_LOG_ROWS:]), width, style="muted")]
    if detail.events:
        rows += [*_section("History", width, glyphs), *_events(detail, width)]
    return rows


def _section(name: str, width: int, glyphs: Glyphs) -> list[Row]:
    rule = glyphs.rule * max(0, width - len(name) - 1)
    return [[Span("")], [Span(name, "heading"), Span(f" {rule}", "rest")]]


def _heading(view: TaskView, width: int, glyphs: Glyphs) -> list[Row]:
    state = Span(view.state.value, STATE_STYLES[view.state])
    share = percent(view.fraction) if view.fraction is not None else ""
    filled, rest = bar(view.fraction if view.done or view.terminal else 0.0, width - 7, glyphs)
    style = "bar" if view.state is TaskState.RUNNING else STATE_STYLES[view.state]
    return [
        fill([Span(cut(view.title, width - len(state.text) - 2, glyphs.ellipsis), "strong")], [state], width),
        [Span(filled, style), Span(rest, "rest"), Span(f"{share:>7}")],
    ]


def _fact(label: str, value: str, width: int, style: str = "") -> list[Row]:
    lines = wrap(value, max(8, width - _LABEL))
    first: Row = [Span(f"{label:<{_LABEL}}", "label"), Span(lines[0], style)]
    return [first, *([Span(" " * _LABEL), Span(line, style)] for line in lines[1:])]


def _facts(detail: TaskDetail, width: int) -> list[Row]:
    view = detail.view
    pairs: list[tuple[str, str]] = [("Task", f"{view.id}  {view.op}")]
    sizes = amount(view.done, view.unit)
    if view.total is not None and view.total != view.done:
        sizes = f"{sizes} of {amount(view.total, view.unit)}"
    if view.done or view.total:
        pairs.append(("Done", sizes))
    if view.state is TaskState.RUNNING:
        left = f", {clock(view.eta)} left" if view.eta is not None else ""
        pairs.append(("Speed", f"{rate(view.speed, view.unit)}{left}"))
    if view.item and not view.terminal:
        pairs.append(("At", f"{view.stage}  {view.item}".strip()))
    if view.note:
        pairs.append(("Waits", view.note))
    if view.usage is not None:
        usage = view.usage
        pairs.append(("Uses", f"CPU {usage.cpu:.0f}%  RAM {size(usage.rss, digits=1)}"))
        pairs.append(("I/O", f"in {rate(usage.read)}  out {rate(usage.write)}"))
    if view.output:
        pairs.append(("Output", view.output))
    pairs.append(("Created", f"{_when(view.created)} by {display(view.owner)} ({display(view.face)})"))
    if view.started is not None:
        pairs.append(("Started", _when(view.started)))
    if view.finished is not None:
        took = f", took {clock(view.finished - view.started)}" if view.started is not None else ""
        pairs.append(("Ended", f"{_when(view.finished)}{took}"))
    if view.attempt > 1:
        pairs.append(("Attempt", str(view.attempt)))
    if view.priority:
        pairs.append(("Priority", f"{view.priority:+d}"))
    if detail.after:
        pairs.append(("After", ", ".join(display(task_id) for task_id in detail.after)))
    if not view.resumable and not view.terminal:
        pairs.append(("Resume", "starts from the beginning after a crash or reboot"))
    return [row for label, value in pairs for row in _fact(label, value, width)]


def _graph(detail: TaskDetail, width: int, glyphs: Glyphs) -> list[Row]:
    if len(detail.history) < 2:
        return []
    values = detail.history[-width:]
    peak = max(values)
    mean = sum(values) / len(values)
    unit = detail.view.unit
    return [
        [Span(sparkline(values, width, glyphs), "accent")],
        [Span(f"peak {rate(peak, unit)}   mean {rate(mean, unit)}", "muted")],
    ]


def _error(view: TaskView, width: int) -> list[Row]:
    assert view.error is not None
    rows = [*_text(view.error.message, width, style="failed"), [Span(view.error.code, "muted")]]
    return [*rows, *_text(view.error.detail, width, style="muted")] if view.error.detail else rows


def _params(op: str, params: Json, width: int) -> list[Row]:
    """What differs from the defaults."""
    spec = OPERATIONS.get(op)
    defaults = {field.name: field.default for field in fields(spec.struct)} if spec is not None else {}
    rows: list[Row] = []
    for name, value in params.items():
        if name == "op" or value in (None, "", [], (), False) or value == defaults.get(name):
            continue
        text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        label = name.replace("_", "-")
        if len(label) < _LABEL:
            rows += _fact(label, display(text), width)
        else:
            rows += [[Span(label, "label")], *_fact("", display(text), width)]
    return rows


def _events(detail: TaskDetail, width: int) -> list[Row]:
    rows: list[Row] = []
    for event in detail.events[-20:]:
        who = f" by {event.actor} ({event.face})" if event.actor else ""
        line = display(f"{event.type}{who}")
        rows.append([Span(f"{time.strftime('%H:%M:%S', time.localtime(event.at)):<{_LABEL}}", "label"), Span(line)])
    return rows


def _text(text: str, width: int, *, style: str = "") -> list[Row]:
    return [[Span(line, style)] for line in _wrapped(text.split("\n"), width)]


def _wrapped(lines: Iterable[str], width: int) -> Iterable[str]:
    for line in lines:
        yield from wrap(display(line), max(8, width))


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment))
