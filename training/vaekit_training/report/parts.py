"""The parts of a page: figures, tables, sections."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Figure:
    """A chart or a sheet of images, with title, legend and caption."""

    title: str
    body: Markup
    keys: tuple[tuple[str, str], ...] = ()  # CSS class of a mark, and its meaning
    caption: str = ""
    kind: str = "chart"  # chart, small (one of many), broad or sheet (as wide as the page)


@dataclass(frozen=True)
class ReportTable:
    """Cells as text; the first column names the line."""

    head: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    caption: str = ""
    words: tuple[int, ...] = (0,)  # columns of text, which are left-aligned


@dataclass(frozen=True)
class Section:
    """A heading with text, tables and figures; `keys` is a legend for all figures, `folded` is shown on demand."""

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[ReportTable, ...] = ()
    keys: tuple[tuple[str, str], ...] = ()
    folded: tuple[tuple[str, str], ...] = ()  # summary and preformatted text


def number(value: float, digits: int = 4) -> str:
    """A number as short text with this many significant digits, and all digits before the point."""
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits}g}"
    if abs(value) < 1:
        return f"{value:.{digits}g}"
    text = f"{value:.{max(0, digits - len(str(int(abs(value)))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def several(count: int, thing: str) -> str:
    """ "1 row", "2 rows"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
