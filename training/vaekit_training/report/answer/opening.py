"""The opening section of a report: the verdict, its figures, and the ROC curve or the trial with planted faults."""

from __future__ import annotations

import numpy as np

from vaekit_training.evaluate import ALPHA
from vaekit_training.report.answer.shares import Share, percent
from vaekit_training.report.answer.verdict import Rates, Verdict, verdict
from vaekit_training.report.facts import Facts
from vaekit_training.report.measured.planted import Fault
from vaekit_training.report.parts import Figure, Section, Tile, number, plural
from vaekit_training.report.rows import histograms
from vaekit_training.report.svg import Axis, Chart


def section(facts: Facts) -> Section:
    """Is it good? The verdict first."""
    found = verdict(facts)
    figures = [roc(facts) if facts.judged.has_anomalies else trial(facts), scores(facts)]
    return Section(
        "answer",
        "Is it good?",
        found.more,
        tuple(figure for figure in figures if figure is not None),
        lead=(found.grade, found.sentence),
        tiles=tiles(facts),
    )


def lines(facts: Facts) -> list[str]:
    """The verdict and what else to know as sentences, for the model card."""
    found: Verdict = verdict(facts)
    return [f"{found.grade}: {found.sentence}", *found.more]


def tiles(facts: Facts) -> tuple[Tile, ...]:
    """The figures of the verdict."""
    rates, found = Rates.of(facts.manifest), []
    if rates.detected is not None:
        found.append(_tile(rates.detected, "of anomalies found", "labelled anomalies", independent=rates.independent))
    if rates.auroc is not None:
        found.append(Tile(f"{rates.auroc:.3f}", "AUROC", "1: every anomaly above every normal row; 0.5: by chance"))
    if rates.false_alarms is not None:
        tile = _tile(rates.false_alarms, "false alarms", "normal test rows", independent=rates.independent)
        found.append(
            Tile(tile.value, tile.label, f"{tile.note}; promised: at most {percent(rates.promised)} on average")
        )
    if rates.detected is None and facts.planted:
        fault = min(facts.planted, key=lambda fault: fault.size or 0)  # a swapped cell, as real faults are
        found.append(_trial_tile(fault))
    rows = plural(rates.rows, "calibration row")
    found.append(Tile(number(rates.smallest, 3), "smallest p-value", f"{rows}; alpha cannot be lower"))
    return tuple(found)


def _trial_tile(fault: Fault) -> Tile:
    """The share of rows with a planted fault that are flagged."""
    if fault.size is None:
        label, what = "a swapped cell", "replaced by that of another row"
    else:
        label, what = "a raised cell", f"raised by {number(fault.size)} standard deviations"
    note = f"trial: in each of {plural(fault.rows, 'test row')} one cell was {what}"
    return Tile(percent(fault.share), f"of rows with {label} flagged", note)


def _tile(share: Share, label: str, things: str, *, independent: bool) -> Tile:
    return Tile(percent(share.value), label, share.sentence(things, independent=independent))


def roc(facts: Facts) -> Figure:
    """The ROC curve of the test rows and the labelled anomalies, with the point at ALPHA."""
    judged = facts.judged
    normal, anomalies = judged.roc()
    chart = Chart(Axis(0, 1), Axis(0, 1), "share of normal rows flagged", "share of anomalies flagged", height=300)
    chart.line([0, 1], [0, 1], "s5 thin dash").line(normal, anomalies, "s1")
    said = f"ROC curve, area {judged.auroc:.3f}"
    chart.label(0.62, 0.58, "by chance", rise=14).label(0.98, 0.06, f"AUROC {judged.auroc:.3f}", "end")
    if facts.can_flag:
        at = (float(judged.flagged[~judged.labelled].mean()), float(judged.flagged[judged.labelled].mean()))
        chart.points([at[0]], [at[1]], "s2 large")
        text = f"alpha = {ALPHA}: {percent(at[1])} found"
        chart.label(*at, text, rise=16 if at[1] > 0.15 else -8)
        said += f"; at alpha = {ALPHA} {percent(at[1])} of anomalies and {percent(at[0])} of normal rows are flagged"
    counts = plural(int((~judged.labelled).sum()), "normal test row")
    counts += f" and {plural(int(judged.labelled.sum()), 'labelled row')} that are anomalies"
    sampled = ", both sampled" if facts.is_sampled else ""
    dot = f" The dot: verdicts at alpha = {ALPHA}." if facts.can_flag else ""
    return Figure(
        "Anomalies found by false alarms (ROC curve)",
        chart.svg(said),
        caption=f"Each point is a threshold of the score. From {counts}{sampled}.{dot}",
    )


def trial(facts: Facts) -> Figure | None:
    """How many planted faults are flagged, by their size; None if none were planted."""
    raised = [fault for fault in facts.planted if fault.size is not None]
    if not raised:
        return None
    sizes, shares = [0.0, *(fault.size or 0.0 for fault in raised)], [np.nan, *(fault.share for fault in raised)]
    if facts.judged.index.size:
        shares[0] = float(facts.judged.flagged.mean())
    chart = Chart(Axis(0, max(sizes) * 1.05), Axis(0, 1.02), "standard deviations too high", "share flagged")
    chart.level(ALPHA, "s6 thin dash").line(sizes, shares, "s2").points(sizes, shares, "s2 large")
    for size, share in zip(sizes[1:], shares[1:], strict=True):
        chart.label(size, share, percent(share), "middle", rise=-8 if share < 0.9 else 16)
    chart.label(max(sizes) * 1.04, ALPHA, f"alpha = {ALPHA}", "end", rise=-5)
    said = ", ".join(f"{percent(share)} at {number(size)}" for size, share in zip(sizes, shares, strict=True))
    swapped = next((fault for fault in facts.planted if fault.size is None), None)
    other = f" With one cell taken from another row instead, {percent(swapped.share)} are flagged." if swapped else ""
    return Figure(
        "Planted faults that are flagged, by their size",
        chart.svg(f"share of rows flagged by the number of standard deviations that one cell is raised: {said}"),
        caption=f"One number of each of {plural(raised[0].rows, 'test row')} was raised, in a column drawn at random."
        f"{other} Faults of another kind may be easier or harder to find.",
    )


def scores(facts: Facts) -> Figure:
    """Histograms of the scores of calibration rows, test rows and labelled anomalies."""
    parts = {name: values for name, values in facts.scores.items() if name in ("calibration", "test", "anomalies")}
    line = "" if facts.threshold is None else f" Rows right of the dashed line are flagged at alpha = {ALPHA}."
    return Figure(
        "Scores of rows that the model was not trained on",
        histograms(parts, facts.threshold),
        caption=f"Share of rows by score, nats; higher is more anomalous.{line}",
    )
