"""The figures of this package: panels below each other under a headline that states the finding.

They are as wide as a column of text and as a phone held upright, on a light page also in dark mode, so that they can be
printed and put into a document.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vaekit.chart_style import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (LIGHT["c1"], LIGHT["c2"])  # normal, anomalous; distinct for colour-blind readers too (Okabe and Ito)
WIDTH = 4.8  # inches
DPI = 160  # 768 pixels wide: twice those of a phone
TITLE, SENTENCE = (11.5, 46), (9.0, 66)  # size in points, and letters per line
LINE = 1.35  # height of a line of text, in its size
PANEL = 1.9  # inches, of a panel with axes


def stacked(title: str, sentences: Sequence[str], heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """A figure with a headline, and below it panels of these heights in inches.

    Args:
        title: the finding, in bold.
        sentences: what else to know, each on lines of its own.
        heights: of the panels, without labels of axes.
    """
    from matplotlib.figure import Figure

    head = _wrapped([title], TITLE[1])
    body = _wrapped(sentences, SENTENCE[1])
    top = (len(head) * TITLE[0] + len(body) * SENTENCE[0]) * LINE / 72 + 0.12
    figure = Figure(figsize=(WIDTH, top + sum(heights) + 0.62 * len(heights)), dpi=DPI, layout="constrained")
    axes = figure.subplots(1 + len(heights), 1, squeeze=False, height_ratios=(top, *heights))[:, 0]
    _write_head(axes[0], head, body)
    return figure, list(axes[1:])


def _wrapped(texts: Sequence[str], width: int) -> list[str]:
    return [line for text in texts for line in textwrap.wrap(text, width, break_on_hyphens=False) or [""]]


def _write_head(ax: Axes, head: Sequence[str], body: Sequence[str]) -> None:
    from matplotlib.transforms import blended_transform_factory

    ax.set_axis_off()
    assert ax.figure is not None
    at = blended_transform_factory(ax.figure.transFigure, ax.transAxes)  # from the left edge of the figure
    sizes = [TITLE[0] * LINE * len(head), SENTENCE[0] * LINE * len(body)]
    for lines, y, size, weight, colour in (
        (head, 1.0, TITLE[0], "bold", LIGHT["text"]),
        (body, 1.0 - (sizes[0] + 3) / (sum(sizes) + 8), SENTENCE[0], "normal", LIGHT["quiet"]),
    ):
        text = ax.text(
            0.025, y, "\n".join(lines), fontsize=size, weight=weight, color=colour, va="top", linespacing=LINE,
            transform=at,
        )  # fmt: skip
        text.set_in_layout(False)


def log_axis(ax: Axes, ticks: Iterable[float]) -> None:
    """Make the x axis logarithmic, with these ticks as plain numbers: matplotlib's own labels are math text."""
    ax.set_xscale("log")
    at = list(ticks)
    ax.set_xticks(at, [f"{tick:g}" for tick in at])
    ax.minorticks_off()


def write_reason(ax: Axes, why: str) -> None:
    """Write why a panel has no data, in place of its axes."""
    ax.set_axis_off()
    ax.text(0.0, 0.5, textwrap.fill(why, SENTENCE[1]), va="center", color=LIGHT["quiet"], transform=ax.transAxes)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; names of columns appear letter by letter, those that the font lacks as boxes."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a name may have dollar signs
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path, format="png")
