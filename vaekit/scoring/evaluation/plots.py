"""Draws an evaluation: log evidence against K, and the distribution of scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vaekit.chart_style import chart_style
from vaekit.scoring.evaluation.evaluate import Evaluation
from vaekit.scoring.figures import COLOURS, log_axis, new_figure, save
from vaekit.scoring.files.writer import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 50
# The axis is logarithmic if a score exceeds the median of the first group by this many times (median - minimum).
OUTLIER_FACTOR = 8.0


@chart_style()
def draw(found: Evaluation, folder: Path) -> list[Path]:
    """Write evidence.png and scores.png.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    paths = []
    for name, figure in (("evidence.png", evidence(found)), ("scores.png", scores(found))):
        with replacing(folder / name) as temp:
            save(figure, temp)
        paths.append(folder / name)
    return paths


def evidence(found: Evaluation) -> Figure:
    """log_evidence against K with bars of one standard error, and the ELBO. One panel per group."""
    figure = new_figure(5.2 * len(found.groups))
    for ax, (name, figures), colour in zip(
        figure.subplots(1, len(found.groups), squeeze=False)[0], found.figures.items(), COLOURS, strict=False
    ):
        metrics = [figures[f"log_evidence_{k}"] for k in found.num_samples]
        values, errors = [m.value for m in metrics], [m.standard_error or 0.0 for m in metrics]
        ax.errorbar(
            found.num_samples, values, errors, color=colour, marker="o", ms=4, capsize=3, label="log evidence, K draws"
        )
        elbo = figures["elbo"]
        ax.axhline(elbo.value, color="black", lw=1, ls="--", label="ELBO")
        error = elbo.standard_error or 0.0
        ax.axhspan(elbo.value - error, elbo.value + error, color="black", alpha=0.1, lw=0)
        log_axis(ax, found.num_samples)
        ax.set(xlabel="K", ylabel="nats per row", title=f"{found.model}: {elbo.n:,} {_group_label(name)}")
        ax.legend(fontsize=8, loc="lower right")
    return figure


def scores(found: Evaluation) -> Figure:
    """Histogram of -ELBO by group; logarithmic if there are far outliers."""
    figure = new_figure(6.4)
    ax = figure.add_subplot()
    by_group = {name: -bounds.elbo for name, bounds in found.groups.items()}
    everything = np.concatenate(list(by_group.values()))
    low, high = float(everything.min()), max(float(everything.max()), float(everything.min()) + 1.0)
    middle = float(np.median(next(iter(by_group.values()))))
    if high - middle > OUTLIER_FACTOR * (middle - low + 1.0):
        shift = 1.0 - low
        edges = np.geomspace(1.0, high + shift, BINS + 1) - shift
        ax.set_xscale(
            "function", functions=(lambda s: np.log(np.maximum(s + shift, 1e-3)), lambda u: np.exp(u) - shift)
        )
        ax.set_xticks(sorted({float(f"{at:.2g}") for at in np.geomspace(1.0, high + shift, 7) - shift}))
        ax.set_xlim(edges[0], edges[-1])
    else:
        edges = np.linspace(low, high, BINS + 1)
    for (name, values), colour in zip(by_group.items(), COLOURS, strict=False):
        label = f"{_group_label(name)} ({len(values):,})"
        ax.hist(values, edges.tolist(), color=colour, alpha=0.6, label=label)
    ax.set(xlabel="-ELBO, nats (higher is more anomalous)", ylabel="rows", title=f"{found.model}: {found.data}")
    ax.legend(fontsize=8)
    return figure


def _group_label(group: str) -> str:
    return "normal rows" if group == "normal" else group
