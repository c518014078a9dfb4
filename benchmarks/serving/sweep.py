"""Makes a table and a plot of requests per second and latency by number of connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.report import show
from vaekit.chart_style import chart_style


@dataclass(frozen=True)
class Point:
    """Medians of one server with a number of connections."""

    server: str
    connections: int
    requests_per_second: float
    p50: float  # ms
    p99: float  # ms


def publish(out: Path, title: str, points: Sequence[Point]) -> None:
    """Write the plot to `out`, a PNG file, and print the table."""
    _draw(out, title, points)
    show(table(title, points), out)


def table(title: str, points: Sequence[Point]) -> Table:
    """One line per server, one column per number of connections."""
    counts = sorted({point.connections for point in points})
    shown = Table(title=f"{title}: requests/s; p50, p99 in ms", title_justify="left")
    shown.add_column("server", no_wrap=True)
    for count in counts:
        shown.add_column(f"{count} connections" if count > 1 else "1 connection", justify="right")
    for server, own in _by_server(points).items():
        cells = {point.connections: _cell(point) for point in own}
        shown.add_row(server, *(cells.get(count, "") for count in counts))
    return shown


def _cell(point: Point) -> str:
    return f"{point.requests_per_second:,.0f}; {point.p50:.3g}, {point.p99:.3g}"


def _by_server(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Points by server, in order of first appearance, each sorted by connections."""
    found: dict[str, list[Point]] = {point.server: [] for point in points}
    for point in sorted(points, key=lambda point: point.connections):
        found[point.server].append(point)
    return found


@chart_style()
def _draw(path: Path, title: str, points: Sequence[Point]) -> None:
    """Draw two panels over connections with logarithmic axes: one line per server, the first one thicker."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(11, 4.6), layout="constrained")
    canvas.suptitle(title, fontsize=11)
    panels = canvas.subplots(1, 2)
    lines = _by_server(points)
    for panel, what, unit in zip(panels, ("requests_per_second", "p99"), ("requests/s", "p99, ms"), strict=True):
        for i, (server, own) in enumerate(lines.items()):
            xs, ys = [point.connections for point in own], [getattr(point, what) for point in own]
            panel.plot(xs, ys, marker="osD^vP*X"[i % 8], markersize=5, linewidth=1.2 if i else 2.6, label=server)
        _label_log_axes(panel, sorted({point.connections for point in points}))
        panel.set_xlabel("connections")
        panel.set_ylabel(unit)
    panels[-1].legend(fontsize=9, loc="center left", bbox_to_anchor=(1.02, 0.5))
    canvas.savefig(path, dpi=120)


def _label_log_axes(panel: Any, counts: Sequence[int]) -> None:
    """Label both axes with plain numbers, at the counts and at 1, 2 and 5 times each power of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

    panel.set_xscale("log")
    panel.set_yscale("log")
    panel.set_xticks(counts, [str(count) for count in counts])
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    panel.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.grid(axis="both")
