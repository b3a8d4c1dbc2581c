"""Waiting for a task: a progress line, Ctrl-C that asks, passwords when a task needs one, the result at the end."""

from __future__ import annotations

import sys
import time
from typing import Final

import msgspec

from engines.errors import Exit, TaskdeckError
from engines.model import Action, TaskDetail, TaskState, TaskView, WaitReason
from tui_app import wire
from tui_app.cli import secret
from tui_app.cli.output import Meter, err, is_interactive, out, out_json, show_error
from tui_app.client.launch import answers
from tui_app.client.local import LocalClient, task_path

_BACK_WITHIN: Final = 15.0
"""Seconds a waiting command gives a daemon that went away to come back."""


class DetachedError(Exception):
    """The user left; the task goes on."""


def wait_for(client: LocalClient, view: TaskView, *, quiet: bool = False) -> TaskView:
    """Follow a task until it has ended.

    Raises:
        DetachedError: The user chose to leave.
        TaskdeckError: `daemon.absent` when the daemon went away for good; `password.needed`.
    """
    return _Follower(client, view, None if quiet else Meter()).run()


class _Follower:
    """Follows one task, over interruptions of every kind."""

    def __init__(self, client: LocalClient, view: TaskView, meter: Meter | None) -> None:
        self._client = client
        self._view = view
        self._meter = meter
        self._unlocked = -1
        """Revision that a password made: what was announced before it asks for nothing any more."""

    def run(self) -> TaskView:
        """The task as it ended."""
        while True:
            try:
                if self._follow():
                    return self._view
            except KeyboardInterrupt:
                self._clear()
                _ask(self._client, self._view)
            finally:
                self._clear()

    def _clear(self) -> None:
        if self._meter is not None:
            self._meter.clear()

    def _follow(self) -> bool:
        """Whether it has ended; else the connection has."""
        try:
            for _event, data in self._client.stream(task_path(self._view.id).replace("/tasks/", "/stream/")):
                self._view = msgspec.json.decode(data, type=TaskView)
                if self._meter is not None:
                    self._meter.show(self._view)
                if self._view.terminal:
                    return True
                if self._view.reason is WaitReason.PASSWORD and self._view.rev > self._unlocked:
                    self._clear()
                    self._unlock()
        except TaskdeckError as error:
            if error.code != "daemon.absent":
                raise
            _wait_for_daemon(self._client, self._view, error)
        return self._view.terminal

    def _unlock(self) -> None:
        """Ask for the password, once, and see that the daemon gets it: a busy one may not answer in time."""
        view = self._view
        try:
            password = secret.ask(f"Password for {view.title}")
        except TaskdeckError:
            raise TaskdeckError(
                "password.needed",
                f"cannot go on with task {view.id}",
                "it waits for a password",
                f"give it with `taskdeck unlock {view.id} --password-stdin`",
            ) from None
        request = wire.UnlockRequest({"password": password})
        while True:
            try:
                self._unlocked = self._client.post(task_path(view.id, "/unlock"), TaskView, request).rev
                return
            except TaskdeckError as error:
                if error.code == "task.state":  # it waits no more: an earlier try has arrived, or somebody else's
                    self._unlocked = self._client.get(task_path(view.id), TaskDetail).view.rev
                    return
                if error.code != "daemon.absent":
                    raise
                _wait_for_daemon(self._client, view, error)


def _wait_for_daemon(client: LocalClient, view: TaskView, error: TaskdeckError) -> None:
    deadline = time.monotonic() + _BACK_WITHIN
    while time.monotonic() < deadline:
        if answers(client.locations):
            return
        time.sleep(0.1)
    raise TaskdeckError(
        "daemon.absent",
        f"cannot follow task {view.id}",
        "the daemon went away",
        "the task goes on when `taskdeck serve` runs again",
    ) from error


def _ask(client: LocalClient, view: TaskView) -> None:
    """Ctrl-C: detach, cancel or wait on. Without a terminal, or at a second Ctrl-C: detach."""
    answer = "d"
    if is_interactive():
        try:
            sys.stderr.write(f"\nTask {view.id} is {view.state}: [d]etach, [c]ancel it, or [w]ait on? ")
            sys.stderr.flush()
            answer = sys.stdin.readline().strip().casefold()[:1] or "d"
        except KeyboardInterrupt:
            err("")
    if answer == "w":
        return
    if answer == "c":
        client.post(task_path(view.id, "/control"), TaskView, wire.ControlRequest(Action.CANCEL))
        return
    raise DetachedError


def finish(client: LocalClient, view: TaskView, *, json: bool) -> int:
    """Print how a task ended; returns the exit status that says the same."""
    return print_end(client.get(task_path(view.id), TaskDetail), json=json)


def print_end(detail: TaskDetail, *, json: bool) -> int:
    """The result on standard output, an error on standard error."""
    view = detail.view
    if json:
        out_json(detail)
    elif view.state is TaskState.COMPLETED:
        out(detail.reply or f"{view.op} {view.title}: completed")
    elif detail.reply:  # it failed, and something was done all the same
        out(detail.reply)
    if view.state is TaskState.CANCELLED:
        err(f"taskdeck: task {view.id} was cancelled. [task.cancelled]")
    elif view.error is not None and view.state is TaskState.FAILED:
        show_error(view.error)
    return exit_status(view)


def exit_status(view: TaskView) -> int:
    """The exit status of an ended task."""
    if view.state is TaskState.CANCELLED:
        return Exit.CANCELLED
    if view.state is TaskState.FAILED:
        return view.error.exit if view.error is not None else Exit.FAILED
    return Exit.OK


def detached(task_id: str) -> int:
    """Say that the task goes on."""
    err(f"taskdeck: detached; task {task_id} goes on (`taskdeck wait {task_id}` waits again)")
    return Exit.DETACHED
