"""A transcode in a process of its own that tests and benchmarks kill: `python -m ... FOLDER FILM CHECKPOINT`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engines.media.transcode.job import run
from engines.model import Json
from engines.operations import Speed, Transcode
from tests.support.jobs import RecordingJob


class KillableJob(RecordingJob):
    """Keeps its checkpoint in a file, as the daemon would; a killed attempt leaves its claimed paths."""

    kept: Path

    def save(self, checkpoint: Json) -> None:
        part = self.kept.with_suffix(".part")
        part.write_text(json.dumps(checkpoint))
        part.replace(self.kept)

    def claim(self, path: Path) -> Path:
        self.claimed.add(path)
        return path


def main(folder: Path, film: Path, kept: Path) -> None:
    """Convert, going on from the checkpoint when there is one; print the result's path."""
    checkpoint = json.loads(kept.read_text()) if kept.exists() else None
    job = KillableJob(folder, attempt=2, checkpoint=checkpoint)
    job.kept = kept
    op = Transcode(path=str(film), speed=Speed.FAST, chunk=2, output=str(folder / "killed.mp4"))
    print(run(op, job).path)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
