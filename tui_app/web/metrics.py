"""GET /metrics: the Prometheus text format (exposition format 0.0.4). Numbers only, no names of files or users."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psutil
from aiohttp import web

from engines.model import Stats, TaskState
from tui_app import wire
from tui_app.web.context import DECK, Deck


async def metrics(request: web.Request) -> web.Response:
    """GET /metrics."""
    deck = request.app[DECK]
    lines = "\n".join(_lines(deck, await deck.tasks.stats()))
    return web.Response(
        body=(lines + "\n").encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    )


def _lines(deck: Deck, stats: Stats) -> Iterator[str]:
    yield "# HELP taskdeck_info Version of the daemon."
    yield "# TYPE taskdeck_info gauge"
    yield f'taskdeck_info{{version="{wire.program_version()}",protocol="{wire.PROTOCOL}"}} 1'
    yield "# HELP taskdeck_tasks Tasks by state, history included."
    yield "# TYPE taskdeck_tasks gauge"
    for state in TaskState:
        yield f'taskdeck_tasks{{state="{state.value}"}} {stats.counts.get(state.value, 0)}'
    host = stats.host
    process = psutil.Process()
    gauges = (
        ("taskdeck_active_tasks", "Tasks that run now.", stats.active_tasks),
        ("taskdeck_speed_bytes", "Bytes per second over all running tasks.", stats.total_speed),
        ("taskdeck_paused", "1 while everything is paused.", int(stats.paused_all)),
        ("taskdeck_live_connections", "Open WebSockets.", deck.connections),
        ("taskdeck_uptime_seconds", "Age of the daemon.", time.time() - deck.started),
        ("taskdeck_resident_memory_bytes", "Resident memory of the daemon.", process.memory_info().rss),
        ("taskdeck_host_cpu_percent", "CPU use of the machine.", host.cpu),
        ("taskdeck_host_memory_percent", "Memory use of the machine.", host.memory),
        ("taskdeck_host_disk_percent", "Use of the disk that holds the roots.", host.disk),
        ("taskdeck_host_disk_free_bytes", "Free bytes on it.", host.disk_free),
        ("taskdeck_host_load1", "Load average over one minute.", host.load[0]),
    )
    for name, text, value in gauges:
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} gauge"
        yield f"{name} {value}"
    counters = (
        ("taskdeck_downloads_total", "Finished downloads.", stats.total_downloads),
        ("taskdeck_uploads_total", "Finished uploads.", stats.total_uploads),
    )
    for name, text, value in counters:
        yield f"# HELP {name} {text}"
        yield f"# TYPE {name} counter"
        yield f"{name} {value}"
