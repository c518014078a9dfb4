"""Measures how well draws of the model fit the data, column by column.

The distance of a column is

    sup_t |F_data(t) - F_model(t)|               for numbers (Kolmogorov-Smirnov)
    (1/2) sum_l |p_data(l) - p_model(l)|         for categories (total variation)

Both are the largest difference between the probability of a set in the data and in the model, over the sets {x <= t} or
over all sets of levels. 0 means equal distributions, 1 means disjoint ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Column, VectorSpec
from vaekit_training.report.facts import Facts
from vaekit_training.report.parts import Figure, Section, number, plural
from vaekit_training.report.svg import Axis, Chart

Floats = NDArray[np.float64]

MOST_SHOWN = 24  # largest number of columns with a chart
BINS = 24  # of a histogram
TAIL = 0.005  # share of values at each end that the outermost bins include
LEVELS = np.linspace(0.01, 0.99, 33)  # probabilities in the quantile plot
CHANCE = 1.36  # CHANCE sqrt((n + m) / (n m)) is the 95 % quantile under equal distributions (Smirnov 1948)
KEYS = (("f1", "data: test rows"), ("line s2", "model: draws of x ~ p(x)"))


@dataclass(frozen=True)
class Fit:
    """One column: its values in test rows and in draws of the model, and the distance between them."""

    column: Column
    data: Floats  # (n,) observed values in test rows
    drawn: Floats  # (m,) values in draws of the model
    distance: float

    @property
    def chance(self) -> float:
        """The distance that equal distributions exceed in one of 20 cases, with these numbers of rows."""
        n, m = len(self.data), len(self.drawn)
        return float(CHANCE * np.sqrt((n + m) / (n * m)))


def fits(facts: Facts) -> list[Fit]:
    """The fit of each column, except constant ones and those without an observed test cell; the worst fit first."""
    if facts.is_image:
        return _of_images(facts)
    spec = facts.manifest.input
    assert isinstance(spec, VectorSpec)
    found = []
    for d, column in enumerate(spec.columns):
        data = facts.modelled[:, d]
        data, drawn = data[~np.isnan(data)], facts.draws.samples[:, d]
        if column.constant is None and len(data):
            found.append(Fit(column, data, drawn, distance(column, data, drawn)))
    return sorted(found, key=lambda fit: -fit.distance)


def _of_images(facts: Facts) -> list[Fit]:
    """The fit of two statistics of each image: mean and standard deviation of its pixels."""
    images = [values.reshape(len(values), -1) for values in (facts.modelled, facts.draws.samples)]  # (n, D), (m, D)
    found = []
    for name, of in (("mean of an image's pixels", np.mean), ("standard deviation of an image's pixels", np.std)):
        column, (data, drawn) = Column(name=name), (of(values, axis=1) for values in images)
        found.append(Fit(column, data, drawn, distance(column, data, drawn)))
    return sorted(found, key=lambda fit: -fit.distance)


def distance(column: Column, data: Floats, drawn: Floats) -> float:
    """The distance between data (n,) and draws (m,) that is defined at the top of this file."""
    if column.levels is not None:
        p, q = (_shares(values, len(column.levels)) for values in (data, drawn))
        return float(0.5 * np.abs(p - q).sum())
    both = np.concatenate([data, drawn])
    f, g = (np.searchsorted(np.sort(values), both, side="right") / len(values) for values in (data, drawn))
    return float(np.abs(f - g).max())


def section(facts: Facts) -> Section:
    """The section on the fit of each column: histograms and quantile plots."""
    found = fits(facts)
    shown = found[:MOST_SHOWN]
    far = sum(fit.distance > fit.chance for fit in found)
    text = [
        f"Test rows compared with {plural(len(facts.draws), 'draw')} of the model: x ~ p(x|z), z from the prior. The "
        "worst fit comes first. Left: shares of rows; the outermost bins include all values beyond them. Right: "
        "quantiles from 1 % to 99 %, which are on the diagonal if they agree. The distance is the largest difference "
        "between data and model in the share of values below a point; for categories, of values in a set of levels.",
    ]
    if found:
        text.append(
            f"{far} of {len(found)} have a distance that equal distributions exceed in fewer than one of 20 cases "
            f"with this number of rows (above {number(max(fit.chance for fit in found), 2)})."
        )
    if len(found) > len(shown):
        rest = found[len(shown) :]
        text.append(
            f"Not shown: {len(rest)} columns that fit better, with distances up to {number(rest[0].distance, 2)}."
        )
    title = "Fit of whole images" if facts.is_image else "Fit of each column"
    return Section("fit", title, tuple(text), tuple(map(figure, shown)), keys=KEYS)


def figure(fit: Fit) -> Figure:
    """The chart of one column."""
    body = _bars(fit) if _has_bars(fit) else _histogram(fit) + _quantiles(fit)
    kind = "" if fit.column.kind == "real" else f", {fit.column.kind}"
    return Figure(fit.column.name, body, (), f"distance {number(fit.distance, 2)}{kind}", kind="small")


def _has_bars(fit: Fit) -> bool:
    return fit.column.kind in ("binary", "category")


def _shares(values: Floats, levels: int) -> Floats:
    return np.bincount(values.astype(np.intp), minlength=levels) / len(values)


def _bars(fit: Fit) -> Markup:
    """Bars of data and model by level, the most frequent levels first."""
    names = fit.column.levels or ("0", "1")
    p, q = (_shares(values, len(names)) for values in (fit.data, fit.drawn))
    order = np.argsort(-np.maximum(p, q), kind="stable")[:12] if fit.column.levels else np.arange(2)
    chart = Chart(Axis(-0.5, len(order) - 0.5), Axis(0, max(p.max(), q.max()) * 1.05), width=320, height=130, left=34)
    at = np.arange(len(order))
    chart.bars(at - 0.2, p[order], 0.19, "f1").bars(at + 0.2, q[order], 0.19, "f2")
    chart.names([names[i] for i in order])
    return chart.svg(f"{fit.column.name}: share of rows by level, data and model; distance {fit.distance:.2f}")


def bins(fit: Fit) -> Floats:
    """Common bin edges of data and draws, (number of bins + 1,); for counts they are between the integers."""
    both = np.concatenate([np.quantile(values, [TAIL, 1 - TAIL]) for values in (fit.data, fit.drawn)])
    low, high = float(both.min()), float(both.max())
    if fit.column.kind == "count":
        low, high = np.floor(low), np.ceil(high)
        step = max(1, int(np.ceil((high - low + 1) / BINS)))
        return np.asarray(np.arange(low, high + step + 0.5, step) - 0.5, dtype=np.float64)
    return Axis.over([low, high], margin=0.0).edges(BINS)


def _histogram(fit: Fit) -> Markup:
    edges = bins(fit)
    p, q = (_binned(values, edges) for values in (fit.data, fit.drawn))
    chart = Chart(
        Axis(edges[0], edges[-1]),
        Axis(0, max(p.max(), q.max()) * 1.05),
        width=190,
        height=130,
        left=8,
        x_ticks=3,
    )
    chart.y_ticks = 0
    chart.steps(edges, p, "f1").steps(edges, q, "line s2")
    return chart.svg(f"{fit.column.name}: histograms of data and model; distance {fit.distance:.2f}")


def _binned(values: Floats, edges: Floats) -> Floats:
    """Share of values in each bin; the outermost bins include the values beyond them."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return counts / len(values)


def _quantiles(fit: Fit) -> Markup:
    data, drawn = (np.quantile(values, LEVELS) for values in (fit.data, fit.drawn))
    scale = Axis.over(data, drawn)
    chart = Chart(scale, scale, width=130, height=130, left=8, x_ticks=2)
    chart.y_ticks = 0
    chart.line([scale.low, scale.high], [scale.low, scale.high], "s5 dash").points(data, drawn, "s2")
    return chart.svg(f"{fit.column.name}: quantiles of the model against those of the data")
