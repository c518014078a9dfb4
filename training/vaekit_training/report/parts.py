"""The elements of a page: figures, tables and sections, and helpers for text."""

from __future__ import annotations

from dataclasses import dataclass, field

from markupsafe import Markup


@dataclass(frozen=True)
class Figure:
    """A chart or a sheet of images, with title, legend and caption."""

    title: str
    body: Markup
    keys: tuple[tuple[str, str], ...] = ()  # the legend: CSS class of a mark, and its meaning
    caption: str = ""
    kind: str = "chart"  # CSS class: chart, small (one of many), broad or sheet (as wide as the page)


@dataclass(frozen=True)
class ReportTable:
    """A table of text cells; the first cell of a line is its name."""

    head: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    caption: str = ""
    words: tuple[int, ...] = (0,)  # indices of columns with text, which are left-aligned

    @property
    def is_stacked(self) -> bool:
        """Whether a phone shows the cells of a line below each other: the table is wide, its last column is text."""
        return len(self.head) > 2 and len(self.head) - 1 in self.words


@dataclass(frozen=True)
class Tile:
    """One figure in large type: its value, what it is, and what else to know."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Reason:
    """One cell of a row: its value, the value expected from the rest of the row, and both in a small chart."""

    name: str
    value: str
    expected: str
    chart: Markup = field(default_factory=Markup)


@dataclass(frozen=True)
class Item:
    """One row of the data: a title, remarks on it, and its reasons, or a sheet of images."""

    title: str
    remarks: tuple[tuple[str, str], ...] = ()  # CSS class and text of each
    reasons: tuple[Reason, ...] = ()
    images: Markup = field(default_factory=Markup)
    note: str = ""  # in place of reasons


@dataclass(frozen=True)
class Command:
    """A command to try, and what it does."""

    line: str
    meaning: str


@dataclass(frozen=True)
class Items:
    """A list of rows below a heading of its own, which may be empty."""

    title: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Section:
    """A heading with text, tables and figures."""

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[ReportTable, ...] = ()
    keys: tuple[tuple[str, str], ...] = ()  # a legend for all figures, as in Figure
    folded: tuple[tuple[str, str], ...] = ()  # collapsed elements: summary, and preformatted text
    lead: tuple[str, str] | None = None  # the answer in large type: a word, and the sentence after it
    tiles: tuple[Tile, ...] = ()
    items: tuple[Items, ...] = ()
    commands: tuple[Command, ...] = ()
    advice: tuple[tuple[str, str], ...] = ()  # warnings, each with what to do about it
    is_folded: bool = False  # whether a reader must open it


def number(value: float, digits: int = 4) -> str:
    """A number as text with this number of significant digits, or more if its integer part has more."""
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits}g}"
    if abs(value) < 1:
        return f"{value:.{digits}g}"
    text = f"{value:.{max(0, digits - len(str(int(abs(value)))))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def plural(count: int, thing: str) -> str:
    """A count with a noun: "1 row", "2 rows"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
