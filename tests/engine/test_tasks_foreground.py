"""One operation in this process: the same job rules, without a daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engines.errors import TaskdeckError
from engines.model import Progress
from engines.process import environment
from engines.settings import Settings
from engines.tasks.foreground import run_foreground
from tests.support.operations import added_operations, content


def test_result_and_progress_come_back(tmp_path: Path) -> None:
    seen: list[Progress] = []
    with added_operations():
        op, result = run_foreground(
            {"op": "steps", "path": "out", "count": 5, "pause": 0.0},
            Settings(roots=(str(tmp_path),)),
            base=str(tmp_path),
            on_progress=seen.append,
        )
    assert (tmp_path / "out").read_bytes() == content(5, 1000)
    assert result["bytes"] == 5000 and seen[-1].done == 5000
    assert type(op).__name__ == "Steps"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_errors_are_those_of_a_task(tmp_path: Path) -> None:
    settings = Settings(roots=(str(tmp_path),))
    with added_operations():
        for data, code in (
            ({"op": "act", "path": "error", "text": "disk.full"}, "disk.full"),
            ({"op": "steps", "path": "/etc/x"}, "path.outside_roots"),
        ):
            with pytest.raises(TaskdeckError) as caught:
                run_foreground(data, settings)
            assert caught.value.code == code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_cancels_and_removes_what_is_half_done(tmp_path: Path, number: signal.Signals) -> None:
    code = (
        "import sys\n"
        "from tests.support.operations import added_operations\n"
        "from engines.tasks.foreground import run_foreground\n"
        "from engines.settings import Settings\n"
        "from engines.errors import TaskdeckError\n"
        "with added_operations():\n"
        "    try:\n"
        "        run_foreground({'op': 'steps', 'path': 'out', 'count': 1000}, Settings(roots=(sys.argv[1],)),\n"
        "                       base=sys.argv[1])\n"
        "    except TaskdeckError as error:\n"
        "        print(error.code)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=environment(),
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # the tests may run under nohup
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child.pid, number)
    output, _ = child.communicate(timeout=60)
    assert output.decode().strip() == "task.cancelled"
    assert list(tmp_path.iterdir()) == []


def test_program_ends_although_a_thread_of_its_operation_is_stuck() -> None:
    code = (
        "import sys, threading, engines.tasks.foreground\n"
        "from tui_app.__main__ import main\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "sys.argv = ['taskdeck', '--version']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=Path(__file__).parents[2], env=environment(), timeout=60
    )
    assert (done.returncode, done.stdout[:9], done.stderr) == (0, b"taskdeck ", b"")
