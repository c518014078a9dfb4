"""Draws the figure of a run: p-values, scores beside the calibration scores, and rates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vaekit.bundle.drift import histogram
from vaekit.chart_style import chart_style
from vaekit.scoring.batch.summary import P_BINS, Summary
from vaekit.scoring.figures import COLOURS, log_axis, new_figure, save
from vaekit.scoring.files.writer import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = 3
WIDTH = 4.6  # inches per panel


@chart_style()
def draw(found: Summary, where: Path) -> Path:
    """Write the figure as PNG. A panel without data shows the reason.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    figure = new_figure(WIDTH * PANELS)
    p_values, scores, alphas = figure.subplots(1, PANELS)
    _p_values(p_values, found)
    _scores(scores, found)
    _rates(alphas, found)
    with replacing(where) as temp:
        save(figure, temp)
    return where


def _p_values(ax: Axes, found: Summary) -> None:
    ax.set(
        xlabel="p-value (lower is more anomalous)",
        ylabel="share of the rows",
        title=f"{found.model}: {found.rows:,} rows",
    )
    if not found.tally.judged:
        return _write_reason(ax, found.reason or "no rows with a p-value")
    share = histogram(found.tally.p_values, found.tally.p_counts, P_BINS) / found.tally.judged
    edges = np.linspace(0.0, 1.0, P_BINS + 1)
    ax.stairs(share, edges, fill=True, color=COLOURS[0], alpha=0.6, label="this run")
    ax.axhline(1.0 / P_BINS, color="black", lw=1, ls="--", label="expected without drift")
    ax.legend(fontsize=8)
    return None


def _scores(ax: Axes, found: Summary) -> None:
    ax.set(xlabel="-ELBO, nats (higher is more anomalous)", ylabel="share of the rows")
    calibration = found.calibration_scores
    if calibration is None or not found.rows:
        return _write_reason(ax, "no calibration scores" if found.rows else "no rows")
    edges = np.array(found.tally.edges)
    counts = found.tally.scores
    for values, colour, label in (
        (counts, COLOURS[1], f"this run, {counts[-1] / counts.sum():.1%} beyond the right end"),
        (calibration, COLOURS[0], f"{calibration.sum():,} calibration rows"),
    ):
        ax.stairs(values[1:-1] / values.sum(), edges, fill=True, color=colour, alpha=0.5, label=label)
    ax.set_title("" if found.drift is None else f"KS {found.drift.ks:.3f}, PSI {found.drift.psi:.3f}")
    ax.legend(fontsize=8)
    return None


def _rates(ax: Axes, found: Summary) -> None:
    ax.set(xlabel="alpha", ylabel="share of the rows with p <= alpha", title="anomalies by alpha")
    by_alpha = {alpha: rate for alpha, rate in found.rates.items() if rate is not None}
    if not by_alpha:
        return _write_reason(ax, "no rows with a p-value")
    alphas, shares = np.array(list(by_alpha)), np.array(list(by_alpha.values()))
    log_axis(ax, by_alpha)
    ax.plot(alphas, shares, color=COLOURS[1], marker="o", ms=4, label="this run")
    ax.plot(alphas, alphas, color="black", lw=1, ls="--", label="expected without drift")
    ax.legend(fontsize=8, loc="upper left")
    return None


def _write_reason(ax: Axes, why: str) -> None:
    ax.text(0.5, 0.5, why, ha="center", va="center", wrap=True, transform=ax.transAxes)
