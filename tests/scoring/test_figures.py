"""Figures show numbers and names letter by letter."""

from __future__ import annotations

from pathlib import Path

from matplotlib.text import Text

from vaekit.scoring.figures import log_axis, new_figure, save


def test_no_figure_shows_the_source_of_math_text(tmp_path: Path) -> None:
    figure = new_figure(4.0)
    ax = figure.add_subplot()
    log_axis(ax, (0.01, 0.05, 0.1))
    ax.plot([0.01, 0.1], [0.0, 1.0], label="price in $")
    ax.set_title("a $name$")
    save(figure, tmp_path / "figure.png")
    shown = [text.get_text() for text in figure.findobj(Text) if text.get_visible()]
    assert {"0.01", "0.05", "0.1", "a $name$"} <= set(shown)
    assert not any("math" in text for text in shown)
