"""Draws the observed rates of each part with their intervals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vaekit.chart_style import LIGHT, chart_style
from vaekit.scoring.feedback.rates import Rate
from vaekit.scoring.feedback.report import EVERY_GROUP, Feedback, PartRates
from vaekit.scoring.figures import COLOURS, save, stacked, write_reason
from vaekit.scoring.files.writer import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 30  # parts in the figure; further ones are in the table alone
LINE = 0.34  # inches of a part
PANELS = (
    ("false_alarms", "False alarms among rows confirmed normal", COLOURS[0]),
    ("detections", "Detections among confirmed anomalies", COLOURS[1]),
)


@chart_style()
def draw(found: Feedback, path: Path) -> None:
    """Write the figure.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    with replacing(path) as temp:
        save(feedback_figure(found), temp)


def feedback_figure(found: Feedback) -> Figure:
    """One panel of false-alarm rates and one of detection rates, with a line for each part."""
    parts = found.parts[:MOST]
    said = [f"{found.matched:,} of {found.labels:,} labels have a score.", *found.warnings]
    figure, axes = stacked(headline(found), said, [LINE * max(1, len(parts))] * len(PANELS))
    for ax, (which, title, colour) in zip(axes, PANELS, strict=True):
        ax.set_title(title)
        if any(getattr(part, which).n for part in parts):
            _panel(ax, parts, which, colour)
        else:
            write_reason(ax, "No such labels.")
    return figure


def headline(found: Feedback) -> str:
    """The finding: the rates of the last part that has all rows of a version."""
    whole = [part for part in found.parts if part.group in (None, EVERY_GROUP)]
    if not whole:
        return "No label has a score with a verdict"
    last = whole[-1]
    rates = ((last.false_alarms, "normal rows flagged"), (last.detections, "anomalies found"))
    said = [f"{rate.hits:,} of {rate.n:,} {what}" for rate, what in rates if rate.n]
    return f"{last.name}: {', '.join(said)}" if said else f"{last.name}: no labelled rows"


def _panel(ax: Axes, parts: tuple[PartRates, ...], which: str, colour: str) -> None:
    for at, part in enumerate(parts):
        rate: Rate = getattr(part, which)
        if which == "false_alarms" and part.alpha is not None:
            ax.plot([part.alpha] * 2, [at - 0.3, at + 0.3], color=LIGHT["c6"], lw=1.2, ls="--")
        if rate.value is None or rate.low is None or rate.high is None:
            ax.text(0.0, at, "  no rate follows from these labels", color=LIGHT["quiet"], va="center", fontsize=8)
            continue
        low, high = rate.value - rate.low, rate.high - rate.value
        ax.errorbar([rate.value], [at], xerr=[[low], [high]], color=colour, marker="o", ms=5, capsize=3)
        ax.annotate(
            f"{rate.value:.1%} ({rate.hits:,} of {rate.n:,})", (rate.high, at), (6, 0), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
    ax.set_yticks(range(len(parts)), [part.name for part in parts])
    ax.set_ylim(len(parts) - 0.5, -0.5)
    ax.set_xlim(0, 1.6 * _farthest(parts, which))
    ax.grid(visible=False)
    ax.set_xlabel("rate, exact 95 % interval" + ("; dashed: alpha" if which == "false_alarms" else ""))


def _farthest(parts: tuple[PartRates, ...], which: str) -> float:
    """The largest value to show in a panel."""
    ends = [getattr(part, which).high or 0.0 for part in parts]
    ends += [part.alpha or 0.0 for part in parts] if which == "false_alarms" else []
    return max(*ends, 0.01)
