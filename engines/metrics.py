"""The machine and process trees, sampled with psutil. Rates are taken between one sample and the next."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

import psutil

from engines.model import HostMetrics, Usage


class HostSampler:
    """Samples the machine.

    Args:
        roots: Folders whose disks count; the fullest of them is reported.
    """

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = tuple(roots)
        self._at = time.monotonic()
        self._net = psutil.net_io_counters()
        self._io = psutil.disk_io_counters()
        self._cores = psutil.cpu_count() or 1
        psutil.cpu_percent(None)

    def sample(self) -> HostMetrics:
        """The machine now; rates since the last call."""
        now = time.monotonic()
        span = max(now - self._at, 1e-3)
        self._at = now
        memory = psutil.virtual_memory()
        net, io = psutil.net_io_counters(), psutil.disk_io_counters()
        net_before, self._net = self._net, net
        io_before, self._io = self._io, io
        used, free, total = self._disk()
        return HostMetrics(
            at=time.time(),
            cpu=psutil.cpu_percent(None),
            load=os.getloadavg(),
            cores=self._cores,
            memory=memory.percent,
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            disk=used,
            disk_free=free,
            disk_total=total,
            net_in=max(0.0, (net.bytes_recv - net_before.bytes_recv) / span) if net and net_before else 0.0,
            net_out=max(0.0, (net.bytes_sent - net_before.bytes_sent) / span) if net and net_before else 0.0,
            io_read=max(0.0, (io.read_bytes - io_before.read_bytes) / span) if io and io_before else 0.0,
            io_write=max(0.0, (io.write_bytes - io_before.write_bytes) / span) if io and io_before else 0.0,
            uptime=max(0.0, time.time() - psutil.boot_time()),
        )

    def _disk(self) -> tuple[float, int, int]:
        """Percent used, free and total bytes of the fullest disk among the roots."""
        found = []
        for root in self._roots:
            try:
                usage = psutil.disk_usage(root)
            except OSError:
                continue
            found.append((usage.percent, usage.free, usage.total))
        return max(found, default=(0.0, 0, 0))


class TreeSampler:
    """Samples the process trees of running tasks."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[psutil.Process, float, float, int, int]] = {}

    def sample(self, running: Mapping[str, int]) -> dict[str, Usage]:
        """Usage by task id for these worker pids; processes that end in between are left out."""
        now = time.monotonic()
        fresh: dict[int, tuple[psutil.Process, float, float, int, int]] = {}
        found: dict[str, Usage] = {}
        for task_id, pid in running.items():
            try:
                root = psutil.Process(pid)
                members = [root, *root.children(recursive=True)]
            except psutil.Error:
                continue
            found[task_id] = self._tree(members, now, fresh)
        self._seen = fresh
        return found

    def _tree(
        self,
        members: list[psutil.Process],
        now: float,
        fresh: dict[int, tuple[psutil.Process, float, float, int, int]],
    ) -> Usage:
        cpu = read = write = 0.0
        rss = 0
        for process in members:
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    rss += process.memory_info().rss
                    io = process.io_counters()
            except psutil.Error:
                continue
            busy = times.user + times.system
            fresh[process.pid] = (process, now, busy, io.read_bytes, io.write_bytes)
            before = self._seen.get(process.pid)
            if before is not None and before[0] == process and now > before[1]:
                span = now - before[1]
                cpu += (busy - before[2]) / span * 100
                read += (io.read_bytes - before[3]) / span
                write += (io.write_bytes - before[4]) / span
        return Usage(round(cpu, 1), rss, max(0.0, read), max(0.0, write))
