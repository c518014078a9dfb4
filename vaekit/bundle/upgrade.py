"""Compares a bundle with what this version writes: what training or calibrating it again would bring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from vaekit.bundle.draws import NEWEST_RULE
from vaekit.bundle.input_spec import VectorSpec
from vaekit.bundle.manifest import FORMAT, Manifest

Topic = Literal["format", "novelty", "thresholds", "explanations", "draws", "privacy"]


@dataclass(frozen=True)
class Change:
    """One difference between a bundle and a new one."""

    topic: Topic
    now: str  # what the bundle has
    after: str  # what a new bundle would have
    by: Literal["vae train", "vae calibrate"]  # the least that brings it; training again brings everything


def changes(manifest: Manifest) -> list[Change]:
    """What a new bundle of the same model would have and this one has not; empty if it would be the same."""
    return list(_changes(manifest))


def _changes(manifest: Manifest) -> Iterator[Change]:
    if _minor(manifest.format) < _minor(FORMAT):
        yield Change("format", f"format {manifest.format}", f"format {FORMAT}", "vae train")
    if isinstance(manifest.input, VectorSpec) and manifest.novelty is None:
        yield Change(
            "novelty",
            "a novel row (an unseen level, a number outside its column's kind, more missing cells than any training "
            "row) gets the smallest p-value, without an ELBO",
            "novel rows get an ELBO too, and are ranked above all others, among themselves by score",
            "vae train",
        )
    entries = manifest.calibration.entries if manifest.calibration else ()
    if not entries:
        yield Change("thresholds", "no calibration: no p-values", "p-values, thresholds and a tail", "vae calibrate")
    elif any(entry.folds is None and not entry.thresholds for entry in entries):
        yield Change(
            "thresholds",
            "no score thresholds, and no p_value_tail",
            "score thresholds of common alphas with the range of their false-alarm rate; p_value_tail if at least 96 "
            "rows are held out",
            "vae calibrate",
        )
    if manifest.surprise is None:
        yield Change("explanations", "no explanations", "explanations of cells (vae explain)", "vae calibrate")
    if manifest.draws.rule != NEWEST_RULE:
        yield Change(
            "draws",
            f"default draws by the rule {manifest.draws.rule}",
            f"default draws by the rule {NEWEST_RULE}, with a smaller error of the ELBO where K > Z",
            "vae train",
        )
    if manifest.privacy is None:
        rows = f"latents of {manifest.prior.components} training rows" if manifest.prior.components else "none"
        yield Change(
            "privacy",
            f"training rows inside: {rows}; what it reveals about training rows is not measured",
            "membership_auc and training_rows_reconstructed in the manifest, and privacy.allow_low_temperature",
            "vae train",
        )


def _minor(version: str) -> int:
    return int(version.partition(".")[2])
