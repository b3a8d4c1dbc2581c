"""Samples of the machine and of process trees are sane."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from engines.metrics import HostSampler, TreeSampler
from engines.model import TaskState
from engines.tasks.api import Watch
from tests.support.workbench import running


def test_host_numbers_lie_where_they_must(tmp_path: Path) -> None:
    host = HostSampler((str(tmp_path), "/does-not-exist")).sample()
    assert 0 <= host.cpu <= 100 and 0 < host.memory < 100 and 0 <= host.disk <= 100
    assert 0 < host.memory_used < host.memory_total
    assert 0 < host.disk_free <= host.disk_total
    assert host.cores >= 1 and host.uptime > 0 and host.load[0] >= 0
    assert min(host.net_in, host.net_out, host.io_read, host.io_write) >= 0


def test_tree_counts_children_and_forgets_what_is_gone() -> None:
    code = (
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'x = bytearray(60 << 20)\\nwhile True: pass'])\n"
        "print('up', flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
    )
    try:
        assert parent.stdout is not None
        parent.stdout.readline()
        sampler = TreeSampler()
        deadline = time.monotonic() + 20
        usage = sampler.sample({"t": parent.pid})["t"]
        while usage.cpu < 5 or usage.rss < 60 << 20:
            assert time.monotonic() < deadline, usage
            time.sleep(0.2)
            usage = sampler.sample({"t": parent.pid})["t"]
        assert usage.cpu <= 150
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()
    assert sampler.sample({"t": parent.pid}) == {}


async def test_watched_running_task_shows_what_it_uses(tmp_path: Path) -> None:
    async with running(tmp_path) as deck:
        watcher = await deck.service.watch(Watch())
        task = await deck.act("burn", number=10)
        await deck.until(task.id, TaskState.RUNNING)
        view = await deck.when(task.id, lambda view: view.usage is not None and view.usage.rss > 1 << 20)
        assert view.usage is not None
        await watcher.close()
