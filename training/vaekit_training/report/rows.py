"""Charts of scores, reconstructions or predictions of cells, and samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from vaekit.bundle.input_spec import VectorSpec
from vaekit.runtime.explain.explanation import of_columns
from vaekit_training.evaluate import ALPHA
from vaekit_training.features import MASSES
from vaekit_training.kernel_vae import Z_90
from vaekit_training.report import image_sheets
from vaekit_training.report.facts import Facts
from vaekit_training.report.parts import Figure, Section, number, plural
from vaekit_training.report.svg import Axis, Chart

Floats = NDArray[np.float64]

BINS = 48
FAR = 5.0  # if scores are further out than this number of widths of the normal scores, the axis is logarithmic
MOST_COLUMNS = 40  # largest number of columns in a chart
ACROSS = 8  # images per line, so that a line fits on the screen of a phone
HISTOGRAM_HEIGHT = 62  # of one split
COLOURS = {"train": "f5", "validation": "f5", "calibration": "f1", "test": "f1", "anomalies": "f2"}
OF_TRAINING_ROWS: dict[str, str] = {  # by name of the prior
    "normal": "Training rows with lower scores than the other normal rows are a sign of overfitting.",
    "aggregate": "The prior consists of posteriors of training rows. Therefore training rows have a lower KL and a "
    "lower score than other rows, also without overfitting.",
    "kernel": "The prior has a kernel around each of its training rows. Therefore training rows have lower scores than "
    "other rows, the more so the narrower the kernels are. Only the other splits show how well the model fits.",
}


@dataclass(frozen=True)
class Prediction:
    """What the cells of test rows (N, D) are compared with, and the words for it."""

    mean: Floats  # (N, D), raw units
    scale: Floats | None  # (N, D)
    log_density: str  # formula of the terms by feature
    name: str
    expected: str  # formula of the mean
    of_scale: str


def scores(parts: dict[str, Floats], threshold: float | None, *, prior: str = "normal") -> Section:
    """The section on scores: a histogram of each split on a common axis, with the threshold if there is one.

    Args:
        parts: scores of each split, (n,) each, in nats; higher is more anomalous.
        threshold: a score.
        prior: the name of the prior, which decides how training rows compare with others.
    """
    keys: list[tuple[str, str]] = []
    if threshold is not None:
        keys.append(("line s6 dash", f"threshold {number(threshold)}: higher scores have a p-value of at most {ALPHA}"))
    figure = Figure(
        "Scores by split",
        histograms(parts, threshold),
        tuple(keys),
        "Share of rows by score = \u2212ELBO, nats; higher is more anomalous. Splits of many rows are sampled.",
        kind="broad",
    )
    text = ["Calibration and test rows should have similar scores."] if {"calibration", "test"} <= parts.keys() else []
    if "train" in parts:
        text.insert(0, OF_TRAINING_ROWS[prior])
    return Section("scores", "Scores", (" ".join(text),) if text else (), (figure,))


def histograms(parts: dict[str, Floats], threshold: float | None) -> Markup:
    """Histograms of the splits below each other, on a common axis."""
    scale = score_axis(parts)
    edges = scale.edges(BINS)
    out = Markup("")
    for i, (name, values) in enumerate(parts.items()):
        share = np.histogram(np.clip(values, scale.low, scale.high), edges)[0] / len(values)
        is_last = i == len(parts) - 1
        chart = Chart(scale, Axis(0, share.max() * 1.08), "score, nats" if is_last else "", width=400, left=10)
        chart.height, chart.top, chart.y_ticks = HISTOGRAM_HEIGHT + (26 if is_last else 0), 16, 0
        chart.x_ticks = 5 if is_last else 0
        chart.steps(edges, share, COLOURS.get(name, "f1"))
        if threshold is not None:
            chart.vertical(threshold, "s6 dash")
        label = f"{name}, {plural(len(values), 'row')}, median {number(float(np.median(values)))}"
        chart.title(label)
        out += chart.svg(f"scores of {label}")
    return out


def score_axis(parts: dict[str, Floats]) -> Axis:
    """A linear axis for the scores, or one that is logarithmic for large scores if some are very far out."""
    everything = np.concatenate(list(parts.values()))
    normal = np.concatenate([values for name, values in parts.items() if name != "anomalies"])
    low, high = float(everything.min()), float(everything.max())
    width = float(np.quantile(normal, 0.99) - normal.min())
    if width > 0 and np.quantile(everything, 0.98) > normal.min() + FAR * width:
        return Axis(low, high, lift=0.2 * width - low)
    return Axis.over(everything)


def reconstructions(facts: Facts) -> Section:
    """The section on reconstructions: x compared with E[x|z = mu]."""
    if facts.is_image:
        figures = _image_reconstructions(facts)
        return Section(
            "reconstructions",
            "Reconstructions",
            (),
            tuple(figures if facts.run.config.privacy.report_rows else figures[1:]),
        )
    means, scales = facts.reconstruction.mean, facts.reconstruction.scale
    what = Prediction(means, scales, "E[log p(x_d|z)]", "reconstruction", "E[x_d|z = mu]", "scale of the likelihood")
    return Section("reconstructions", "Reconstructions", (), (_log_likelihoods(facts, what), _errors(facts, what)))


def predictions(facts: Facts) -> Section | None:
    """The section on each column given the others, for a kernel prior; None if fewer than two columns vary."""
    spec, bound = facts.manifest.input, facts.bound
    assert isinstance(spec, VectorSpec)
    varying = [d for d, column in enumerate(spec.columns) if column.constant is None]
    cells = of_columns(bound, spec)
    if len(varying) < 2 or cells is None:
        return None
    test = np.asarray(facts.test, dtype=np.float64)
    numbers = [d for d in varying if spec.columns[d].kind not in MASSES]
    inside = ((test >= cells.low) & (test <= cells.high))[:, numbers][~np.isnan(test[:, numbers])]
    text = (
        "Each cell of a test row is predicted from the other cells of the row, by p(x_d | the other cells). "
        "Explanations of rows use this prediction. A column with an error near 1 cannot be predicted from the others."
    )
    if len(inside):
        of_numbers = "" if len(numbers) == len(varying) else " in columns of numbers"
        text += (
            f" The central 90 % of p(x_d | the other cells) holds {inside.mean():.1%} of the test cells{of_numbers}; "
            "explanations widen it if held-out cells are outside more often."
        )
    scale = np.where(np.isin(range(spec.dim), numbers), (cells.high - cells.low) / (2 * Z_90), np.nan)
    what = Prediction(
        cells.expected,
        scale if numbers else None,
        "log p(x_d | the other cells)",
        "prediction",
        "E[x_d | the other cells]",
        "scale of the prediction, half of its central 90 % / 1.645",
    )
    return Section(
        "cells", "Each column given the others", (text,), (_log_likelihoods(facts, what), _errors(facts, what))
    )


def _image_reconstructions(facts: Facts) -> list[Figure]:
    test = np.asarray(facts.test, dtype=np.float64)
    n = image_sheets.fitting(test.shape, 24, image_sheets.PIXELS // 2)
    wide = min(n, ACROSS)
    n = n // wide * wide
    both = (test, facts.reconstruction.mean)  # each (N, H, W, C)
    pairs = np.stack([images[:n].reshape(-1, wide, *test.shape[1:]) for images in both], axis=1)
    flat = pairs.reshape(2 * n, *test.shape[1:])  # a line of images, and below it the line of their reconstructions
    body = image_sheets.embedded(flat, wide, f"{n} test images, with the reconstruction below each")
    shown = Figure("Test images, with E[x|z = mu] below each line", body)
    assert facts.bound.feature_log_likelihood is not None
    by_pixel = facts.bound.feature_log_likelihood.mean(axis=(0, -1))  # (H, W)
    low, high = float(by_pixel.min()), float(by_pixel.max())
    grey = 255 * (by_pixel - low) / max(high - low, 1e-12)
    means = np.stack([facts.modelled.mean(axis=0), facts.draws.samples.mean(axis=0)])
    heat = image_sheets.embedded(grey[None, ..., None], 1, "mean log-likelihood of each pixel", shown=160)
    mean_images = image_sheets.embedded(means, 2, "mean of the test images, and of draws of the model", shown=160)
    caption = f"Black {number(low, 3)}, white {number(high, 3)} nats; mean over test images and channels."
    return [
        shown,
        Figure("Log-likelihood by pixel", heat, caption=caption),
        Figure(
            "Mean image",
            mean_images,
            caption="Left: test images as the likelihood models them. Right: draws x ~ p(x).",
        ),
    ]


def _log_likelihoods(facts: Facts, of: Prediction) -> Figure:
    assert facts.bound.feature_log_likelihood is not None
    spec = facts.manifest.input
    assert isinstance(spec, VectorSpec)
    observed = ~np.isnan(np.asarray(facts.test, dtype=np.float64))
    mean = facts.bound.feature_log_likelihood.sum(axis=0) / np.maximum(observed.sum(axis=0), 1)  # (D,)
    varying = [int(d) for d in np.argsort(mean) if spec.columns[d].constant is None]
    shown = varying[:MOST_COLUMNS]
    body = horizontal_bars([spec.columns[d].name for d in shown], mean[shown], None, "nats")
    return Figure(
        "Log density by column" if facts.has_kernels else "Log-likelihood by column",
        body,
        caption=f"{of.log_density}, mean over observed test cells, raw units{_left_out(varying)}.",
    )


def _errors(facts: Facts, of: Prediction) -> Figure:
    """Chart of the root mean square error of the expected values by column, and of the model's scale."""
    spec = facts.manifest.input
    assert isinstance(spec, VectorSpec)
    test = np.asarray(facts.test, dtype=np.float64)  # (N, D)
    levels = np.array([column.levels is not None for column in spec.columns])
    std = np.nanstd(test, axis=0)
    unit = np.where(levels | ~(std > 0), 1.0, std)
    with np.errstate(over="ignore"):  # predictions of positive columns may be very large
        off = np.where(levels, test != of.mean, (test - of.mean) / unit)
        error = np.sqrt(np.nanmean(np.where(np.isnan(test), np.nan, off**2), axis=0))
        scale = None if of.scale is None else np.sqrt(np.mean((of.scale / unit) ** 2, axis=0))
    varying = [int(d) for d in np.argsort(-error) if spec.columns[d].constant is None]
    shown = varying[:MOST_COLUMNS]
    scales = None if scale is None else scale[shown]
    keys = [("f1", f"error of the {of.name}")]
    if scales is not None:
        keys.append(("dot s2", of.of_scale))
    categories = " For categories it is the square root of the share of wrong levels." if levels.any() else ""
    return Figure(
        "Error by column",
        horizontal_bars([spec.columns[d].name for d in shown], error[shown], scales, "standard deviations"),
        tuple(keys),
        f"Root mean square of x_d \u2212 {of.expected} over test rows{_left_out(varying)}.{categories}",
    )


def _left_out(columns: list[int]) -> str:
    return f"; the {MOST_COLUMNS} worst of {len(columns)} columns" if len(columns) > MOST_COLUMNS else ""


def horizontal_bars(names: list[str], values: Floats, marks: Floats | None, xlabel: str) -> Markup:
    """A chart of horizontal bars from 0, the first one at the top; marks: a dot for each bar."""
    n = len(names)
    scale = Axis.over(values, [] if marks is None else marks[np.isfinite(marks)], 0.0)
    chart = Chart(scale, Axis(-0.6, n - 0.4), xlabel, left=150, height=44 + 15 * n, y_ticks=0)
    for i, (name, value) in enumerate(zip(names, values, strict=True)):
        chart.horizontal_bar(n - 1 - i, float(value), 0.36, "f1", name)
    if marks is not None:
        there = np.isfinite(marks)
        chart.points(marks[there], np.arange(n)[::-1][there], "s2")
    return chart.svg(f"{xlabel} by column: " + ", ".join(f"{a} {v:.3g}" for a, v in zip(names, values, strict=True)))


def samples(facts: Facts) -> Section:
    """The section on samples: images drawn from the model, or correlations of columns."""
    if facts.is_image:
        means = facts.samples.samples
        n = image_sheets.fitting(means.shape, len(means))
        n = n // min(n, ACROSS) * min(n, ACROSS)
        body = image_sheets.embedded(means[:n], min(n, ACROSS), f"{n} images drawn from the model")
        return Section("samples", "Samples", (), (Figure("E[x|z] with z drawn from the prior", body),))
    return Section("samples", "Samples", (), tuple(correlations(facts)))


def correlations(facts: Facts) -> list[Figure]:
    """Chart of the rank correlation of each pair of columns in draws, compared with the test rows."""
    spec = facts.manifest.input
    assert isinstance(spec, VectorSpec)
    use = [d for d, column in enumerate(spec.columns) if column.levels is None and column.constant is None]
    test = np.asarray(facts.test, dtype=np.float64)[:, use]
    test = test[~np.isnan(test).any(axis=1)]
    if len(use) < 2 or len(test) < 3:
        return []
    a, b = (_ranks_correlated(values) for values in (test, facts.draws.samples[:, use]))
    pairs = np.triu_indices(len(use), 1)
    pick = np.random.default_rng(0).permutation(len(pairs[0]))[:1000]
    scale = Axis(-1.05, 1.05)
    chart = Chart(scale, scale, "in the test rows", "in draws of the model", height=300)
    chart.line([-1, 1], [-1, 1], "s5 dash").points(a[pairs][pick], b[pairs][pick], "s2")
    off = float(np.sqrt(np.mean((a[pairs] - b[pairs]) ** 2)))
    chance = 1 / np.sqrt(len(test) - 1)
    caption = (
        f"Rank correlation of each pair of columns. The root mean square difference is {number(off, 2)}; about "
        f"{number(chance, 2)} is expected by chance with this number of test rows."
    )
    return [Figure("Correlations", chart.svg("rank correlations of the model against those of the data"), (), caption)]


def _ranks_correlated(x: Floats) -> Floats:
    """Spearman's rank correlation of the columns of x (N, D), (D, D); 0 if a column is constant."""
    ranks = np.stack(
        [np.searchsorted(np.sort(c), c) + np.searchsorted(np.sort(c), c, side="right") for c in x.T], axis=1
    )
    centred = ranks - ranks.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    centred = centred / np.where(norm > 0, norm, 1.0)
    return np.asarray(centred.T @ centred)
