"""The one look of every chart and page: colours in light and dark, fonts, and settings for matplotlib.

The training report takes its CSS variables from here. The service's page and the docs' theme repeat the values in CSS
files of their own, and tests compare them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

LIGHT: Mapping[str, str] = {
    "page": "#ffffff",
    "text": "#1c1f23",
    "quiet": "#5b636d",  # labels of axes, captions
    "rule": "#e3e6ea",  # grid lines, borders
    "box": "#f6f7f9",  # background of a chart
    "alarm": "#fff4e0",  # background of a warning
    "alarm-edge": "#d55e00",
    "c1": "#0072b2",  # blue: normal rows, the calibration, vaekit
    "c2": "#d55e00",  # vermilion: anomalous rows, this run, an alarm
    "c3": "#009e73",
    "c4": "#aa4499",
    "c5": "#8a929b",  # grey: others
    "c6": "#1c1f23",  # lines that hold for all: a threshold, alpha
}
DARK: Mapping[str, str] = {
    "page": "#15181c",
    "text": "#e4e7ea",
    "quiet": "#a0a8b1",
    "rule": "#2c3138",
    "box": "#1d2126",
    "alarm": "#33260f",
    "alarm-edge": "#e69f00",
    "c1": "#56b4e9",
    "c2": "#f0a14b",
    "c3": "#3ecfa0",
    "c4": "#dd8fca",
    "c5": "#7d868f",
    "c6": "#e4e7ea",
}
FONT_STACK = "system-ui, sans-serif"  # in CSS
FONTS = ("Inter", "Segoe UI", "Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans")  # in matplotlib


def css_variables() -> str:
    """The colours as CSS variables `--page`, `--text`, `--c1`, ..., light or dark as the reader's system is."""
    light, dark = (" ".join(f"--{name}: {colour};" for name, colour in palette.items()) for palette in (LIGHT, DARK))
    return (
        f":root {{ color-scheme: light dark; {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
        f"@media print {{ :root {{ color-scheme: light; {light} }} }}\n"
    )


def matplotlib_rc(palette: Mapping[str, str] = LIGHT) -> dict[Any, Any]:
    """Settings for `matplotlib.rc_context`, by name: thin axes, no frame, horizontal grid lines, left-aligned titles.

    Args:
        palette: LIGHT (the default, also for print) or DARK.
    """
    from cycler import cycler  # installed with matplotlib

    return {
        "axes.axisbelow": True,
        "axes.edgecolor": palette["quiet"],
        "axes.facecolor": palette["page"],
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.labelcolor": palette["quiet"],
        "axes.labelsize": 9,
        "axes.linewidth": 0.8,
        "axes.prop_cycle": cycler(color=[palette[name] for name in ("c1", "c2", "c3", "c4", "c5", "c6")]),
        "axes.spines.left": False,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": palette["text"],
        "axes.titlelocation": "left",
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "figure.dpi": 100,
        "figure.facecolor": palette["page"],
        "font.family": ["sans-serif", "DejaVu Sans"],  # the second one for letters that the first lacks
        "font.sans-serif": list(FONTS),
        "font.size": 9,
        "grid.color": palette["rule"],
        "grid.linewidth": 0.8,
        "legend.fontsize": 8.5,
        "legend.frameon": False,
        "legend.labelcolor": palette["text"],
        "lines.linewidth": 1.7,
        "savefig.facecolor": palette["page"],
        "text.color": palette["text"],
        "xtick.color": palette["quiet"],
        "xtick.labelsize": 8.5,
        "xtick.major.width": 0.8,
        "ytick.color": palette["quiet"],
        "ytick.labelsize": 8.5,
        "ytick.major.size": 0,
    }


@contextmanager
def chart_style(palette: Mapping[str, str] = LIGHT) -> Iterator[None]:
    """matplotlib draws and saves figures in this style inside the `with` block.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    import matplotlib as mpl

    with mpl.rc_context(matplotlib_rc(palette)):
        yield
