"""Charts and pages have one look, and it can be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import pytest

from vaekit.chart_style import DARK, LIGHT, chart_style, css_variables, matplotlib_rc
from vaekit.scoring.figures import stacked
from vaekit_training.report.page import document

ROOT = Path(__file__).parent.parent
PALETTES = pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])


def luminance(colour: str) -> float:
    """Relative luminance of a colour #rrggbb, as in WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


@PALETTES
def test_text_and_marks_contrast_with_every_background(palette: Mapping[str, str]) -> None:
    for background in ("page", "box", "alarm"):
        for text in ("text", "quiet"):
            assert contrast(palette[text], palette[background]) >= 4.5, (text, background)
    for background in ("page", "box"):
        for mark in ("c1", "c2", "c3", "c4", "c5", "c6"):
            least = 2.9 if mark == "c5" else 3.0  # grey is for others, which are labelled too
            assert contrast(palette[mark], palette[background]) >= least, (mark, background)


@PALETTES
def test_the_css_has_every_colour_as_a_variable(palette: Mapping[str, str]) -> None:
    css = css_variables()
    assert all(f"--{name}: {colour};" in css for name, colour in palette.items())
    assert set(LIGHT) == set(DARK)


def test_a_report_uses_no_variable_that_the_palette_lacks() -> None:
    page = document("a", "b", [], [])
    used = set(re.findall(r"var\(--([\w-]+)\)", page)) - {"c"}  # --c is the colour of a mark, set by its class
    assert used <= set(LIGHT)
    assert css_variables() in page


@PALETTES
def test_figures_have_the_colours_of_the_palette(palette: Mapping[str, str]) -> None:
    before = dict(mpl.rcParams)
    with chart_style(palette):
        figure, (ax,) = stacked("a", [], [1.0])
        ax.set_title("a")
        (line,) = ax.plot([0, 1], [0, 1])
    assert mpl.colors.to_hex(line.get_color()) == palette["c1"]
    assert mpl.colors.to_hex(figure.get_facecolor()) == palette["page"]
    assert mpl.colors.to_hex(ax.title.get_color()) == palette["text"]
    assert dict(mpl.rcParams) == before


def test_every_setting_is_one_of_matplotlib() -> None:
    assert set(matplotlib_rc()) <= set(mpl.rcParams)


def test_charts_name_no_colour_of_their_own() -> None:
    plots = [*ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("vaekit/scoring/**/*.py"), *ROOT.glob("training/**/report/*")]
    plots = [path for path in plots if path.is_file() and path.suffix in (".py", ".css")]
    own = {path.name for path in plots if re.search(r"#[0-9a-fA-F]{6}\b", path.read_text(encoding="utf-8"))}
    assert own == set()
