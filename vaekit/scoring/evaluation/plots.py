"""Draws an evaluation: the ROC curve and the distribution of scores, and log evidence against K."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vaekit.chart_style import LIGHT, chart_style
from vaekit.scoring.evaluation.alarms import Alarms
from vaekit.scoring.evaluation.evaluate import Evaluation
from vaekit.scoring.figures import COLOURS, PANEL, log_axis, save, stacked
from vaekit.scoring.files.writer import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
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
    title, said = _evidence_head(found)
    figure, axes = stacked(title, said, [PANEL] * len(found.groups))
    for ax, (name, figures), colour in zip(axes, found.figures.items(), COLOURS, strict=False):
        metrics = [figures[f"log_evidence_{k}"] for k in found.num_samples]
        values, errors = [m.value for m in metrics], [m.standard_error or 0.0 for m in metrics]
        ax.errorbar(found.num_samples, values, errors, color=colour, marker="o", ms=4, capsize=3, elinewidth=1.2)
        elbo = figures["elbo"]
        ax.axhline(elbo.value, color=LIGHT["c6"], lw=1, ls="--")
        error = elbo.standard_error or 0.0
        ax.axhspan(elbo.value - error, elbo.value + error, color=LIGHT["c6"], alpha=0.1, lw=0)
        log_axis(ax, found.num_samples)
        ax.margins(x=0.08, y=0.25)
        _label(ax, "log evidence", (found.num_samples[-1], values[-1]), colour, 8)
        _label(ax, "ELBO", (found.num_samples[-1], elbo.value), LIGHT["c6"], -10)
        ax.set(xlabel="K draws", ylabel="nats per row", title=f"{elbo.n:,} {_group_label(name)}")
    return figure


def _evidence_head(found: Evaluation) -> tuple[str, list[str]]:
    """What more draws gain for the first group, and what the marks mean."""
    name, figures = next(iter(found.figures.items()))
    gain = figures[f"log_evidence_{found.num_samples[-1]}"].value - figures["elbo"].value
    title = f"The ELBO is {gain:,.3g} nats below the log evidence"
    said = f"{found.model} on {_group_label(name)} of {found.data}, with K = {found.num_samples[-1]:,} draws."
    return title, [said, "Bars and band: one standard error."]


def _label(ax: Axes, text: str, at: tuple[float, float], colour: str, rise: float) -> None:
    ax.annotate(
        text,
        at,
        (-4, rise),
        textcoords="offset points",
        ha="right",
        va="center",
        color=colour,
        weight="bold",
        fontsize=8.5,
    )


def scores(found: Evaluation) -> Figure:
    """The ROC curve if there are labels, and the histogram of -ELBO by group; logarithmic if there are far outliers."""
    by_group = {name: -bounds.elbo for name, bounds in found.groups.items()}
    has_labels = "auroc" in found.detection.get("score", {})
    figure, axes = stacked(*_scores_head(found), [2.6, PANEL] if has_labels else [PANEL])
    if has_labels:
        _roc(axes[0], found.ranked["normal"], found.ranked["anomalies"], found.alarms)
    _histogram(axes[-1], by_group)
    return figure


def _scores_head(found: Evaluation) -> tuple[str, list[str]]:
    rows = " and ".join(f"{len(bounds):,} {_group_label(name)}" for name, bounds in found.groups.items())
    said = f"{found.model} on {rows} of {found.data}."
    figures = found.detection.get("score", {})
    if "auroc" not in figures:
        elbo = next(iter(found.figures.values()))["elbo"]
        return f"Mean ELBO {elbo.value:,.4g} nats per row", [said]
    area, precision = figures["auroc"], figures["average_precision"]
    error = "" if area.standard_error is None else f" (standard error {area.standard_error:.2g})"
    more = f"AUROC {area.value:.3f}{error}, average precision {precision.value:.3f}."
    title = f"An anomaly scores above a normal row in {area.value:.1%} of pairs"
    return title, [said, more] if found.alarms is None else [said, more, f"{_upper(found.alarms.sentence())}."]


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _roc(ax: Axes, normal: NDArray[np.float64], anomalies: NDArray[np.float64], alarms: Alarms | None) -> None:
    """Share of anomalies and of normal rows at or above each score, and a dot at alpha."""
    every = -np.unique(-np.concatenate([normal, anomalies]))  # descending
    x, y = (1.0 - np.searchsorted(np.sort(values), every, side="left") / len(values) for values in (normal, anomalies))
    ax.plot([0, 1], [0, 1], color=LIGHT["c5"], lw=1, ls="--")
    ax.plot([0, *x], [0, *y], color=COLOURS[0])
    ax.text(0.62, 0.55, "by chance", color=LIGHT["quiet"], va="top")
    if alarms is not None and alarms.reason is None:
        at = (alarms.false_alarms.hits / len(normal), alarms.found.hits / len(anomalies))
        ax.plot([at[0]], [at[1]], marker="o", ms=6, color=COLOURS[0])
        ax.annotate(f"alpha = {alarms.alpha:g}", at, (8, -9), textcoords="offset points", va="center")
    ax.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="share of normal rows flagged", ylabel="share of anomalies flagged")
    ax.set_title("Anomalies found by false alarms (ROC curve)")


def _histogram(ax: Axes, by_group: dict[str, NDArray[np.float64]]) -> None:
    everything = np.concatenate(list(by_group.values()))
    low, high = float(everything.min()), max(float(everything.max()), float(everything.min()) + 1.0)
    middle = float(np.median(next(iter(by_group.values()))))
    if high - middle > OUTLIER_FACTOR * (middle - low + 1.0):
        shift = 1.0 - low
        edges = np.geomspace(1.0, high + shift, BINS + 1) - shift
        ax.set_xscale(
            "function", functions=(lambda s: np.log(np.maximum(s + shift, 1e-3)), lambda u: np.exp(u) - shift)
        )
        at = sorted({float(f"{at:.2g}") for at in np.geomspace(1.0, high + shift, 6) - shift})
        ax.set_xticks(at, [f"{tick:g}" for tick in at])
        ax.set_xlim(edges[0], edges[-1])
    else:
        edges = np.linspace(low, high, BINS + 1)
    for i, ((name, values), colour) in enumerate(zip(by_group.items(), COLOURS, strict=False)):
        ax.hist(values, edges.tolist(), color=colour, alpha=0.6)
        text = f"{len(values):,} {_group_label(name)}"
        ax.text(0.99, 0.95 - 0.13 * i, text, ha="right", va="top", color=colour, weight="bold", transform=ax.transAxes)
    ax.set(xlabel="score = \u2212ELBO, nats (higher is more anomalous)", ylabel="rows", title="Scores")


def _group_label(group: str) -> str:
    return "normal rows" if group == "normal" else group
