"""Plots false-alarm rates by set, for random splits and the file's order, with their 99 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.calibration.laws import ALPHAS, LEVEL
from benchmarks.calibration.set_result import SetResult
from vaekit.chart_style import LIGHT, chart_style

LINEAR = 0.01  # the axis is linear below this rate, so that 0 can be shown


@chart_style()
def draw(path: Path, sets: Sequence[SetResult]) -> Path:
    """Draw one panel for each alpha, with a column for each set with enough rows; returns the path."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(1.5 + 0.32 * max(len(sets), 12), 10), layout="constrained")
    canvas.suptitle("False-alarm rates of normal rows, by set", fontsize=11)
    for panel, alpha in zip(canvas.subplots(len(ALPHAS), 1, sharex=True), ALPHAS, strict=True):
        _panel(panel, sets, alpha)
    panel.set_xticks(range(len(sets)), [one.name for one in sets], rotation=90, fontsize=8)
    panel.set_xlim(-0.6, len(sets) - 0.4)
    canvas.legend(*panel.get_legend_handles_labels(), fontsize=8, ncols=2, loc="outside lower center")
    canvas.savefig(path, dpi=120)
    return path


def _panel(panel: Any, sets: Sequence[SetResult], alpha: float) -> None:
    resolvable = [i for i, one in enumerate(sets) if alpha in one.alarms]
    low, high = zip(*(sets[i].interval(alpha) for i in resolvable), strict=True) if resolvable else ((), ())
    drawn = [sets[i].rate(alpha) for i in resolvable]
    ordered = [sets[i].ordered[alpha] / sets[i].m for i in resolvable]
    panel.vlines(
        resolvable, low, high, color=LIGHT["rule"], linewidth=6, label=f"{1 - LEVEL:.0%} interval of one split"
    )
    panel.plot(resolvable, drawn, "o", color=LIGHT["c1"], markersize=4, label="random resplits, mean")
    panel.plot(resolvable, ordered, "D", color=LIGHT["c2"], markersize=4, label="the file's order")
    panel.axhline(alpha, color=LIGHT["c6"], linewidth=0.8, linestyle="--", label="alpha")
    for i in set(range(len(sets))) - set(resolvable):
        panel.text(
            i, LINEAR / 5, "not resolvable", rotation=90, ha="center", va="bottom", fontsize=7, color=LIGHT["quiet"]
        )
    panel.set_yscale("symlog", linthresh=LINEAR)
    panel.set_ylim(-LINEAR / 10, 1.3)
    panel.set_ylabel(f"rate at alpha = {alpha:g}", fontsize=9)
