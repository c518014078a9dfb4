"""Answers "is it good?" in one sentence with its figures.

The grade is by the share of labelled anomalies that are flagged at ALPHA: GOOD and above is good, FAIR and above is
fair, and a share whose interval reaches down to ALPHA is no better than chance. It is not given where more normal test
rows are flagged than the calibration promises, with a probability below UNLIKELY.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vaekit.bundle.intervals import chance_of_alarms
from vaekit.bundle.manifest import Manifest
from vaekit_training.evaluate import ALPHA
from vaekit_training.report.answer.shares import Share, percent
from vaekit_training.report.facts import Facts
from vaekit_training.report.guarantees import entry_of
from vaekit_training.report.measured.planted import Fault
from vaekit_training.report.parts import number, plural

GOOD, FAIR = 0.8, 0.5  # shares of labelled anomalies that are flagged at ALPHA
UNLIKELY = 0.01
RANKED = ((0.9, "ranks them well above normal rows"), (0.75, "ranks most of them above normal rows"))


@dataclass(frozen=True)
class Verdict:
    """The answer: a word, the sentence after it, and what else to know, as sentences."""

    grade: str
    sentence: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rates:
    """The figures of the manifest that the verdict is about; None where they were not measured."""

    false_alarms: Share | None  # of normal test rows at ALPHA
    detected: Share | None  # of labelled anomalies at ALPHA
    auroc: float | None
    promised: float  # largest false-alarm rate at ALPHA, on average over calibrations
    rows: int  # calibration rows of a p-value
    independent: bool  # whether rows are: windows overlap
    own: tuple[float, float] | None = None  # 95 % interval of the false-alarm rate of this one calibration

    @classmethod
    def of(cls, manifest: Manifest) -> Rates:
        """The figures of a manifest with a calibration."""
        metrics, entry = manifest.metrics, entry_of(manifest)
        auroc = metrics.get("auroc")
        return cls(
            Share.of(metrics.get("false_alarm_rate")),
            Share.of(metrics.get("detection_rate")),
            None if auroc is None else auroc.value,
            ALPHA * entry.guarantee,
            entry.rows_per_p_value,
            manifest.input.window is None,
            entry.rate_interval(ALPHA),
        )

    @property
    def smallest(self) -> float:
        """The smallest p-value."""
        return 1.0 / (1 + self.rows)

    @property
    def has_too_many_alarms(self) -> bool:
        """Whether more normal test rows are flagged than chance explains."""
        found = self.false_alarms
        if found is None or not self.independent:
            return False
        return chance_of_alarms(found.hits, found.n, self.rows, self.promised) < UNLIKELY


def verdict(facts: Facts) -> Verdict:
    """The verdict on a model, from the figures of its manifest."""
    return verdict_of(Rates.of(facts.manifest), facts.planted)


def verdict_of(rates: Rates, planted: Sequence[Fault] = ()) -> Verdict:
    """The verdict on these figures; planted: the faults of a trial, if there are no labelled anomalies."""
    if rates.smallest > ALPHA:
        return _too_few_rows(rates)
    if rates.has_too_many_alarms:
        return _too_many_alarms(rates)
    if rates.detected is None:
        return _without_labels(rates, planted)
    return _with_labels(rates, rates.detected)


def _with_labels(rates: Rates, detected: Share) -> Verdict:
    share, low = detected.value, detected.interval[0]
    grade = "Good" if share >= GOOD else "Fair" if share >= FAIR else "Weak"
    grade = "No better than chance" if low <= rates.promised else grade
    sentence = (
        f"it finds {percent(share)} of the labelled anomalies "
        f"({detected.sentence('rows', independent=rates.independent)}) when at most {percent(rates.promised)} of "
        "normal rows may be flagged on average."
    )
    return Verdict(grade, sentence, (*_ranking(rates), *_on_test_rows(rates)))


def _without_labels(rates: Rates, planted: Sequence[Fault]) -> Verdict:
    sentence = (
        "without labelled anomalies, nobody can say how many anomalies it finds. What holds is the false-alarm rate: "
        f"on average at most {percent(rates.promised)} of normal rows are flagged at alpha = {ALPHA}"
        f"{_own_range(rates)}."
    )
    return Verdict("Not measured", sentence, (*_on_test_rows(rates), *_planted(planted)))


def _own_range(rates: Rates) -> str:
    """The range in which the rate of this one model may be; empty if it is not known."""
    if rates.own is None:
        return ""
    low, high = map(percent, rates.own)
    return f"; for this one model, calibrated on {plural(rates.rows, 'row')}, between {low} and {high}"


def _too_few_rows(rates: Rates) -> Verdict:
    sentence = (
        f"{plural(rates.rows, 'calibration row')} cannot tell alpha = {ALPHA}: the smallest p-value is "
        f"{number(rates.smallest, 3)}, so no row is flagged at a lower alpha. Scores rank rows all the same."
    )
    return Verdict("No alarms yet", sentence, tuple(_ranking(rates)))


def _too_many_alarms(rates: Rates) -> Verdict:
    assert rates.false_alarms is not None  # has_too_many_alarms
    chance = chance_of_alarms(rates.false_alarms.hits, rates.false_alarms.n, rates.rows, rates.promised)
    sentence = (
        f"{percent(rates.false_alarms.value)} of normal test rows are flagged "
        f"({rates.false_alarms.sentence('rows')}), and the calibration promises at most {percent(rates.promised)}. "
        f"By chance this happens in {percent(chance)} of cases, so the test rows are unlike the calibration rows."
    )
    found = [] if rates.detected is None else [f"Of the labelled anomalies it finds {percent(rates.detected.value)}."]
    return Verdict("Too many alarms", sentence, (*found, *_ranking(rates)))


def _ranking(rates: Rates) -> list[str]:
    if rates.auroc is None:
        return []
    how = next((said for least, said in RANKED if rates.auroc >= least), "hardly ranks them above normal rows")
    return [
        f"Over all thresholds it {how}: a labelled anomaly scores above a normal test row in "
        f"{percent(rates.auroc)} of pairs (AUROC {rates.auroc:.3f})."
    ]


def _on_test_rows(rates: Rates) -> list[str]:
    if rates.false_alarms is None:
        return []
    said = rates.false_alarms.sentence("normal test rows", independent=rates.independent)
    return [f"On rows that no part of the training saw, {percent(rates.false_alarms.value)} were flagged ({said})."]


def _planted(planted: Sequence[Fault]) -> list[str]:
    """What happens to planted faults, as a sentence."""
    largest = max((fault for fault in planted if fault.size is not None), key=lambda f: f.size or 0, default=None)
    swapped = next((fault for fault in planted if fault.size is None), None)
    said = []
    if swapped is not None:
        said.append(f"{percent(swapped.share)} of test rows with one cell from another row")
    if largest is not None:
        size = f"with one number {number(largest.size or 0)} standard deviations too high"
        said.append(f"{percent(largest.share)} of test rows {size}")
    return [f"A trial with planted faults: it flags {', and '.join(said)}."] if said else []
