"""External programs: told when missing, never a shell, no secrets in their environment, dead with their parent."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engines.errors import TaskdeckError
from engines.process import Tool, environment, readable
from tests.support.station import gone, until

PYTHON = sys.executable


@pytest.mark.parametrize("program", ["no-such-program-7391", "/no/such/program", "./gone"])
def test_missing_program_is_told(program: str) -> None:
    with pytest.raises(TaskdeckError) as caught:
        Tool([program])
    assert caught.value.code == "tool.missing"


def test_output_errors_and_status_come_back() -> None:
    tool = Tool([PYTHON, "-c", "import sys; print('out'); print('bad\\x1b[31m', file=sys.stderr); sys.exit(3)"])
    assert tool.stdout.read() == b"out\n"
    assert tool.wait(10) == 3
    assert tool.errors.startswith("bad") and "\x1b" not in tool.errors


def test_arguments_are_never_read_by_a_shell(tmp_path: Path) -> None:
    hostile = "$(touch pwned); `touch pwned` | > pwned"
    tool = Tool([PYTHON, "-c", "import sys; print(sys.argv[1])", hostile], cwd=tmp_path)
    assert tool.stdout.read().decode().strip() == hostile
    assert tool.wait(10) == 0 and not list(tmp_path.iterdir())


def test_input_is_fed_and_without_it_the_program_sees_the_end() -> None:
    code = "import sys; print(len(sys.stdin.read()))"
    for data, wanted in ((b"secret", b"6"), (None, b"0")):
        tool = Tool([PYTHON, "-c", code], stdin=data)
        assert tool.stdout.read().strip() == wanted
        tool.wait(10)


def test_program_that_does_not_read_its_input_is_no_error() -> None:
    assert Tool([PYTHON, "-c", "pass"], stdin=b"x" * 10).wait(10) == 0


def test_environment_holds_nothing_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKDECK_TELEGRAM_BOT_TOKEN", "123:secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert "secret" not in repr(environment())
    tool = Tool([PYTHON, "-c", "import os; print(dict(os.environ))"])
    assert b"secret" not in tool.stdout.read()
    tool.wait(10)


def test_output_is_split_at_every_mark_a_progress_line_may_end_with() -> None:
    tool = Tool([PYTHON, "-c", "import sys; sys.stdout.write('1%\\r2%\\b\\b3%\\n\\nend')"])
    assert list(tool.chunks()) == [b"1%", b"2%", b"3%", b"end"]
    tool.wait(10)


def test_flood_of_errors_does_not_block_and_keeps_its_tail() -> None:
    tool = Tool([PYTHON, "-c", "import sys\nfor n in range(100000): print('line', n, file=sys.stderr)"])
    assert tool.stdout.read() == b""
    assert tool.wait(30) == 0
    assert tool.errors.splitlines()[-1] == "line 99999" and len(tool.errors.splitlines()) == 50


def test_tool_reads_from_a_descriptor_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"0123456789")
    with open(tmp_path / "text", "rb") as source:
        source.seek(4)
        tool = Tool([PYTHON, "-c", "print(input())"], stdin=source.fileno())
        assert tool.stdout.read() == b"456789\n"
        assert tool.wait(10) == 0


def test_killed_tool_is_gone_when_kill_returns() -> None:
    tool = Tool([PYTHON, "-c", "import time; time.sleep(60)"])
    tool.kill()
    tool.kill()
    assert tool.poll() == -signal.SIGKILL


def test_tool_dies_with_a_parent_that_is_killed() -> None:
    code = (
        "import sys, time; from engines.process import Tool\n"
        "tool = Tool([sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(60)'])\n"
        "tool.stdout.readline(); print(tool.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([PYTHON, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    until(lambda: gone(pid))


def test_wait_for_output_takes_descriptors_beyond_1024() -> None:
    """`select` does not, and a process that holds many files open has such."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    reading, writing = os.pipe()
    far = fcntl.fcntl(reading, fcntl.F_DUPFD_CLOEXEC, 1500)
    try:
        assert far >= 1500 and not readable(far, 0)
        os.write(writing, b"x")
        assert readable(far, 10) and os.read(far, 1) == b"x"
        os.close(writing)
        assert readable(far, 10) and os.read(far, 1) == b""
    finally:
        os.close(far)
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
