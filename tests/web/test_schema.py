"""The OpenAPI document is true: generated requests against a real daemon meet nothing it does not say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.station import Station

CASES = 500


# Left out are the addresses whose answers take as long as they are asked to: long polls, event streams, the
# WebSocket; and the one that starts a process for each question.


@pytest.mark.slow
@pytest.mark.timeout(600)  # a busy machine takes its time
def test_generated_requests_find_no_fault(tmp_path: Path) -> None:
    station = Station(tmp_path, TASKDECK_WEB_ENABLED="true", TASKDECK_WEB_PORT="0")
    (station.root / "a.txt").write_text("x" * 1000)
    with station.serving():
        token = station.run("web", "token", "fuzz", "--scope", "admin").stdout.strip()
        url = station.run("web", "url").stdout.strip().removesuffix("/dashboard")
        program = "from schemathesis.cli import schemathesis; schemathesis()"
        done = subprocess.run(
            [sys.executable, "-c", program, "run", f"{url}/openapi.json", "-H", f"Authorization: Bearer {token}",
             "--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "7", "--request-timeout", "60",
             "--workers", "1", "--no-color", "--exclude-path-regex", "/(wait|stream|ws|look)"],
            capture_output=True, text=True, timeout=540, cwd=tmp_path, check=False,
        )  # fmt: skip
    told = "\n".join(line[:300] for line in done.stdout.splitlines() if line.strip())
    assert done.returncode == 0, told[-8000:]
    generated = re.search(r"([\d,]+) generated", told)
    assert generated is not None, told[-2000:]
    assert int(generated[1].replace(",", "")) >= CASES
