"""States what a calibration guarantees, as a table, a chart and text."""

from __future__ import annotations

from vaekit.bundle.groups import HEADINGS as HEADINGS_OF_GROUPS
from vaekit.bundle.groups import lines as lines_of_groups
from vaekit.bundle.groups import sentence
from vaekit.bundle.manifest import CalibrationEntry, Manifest
from vaekit.bundle.thresholds import HEADINGS, lines
from vaekit_training.report.parts import Figure, ReportTable, number
from vaekit_training.report.svg import Axis, Chart

MEANING = (
    "On average over calibrations, a share of at most alpha of the rows that are like the calibration rows exceeds a "
    "threshold. The share that exceeds the threshold of this calibration is fixed but unknown. For 95 of 100 "
    "calibrations with this number of rows the share is in the interval."
)


WIDTH = 340  # of the chart, in its units: its text is larger than that of wider ones
OF_FOLDS = (
    "There is no single threshold: a row is an anomaly at alpha if it is one in most of the folds. There is no "
    "interval, because the distribution of the false-alarm rate of the median p-value is not known."
)


def entry_of(manifest: Manifest) -> CalibrationEntry:
    """The calibration for the default draws and float32 graphs."""
    assert manifest.calibration is not None  # a run is published with one
    return manifest.calibration.entries[0]


def table(entry: CalibrationEntry) -> ReportTable:
    """Threshold, interval and number of rows needed by alpha; with folds, the number of rows of each fold."""
    if entry.folds is not None:
        rows = tuple((str(f), f"{fold.n:,}", number(1 / (1 + fold.n))) for f, fold in enumerate(entry.folds))
        return ReportTable(("fold", "calibration rows", "smallest p-value of the fold"), rows, OF_FOLDS, words=())
    return ReportTable(HEADINGS, tuple(lines(entry.thresholds)), MEANING, words=())


def groups(entry: CalibrationEntry) -> ReportTable | None:
    """The calibration groups and what their rows are compared with; None if there are none."""
    if entry.groups is None:
        return None
    said = sentence(entry.groups)
    most = "alpha" if entry.folds is None else f"{entry.guarantee:.3g} alpha"
    caption = (
        f"{said[0].upper()}{said[1:]}. The false-alarm rate in a group that is not pooled is at most {most}, on "
        "average over calibrations. Thresholds and tails of all rows together are for the rows of pooled groups."
    )
    return ReportTable(HEADINGS_OF_GROUPS, tuple(lines_of_groups(entry.groups)), caption, words=(0, 3))


def figure(entry: CalibrationEntry) -> Figure | None:
    """Chart of the interval of the true false-alarm rate, divided by alpha; None if no alpha has one."""
    names = [f"{one.alpha:g}" for one in entry.thresholds]
    means = [one.rank / (entry.n + 1) / one.alpha for one in entry.thresholds]
    spans = {  # rate / alpha, by index
        i: (one.rate_low / one.alpha, one.rate_high / one.alpha)
        for i, one in enumerate(entry.thresholds)
        if one.rate_low is not None and one.rate_high is not None
    }
    if not spans:
        return None
    top = max(1.0, *(high for _, high in spans.values()))
    chart = Chart(Axis(-0.5, len(names) - 0.5), Axis(0, 1.08 * top), "alpha", "true rate / alpha", width=WIDTH)
    chart.level(1.0, "s6 thin dash").names(names)
    for i, span in spans.items():
        chart.line([i, i], span, "s1").points([i], [means[i]], "s2 large")
    left_out = ", ".join(name for i, name in enumerate(names) if i not in spans)
    said = ", ".join(f"{number(low, 2)} to {number(high, 2)} at {names[i]}" for i, (low, high) in spans.items())
    return Figure(
        "False-alarm rates that are possible for this calibration",
        chart.svg(f"95 % interval of the true false-alarm rate over alpha: {said}"),
        (
            ("line s1", "95 % interval"),
            ("dot s2 large", "mean over calibrations, k / (n + 1)"),
            ("line s6 thin dash", "alpha itself"),
        ),
        f"Too few calibration rows for alpha = {left_out}." if left_out else "",
    )


def tail(entry: CalibrationEntry) -> str:
    """A sentence on how p_value_tail is computed, or why there is none."""
    if entry.folds is not None:
        if any(fold.tail is None for fold in entry.folds):
            return "There is no p_value_tail, because a fold has too few calibration rows to extrapolate from."
        return (
            "p_value_tail is the median over folds. Beyond the highest scores it is extrapolated, without a guarantee."
        )
    if entry.tail is None:
        return "There is no p_value_tail, because there are too few calibration rows to extrapolate from."
    return f"p_value_tail is {entry.tail.sentence()}."
