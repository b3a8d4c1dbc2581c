"""The machine: CPU, memory, disk, network, load and uptime, with small graphs; one row, or a column when wide."""

from __future__ import annotations

from collections import deque

from engines.model import HostMetrics
from engines.text import rate, size, uptime
from widgets.glyphs import Glyphs, sparkline
from widgets.line_view import Lines
from widgets.spans import Row, Span, fill

_REMEMBERED = 60


class SystemPanel(Lines):
    """Shows host metrics; `tall` panels have one row a metric."""

    def __init__(self, *, id: str | None = None, classes: str | None = None, tall: bool = False) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self.tall = tall
        self._cpu: deque[float] = deque(maxlen=_REMEMBERED)
        self._net: deque[float] = deque(maxlen=_REMEMBERED)
        self._memory: deque[float] = deque(maxlen=_REMEMBERED)
        self._disk: deque[float] = deque(maxlen=_REMEMBERED)
        self._last = HostMetrics()

    def tell(self, host: HostMetrics) -> None:
        """Show a sample; samples already seen change nothing."""
        if host.at == self._last.at:
            return
        self._last = host
        self._cpu.append(host.cpu)
        self._memory.append(host.memory)
        self._net.append(host.net_in + host.net_out)
        self._disk.append(host.io_read + host.io_write)
        self.redraw()

    def on_resize(self) -> None:
        """Draw at the new width."""
        super().on_resize()
        self.redraw()

    def dress(self, glyphs: Glyphs) -> None:
        """Draw with other glyphs."""
        super().dress(glyphs)
        self.redraw()

    def redraw(self) -> None:
        """Draw the last sample."""
        if self._last.at and self.size.width:
            self.show(self._column() if self.tall else [self._line()])

    def _line(self) -> Row:
        host, width = self._last, self.size.width
        graph = 8 if width >= 76 else 0
        parts: list[Span] = [Span(" ")]

        def metric(label: str, value: str, values: deque[float] | None = None) -> None:
            parts.append(Span(f"{label} ", "label"))
            if values is not None and graph:
                parts.append(Span(sparkline(list(values), graph, self.glyphs, top=100.0) + " ", "accent"))
            parts.append(Span(f"{value}  "))

        metric("CPU", f"{host.cpu:3.0f}%", self._cpu)
        metric("MEM", f"{host.memory:3.0f}%", self._memory if width >= 100 else None)
        metric("DISK", f"{host.disk:3.0f}%")
        if width >= 60:
            down, up = self.glyphs.down, self.glyphs.up
            metric("NET", f"{down}{rate(host.net_in)} {up}{rate(host.net_out)}")
        metric("LOAD", f"{host.load[0]:.2f}")
        if width >= 110:
            metric("UP", uptime(host.uptime))
        return parts

    def _column(self) -> list[Row]:
        host, width = self._last, self.size.width
        graph = max(8, width - 26)

        def row(label: str, value: str, values: deque[float] | None, top: float | None) -> Row:
            left = [Span(f"{label:<5}", "label")]
            if values is not None:
                left.append(Span(sparkline(list(values), graph, self.glyphs, top=top), "accent"))
            return fill(left, [Span(value)], width)

        down, up = self.glyphs.down, self.glyphs.up
        return [
            row("CPU", f"{host.cpu:.0f}% of {host.cores} cores", self._cpu, 100.0),
            row("MEM", f"{host.memory:.0f}% of {size(host.memory_total, digits=1)}", self._memory, 100.0),
            row("NET", f"{down}{rate(host.net_in)} {up}{rate(host.net_out)}", None, None),
            row("I/O", f"{down}{rate(host.io_read)} {up}{rate(host.io_write)}", None, None),
            row("DISK", f"{size(host.disk_free, digits=1)} free, {host.disk:.0f}% used", None, None),
            row("LOAD", "  ".join(f"{value:.2f}" for value in host.load), None, None),
            row("UP", uptime(host.uptime), None, None),
        ]
