"""`--foreground`: the operation in this very process, without a daemon."""

from __future__ import annotations

import os
import time

import msgspec

from engines import operations
from engines.errors import ErrorInfo, Exit, TaskdeckError
from engines.model import Json, Progress, SubmitOptions, TaskState, TaskView
from engines.tasks.foreground import run_foreground
from engines.tasks.processes import collect_rarely, keep
from tui_app.cli.context import Context
from tui_app.cli.output import Meter, err, out, out_json, show_error

_NOT_HERE = SubmitOptions()


def run_here(context: Context, body: Json, options: SubmitOptions, *, json: bool) -> int:
    """Run an operation to its end and print its result.

    Raises:
        TaskdeckError: What the job says; `usage` for options that need a queue.
    """
    if options != _NOT_HERE:
        raise TaskdeckError(
            "usage", "cannot queue with --foreground", "--after, --at, --paused, --priority and --key need the daemon"
        )
    collect_rarely()
    spec = operations.spec_of(str(body["op"]))
    title = operations.title(operations.parse(body))
    meter, started = Meter(), time.time()
    window: list[tuple[float, int]] = []

    def show(progress: Progress) -> None:
        now = time.monotonic()
        window.append((now, progress.done))
        del window[:-50]
        since, before = window[0]
        speed = max(0.0, (progress.done - before) / (now - since)) if now - since > 0.2 else 0.0
        left = (progress.total - progress.done) / speed if progress.total and speed else None
        meter.show(
            TaskView(
                id="here", op=spec.name, kind=spec.kind, title=title, state=TaskState.RUNNING, created=started, rev=0,
                started=started, done=progress.done, total=progress.total, unit=progress.unit, item=progress.item,
                stage=progress.stage, speed=speed, eta=left,
            )
        )  # fmt: skip

    def log(level: str, line: str) -> None:
        if level != "info":
            meter.clear()
            err(f"taskdeck: {level}: {line}")

    def tell(op: operations.Operation, result: Json, error: ErrorInfo | None = None) -> None:
        reply = operations.reply(op, result).render(emoji=False)
        if json:
            seconds = round(time.time() - started, 3)
            failed = {} if error is None else {"error": error}
            out_json({"op": spec.name, "result": result, "reply": reply, "seconds": seconds, **failed})
        else:
            out(reply)

    try:
        op, result = run_foreground(
            body, context.load_config().settings, base=os.getcwd(), on_progress=show, on_log=log
        )
    except TaskdeckError as error:
        keep(error)
        meter.clear()
        if error.result is None:
            raise
        tell(operations.parse(body), msgspec.to_builtins(error.result), error.info)
        show_error(error.info)
        return error.info.exit
    finally:
        meter.clear()
    tell(op, result)
    return Exit.OK
