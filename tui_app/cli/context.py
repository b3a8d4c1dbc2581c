"""What a command works with: where things lie, the settings, and the daemon, started when needed."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING

from engines.errors import TaskdeckError
from engines.names import display
from tui_app.cli.output import err
from tui_app.locations import Locations

if TYPE_CHECKING:
    from tui_app.client.local import LocalClient
    from tui_app.config import Config


class Context:
    """One run of the program.

    Args:
        config_file: `--config`.
        assignments: `--set KEY=VALUE`, not parsed yet.
        roots: `--root`.
    """

    def __init__(
        self, config_file: str | None = None, assignments: list[str] | None = None, roots: list[str] | None = None
    ) -> None:
        self.locations = Locations.of(config=config_file)
        self.started_daemon = False
        """Whether this run has started the daemon."""
        self._config_file = config_file
        self._assignments = list(assignments or [])
        self._roots = [os.path.abspath(os.path.expanduser(root)) for root in roots or []]

    @cached_property
    def flags(self) -> dict[str, str]:
        """Settings given on the command line.

        Raises:
            TaskdeckError: `usage` when one has no "=".
        """
        found: dict[str, str] = {}
        for text in self._assignments:
            key, equals, value = text.partition("=")
            if not equals:
                raise TaskdeckError("usage", f"cannot use --set {display(text)}", "it is not KEY=VALUE")
            found[key.strip()] = value
        if self._roots:
            found["roots"] = ":".join(self._roots)
        return found

    def add_flag(self, key: str, value: str) -> None:
        """A setting that an option of a command stands for."""
        self._assignments.append(f"{key}={value}")
        self.__dict__.pop("flags", None)

    def load_config(self) -> Config:
        """The settings as they are now."""
        from tui_app.config import load

        return load(self.locations.config, flags=self.flags)

    def global_arguments(self) -> list[str]:
        """The program's own options again, for a daemon that is started."""
        found = [] if self._config_file is None else ["--config", str(self.locations.config)]
        for text in self._assignments:
            found += ["--set", text]
        for root in self._roots:
            found += ["--root", root]
        return found

    def client(self, *, start: bool = True) -> LocalClient:
        """The daemon, started when none runs (unless `start` is False).

        Raises:
            TaskdeckError: `daemon.absent`.
        """
        from tui_app.client.launch import ensure_daemon
        from tui_app.client.local import LocalClient

        if start and ensure_daemon(self.locations, flags=self.global_arguments()):
            self.started_daemon = True
            if sys.stderr.isatty():
                err("taskdeck: started the daemon (`taskdeck stop` ends it)")
        elif self.flags:
            err("taskdeck: warning: --set and --root count for a new daemon; the running one keeps its settings")
        return LocalClient(self.locations, on_other_build=_tell_other_build)


def _tell_other_build() -> None:
    what = "the program was changed since the daemon was started"
    err(f"taskdeck: warning: {what}; run `taskdeck restart`, tasks are kept")
