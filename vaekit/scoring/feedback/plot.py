"""Draws the observed rates of each part with their intervals."""

from __future__ import annotations

from pathlib import Path

from vaekit.chart_style import chart_style
from vaekit.scoring.feedback.report import Feedback
from vaekit.scoring.figures import COLOURS, new_figure, save
from vaekit.scoring.files.writer import replacing

MOST = 30  # parts in the figure; further ones are in the table alone


@chart_style()
def draw(found: Feedback, path: Path) -> None:
    """Write the figure.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    parts = found.parts[:MOST]
    figure = new_figure(9.0)
    figure.set_figheight(1.6 + 0.3 * max(3, len(parts)))
    panels = figure.subplots(1, 2, sharey=True)
    titles = ("false alarms among rows confirmed normal", "detections among confirmed anomalies")
    for ax, title, colour, which in zip(panels, titles, COLOURS, ("false_alarms", "detections"), strict=True):
        for at, part in enumerate(parts):
            rate = getattr(part, which)
            if rate.value is not None:
                low, high = rate.value - rate.low, rate.high - rate.value
                ax.errorbar([rate.value], [at], xerr=[[low], [high]], color=colour, marker="o", ms=4, capsize=3)
            if which == "false_alarms" and part.alpha is not None:
                ax.plot([part.alpha] * 2, [at - 0.4, at + 0.4], color="black", lw=1, ls="--")
        ax.set(title=title, xlabel="rate, exact 95 % interval" + ("; dashed: alpha" if ax is panels[0] else ""))
        ax.set_yticks(range(len(parts)), [part.name for part in parts])
    if parts:
        panels[0].invert_yaxis()
    with replacing(path) as temp:
        save(figure, temp)
