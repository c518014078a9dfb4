"""A new version of a model with the same graphs and another calibration. Knows bundles and rows, not training."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from vaekit.bundle import Calibration, Manifest, publish
from vaekit.bundle.manifest import CALIBRATION_FILE, MANIFEST_FILE, CalibrationFile
from vaekit.bundle.store import calibration_file
from vaekit.errors import InputError
from vaekit.runtime import Elbo, Model
from vaekit.scoring.score import Progress, rows_of
from vaekit.scoring.scorers import LOCAL_CELLS
from vaekit.scoring.sources import open_source

OUTDATED = ("false_alarm_rate", "detection_rate")  # metrics that were measured with the old p-values

_EMPTY = np.empty(0)
_NONE = Elbo(_EMPTY, _EMPTY, _EMPTY, _EMPTY)


def publish_calibration(
    model: Model,
    data: Path,
    *,
    num_samples: Sequence[int] = (),
    batch_rows: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Score held-out rows and publish them as the calibration of a new version, beside the one that was loaded.

    p-values compare a row with these: they hold for rows that are exchangeable with them, and only if the model was
    not trained on them.

    Args:
        model: loaded from models/<name>/<version>; stays the caller's to close.
        data: rows, in any form that scoring reads.
        num_samples: every K that gets a calibration; none: the model's default alone.
        batch_rows: rows that are read and scored at once.
        progress: told how far the reading is, after each batch.

    Returns:
        The manifest of the new version.

    Raises:
        InputError: rows or K that are refused, no rows at all, or a bundle that lies in no models folder.
    """
    root = _root(model)
    wanted = sorted(set(num_samples)) or [model.manifest.draws.default]
    scores = _scores(model, data, wanted, batch_rows, progress)
    held_out = {k: Calibration.of(scores[k].score, scores[k].observed_count) for k in wanted}
    n = held_out[wanted[0]].n
    calibration, content = calibration_file(
        held_out,
        assumption=f"scored rows are exchangeable with the {n} rows of {data.name}, which the model was not trained on",
    )
    manifest = _manifest(model.manifest, calibration, n)
    return publish(root, manifest, {**_files(model), calibration.file: content})


def _root(model: Model) -> Path:
    source, manifest = model.bundle.source.resolve(), model.manifest
    if (source.parent.name, source.name) != (manifest.name, str(manifest.version)):
        raise InputError(f"{source}: not in a models folder as {manifest.name}/{manifest.version}")
    return source.parent.parent


def _scores(
    model: Model, data: Path, wanted: Sequence[int], batch_rows: int | None, progress: Progress | None
) -> dict[int, Elbo]:
    for k in wanted:
        model.draws(k)  # refuses a K out of range before anything is read
    source = open_source(data, model.spec, batch_rows or max(1, LOCAL_CELLS // model.spec.dim))
    rows = rows_of(source, model.spec)
    parts: dict[int, list[Elbo]] = {k: [] for k in wanted}
    for piece in source.pieces():
        _, x = rows.take(piece)
        for k in wanted:
            parts[k].append(model.elbo(x, num_samples=k))
        if progress is not None:
            progress(source.done(), source.size, source.unit)
    return {k: Elbo.concatenate(scores or [_NONE]) for k, scores in parts.items()}


def _manifest(old: Manifest, calibration: CalibrationFile, n: int) -> Manifest:
    provenance = old.provenance.model_copy(
        update={"parent": f"{old.name}@{old.version}", "rows": {**old.provenance.rows, "calibration": n}}
    )
    metrics = {name: metric for name, metric in old.metrics.items() if name not in OUTDATED}
    created = datetime.now(UTC).replace(microsecond=0)
    return old.model_copy(
        update={"calibration": calibration, "provenance": provenance, "created": created, "metrics": metrics}
    )


def _files(model: Model) -> dict[str, bytes]:
    """Every file of the old version but manifest and calibration: the signed ones from the verified copy."""
    source, manifest = model.bundle.source, model.manifest
    old = {manifest.calibration.file} if manifest.calibration else set()
    files = {
        path.relative_to(source).as_posix(): path.read_bytes()
        for path in sorted(source.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
    files |= {part.file: model.bundle.path(part.file).read_bytes() for part in manifest.files}
    return {name: data for name, data in files.items() if name not in {MANIFEST_FILE, CALIBRATION_FILE, *old}}
