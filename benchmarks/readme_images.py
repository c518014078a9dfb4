"""Draws the chart of the README from the tables of the benchmark pages, and its badges from pyproject.toml.

    python -m benchmarks.readme_images

The pages hold the measured figures and the commands that measure them, so the chart cannot say anything else.
"""

from __future__ import annotations

import io
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.processes import ROOT
from vaekit.chart_style import DARK, LIGHT, chart_style

PAGES, IMAGES = ROOT / "docs" / "reference" / "benchmarks", ROOT / "docs" / "images"
THEMES: Mapping[str, Mapping[str, str]] = {"light": LIGHT, "dark": DARK}
OURS = "vaekit"
Bars = list[tuple[str, float]]  # (name, value), the best first


def table(page: Path, first: str) -> list[list[str]]:
    """The cells of the first table of a page with a row that begins with this cell, without its head."""
    for lines in re.findall(r"(?:^\|.*\n)+", page.read_text(encoding="utf-8"), re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines.splitlines()]
        if any(row[0] == first for row in rows):
            return rows[2:]
    raise SystemExit(f"{page}: no table with a row {first!r}")


def throughput(page: Path = PAGES / "serving.md") -> Bars:
    """Requests per second of each server: one row of JSON, D = 784, 32 connections."""
    rows = table(page, "MLServer")
    found = [(row[0], float(row[1].replace(",", ""))) for row in rows if not row[0].startswith("the same")]
    return sorted(found, key=lambda bar: -bar[1])


def precision(page: Path = PAGES / "detection.md") -> Bars:
    """Average precision of each detector in percent, mean over the datasets."""
    return sorted(((row[0], float(row[2].split()[0])) for row in table(page, "IForest")), key=lambda bar: -bar[1])


def draw(palette: Mapping[str, str]) -> str:
    """The chart as SVG, whose texts are texts."""
    from matplotlib.figure import Figure

    with chart_style(palette):
        import matplotlib as mpl

        mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "vaekit", "font.size": 10.5})
        figure = Figure(figsize=(9.4, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        _bars(left, throughput(), palette, ",.0f")
        _titled(left, "Requests per second", "one row of 784 numbers, one core", palette)
        _bars(right, precision(), palette, ".1f")
        _titled(right, "Average precision, %", "mean of 31 labelled datasets", palette)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return re.sub(r"[ \t]+$", "", out.getvalue(), flags=re.MULTILINE)


def _titled(panel: Any, title: str, what: str, palette: Mapping[str, str]) -> None:
    panel.set_title(title, pad=20)
    panel.text(0, 1.025, what, transform=panel.transAxes, color=palette["quiet"], fontsize=9)


def _bars(panel: Any, bars: Sequence[tuple[str, float]], palette: Mapping[str, str], form: str) -> None:
    """Horizontal bars, the best at the top, each with its value."""
    names, values = zip(*bars, strict=True)
    colours = [palette["c1" if name == OURS else "c5"] for name in names]
    panel.barh(range(len(bars)), values, color=colours, height=0.05 * len(bars) + 0.15)
    for at, value in enumerate(values):
        panel.text(value, at, f" {value:{form}}", va="center", color=palette["text"], fontsize=9)
    panel.set_yticks(range(len(bars)), names, color=palette["text"])
    panel.invert_yaxis()
    panel.set_xlim(0, 1.15 * max(values))
    panel.grid(visible=False)
    panel.xaxis.set_visible(False)
    panel.spines["bottom"].set_visible(False)


def badges() -> dict[str, str]:
    """The text of each badge by its name. The licence is vaekit's own; those of the copied libraries follow an AND."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    python = [line.rpartition(" ")[2] for line in project["classifiers"] if "Python :: 3." in line]
    return {"license": project["license"].partition(" AND ")[0], "python": f"{python[0]} to {python[-1]}"}


def badge(label: str, text: str) -> str:
    """A badge as SVG: a label, and a text on blue."""
    left, right = (round(6.6 * len(part)) + 14 for part in (label, text))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img">
<title>{label}: {text}</title>
<clipPath id="r"><rect width="{left + right}" height="20" rx="4"/></clipPath>
<g clip-path="url(#r)"><rect width="{left}" height="20" fill="{LIGHT["quiet"]}"/>
<rect x="{left}" width="{right}" height="20" fill="{LIGHT["c1"]}"/></g>
<g fill="#fff" text-anchor="middle" font-family="Verdana, DejaVu Sans, sans-serif" font-size="11">
<text x="{left / 2}" y="14">{label}</text><text x="{left + right / 2}" y="14">{text}</text></g>
</svg>
"""


def images() -> dict[str, str]:
    """The SVG of each file."""
    drawn = {f"benchmarks-{theme}.svg": draw(palette) for theme, palette in THEMES.items()}
    return drawn | {f"badge-{label}.svg": badge(label, text) for label, text in badges().items()}


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    for name, svg in images().items():
        (IMAGES / name).write_text(svg, encoding="utf-8")
        print((IMAGES / name).relative_to(ROOT))


if __name__ == "__main__":
    main()
