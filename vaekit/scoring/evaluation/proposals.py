"""Compares a new calibration with the one before it, for the operator who accepts a proposed version."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from vaekit.bundle import AnyCalibration, Calibration, Manifest
from vaekit.bundle.intervals import clopper_pearson
from vaekit.bundle.manifest import Precision
from vaekit.bundle.proposal import AlphaComparison, Comparison, Proposal
from vaekit.bundle.thresholds import ALPHAS
from vaekit.runtime import Bound, Model

Key = tuple[int, Precision]


def proposal_of(
    models: Mapping[Precision, Model],
    scores: Mapping[Key, Bound],
    held_out: Mapping[Key, AnyCalibration],
    warnings: Sequence[str] = (),
) -> Proposal:
    """What an operator compares: thresholds before and after, and what the old ones make of the new rows.

    Args:
        models: the version before, at each precision.
        scores: scores of the new calibration rows by K and precision, (n,).
        held_out: the new calibrations, by the same keys.
        warnings: what may be wrong with the new rows.
    """
    manifest = next(iter(models.values())).manifest
    comparisons = []
    for (k, precision), after in held_out.items():
        old = models[precision].calibration(k, None)
        before = None if isinstance(old, str) else old
        scored = scores[k, precision]
        lines = tuple(_line(alpha, before, after, scored) for alpha in ALPHAS)
        comparisons.append(
            Comparison(
                num_samples=k, precision=precision, n_before=0 if before is None else before.n, n_after=after.n,
                alphas=lines,
            )
        )  # fmt: skip
    parent = f"{manifest.name}@{manifest.version}"
    return Proposal(
        parent=parent, comparisons=tuple(comparisons), warnings=(*warnings, *_without(parent, manifest, held_out))
    )


def _without(parent: str, manifest: Manifest, held_out: Mapping[Key, AnyCalibration]) -> list[str]:
    """A warning for each calibration of the version before that the proposed version lacks."""
    before = manifest.calibration.entries if manifest.calibration else ()
    lost = [entry for entry in before if (entry.num_samples, entry.precision) not in held_out]
    return [
        f"{parent} has a calibration for K = {entry.num_samples}, {entry.precision}, and the proposed version has "
        "none: rows that are scored so would get no p-value"
        for entry in lost
    ]


def _line(alpha: float, before: AnyCalibration | None, after: AnyCalibration, scored: Bound) -> AlphaComparison:
    flagged = low = high = None
    if before is not None:
        anomalies = before.verdict(scored, alpha).is_anomaly
        assert anomalies is not None
        flagged = int(np.count_nonzero(anomalies))
        low, high = clopper_pearson(flagged, len(anomalies))
    return AlphaComparison(
        alpha=alpha, before=_threshold(before, alpha), after=_threshold(after, alpha), flagged=flagged, rate_low=low,
        rate_high=high,
    )  # fmt: skip


def _threshold(calibration: AnyCalibration | None, alpha: float) -> float | None:
    """The one threshold on all rows; None with folds and with groups, and if no row can exceed it."""
    if not isinstance(calibration, Calibration):
        return None
    found = calibration.threshold(alpha)
    return found if math.isfinite(found) else None
