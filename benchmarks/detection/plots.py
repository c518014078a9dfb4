"""Plots critical-difference diagrams of ranks, and the differences between two methods by set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.summary import Table, critical_difference
from vaekit.chart_style import LIGHT, chart_style

OURS, OTHERS = LIGHT["c1"], LIGHT["quiet"]
LABEL = {"facecolor": LIGHT["page"], "edgecolor": "none", "pad": 1.0}  # background of text that overlaps lines


@chart_style()
def ranks(path: Path, table: Table, ours: set[str]) -> None:
    """Critical-difference diagrams (Demsar 2006): mean ranks on a line; bars join methods without a significant
    difference by Nemenyi's test at 5 %."""
    from matplotlib.figure import Figure

    height = 1.1 + 0.27 * len(table.methods)
    canvas = Figure(figsize=(9, 2 * height), layout="constrained")
    for panel, measure in zip(canvas.subplots(2, 1), ("auroc", "ap"), strict=True):
        _diagram(panel, table, measure, ours)
    canvas.savefig(path, dpi=120)


def _diagram(panel: Any, table: Table, measure: str, ours: set[str]) -> None:
    mean = table.ranks(measure)
    order = np.argsort(mean)
    count, bound = len(order), critical_difference(len(order), len(table.sets))
    panel.set(xlim=(0.5, count + 0.5), ylim=(count, -1.5 - 0.35 * count))
    for index, method in enumerate(order):
        name, color = table.methods[method], OURS if table.methods[method] in ours else OTHERS
        panel.plot([mean[method]] * 2, [0, index + 0.5], color=color, linewidth=1)
        panel.text(
            mean[method] + 0.08,
            index + 0.5,
            f"{name}  {mean[method]:.2f}",
            fontsize=8,
            color=color,
            va="center",
            bbox=LABEL,
        )
    level = -0.7
    for first, last in groups(mean[order], bound):
        panel.plot([mean[order[first]] - 0.03, mean[order[last]] + 0.03], [level] * 2, color=LIGHT["c6"], linewidth=2.5)
        level -= 0.45
    panel.plot([0.6, 0.6 + bound], [-1.2 - 0.35 * count] * 2, color=LIGHT["c6"], linewidth=1)
    panel.text(0.7 + bound, -1.2 - 0.35 * count, f"critical difference {bound:.2f}", fontsize=8, va="center")
    panel.axhline(0, color=LIGHT["c6"], linewidth=0.8)
    panel.set_yticks([])
    panel.grid(visible=False)
    panel.spines[["left", "right", "top", "bottom"]].set_visible(False)
    panel.set_xlabel(f"mean rank by {measure.upper()} over {len(table.sets)} sets (1 is best)", fontsize=9)


def groups(ranks: Any, bound: float) -> list[tuple[int, int]]:
    """First and last index of each largest group of ascending ranks within `bound`; groups of one are left out."""
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = int(np.searchsorted(ranks, ranks[first] + bound, side="right")) - 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


@chart_style()
def differences(path: Path, table: Table, ours: str, other: str) -> None:
    """AUROC and AP of vaekit minus the other method's for each set, sorted."""
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(10, 1.5 + 0.2 * len(table.sets)), layout="constrained")
    canvas.suptitle(f"{ours} - {other}, points", fontsize=11)
    for panel, measure in zip(canvas.subplots(1, 2), ("auroc", "ap"), strict=True):
        gain = table.column(measure, ours) - table.column(measure, other)
        order = np.argsort(gain)
        colors = [OURS if value >= 0 else OTHERS for value in gain[order]]
        panel.barh(range(len(order)), gain[order], color=colors)
        panel.set_yticks(range(len(order)), [table.sets[i] for i in order], fontsize=7)
        panel.grid(visible=False)
        panel.axvline(0, color=LIGHT["c6"], linewidth=0.8)
        panel.set_xlabel(f"{measure.upper()}, mean {gain.mean():+.2f}", fontsize=9)
    canvas.savefig(path, dpi=120)
