"""Reports the figures of a benchmark: a JSON file, a table and a plot."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeVar

from rich.console import Console
from rich.table import Table

from vaekit.chart_style import LIGHT, chart_style
from vaekit.runtime.device import check_distribution

T = TypeVar("T")
WIDE = 200  # characters per line of a table if the output is not a terminal


@dataclass(frozen=True)
class Figure:
    """One measured number, with its range and target."""

    name: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    target: float | None = None
    better: Literal["lower", "higher"] = "lower"

    @property
    def met(self) -> bool | None:
        """Whether the value meets its target; None if there is no target."""
        if self.target is None:
            return None
        return self.value <= self.target if self.better == "lower" else self.value >= self.target

    @classmethod
    def of(cls, name: str, values: Sequence[float], unit: str, **more: Any) -> Figure:
        """A figure from several rounds: their median, lowest and highest value."""
        return cls(name, statistics.median(values), unit, min(values), max(values), **more)


@dataclass(frozen=True)
class Measured:
    """The result of one part of a benchmark: figures, and facts needed to interpret them."""

    figures: list[Figure]
    facts: dict[str, Any] = field(default_factory=dict)


def measure_parts(
    parts: Mapping[str, Callable[[], Measured]], write: Callable[[list[Figure], dict[str, Any]], None]
) -> None:
    """Measure part by part. Results of finished parts are written even if a later part fails."""
    figures: list[Figure] = []
    facts: dict[str, Any] = {}
    try:
        for name, measure in parts.items():
            Console(stderr=True).print(f"{name} ...", highlight=False)
            measured = measure()
            figures += measured.figures
            facts[name] = measured.facts
    finally:
        if figures:
            write(figures, facts)


def run_rounds(contenders: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """The result of each contender in each round.

    Every round calls all contenders once, in an order that rotates from round to round. Other load on the machine
    therefore affects all of them equally.
    """
    found: dict[str, list[T]] = {name: [] for name in contenders}
    names = list(contenders)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(contenders[name]())
    return found


def interleave(contenders: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each contender in each round, as in run_rounds, after one unmeasured call of each.

    The garbage collector is off while a call is measured.
    """
    for run in contenders.values():
        run()
    return run_rounds({name: partial(_measure, run) for name, run in contenders.items()}, rounds)


def _measure(run: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    try:
        start = perf_counter()
        run()
        return perf_counter() - start
    finally:
        gc.enable()


def machine() -> dict[str, Any]:
    """The machine on which the figures were measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": cores,
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of Python and of the packages. `onnxruntime` means the installed onnxruntime or onnxruntime-gpu."""
    named = [check_distribution() if name == "onnxruntime" else name for name in packages]
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in named}}


def publish(out: Path, title: str, figures: Sequence[Figure], packages: Sequence[str], **facts: Any) -> None:
    """Write the results to `out` as JSON, with a plot beside it, and print the table.

    Args:
        out: the JSON file; the plot has the same name and ends in .png.
        title: what was measured, with its sizes.
        figures: in the order to show.
        packages: packages whose versions are recorded.
        facts: settings needed to repeat this run.
    """
    results = {
        "title": title,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "figures": [{**asdict(figure), "met": figure.met} for figure in figures],
        "settings": facts,
        "machine": machine(),
        "versions": versions(packages),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n")
    plot = out.with_suffix(".png")
    _draw(plot, title, figures)
    show(_table(title, figures), out, plot)


def show(table: Table, *written: Path) -> None:
    """Print a table, wide if the output is not a terminal, and the paths of the written files."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDE
    console.print(table)
    console.print(f"Written: {' and '.join(map(str, written))}", highlight=False, soft_wrap=True)


def _table(title: str, figures: Sequence[Figure]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("figure", no_wrap=True)
    for heading in ("median", "range", "target"):
        table.add_column(heading, justify="right")
    table.add_column("met")
    words = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}
    for figure in figures:
        table.add_row(figure.name, _show(figure.value, figure.unit), _range(figure), _target(figure), words[figure.met])
    return table


def _show(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}"


def _range(figure: Figure) -> str:
    if figure.low is None or figure.high is None:
        return ""
    return f"{figure.low:.3g} .. {figure.high:.3g}"


def _target(figure: Figure) -> str:
    if figure.target is None:
        return ""
    return f"{'<=' if figure.better == 'lower' else '>='} {_show(figure.target, figure.unit)}"


@chart_style()
def _draw(path: Path, title: str, figures: Sequence[Figure]) -> None:
    """Draw one panel for each unit: bars for medians, whiskers for ranges, dashes for targets."""
    from matplotlib.figure import Figure as Canvas

    units = list(dict.fromkeys(figure.unit for figure in figures))
    groups = [[figure for figure in figures if figure.unit == unit] for unit in units]
    heights = [len(group) for group in groups]
    canvas = Canvas(figsize=(9, 1.2 + 0.45 * sum(heights) + 0.6 * len(units)), layout="constrained")
    canvas.suptitle(title, fontsize=11)
    panels = canvas.subplots(len(units), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for panel, unit, group in zip(panels, units, groups, strict=True):
        _draw_panel(panel, unit, group)
    canvas.savefig(path, dpi=120)


def _draw_panel(panel: Any, unit: str, group: Sequence[Figure]) -> None:
    values = [figure.value for figure in group]
    low = [figure.value - (figure.value if figure.low is None else figure.low) for figure in group]
    high = [(figure.value if figure.high is None else figure.high) - figure.value for figure in group]
    panel.barh(range(len(group)), values, xerr=[low, high], color=LIGHT["c1"], ecolor=LIGHT["c6"], capsize=2)
    for row, figure in enumerate(group):
        if figure.target is not None:
            panel.plot([figure.target] * 2, [row - 0.45, row + 0.45], "--", color=LIGHT["c2"])
    panel.set_yticks(range(len(group)), [figure.name for figure in group], fontsize=8)
    panel.invert_yaxis()
    panel.grid(visible=False)
    panel.set_xlabel(f"{unit} (bar: median, whisker: range, dashes: target)", fontsize=8)
