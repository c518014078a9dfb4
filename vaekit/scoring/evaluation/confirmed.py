"""Proposes a calibration on rows that the service has scored and that were confirmed as normal later."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vaekit.bundle import ImageSpec, Manifest
from vaekit.bundle.manifest import Precision
from vaekit.errors import InputError
from vaekit.runtime import Bound, Model
from vaekit.scoring.evaluation.calibrate import publish_calibration, publish_scores
from vaekit.scoring.feedback.labels import ID, LateLabels, read_labels
from vaekit.scoring.feedback.rates import Counts, chosen_by_flag
from vaekit.scoring.feedback.report import counts_by_part
from vaekit.scoring.feedback.scores import Joined, join
from vaekit.scoring.progress import Progress

INPUT = "input"  # the column of the score log with the rows


def propose_confirmed(
    model: Model,
    labels: Path,
    scores: Path,
    *,
    id_column: str = ID,
    label: str = "label",
    anomalies: Sequence[str] = ("1",),
    num_samples: Sequence[int] = (),
    by: Sequence[str] | None = None,
    least_rows: int | None = None,
    batch_rows: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Propose a version that is calibrated on the logged rows of this version that were confirmed as normal.

    With payloads in the log, the rows are scored again, as by publish_calibration. Without them, the logged scores of
    the default draws are used as they are.

    Args:
        model: loaded from models/<name>/<version>; only rows that this version scored count.
        labels, id_column, label, anomalies: see vaekit.scoring.feedback.labels.read_labels.
        scores: a score log.
        num_samples, by, least_rows, batch_rows, progress: as for publish_calibration; the first three need
            payloads.

    Raises:
        InputError: the model has windows of series; no such row; or all of them were flagged, so that they say nothing
            about normal rows at large.
    """
    if model.spec.window is not None:
        raise InputError(
            "logged windows of a series overlap, so that n of them are less evidence than n rows; give held-out time "
            "steps as DATA, of which windows that do not overlap are taken"
        )
    known = read_labels(labels, id_column=id_column, label=label, anomalies=anomalies)
    found = join(known, scores, id_column=id_column, payloads=True)
    manifest = model.manifest
    rows = _confirmed(found, known, manifest)
    warnings = _warnings(rows, found, known, manifest)
    if INPUT in rows.column_names and not rows.column(INPUT).null_count:
        named = f"{rows.num_rows} logged rows of {manifest.name}@{manifest.version} that were confirmed as normal"
        with TemporaryDirectory() as folder:
            data = _as_file(rows, model, Path(folder))
            return publish_calibration(
                model, data, num_samples=num_samples, by=by, least_rows=least_rows, batch_rows=batch_rows,
                progress=progress, propose=True, warnings=warnings, named=named,
            )  # fmt: skip
    if num_samples or by or least_rows:
        raise InputError(
            "--num-samples, --by and --least-rows need the rows themselves: log them (VAE_SCORE_LOG_PAYLOADS=true)"
        )
    given = _given(rows, manifest)
    n = len(next(iter(given.values())).elbo)
    named = f"{n} logged scores of {manifest.name}@{manifest.version} of rows that were confirmed as normal"
    return publish_scores(model, given, named, warnings)


def _confirmed(found: Joined, labels: LateLabels, manifest: Manifest) -> pa.Table:
    """The rows of this version that are confirmed as normal."""
    rows = found.rows
    normal = pa.array(~labels.is_anomaly[rows.column("label").to_numpy()], pa.bool_())
    own = pc.and_(pc.equal(rows.column("model"), manifest.name), pc.equal(rows.column("version"), manifest.version))
    kept = rows.filter(pc.and_(own, normal))
    if kept.num_rows:
        return kept
    versions = sorted(
        f"{row['model']}@{row['version']}" for row in rows.select(["model", "version"]).group_by(["model", "version"])
        .aggregate([]).to_pylist()
    )  # fmt: skip
    raise InputError(
        f"no logged row of {manifest.name}@{manifest.version} is confirmed as normal; labelled rows are of "
        f"{', '.join(versions) or 'no version'}"
    )


def _warnings(rows: pa.Table, found: Joined, labels: LateLabels, manifest: Manifest) -> list[str]:
    """What is wrong with the choice of the rows.

    Raises:
        InputError: all of them were flagged.
    """
    flags = rows.column("is_anomaly").drop_null()
    flagged = pc.sum(flags).as_py() or 0
    if len(flags) and flagged == len(flags):
        raise InputError(
            f"all {flagged:,} rows that are confirmed as normal were flagged, so thresholds from them would let nearly "
            "everything pass; label some of the other rows too, drawn at random"
        )
    parts = [
        counts for (name, version, group, _), counts in counts_by_part(labels, found).items()
        if (name, version) == (manifest.name, manifest.version) and group != "all groups"
    ]  # fmt: skip
    columns = [[getattr(counts, field) for counts in parts] for field in Counts.__dataclass_fields__]
    if parts and chosen_by_flag(Counts(*map(sum, columns))):
        return [
            f"{flagged:,} of {len(flags):,} rows that are confirmed as normal were flagged, and flagged rows were "
            "labelled more often than others, beyond chance: the new thresholds are too high, so that fewer normal "
            "rows than alpha and fewer anomalies are flagged; label rows drawn at random"
        ]
    return []


def _given(rows: pa.Table, manifest: Manifest) -> dict[tuple[int, Precision], Bound]:
    """The logged scores of the default number of draws by precision."""
    found: dict[tuple[int, Precision], Bound] = {}
    k = manifest.draws.default
    for precision in manifest.precisions:
        fits = pc.and_(pc.equal(rows.column("num_samples"), k), pc.equal(rows.column("precision"), precision))
        own = rows.filter(pc.and_(fits, rows.column("seed").is_null()))
        if own.num_rows:
            score = own.column("score").to_numpy()
            none = np.zeros(len(score))
            novel = own.column("novel").is_valid().to_numpy()
            found[k, precision] = Bound(elbo=-score, log_likelihood=none, kl=none, novel=novel)
    if not found:
        raise InputError(
            f"no row that is confirmed as normal has a score on the default draws with K = {k}; score rows without "
            "num_samples and seed, or log the rows (VAE_SCORE_LOG_PAYLOADS=true)"
        )
    return found


def _as_file(rows: pa.Table, model: Model, folder: Path) -> Path:
    """The logged rows as a file that scoring reads."""
    cells = rows.column(INPUT).combine_chunks()
    if isinstance(model.spec, ImageSpec):
        path = folder / "confirmed.npy"
        np.save(path, cells.flatten().to_numpy().reshape(-1, *model.spec.row_shape))
        return path
    path = folder / "confirmed.parquet"
    pq.write_table(pa.Table.from_struct_array(cells), path)
    return path
