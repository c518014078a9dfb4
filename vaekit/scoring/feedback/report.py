"""What labels that came late say about a model in use: `vae feedback`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.calibration import check_alpha
from vaekit.scoring.feedback.labels import ID, LateLabels, read_labels
from vaekit.scoring.feedback.rates import Counts, Rate, Weighted, chosen_by_flag, only_flagged, weighted
from vaekit.scoring.feedback.scores import PART, Joined, Part, join

EVERY_GROUP = "all groups"  # the part of a version with groups that has the rows of all of them


@dataclass(frozen=True)
class PartRates:
    """The rates of one model version, group and alpha."""

    model: str | None  # None: the scored files do not say it
    version: int | None
    group: str | None  # None without groups
    alpha: float | None  # None: the scored files do not say it
    scored: int  # all rows of the logs
    scored_flagged: int
    false_alarms: Rate  # flagged rows among those confirmed normal
    detections: Rate  # flagged rows among the confirmed anomalies
    chosen_by_flag: bool  # flagged rows were labelled more often than others: the two rates are those of labelled rows
    only_flagged: bool  # no other row was labelled: no rate follows
    weighted_false_alarms: Weighted | None  # of all rows, if rows were labelled at random among the flagged and others
    weighted_detections: Weighted | None

    @property
    def name(self) -> str:
        version = "scored files" if self.model is None else f"{self.model}@{self.version}"
        return version if self.group is None else f"{version}, {self.group}"

    @property
    def warning(self) -> str | None:
        """What is wrong with the labels; None if nothing is seen."""
        labelled = self.false_alarms.n + self.detections.n
        flagged = self.false_alarms.hits + self.detections.hits
        said = f"{self.name}: {flagged:,} of {labelled:,} labelled rows were flagged"
        share = f"{self.scored_flagged:,} of {self.scored:,} scored ones"
        if self.only_flagged:
            return (
                f"{said}, but {share}: labels of flagged rows alone give no false-alarm rate and no detection rate; "
                "label some of the other rows, drawn at random"
            )
        if self.chosen_by_flag:
            return (
                f"{said}, but {share}: flagged rows were labelled more often, so the rates of labelled rows are too "
                "high; the weighted rates hold if rows were drawn at random among the flagged and among the others"
            )
        return None


@dataclass(frozen=True)
class Feedback:
    """Labels joined with scores, and the rates of each part."""

    labels: int  # ids with one clear label
    matched: int  # those that the logs have
    duplicates: int
    conflicting: int
    unlabelled: int
    scored_again: int
    rows_without_verdict: int
    rows_without_id: int
    files: int
    parts: tuple[PartRates, ...]

    @property
    def warnings(self) -> list[str]:
        return [part.warning for part in self.parts if part.warning is not None]

    def tree(self) -> dict[str, Any]:
        """All figures as JSON."""
        return {**asdict(self), "warnings": self.warnings}


def feedback(
    labels: Path, scores: Path, *, id_column: str = ID, label: str = "label", anomalies: Sequence[str] = ("1",),
    alpha: float | None = None,
) -> Feedback:  # fmt: skip
    """Join labels with scores and count false alarms and detections.

    Args:
        labels, label, anomalies: see vaekit.scoring.feedback.labels.read_labels.
        scores, alpha: see vaekit.scoring.feedback.scores.join.
        id_column: the column with the ids.

    Raises:
        InputError: see there; or alpha is not between 0 and 1.
    """
    if alpha is not None:
        check_alpha(alpha)
    known = read_labels(labels, id_column=id_column, label=label, anomalies=anomalies)
    found = join(known, scores, id_column=id_column, alpha=alpha)
    return Feedback(
        labels=len(known.keys),
        matched=len(np.unique(found.rows.column("label").to_numpy())),
        duplicates=known.duplicates,
        conflicting=known.conflicting,
        unlabelled=known.unlabelled,
        scored_again=found.scored_again,
        rows_without_verdict=found.without_verdict,
        rows_without_id=found.without_id,
        files=found.files,
        parts=tuple(_rates(part, counts) for part, counts in counts_by_part(known, found).items()),
    )


def counts_by_part(labels: LateLabels, found: Joined) -> dict[Part, Counts]:
    """The counts of each part, and of all groups of a version together, by model, version, alpha and group."""
    at, flags = found.rows.column("label").to_numpy(), found.rows.column("is_anomaly").to_pylist()
    tally: dict[Part, NDArray[np.int64]] = {}
    for label, flag, part in zip(at, flags, _parts(found), strict=True):
        if flag is not None:
            tally.setdefault(part, np.zeros((2, 2), dtype=np.int64))[int(labels.is_anomaly[label]), int(flag)] += 1
    scored, flagged = found.scored.copy(), found.flagged.copy()
    for part in [part for part in scored if part[2] is not None]:
        whole = (part[0], part[1], EVERY_GROUP, part[3])
        scored[whole] += scored[part]
        flagged[whole] += flagged[part]
        if part in tally:
            tally[whole] = tally.get(whole, np.zeros((2, 2), dtype=np.int64)) + tally[part]
    return {part: _counts(tally[part], part, scored, flagged) for part in sorted(tally, key=_order)}


def _parts(found: Joined) -> Iterator[Part]:
    """The part of each row."""
    yield from zip(*(found.rows.column(name).to_pylist() for name in PART), strict=True)


def _order(part: Part) -> tuple[str, int, float, bool, str]:
    model, version, group, alpha = part
    return model or "", version or 0, alpha or 0.0, group != EVERY_GROUP, group or ""


def _counts(cell: NDArray[np.int64], part: Part, scored: Counter[Part], flagged: Counter[Part]) -> Counts:
    (normal, normal_flagged), (missed, detected) = cell.tolist()
    return Counts(normal + normal_flagged, normal_flagged, missed + detected, detected, scored[part], flagged[part])


def _rates(part: Part, counts: Counts) -> PartRates:
    alarms = Rate.of(counts.normal_flagged, counts.normal)
    detections = Rate.of(counts.anomalous_flagged, counts.anomalous)
    alone = only_flagged(counts)
    by_weight = weighted(counts)
    return PartRates(
        *part,
        scored=counts.scored,
        scored_flagged=counts.scored_flagged,
        false_alarms=alarms.unknown() if alone else alarms,
        detections=detections.unknown() if alone else detections,
        chosen_by_flag=chosen_by_flag(counts),
        only_flagged=alone,
        weighted_false_alarms=by_weight[0],
        weighted_detections=by_weight[1],
    )
