"""Runs one packing in a process of its own, for tests that kill it: checkpoints go to a file.

usage: python -m tests.support.pack_child ROOT STATE OPERATION_JSON   (secrets as JSON on standard input)
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from engines.archive.create import journal
from engines.archive.create.job import run
from engines.model import Json
from engines.operations import Zip, parse
from tests.support.jobs import RecordingJob


class DurableJob(RecordingJob):
    """Keeps its checkpoint in a file."""

    def __init__(self, root: Path, state: Path, secrets: dict[str, str]) -> None:
        super().__init__(root, secrets=secrets)
        self.state = state
        if state.exists():
            self.checkpoint = json.loads(state.read_text())

    def save(self, checkpoint: Json) -> None:
        fresh = self.state.with_suffix(".new")
        fresh.write_text(json.dumps(checkpoint))
        os.replace(fresh, self.state)

    def claim(self, path: Path) -> Path:
        self.claimed.add(path)
        return path


def main() -> None:
    """See the module."""
    root, state, operation = sys.argv[1:4]
    journal.INTERVAL = 0.0
    op = parse(json.loads(operation))
    assert isinstance(op, Zip)
    print("started", flush=True)
    secrets = json.loads(sys.stdin.readline() or "{}")
    print(run(op, DurableJob(Path(root), Path(state), secrets)).location, flush=True)


if __name__ == "__main__":
    main()
