"""Draws the figure of a run: how many rows are flagged and how many by chance, which ones, and how scores moved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.bundle.comparison import LEAST_NOVEL
from vaekit.bundle.drift import histogram
from vaekit.bundle.intervals import alarms_by_chance
from vaekit.chart_style import LIGHT, chart_style
from vaekit.scoring.batch.summary import P_BINS, Summary
from vaekit.scoring.figures import COLOURS, PANEL, log_axis, save, stacked, write_at_margin, write_reason
from vaekit.scoring.files.writer import replacing
from vaekit.tabular.row_names import of_id

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NORMAL, ANOMALOUS = COLOURS
HUGE = 1e7  # scores above have too many digits for a list
NEAR = 0.11  # of the height of a panel: the labels of lines that end nearer than this are moved apart
MOST_ROWS, MOST_GROUPS = 10, 12  # rows and groups in the figure; the summary lists all
BELOW_TITLE = 0.07  # inches between the heading and the list
LINE = 0.19  # inches of a line of text or of a group


@chart_style()
def draw(found: Summary, where: Path) -> Path:
    """Write the figure as PNG. A panel without data shows the reason.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    with replacing(where) as temp:
        save(summary_figure(found), temp)
    return where


def summary_figure(found: Summary) -> Figure:
    """The figure: a headline, the most anomalous rows, the groups if there are some, rates, scores and p-values."""
    groups, lines = (found.groups or [])[:MOST_GROUPS], _top(found)
    panels = [(_write_top, LINE * len(lines) + BELOW_TITLE)]
    panels += [(_groups, LINE * (len(groups) + 1))] if groups else []
    panels += [(_rates, PANEL), (_scores, PANEL), (_p_values, PANEL)]
    figure, axes = stacked(headline(found), sentences(found), [height for _, height in panels])
    for ax, (panel, _) in zip(axes, panels, strict=True):
        panel(ax, found)
    return figure


def headline(found: Summary) -> str:
    """The finding: how many rows are flagged."""
    rows = f"{found.rows:,} row{'' if found.rows == 1 else 's'}"
    if found.anomalies is None or not found.tally.judged:
        return f"{rows} scored, none with a p-value"
    return f"{found.anomalies:,} of {rows} flagged at alpha = {found.alpha:g}"


def sentences(found: Summary) -> list[str]:
    """What chance explains, and what else to know."""
    said = [by_chance(found), tail(found), found.reason, found.alpha_reason]
    if found.novel:
        said.append(f"{found.novel:,} of them novel: unlike every training row.")
    if found.tally.tolerated:
        said.append(f"{found.tally.tolerated:,} alarms were removed by tolerance rules.")
    if found.drift is not None:
        reading = found.drift.reading
        said.append(f"{reading[:1].upper()}{reading[1:]}.")
    return [f"Model {found.model}.", *(text for text in said if text)]


def by_chance(found: Summary) -> str | None:
    """How many flagged rows to expect if all are normal; with one held-out set also the range of this number."""
    n = found.tally.judged
    if found.anomalies is None or not n or found.alpha_reason is not None:
        return None
    if found.held_out_p_values is None or found.held_out is None or found.tally.groups:
        return f"{_about(found.alpha * n)} expected by chance if all were normal."
    chance = alarms_by_chance(n, len(found.held_out), found.alpha)
    return (
        f"{_about(chance.expected)} expected by chance if all were normal ({chance.low:,} to {chance.high:,} in "
        f"95 % of calibrations with {len(found.held_out):,} rows)."
    )


def tail(found: Summary) -> str | None:
    """How many rows score above every held-out row, if they are more than chance explains."""
    above = found.above_all
    return None if above is None or not above.is_many else f"{above.sentence()}."


def _about(expected: float) -> str:
    return f"About {expected:,.0f}" if expected >= 10 else f"{expected:.2g}"


def _top(found: Summary) -> list[str]:
    """The most anomalous rows as text."""
    rows = found.tally.top[:MOST_ROWS]
    digits = _decimals([row.score for row in rows if row.score < LEAST_NOVEL])
    several = len({row.file for row in rows}) > 1
    return [
        f"row {row.row}{of_id(found.id_column, row.id)}{f' ({Path(row.file).name})' if several else ''}: "
        + (
            "novel"
            if row.score >= LEAST_NOVEL
            else f"score {row.score:{f',.{digits}f' if abs(row.score) < HUGE else '.3g'}} nats"
        )
        for row in rows
    ]


def _decimals(scores: Sequence[float]) -> int:
    """Decimals with which all scores of a list have at least three digits, up to 2; fewer where the last is large."""
    least = min((abs(score) for score in scores), default=0.0)
    return 0 if least >= 100 else 1 if least >= 10 else 2


def _write_top(ax: Axes, found: Summary) -> None:
    ax.set_axis_off()
    lines = _top(found)
    ax.set_title("The most anomalous rows" if lines else "No rows were kept")
    height = LINE * len(lines) + BELOW_TITLE
    for i, text in enumerate(lines):
        y = 1.0 - (BELOW_TITLE + LINE * (i + 0.5)) / height
        write_at_margin(ax, y, f"{i + 1}.", va="center", color=LIGHT["quiet"])
        write_at_margin(ax, y, text, right=0.05, va="center")


def _groups(ax: Axes, found: Summary) -> None:
    groups = (found.groups or [])[:MOST_GROUPS]
    ax.set_title("Flagged rows by group")
    at = range(len(groups))
    flagged = [group["anomalies"] / max(group["rows"], 1) for group in groups]
    ax.barh(at, flagged, color=ANOMALOUS, height=0.55)
    ax.axvline(found.alpha, color=LIGHT["c6"], lw=1, ls="--")
    for y, (group, share) in enumerate(zip(groups, flagged, strict=True)):
        pooled = ", pooled" if group["pooled"] else ""
        text = f" {group['group']}: {group['anomalies']:,} of {group['rows']:,}{pooled}"
        ax.text(max(share, found.alpha), y, text, va="center", fontsize=8)
    ax.set_yticks([])
    ax.set_xlim(0, 2.0 * max(*flagged, found.alpha))
    ax.set_ylim(len(groups) - 0.4, -0.6)
    ax.grid(visible=False)
    ax.set_xlabel(f"share of the rows of the group; dashed: alpha = {found.alpha:g}")


def _rates(ax: Axes, found: Summary) -> None:
    ax.set(xlabel="alpha", ylabel="share of rows flagged", title="Flagged rows by alpha")
    by_alpha = {alpha: rate for alpha, rate in found.rates.items() if rate is not None}
    if not by_alpha:
        return write_reason(ax, "No rows with a p-value that is small enough.")
    alphas, shares = np.array(list(by_alpha)), np.array(list(by_alpha.values()))
    log_axis(ax, by_alpha)
    line = np.geomspace(alphas[0], alphas[-1], 50)  # a straight line is bent on a logarithmic axis
    ax.plot(line, line, color=LIGHT["c5"], ls="--", lw=1.2)
    ax.plot(alphas, shares, color=ANOMALOUS, marker="o", ms=5)
    for alpha, share in by_alpha.items():
        ax.annotate(f"{share:.2%}", (alpha, share), (0, 6), textcoords="offset points", ha="center", fontsize=8)
    ax.set_xlim(alphas[0] / 1.6, alphas[-1] * 2.6)
    ax.set_ylim(0, 1.3 * max(shares.max(), alphas.max()))
    near = NEAR * ax.get_ylim()[1] - abs(shares[-1] - alphas[-1])  # how much the labels would overlap
    apart = max(0.0, near / ax.get_ylim()[1] * PANEL * 72 / 2) * (1 if shares[-1] >= alphas[-1] else -1)  # points
    _label(ax, "this run", (alphas[-1], shares[-1]), ANOMALOUS, apart)
    _label(ax, "by chance", (alphas[-1], alphas[-1]), LIGHT["quiet"], -apart)
    return None


def _label(ax: Axes, text: str, at: tuple[float, float], colour: str, up: float) -> None:
    """A direct label right of the end of a line, so many points above it."""
    style: dict[str, Any] = {"va": "center", "color": colour, "weight": "bold", "fontsize": 8.5}
    ax.annotate(text, at, (11, up), textcoords="offset points", **style)


def _scores(ax: Axes, found: Summary) -> None:
    ax.set(xlabel="score = \u2212ELBO, nats (higher is more anomalous)", ylabel="share of rows", title="Scores")
    calibration = found.calibration_scores
    if calibration is None or not found.rows:
        return write_reason(ax, "No calibration scores to compare with." if found.rows else "No rows.")
    edges, counts = np.array(found.tally.edges), found.tally.scores
    if not len(edges):
        return write_reason(ax, "No calibration scores to compare with.")
    ax.stairs(calibration[1:-1] / calibration.sum(), edges, fill=True, color=NORMAL, alpha=0.35)
    ax.stairs(counts[1:-1] / counts.sum(), edges, color=ANOMALOUS, lw=1.8)
    labels = (
        (f"this run; {counts[-1] / counts.sum():.1%} beyond the right end", ANOMALOUS),
        (f"{calibration.sum():,} calibration rows", NORMAL),
    )
    for i, (text, colour) in enumerate(labels):
        ax.text(0.99, 0.95 - 0.13 * i, text, ha="right", va="top", color=colour, weight="bold", transform=ax.transAxes)
    drift = found.drift
    ax.set_title("Scores" if drift is None else f"Scores (KS {drift.ks:.3f}, PSI {drift.psi:.3f})")
    return None


def _p_values(ax: Axes, found: Summary) -> None:
    ax.set(xlabel="p-value (lower is more anomalous)", ylabel="share of rows", title="P-values")
    if not found.tally.judged:
        return write_reason(ax, found.reason or "No rows with a p-value.")
    share = histogram(found.tally.p_values, found.tally.p_counts, P_BINS) / found.tally.judged
    ax.stairs(share, np.linspace(0.0, 1.0, P_BINS + 1), fill=True, color=ANOMALOUS, alpha=0.6)
    ax.axhline(1.0 / P_BINS, color=LIGHT["c6"], lw=1, ls="--")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.25 * max(float(share.max()), 1.0 / P_BINS))
    ax.annotate("dashed: expected without drift", (0.99, 0.95), xycoords="axes fraction", ha="right", va="top")
    return None
