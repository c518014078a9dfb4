"""Draws one explained row: cells beside their expected values, or the heatmap of an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.chart_style import chart_style
from vaekit.scoring.evaluation.explain_row import ImageExplanation, RowExplained
from vaekit.scoring.figures import COLOURS, save
from vaekit.scoring.files.writer import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE = COLOURS
TICKS = (1, 3, 10, 100, 1000, 10_000)
LINEAR = 3.0  # half-widths of the interval; up to this distance from 0 the axis is linear, beyond it logarithmic


@chart_style()
def draw(found: RowExplained, path: Path) -> None:
    """Write the figure of a row as PNG.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    figure = cells_figure(found) if found.image is None else image_figure(found, found.image)
    with replacing(path) as temp:
        save(figure, temp)


def cells_figure(found: RowExplained) -> Figure:
    """The relief of each cell, and its value relative to the interval expected from the rest of the row."""
    figure = _figure(9.6, 1.5 + 0.5 * len(found.cells))
    figure.suptitle(_title(found), fontsize=10)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 3))
    positions = range(len(found.cells))
    left.barh(positions, [cell["relief"] for cell in found.cells], color=BLUE, height=0.6)
    left.axvline(0.0, color="black", lw=0.8)
    left.set_yticks(positions, [cell["feature"] for cell in found.cells], fontsize=8)
    left.set_xlabel("relief: fall of the score without the cell, nats", fontsize=8)
    left.set_ylim(len(found.cells) - 0.5, -0.8)  # the most anomalous at the top
    _draw_values(right, found.cells)
    return figure


def image_figure(found: RowExplained, shown: ImageExplanation) -> Figure:
    """The image, its reconstruction, and the heatmap: nats above the held-out median of each pixel."""
    figure = _figure(9.6, 3.6)
    figure.suptitle(_title(found), fontsize=10)
    axes = figure.subplots(1, 3)
    for ax, image, title in zip(axes, (shown.given, shown.expected), ("given", "expected"), strict=False):
        ax.imshow(np.clip(image, 0, 255).astype(np.uint8).squeeze(), cmap="gray", vmin=0, vmax=255)
        ax.set_title(title, fontsize=9)
    most = max(float(np.abs(shown.heat).max()), 1.0)
    heat = axes[2].imshow(shown.heat, cmap="PuOr_r", vmin=-most, vmax=most)
    axes[2].set_title("nats above the held-out median", fontsize=9)
    for ax in axes:
        ax.set_axis_off()
    figure.colorbar(heat, ax=axes[2], shrink=0.8)
    return figure


def _draw_values(ax: Axes, found: list[dict[str, Any]]) -> None:
    """Intervals as bands from -1 to 1, values as dots in half-widths from the expected value; categories as text."""
    ax.axvline(0.0, color="black", lw=0.8)
    farthest = LINEAR
    for y, cell in enumerate(found):
        label = f"{_short(cell['value'])}, expected {_short(cell['expected'])} ({_interval(cell)})"
        ax.annotate(label, (0.0, y), (0, 13), fontsize=7, textcoords="offset points", ha="center", va="center")
        if cell["low"] is not None:
            ax.barh(y, 2.0, left=-1.0, color=BLUE, alpha=0.25, height=0.3)
            ax.plot(offset := _offset(cell), y, "o", color=ORANGE, ms=6)
            farthest = max(farthest, abs(offset))
    ax.set_xscale("symlog", linthresh=LINEAR)
    ax.set_xlim(-1.4 * farthest, 1.4 * farthest)
    sides = [tick for tick in TICKS if tick < 1.4 * farthest]
    ticks = [*(-tick for tick in sides[::-1]), 0, *sides]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel("value (dot) in half-widths from the expected value; band: 90 % of p(cell | other cells)", fontsize=8)


def _interval(cell: dict[str, Any]) -> str:
    return f"{cell['probability']:.0%}" if cell["low"] is None else f"{_short(cell['low'])} .. {_short(cell['high'])}"


def _offset(cell: dict[str, Any]) -> float:
    """(value - expected) / half-width of the interval on that side."""
    offset = cell["value"] - cell["expected"]
    half = cell["high"] - cell["expected"] if offset > 0 else cell["expected"] - cell["low"]
    return float(offset / half) if half > 0 else float(np.sign(offset) * LINEAR)


def _title(found: RowExplained) -> str:
    p_value = "no p-value" if found.p_value is None else f"p = {found.p_value:.2g}"
    kl = "" if found.kl_is_score else f"; kl {found.kl:.3g} nats, p = {found.kl_p_value:.2g}"
    return f"{found.model}: row {found.row} of {found.data}: score {found.score:.4g} nats, {p_value}{kl}"


def _short(value: float | str | None) -> str:
    if value is None:
        return "unseen level"
    return value if isinstance(value, str) else f"{value:.4g}"


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=100, layout="constrained")
