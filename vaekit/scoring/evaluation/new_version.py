"""Publishes a version with the graphs of another one and other calibrations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vaekit.bundle import AnyCalibration, Manifest, publish
from vaekit.bundle.manifest import (
    CALIBRATION_FILE,
    FORMAT,
    MANIFEST_FILE,
    SURPRISE_FILE,
    CalibrationEntry,
    CalibrationFile,
    Precision,
    SurpriseFile,
)
from vaekit.bundle.proposal import ACCEPTED_FILE, PROPOSAL_FILE, Proposal
from vaekit.bundle.write import calibration_file, created
from vaekit.errors import InputError
from vaekit.runtime import Model

OUTDATED = ("false_alarm_rate", "detection_rate", "float16_verdicts")  # metrics of the old calibration


def models_folder_of(model: Model) -> Path:
    """The folder of models that a model is in.

    Raises:
        InputError: its bundle is not at models/<name>/<version>.
    """
    source, manifest = model.bundle.source.resolve(), model.manifest
    if (source.parent.name, source.name) != (manifest.name, str(manifest.version)):
        raise InputError(
            f"{source}: expected a bundle in a folder of models, at <folder>/{manifest.name}/{manifest.version}"
        )
    return source.parent.parent


def publish_version(
    root: Path,
    model: Model,
    held_out: Mapping[tuple[int, Precision], AnyCalibration],
    rows: str,
    surprise: tuple[SurpriseFile, bytes] | None,
    proposal: Proposal | None,
) -> Manifest:
    """Publish the files of a model with other calibrations.

    Args:
        root: the folder of models.
        model: the version before.
        held_out: the new calibrations by K and precision.
        rows: what the calibration rows are called.
        surprise: their surprises; None: those of the version before.
        proposal: the comparison for an operator who is to accept the version; None: it is an ordinary version.
    """
    calibration, content = calibration_file(
        held_out, assumption=f"scored rows are exchangeable with the {rows}, which the model was not trained on"
    )
    files = _files(model)
    own = model.manifest.surprise
    if surprise is not None:
        own, files[SURPRISE_FILE] = surprise
    elif own is not None:
        files[own.file] = model.bundle.path(own.file).read_bytes()
    if proposal is not None:
        files[PROPOSAL_FILE] = proposal.to_json()
    manifest = _manifest(model.manifest, calibration, own, rows_of_all(held_out))
    return publish(root, manifest, {**files, calibration.file: content})


def rows_of_all(held_out: Mapping[tuple[int, Precision], AnyCalibration]) -> int:
    """The number of held-out rows, which is the same for every K and precision."""
    return next(iter(held_out.values())).n


def _manifest(old: Manifest, calibration: CalibrationFile, surprise: SurpriseFile | None, n: int) -> Manifest:
    if old.novelty is None:
        calibration = _with_observed_counts(calibration, old)
    provenance = old.provenance.model_copy(
        update={"parent": f"{old.name}@{old.version}", "rows": {**old.provenance.rows, "calibration": n}}
    )
    metrics = {name: metric for name, metric in old.metrics.items() if name not in OUTDATED}
    changed = {"format": FORMAT, "calibration": calibration, "surprise": surprise, "provenance": provenance}
    return old.model_copy(update={**changed, "created": created(), "metrics": metrics})


def _with_observed_counts(calibration: CalibrationFile, old: Manifest) -> CalibrationFile:
    """The calibration with the old one's observed counts: before format 1.3 they alone say how many cells may miss."""
    counts = {count for entry in _entries(old) for count in entry.observed_counts or ()}
    if not counts:
        return calibration
    changed = {"observed_counts": tuple(sorted(counts))}
    return calibration.model_copy(
        update={"entries": tuple(entry.model_copy(update=changed) for entry in calibration.entries)}
    )


def _entries(manifest: Manifest) -> tuple[CalibrationEntry, ...]:
    return manifest.calibration.entries if manifest.calibration else ()


def _files(model: Model) -> dict[str, bytes]:
    """The files of the old version except its manifest and calibrations. Listed files come from the verified copy."""
    source, manifest = model.bundle.source, model.manifest
    old = {part.file for part in (manifest.calibration, manifest.surprise) if part}
    files = {
        path.relative_to(source).as_posix(): path.read_bytes()
        for path in sorted(source.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    files |= {part.file: model.bundle.path(part.file).read_bytes() for part in manifest.files}
    old |= {MANIFEST_FILE, CALIBRATION_FILE, SURPRISE_FILE, PROPOSAL_FILE, ACCEPTED_FILE}
    return {name: data for name, data in files.items() if name not in old}
