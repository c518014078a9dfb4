"""Draws charts as inline SVG: axes and marks.

A page has dozens of charts, supports light and dark mode, and must be readable on phones. For the fit of one column a
plotting library needs 25 ms and 13 kB of SVG, this module 1 ms and 2 kB.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import ArrayLike, NDArray

from vaekit_training.report.parts import number

MINUS = "\u2212"
TEXT_WIDTH = 6.3  # approximate width of a character of an axis label, in the chart's units
RIGHT = 8  # right margin, in the chart's units
FINEST = 1e-12  # a range narrower than this share of its values counts as a single value


@dataclass(frozen=True)
class Axis:
    """Maps values v from low..high to 0..1: linearly, or by log(v + lift), which also shows values far out."""

    low: float
    high: float
    lift: float | None = None

    @classmethod
    def over(cls, *values: ArrayLike, margin: float = 0.04) -> Axis:
        """An axis for all finite values, with a margin; around a single value it has a range of about its size."""
        flat = np.concatenate([np.ravel(np.asarray(v, dtype=np.float64)) for v in values])
        flat = flat[np.isfinite(flat)]
        low, high = (float(flat.min()), float(flat.max())) if flat.size else (0.0, 1.0)
        room = margin * (high - low)
        if high - low <= FINEST * max(abs(low), abs(high)):
            room = 0.5 * max(abs(low), 1e-300) if low else 0.5
        return cls(low - room, high + room)

    def place(self, values: ArrayLike) -> NDArray[np.float64]:
        """Positions 0..1 of values; values beyond an end get the position of the end."""
        v = np.clip(np.asarray(values, dtype=np.float64), self.low, self.high)
        if self.lift is None:
            return np.asarray((v - self.low) / (self.high - self.low))
        a, b = np.log(self.low + self.lift), np.log(self.high + self.lift)
        return np.asarray((np.log(v + self.lift) - a) / (b - a))

    def edges(self, bins: int) -> NDArray[np.float64]:
        """Edges of bins that are equally wide on the page, (bins + 1,)."""
        if self.lift is None:
            return np.linspace(self.low, self.high, bins + 1)
        edges = np.geomspace(self.low + self.lift, self.high + self.lift, bins + 1) - self.lift
        edges[[0, -1]] = self.low, self.high
        return edges

    def ticks(self, about: int) -> list[float]:
        """About this number of round values between the ends."""
        if self.lift is None:
            return _round_values(self.low, self.high, about)
        powers = 10.0 ** np.arange(-3, np.ceil(np.log10(max(-self.low, self.high, 1.0))) + 1)
        round_ones = np.unique(np.outer([-5, -2, -1, 0, 1, 2, 5], powers))
        inside = round_ones[(round_ones >= self.low) & (round_ones <= self.high)]
        wanted = np.linspace(0.05, 0.95, about)
        nearest = {int(np.abs(self.place(inside) - place).argmin()) for place in wanted} if inside.size else set()
        return [float(inside[i]) for i in sorted(nearest)]


def _round_values(low: float, high: float, about: int) -> list[float]:
    """At least two multiples of 1, 2 or 5 times a power of ten, between low and high."""
    rough = (high - low) / about
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * min((m for m in (1, 2, 5, 10) if m * power >= rough * 0.999), default=10)
    first, last = np.ceil(low / step), np.floor(high / step)
    if last <= first:
        return _round_values(low, high, about + 1)
    exact = step * np.arange(first, last + 0.5) + 0.0  # no minus zero
    return [float(tick) for tick in np.clip(exact, low, high)]


def labels(ticks: Sequence[float]) -> list[str]:
    """The shortest texts of the ticks that differ from each other."""
    texts: list[str] = []
    for digits in (4, 6, 9, 12, 17):
        texts = [number(tick, digits) for tick in ticks]
        if len(set(texts)) == len(ticks):
            break
    return [text.replace("e+0", "e").replace("e+", "e").replace("e-0", "e-").replace("-", MINUS) for text in texts]


@dataclass
class Chart:
    """A chart with axes and marks. Methods that draw return the chart itself; `svg` returns the SVG element."""

    x: Axis
    y: Axis
    xlabel: str = ""
    ylabel: str = ""
    width: float = 400
    height: float = 250
    left: float = 52
    top: float = 8
    x_ticks: int = 5
    y_ticks: int = 4
    _marks: list[str] = field(default_factory=list)

    def line(self, x: ArrayLike, y: ArrayLike, css: str) -> Chart:
        """A line through the points, with gaps at points that are not finite."""
        px, py = self._at(x, y)
        fine = np.isfinite(px + py)
        return self._mark(f'<path class="line {css}" d="{_path(px[fine], py[fine], fine)}"/>')

    def steps(self, edges: ArrayLike, heights: ArrayLike, css: str) -> Chart:
        """The outline of a histogram; the CSS class decides whether it is filled."""
        x = np.repeat(np.asarray(edges, dtype=np.float64), 2)
        y = np.concatenate([[0.0], np.repeat(np.asarray(heights, dtype=np.float64), 2), [0.0]])
        return self._mark(f'<path class="{css}" d="{_path(*self._at(x, y))}"/>')

    def bars(self, centres: ArrayLike, heights: ArrayLike, half_width: float, css: str) -> Chart:
        """Vertical bars from 0."""
        boxes = []
        for c, h in zip(np.ravel(centres), np.ravel(heights), strict=True):
            (x0, x1), (y0, y1) = self._at([c - half_width, c + half_width], [0.0, h])
            boxes.append(f"M{_n(x0)} {_n(y0)}V{_n(y1)}H{_n(x1)}V{_n(y0)}z")
        return self._mark(f'<path class="{css}" d="{"".join(boxes)}"/>')

    def points(self, x: ArrayLike, y: ArrayLike, css: str) -> Chart:
        """A dot at each finite point."""
        px, py = self._at(x, y)
        fine = np.isfinite(px + py)
        dots = "".join(f"m{dx}{_joined(dy)}h0" for dx, dy in _moves(px[fine], py[fine]))
        return self._mark(f'<path class="dots {css}" d="M0 0{dots}"/>')

    def vertical(self, value: float, css: str) -> Chart:
        """A vertical line at a value of x."""
        return self.line([value, value], [self.y.low, self.y.high], css)

    def level(self, value: float, css: str) -> Chart:
        """A horizontal line at a value of y."""
        return self.line([self.x.low, self.x.high], [value, value], css)

    def label(self, x: float, y: float, text: str, anchor: str = "start", *, rise: float = 3.5) -> Chart:
        """A text beside a point, so that no legend is needed; anchor: start (right of it), middle or end."""
        (px,), (py,) = self._at([x], [y])
        shift = {"start": 7, "middle": 0, "end": -7}[anchor]
        return self._mark(_text(px + shift, py + rise, text, anchor, ' class="label"'))

    def title(self, text: str) -> Chart:
        """A title above the frame."""
        return self._mark(_text(self.left, self.top - 5, text, "start"))

    def horizontal_bar(self, y: float, value: float, half: float, css: str, name: str) -> Chart:
        """A horizontal bar from 0 to the value; its name is left of the frame, truncated if necessary."""
        (x0, x1), (y0, y1) = self._at([0.0, value], [y - half, y + half])
        room = int((self.left - 8) / TEXT_WIDTH)
        shown = name if len(name) <= room else name[: room - 1] + "\u2026"
        self._mark(f'<path class="{css}" d="M{_n(x0)} {_n(y0)}V{_n(y1)}H{_n(x1)}V{_n(y0)}z"/>')
        return self._mark(_text(self.left - 6, (y0 + y1) / 2 + 3.5, shown, "end"))

    def band(self, low: float, high: float, half: float, css: str) -> Chart:
        """A box from low to high in x, and from -half to half in y."""
        (x0, x1), (y0, y1) = self._at([low, high], [-half, half])
        return self._mark(f'<path class="{css}" d="M{_n(x0)} {_n(y0)}V{_n(y1)}H{_n(x1)}V{_n(y0)}z"/>')

    def names(self, texts: Sequence[str]) -> Chart:
        """Texts instead of ticks along x, at 0, 1, 2, ..., truncated if necessary."""
        room = max(2, int((self.width - self.left) / max(len(texts), 1) / TEXT_WIDTH))
        for i, text in enumerate(texts):
            shown = text if len(text) <= room else text[: room - 1] + "\u2026"
            (px,), _ = self._at([i], [0.0])
            self._mark(_text(px, self._bottom + 13, shown))
        self.x_ticks = 0
        return self

    def svg(self, alt: str) -> Markup:
        """The SVG element; alt describes the chart."""
        return self._element(alt, self.height, [*self._axes(), *self._marks])

    def bare(self, alt: str, height: float) -> Markup:
        """The SVG element of the marks alone, cut at this height: a small chart without axes."""
        return self._element(alt, height, self._marks)

    def _element(self, alt: str, height: float, marks: Sequence[str]) -> Markup:
        size = f"0 0 {_n(self.width)} {_n(height)}"
        return Markup(
            f'<svg viewBox="{size}" role="img" aria-label="{escape(alt)}">{"".join(marks)}</svg>'
        )  # all texts in marks are escaped

    @property
    def _bottom(self) -> float:
        return self.height - (34 if self.xlabel else 20)

    def _at(self, x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        right = self.width - RIGHT
        px = self.left + (right - self.left) * self.x.place(x)
        py = self._bottom - (self._bottom - self.top) * self.y.place(y)
        return px, py

    def _mark(self, element: str) -> Chart:
        self._marks.append(element)
        return self

    def _axes(self) -> list[str]:
        right, bottom = self.width - RIGHT, self._bottom
        out = [
            *self._along_y(right),
            *self._along_x(),
            f'<path class="axis" d="M{_n(self.left)} {_n(bottom)}H{_n(right)}"/>',
        ]
        if self.xlabel:
            out.append(_text((self.left + right) / 2, self.height - 5, self.xlabel))
        if self.ylabel:
            centre = (self.top + bottom) / 2
            out.append(_text(10, centre + 3, self.ylabel, more=f' transform="rotate(-90 10 {_n(centre)})"'))
        return out

    def _along_y(self, right: float) -> list[str]:
        """Horizontal grid lines with their labels."""
        ticks = self.y.ticks(self.y_ticks) if self.y_ticks else []
        _, places = self._at([self.x.low] * len(ticks), ticks)
        out = []
        for place, label in zip(places, labels(ticks), strict=True):
            out.append(f'<path class="rule" d="M{_n(self.left)} {_n(place)}H{_n(right)}"/>')
            out.append(_text(self.left - 4, place + 3.5, label, "end"))
        return out

    def _along_x(self) -> list[str]:
        """Labels below the chart; a label that would overlap the previous one is left out."""
        ticks = self.x.ticks(self.x_ticks) if self.x_ticks else []
        places, _ = self._at(ticks, [self.y.low] * len(ticks))
        taken = -np.inf
        out: list[str] = []
        for place, label in zip(places, labels(ticks), strict=True):
            half = len(label) * TEXT_WIDTH / 2
            centre = min(max(float(place), half), self.width - half)
            if centre - half >= taken:
                out.append(_text(centre, self._bottom + 13, label))
                taken = centre + half + 4
        return out


def _text(x: float, y: float, text: str, anchor: str = "middle", more: str = "") -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}"{more}>{escape(text)}</text>'


def _n(value: float) -> str:
    """A coordinate as text, rounded to a tenth."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def _moves(px: NDArray[np.float64], py: NDArray[np.float64]) -> list[tuple[str, str]]:
    """Differences from each point to the next, starting at (0, 0), as text; they are shorter than coordinates."""
    tenths = np.rint(10 * np.stack([px, py], axis=1)).astype(
        int
    )  # rounded before the differences, so that errors do not add up
    steps = np.diff(tenths, axis=0, prepend=np.zeros((1, 2), dtype=int))
    return [(_tenth(dx), _tenth(dy)) for dx, dy in steps.tolist()]


def _path(px: NDArray[np.float64], py: NDArray[np.float64], drawn: NDArray[np.bool_] | None = None) -> str:
    """The SVG path through these points; drawn: mask of them among all points, to leave gaps at the other ones."""
    place = np.arange(len(px)) if drawn is None else np.flatnonzero(drawn)
    starts = np.diff(place, prepend=-2) > 1
    out: list[str] = []
    for (dx, dy), is_start in zip(_moves(px, py), starts, strict=True):
        if is_start:
            out.append(f"{'m' if out else 'M'}{dx}{_joined(dy)}")
        elif dx == "0" or dy == "0":
            out.append(f"v{dy}" if dx == "0" else f"h{dx}")
        else:
            out.append(f"l{dx}{_joined(dy)}")
    return "".join(out)


def _tenth(tenths: int) -> str:
    """A number of tenths as the shortest decimal text."""
    text = f"{tenths / 10:.1f}".removesuffix(".0")
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _joined(second: str) -> str:
    """The second of two numbers, with a separating space unless it starts with a minus sign."""
    return second if second.startswith("-") else f" {second}"
