"""Publishes a new version of a model with the same graphs and another calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import AnyCalibration, Calibration, GroupedCalibration, ImageSpec, Manifest, VectorSpec
from vaekit.bundle.groups import LEAST_ROWS
from vaekit.bundle.manifest import Precision
from vaekit.errors import InputError
from vaekit.runtime import Bound, Model
from vaekit.runtime.explain.held_out import HeldOutRows
from vaekit.scoring.evaluation.new_version import models_folder_of, publish_version, rows_of_all
from vaekit.scoring.evaluation.proposals import proposal_of
from vaekit.scoring.evaluation.training_rows import refuse_training_rows
from vaekit.scoring.files.fragments import RowSource
from vaekit.scoring.files.labels import Labels, open_labels
from vaekit.scoring.files.sources import open_source
from vaekit.scoring.progress import Progress, Say, silent
from vaekit.scoring.rows import rows_of
from vaekit.scoring.scorers import LOCAL_CELLS
from vaekit.scoring.windows import ApartWindows, ChunkWindows
from vaekit.tabular.csv_text import PLAIN, CsvDialect
from vaekit.tabular.groups import RowGroups, check_by, group_cells, kinds_of, make_groups
from vaekit.tabular.novelty import no_score

_EMPTY = np.empty(0)
_NO_ROWS = Bound(elbo=_EMPTY, log_likelihood=_EMPTY, kl=_EMPTY)


def publish_calibration(
    model: Model,
    data: Path,
    *,
    num_samples: Sequence[int] = (),
    by: Sequence[str] | None = None,
    least_rows: int | None = None,
    label: str | None = None,
    anomalies: Sequence[str] = ("1",),
    batch_rows: int | None = None,
    progress: Progress | None = None,
    say: Say = silent,
    csv: CsvDialect = PLAIN,
    propose: bool = False,
    warnings: Sequence[str] = (),
    named: str | None = None,
) -> Manifest:
    """Score held-out rows and publish their scores as the calibration of a new version.

    The p-values of the new version are valid for rows that are exchangeable with the held-out rows, if the model was
    not trained on the held-out rows. Each precision of the model gets its own calibration.

    Args:
        model: loaded from models/<name>/<version>; the caller closes it.
        data: rows, in any format that scoring reads.
        num_samples: every K to calibrate; empty: the model's default.
        by: group columns, if each row is to be compared with the held-out rows of its group alone: see
            vaekit.bundle.groups; empty: no groups; None: those of the model's present calibration.
        least_rows: fewest rows of a group that is not pooled; None: as in the present calibration, or 19.
        label: column that marks anomalies, or .npy file with one label per row; None: no labels.
        anomalies: label values that mean anomaly; such rows, and windows with such a time step, are left out. Windows
            that share a time step with one before are left out too.
        batch_rows: rows per batch; None: 2^20 cells.
        progress: called after each batch with the progress of reading.
        say: called with a sentence about the files of a folder that were skipped.
        csv: how a .csv file is written.
        propose: whether the new version waits for an operator: see vaekit.bundle.proposal.
        warnings: what may be wrong with the rows, for the operator.
        named: what the rows are called in the assumption of the calibration; None: by their number and file.

    Returns:
        The manifest of the new version.

    Raises:
        InputError: rows, labels, K or group columns are invalid, there are no rows, the model was trained on them, or
            the bundle is not in a folder of models.
    """
    root = models_folder_of(model)
    refuse_training_rows(model, data)
    wanted = sorted(set(num_samples)) or [model.manifest.draws.default]
    for k in wanted:
        model.draws(k)  # checks K before anything is read
    grouping = _grouping(model.manifest, by, least_rows)
    with ExitStack() as stack:
        models = {precision: _at_precision(model, precision, stack) for precision in model.manifest.precisions}
        source = open_source(data, model.spec, batch_rows or max(1, LOCAL_CELLS // model.spec.dim), csv=csv)
        for remark in (*source.remarks, *rows_of(source, model.spec).remarks):
            say(remark)
        labels = None if label is None else open_labels(label, anomalies, source.schema)
        cells = HeldOutRows(models["float32"])
        scores = _scores(models, cells, source, labels, wanted, progress, grouping)
        held_out = _calibrations(model, scores, grouping)
        proposal = proposal_of(models, scores, held_out, warnings) if propose else None
        surprise, content = cells.file()
    what = "rows" if model.spec.window is None else "windows that do not overlap"
    rows = f"{rows_of_all(held_out)} {what if label is None else f'normal {what}'} of {data.name}"
    return publish_version(root, model, held_out, named or rows, (surprise, content), proposal)


def publish_scores(
    model: Model, scores: Mapping[tuple[int, Precision], Bound], named: str, warnings: Sequence[str] = ()
) -> Manifest:
    """Propose a version whose calibration is made of scores that this version of the model has given.

    The scores are those of its graphs on the default draws, so the calibration is the same as if the rows were scored
    again. The held-out surprises for explanations need the rows, so they stay those of the version before.

    Args:
        model: the version that gave the scores.
        scores: by K and precision, (n,).
        named: what the rows are called in the assumption of the calibration.
        warnings: what may be wrong with the rows, for the operator.

    Raises:
        InputError: the calibration is by group, which needs the rows; a score is missing; the bundle is not in a folder
            of models.
    """
    root = models_folder_of(model)
    if model.manifest.groups is not None:
        raise InputError(
            "the calibration is by group, which logged scores do not show; log the rows (VAE_SCORE_LOG_PAYLOADS=true), "
            "or give them as DATA"
        )
    for scored in scores.values():
        _check_scores(scored.score, np.arange(len(scored.score)), model.manifest)
    held_out = {key: Calibration.of(scored.score, scored.novel) for key, scored in scores.items()}
    with ExitStack() as stack:
        models = {precision: _at_precision(model, precision, stack) for _, precision in scores}
        proposal = proposal_of(models, scores, held_out, warnings)
    return publish_version(root, model, held_out, named, None, proposal)


@dataclass
class _Grouping:
    """The group columns, and their values in the held-out rows."""

    by: tuple[str, ...]
    least_rows: int
    cells: list[NDArray[np.float64]] = field(default_factory=list)  # group_cells of each batch

    def add(self, x: NDArray[Any], spec: VectorSpec | ImageSpec) -> None:
        """Add a batch of checked rows."""
        if isinstance(spec, VectorSpec) and self.by:
            self.cells.append(group_cells(x, self.by, spec))


def _grouping(manifest: Manifest, by: Sequence[str] | None, least_rows: int | None) -> _Grouping:
    """The group columns and the fewest rows of a group that were asked for, or that the model has."""
    old = manifest.groups
    columns = tuple(by) if by is not None else old.by if old else ()
    check_by(columns, kinds_of(manifest.input), "--by")
    if least_rows is not None and least_rows < 1:
        raise InputError(f"--least-rows: {least_rows} is not at least 1")
    return _Grouping(columns, least_rows or (old.least_rows if old else LEAST_ROWS))


def _calibrations(
    model: Model, scores: Mapping[tuple[int, Precision], Bound], grouping: _Grouping
) -> dict[tuple[int, Precision], AnyCalibration]:
    """The calibration of each K and precision, on the same rows."""
    if not grouping.by:
        return {key: Calibration.of(scored.score, scored.novel) for key, scored in scores.items()}
    spec = model.spec
    assert isinstance(spec, VectorSpec)  # check_by refuses images
    cells = np.concatenate(grouping.cells or [np.empty((0, len(grouping.by)))])
    groups = make_groups([cells], grouping.by, spec, grouping.least_rows)
    nodes = RowGroups(groups, spec).nodes_of_cells(cells)
    return {key: GroupedCalibration.of(scored.score, scored.novel, nodes, groups) for key, scored in scores.items()}


def _at_precision(model: Model, precision: Precision, stack: ExitStack) -> Model:
    """The model itself if it has this precision, otherwise its bundle loaded at this precision."""
    if precision == model.precision:
        return model
    return stack.enter_context(Model.load(model.bundle.source, device=model.device, precision=precision))


def _scores(
    models: Mapping[Precision, Model],
    cells: HeldOutRows,
    source: RowSource,
    labels: Labels | None,
    wanted: Sequence[int],
    progress: Progress | None,
    grouping: _Grouping,
) -> dict[tuple[int, Precision], Bound]:
    """Bounds of the rows that are not anomalies, by K and precision."""
    rows, read, kept = ChunkWindows(rows_of(source, next(iter(models.values())).spec)), 0, 0
    apart = None if rows.window is None else ApartWindows(rows.window)
    parts: dict[tuple[int, Precision], list[Bound]] = {(k, precision): [] for precision in models for k in wanted}
    for chunk in source.chunks():
        found = rows.take(chunk, None if labels is None else labels.take(chunk))
        which = np.flatnonzero(~found.touched) if apart is None else apart.choose(found)
        normal, at = found.x[which], found.at[which]
        for (k, precision), scored in parts.items() if len(normal) else ():
            bound = models[precision].bound_checked(normal, num_samples=k)
            _check_scores(bound.score, read + at, models[precision].manifest)
            scored.append(bound)
        read, kept = read + chunk.table.num_rows, kept + len(normal)
        if len(normal):
            cells.add(normal)
            grouping.add(normal, models["float32"].spec)
        if progress is not None:
            progress(source.done(), source.size, source.unit)
    if labels is not None:
        labels.close(read)
        if kept == read > 0:
            raise labels.one_class_error("no row", "so none is left out")
    return {key: Bound.concatenate(scores or [_NO_ROWS]) for key, scores in parts.items()}


def _check_scores(score: NDArray[np.float64], row: NDArray[np.int64], manifest: Manifest) -> None:
    """Raise if a row, (n,), has no score: in bundles of before format 1.3, novel rows have a p-value only."""
    without = row[~np.isfinite(score)]
    if without.size:
        raise InputError(
            f"row {without[0]}: {no_score(manifest)}, or leave the {'row' if without.size == 1 else 'novel rows'} out"
        )
