"""Draws one explained row: cells beside their expected values, or the heatmap of an image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.chart_style import LIGHT, chart_style
from vaekit.scoring.evaluation.explain_row import ImageExplanation, RowExplained
from vaekit.scoring.figures import COLOURS, WIDTH, save, stacked
from vaekit.scoring.files.writer import replacing
from vaekit.tabular.explained_cells import NONE_IS_ODD, odd_cells
from vaekit.tabular.row_names import of_id

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE = COLOURS
CELL = 0.64  # inches of a cell
LETTERS = 34  # of a cell's name and value
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
    """Each odd cell with its relief, and its value relative to the interval expected from the rest of the row."""
    cells = odd_cells(found.cells)
    if not cells:
        as_expected = f"The {len(found.cells)} cells explained are as expected from the rest of the row."
        return stacked(headline(found), [_sentence(found), *([as_expected] if found.cells else [])], [])[0]
    said = [
        _sentence(found),
        "Band: the 90 % of values expected from the rest of the row. Dot: the value. At the right: relief, the fall "
        "of the score without the cell.",
    ]
    figure, (ax,) = stacked(headline(found), said, [CELL * len(cells)])
    farthest = LINEAR
    for y, cell in enumerate(cells):
        _write(ax, y, cell, found.shown(cell))
        if cell["low"] is not None:
            ax.barh(y + 0.27, 2.0, left=-1.0, color=BLUE, alpha=0.3, height=0.18)
            ax.plot([0.0, 0.0], [y + 0.18, y + 0.36], color=BLUE, lw=1.4)
            ax.plot(offset := _offset(cell), y + 0.27, "o", color=ORANGE, ms=6, clip_on=False)
            farthest = max(farthest, abs(offset))
    ax.set_xscale("symlog", linthresh=LINEAR)
    ax.set_xlim(-1.4 * farthest, 1.4 * farthest)
    ax.set_ylim(len(cells) - 0.45, -0.5)  # the most anomalous at the top
    sides = [tick for tick in TICKS if tick < 1.4 * farthest]
    ticks = [*(-tick for tick in sides[::-1]), 0, *sides]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.set_xlabel("distance from the expected value, in half-widths of the band")
    return figure


def headline(found: RowExplained) -> str:
    """The finding: the row, and the cell that makes it anomalous if one does."""
    what = f"{'Row' if found.image is None else 'Image'} {found.row}{of_id(found.id_column, found.id)}"
    if not found.cells or found.image is not None:
        return f"{what} of {found.data}: {_p_value(found)}"
    odd = odd_cells(found.cells)
    if not odd:
        return f"{what}: {NONE_IS_ODD}"
    first = odd[0]
    expected = "" if first["expected"] is None else f", expected {_short(first['expected'])}"
    return f"{what}: {first['feature']} is {_short(found.shown(first))}{expected}"


def image_figure(found: RowExplained, shown: ImageExplanation) -> Figure:
    """The image, its reconstruction, and the heatmap: nats above the held-out median of each pixel."""
    from matplotlib.colors import LinearSegmentedColormap

    said = [_sentence(found), "Right: where they differ, nats above the held-out median of each pixel."]
    figure, (whole,) = stacked(headline(found), said, [WIDTH / 3 + 0.1])
    whole.set_axis_off()
    axes = [whole.inset_axes((i * 0.34, 0.0, 0.32, 1.0)) for i in range(3)]
    for ax, image, title in zip(axes, (shown.given, shown.expected), ("the image", "expected"), strict=False):
        ax.imshow(np.clip(image, 0, 255).astype(np.uint8).squeeze(), cmap="gray", vmin=0, vmax=255)
        ax.set_title(title, fontsize=9)
    most = max(float(np.abs(shown.heat).max()), 1.0)
    colours = LinearSegmentedColormap.from_list("surprise", [BLUE, LIGHT["page"], ORANGE])
    heat = axes[2].imshow(shown.heat, cmap=colours, vmin=-most, vmax=most)
    axes[2].set_title("surprise", fontsize=9)
    for ax in axes:
        ax.set_xticks([])
        ax.set_yticks([])
        ax.grid(visible=False)
        ax.spines["left"].set_visible(True)
        ax.spines[["left", "right", "top", "bottom"]].set_color(LIGHT["rule"])
        ax.spines[["right", "top"]].set_visible(True)
    figure.colorbar(heat, ax=whole, location="bottom", shrink=0.6, aspect=36, pad=0.04, label="nats")
    return figure


def _write(ax: Axes, y: int, cell: Mapping[str, Any], value: float | str | None) -> None:
    """The name and value of a cell, what is expected, and its relief, above its band."""
    text = f"{cell['feature']} = {_short(value)}"
    text = text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}\u2026"
    expected = f"expected {_short(cell['expected'])} ({_interval(cell)})"
    at = ax.get_yaxis_transform()  # x in shares of the width
    ax.text(0.0, y - 0.28, text, weight="bold", va="center", transform=at)
    ax.text(1.0, y - 0.28, f"{_nats(cell['relief'])} nats", ha="right", va="center", transform=at)
    ax.text(0.0, y - 0.05, expected, color=LIGHT["quiet"], fontsize=8.5, va="center", transform=at)


def _nats(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _interval(cell: Mapping[str, Any]) -> str:
    if cell["low"] is None:
        return "" if cell["probability"] is None else f"{cell['probability']:.0%} likely"
    return f"{_short(cell['low'])} to {_short(cell['high'])}"


def _offset(cell: Mapping[str, Any]) -> float:
    """(value - expected) / half-width of the interval on that side."""
    offset = cell["value"] - cell["expected"]
    half = cell["high"] - cell["expected"] if offset > 0 else cell["expected"] - cell["low"]
    return float(offset / half) if half > 0 else float(np.sign(offset) * LINEAR)


def _sentence(found: RowExplained) -> str:
    kl = "" if found.kl_is_score else f"; kl {found.kl:.3g} nats, p = {found.kl_p_value:.2g}"
    group = "" if found.group is None else f" among {found.group}"
    what = "" if found.image is None else "Image by "
    return f"{what}{found.model}, {found.data}: score {found.score_text} nats, {_p_value(found)}{group}{kl}."


def _p_value(found: RowExplained) -> str:
    return "no p-value" if found.p_value is None else f"p-value {found.p_value:.2g}"


def _short(value: float | str | None) -> str:
    if value is None:
        return "unseen level"
    return value if isinstance(value, str) else f"{value:.4g}"
