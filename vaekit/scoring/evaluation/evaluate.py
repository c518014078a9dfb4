"""Measures a model on the rows of a file: means with standard errors, and the ranking of anomalies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.calibration import check_alpha
from vaekit.bundle.comparison import rank_score
from vaekit.bundle.manifest import Metric
from vaekit.bundle.ranking import auroc, average_precision
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit.scoring.evaluation.alarms import Alarms, Marks
from vaekit.scoring.evaluation.evidence import Array, Bounds, check_counts, estimate
from vaekit.scoring.files.fragments import RowSource
from vaekit.scoring.files.labels import Labels, open_labels
from vaekit.scoring.files.sources import open_source
from vaekit.scoring.progress import Progress, Say, silent
from vaekit.scoring.rows import rows_of
from vaekit.scoring.scorers import LOCAL_CELLS
from vaekit.scoring.windows import ChunkWindows
from vaekit.tabular.csv_text import PLAIN, CsvDialect
from vaekit.tabular.novelty import no_score

COUNTS = (1, 10, 100, 1000, 5000)  # K of log_evidence
ACTIVE = 1e-2  # a latent dimension is active if Var_x[mu_j] > ACTIVE (Burda et al. 2016)

Figures = dict[str, Metric]


@dataclass(frozen=True)
class Evaluation:
    """The measured values, in nats, from draws that are independent between rows."""

    model: str  # name@version
    data: str
    seed: int
    num_samples: tuple[int, ...]
    groups: dict[str, Bounds]  # "rows", or "normal" and "anomalies"
    figures: dict[str, Figures]  # by group
    detection: dict[str, Figures]  # by ranking quantity; empty without labels
    ranked: dict[str, Array]  # by group: the scores of `vae score`, novel rows above all others; empty without labels
    alarms: Alarms | None  # None: there are no labels, or the model is not calibrated

    def tree(self) -> dict[str, Any]:
        """The means and standard errors as JSON, without the values of single rows."""
        return {
            "model": self.model,
            "data": self.data,
            "rows": {name: len(bounds) for name, bounds in self.groups.items()},
            "seed": self.seed,
            "num_samples": list(self.num_samples),
            "figures": _dumped(self.figures),
            "detection": _dumped(self.detection),
            "alarms": None if self.alarms is None else self.alarms.tree(),
        }


def evaluate_file(
    model: Model,
    data: Path,
    *,
    num_samples: Sequence[int] = COUNTS,
    seed: int = 0,
    label: str | None = None,
    anomalies: Sequence[str] = ("1",),
    alpha: float = 0.05,
    batch_rows: int | None = None,
    progress: Progress | None = None,
    say: Say = silent,
    csv: CsvDialect = PLAIN,
) -> Evaluation:
    """Measure a model on the rows of a file.

    The draws of a row depend only on the seed and the row number. The values are therefore repeatable, draws are
    independent between rows, and a standard error covers both rows and draws. Memory: one chunk, plus 8 (3 + number of
    K) bytes per row.

    Args:
        model: the model; the caller closes it.
        data: rows, in any format that scoring reads.
        num_samples: every K of log_evidence; the ELBO uses all draws of the largest K.
        seed: seed of the draws.
        label: column that marks anomalies, or .npy file with one label per row; None: no labels. With windows, the
            label of a time step is compared with the score of the window that ends there.
        anomalies: label values that mean anomaly.
        alpha: false-alarm rate at which alarms on labelled rows are counted.
        batch_rows: rows per batch; None: 2^20 cells.
        progress: called with the progress of reading, several times per batch.
        say: called with a sentence about the files of a folder that were skipped.
        csv: how a .csv file is written.

    Raises:
        InputError: rows, labels, K, alpha or the seed are invalid, or there are no rows.
    """
    counts = check_counts(num_samples)
    if seed < 0:
        raise InputError(f"seed: {seed}, expected 0 or more")
    check_alpha(alpha)
    source = open_source(data, model.spec, batch_rows or max(1, LOCAL_CELLS // model.spec.dim), csv=csv)
    for remark in (*source.remarks, *rows_of(source, model.spec).remarks):
        say(remark)
    labels = None if label is None else open_labels(label, anomalies, source.schema)
    scored = _score_rows(model, source, labels, counts, seed, progress, alpha)
    if not len(scored.anomalous):
        needs = "" if model.spec.window is None else f"; {model.spec.window.needs}"
        raise InputError(f"{data}: no rows to score, expected at least 1{needs}")
    groups = _groups(scored, labels)
    if left_out := _without_elbo(model, scored.bounds):
        say(left_out)
    known = {name: _with_elbo(model, bounds) for name, bounds in groups.items()}
    figures = {name: _figures(model, bounds, counts) for name, bounds in known.items()}
    main = next(iter(figures))
    figures[main]["active_units"] = scored.variance.active(model)
    ranked = scored.ranked() if labels else {}
    detection = _detection(ranked, groups, counts) if labels else {}
    alarms = scored.alarms(model, alpha) if labels else None
    reference = f"{model.manifest.name}@{model.manifest.version}"
    return Evaluation(reference, data.name, seed, counts, known, figures, detection, ranked, alarms)


@dataclass(frozen=True)
class _ScoredRows:
    """The measured values of all rows, in order."""

    bounds: Bounds
    scores: Array  # (N,), rank scores from the published draws as in `vae score`; (0,) without labels
    flagged: Marks  # (N,), verdicts at alpha; (0,) without labels or calibration
    anomalous: Marks  # (N,)
    variance: _LatentVariance

    def ranked(self) -> dict[str, Array]:
        """The scores by group."""
        return {"normal": self.scores[~self.anomalous], "anomalies": self.scores[self.anomalous]}

    def alarms(self, model: Model, alpha: float) -> Alarms | None:
        """The verdicts beside the labels; None if the model is not calibrated."""
        calibration = model.calibration()
        if isinstance(calibration, str):
            return None
        return Alarms.of(self.flagged, self.anomalous, alpha, calibration.too_few(alpha))


def _score_rows(
    model: Model,
    source: RowSource,
    labels: Labels | None,
    counts: Sequence[int],
    seed: int,
    progress: Progress | None,
    alpha: float,
) -> _ScoredRows:
    rows = ChunkWindows(rows_of(source, model.spec))
    variance, first, read = _LatentVariance(), 0, 0
    calibration = model.calibration()
    bounds: list[Bounds] = []
    scores, flagged, anomalous = [np.zeros(0)], [np.zeros(0, dtype=np.bool_)], [np.zeros(0, dtype=np.bool_)]
    before = source.done()
    for chunk in source.chunks():
        found = rows.take(chunk, None if labels is None else labels.take(chunk))
        x, marked, read = found.x, found.marked, read + chunk.table.num_rows
        if not len(x):
            continue
        on_rows = _progress_within(progress, source, before, len(x))
        bounds.append(estimate(model, x, counts, seed=seed, first=first, on_rows=on_rows))
        if labels is not None:
            scored = model.bound_checked(x)
            scores.append(rank_score(scored.score, scored.novel))
            if not isinstance(calibration, str):
                verdict = calibration.verdict(scored, alpha).is_anomaly
                assert verdict is not None  # alpha was given
                flagged.append(verdict)
        variance.add(model.encode_checked(x).mu[~marked] if (~marked).any() else None)
        anomalous.append(marked)
        first, before = first + len(x), source.done()
    if labels is not None:
        labels.close(read)
    joined = Bounds.concatenate(bounds) if bounds else Bounds(*(np.zeros(0),) * 3, np.zeros((0, len(counts))))
    return _ScoredRows(joined, np.concatenate(scores), np.concatenate(flagged), np.concatenate(anomalous), variance)


def _progress_within(progress: Progress | None, source: RowSource, before: int, n: int) -> Any:
    """A callback that turns the number of rows done in a chunk into progress over the whole source."""
    chunk_size = source.done() - before

    def on_rows(done: int) -> None:
        if progress is not None:
            progress(before + chunk_size * done // n, source.size, source.unit)

    return on_rows


def _groups(scored: _ScoredRows, labels: Labels | None) -> dict[str, Bounds]:
    if labels is None:
        return {"rows": scored.bounds}
    if scored.anomalous.all() or not scored.anomalous.any():
        raise labels.one_class_error("every row" if scored.anomalous.all() else "no row", "so there is nothing to rank")
    return {"normal": _subset(scored.bounds, ~scored.anomalous), "anomalies": _subset(scored.bounds, scored.anomalous)}


def _subset(bounds: Bounds, which: NDArray[np.bool_]) -> Bounds:
    return Bounds(**{name: a[which] for name, a in bounds.arrays().items()})


def _without_elbo(model: Model, bounds: Bounds) -> str | None:
    """A sentence about novel rows without an ELBO; None if there are none."""
    count = int(np.isnan(bounds.elbo).sum())
    those = (
        f"{count} novel row{'s have' if count > 1 else ' has'} no ELBO and {'are' if count > 1 else 'is'} in no mean"
    )
    return f"{those}: {no_score(model.manifest)}" if count else None


def _with_elbo(model: Model, bounds: Bounds) -> Bounds:
    """The rows that have an ELBO; only novel rows of bundles before format 1.3 have none.

    Raises:
        InputError: no row has one.
    """
    found = _subset(bounds, ~np.isnan(bounds.elbo))
    if not len(found.elbo):
        raise InputError(f"no row of a group has an ELBO: {no_score(model.manifest)}")
    return found


def _figures(model: Model, bounds: Bounds, counts: Sequence[int]) -> Figures:
    """Means over rows and their standard errors."""
    figures = {name: mean(getattr(bounds, name), "nats") for name in ("elbo", "log_likelihood", "kl")}
    figures |= {f"log_evidence_{k}": mean(bounds.log_evidence[:, i], "nats") for i, k in enumerate(counts)}
    pixels = model.manifest.likelihood.bits_per_dim_of
    if pixels is not None:
        nats = -model.spec.dim * np.log(2.0)  # bits per dimension = -nats / (D ln 2)
        figures["bits_per_dim"] = mean(bounds.elbo / nats, f"bits, of {pixels}, by the ELBO")
        last = f"bits, of {pixels}, by log_evidence_{counts[-1]}"
        figures[f"bits_per_dim_{counts[-1]}"] = mean(bounds.log_evidence[:, -1] / nats, last)
    return figures


def _detection(scores: dict[str, Array], groups: dict[str, Bounds], counts: Sequence[int]) -> dict[str, Figures]:
    """AUROC and average precision of the score of `vae score`, and of -log_evidence at the largest K."""
    by_evidence = {name: _ranked(-bounds.log_evidence[:, -1]) for name, bounds in groups.items()}
    found = {}
    for name, by_group in {"score": scores, f"-log_evidence_{counts[-1]}": by_evidence}.items():
        normal, anomalous = by_group["normal"], by_group["anomalies"]
        n = len(normal) + len(anomalous)
        area, error = auroc(normal, anomalous)
        precision = Metric(
            value=average_precision(normal, anomalous), n=n, unit=f"at {len(anomalous) / n:.3g} anomalies"
        )
        found[name] = {"auroc": Metric(value=area, standard_error=error, n=n), "average_precision": precision}
    return found


def _ranked(score: Array) -> Array:
    """Scores (N,), with those that the model cannot compute above all others."""
    return rank_score(score, np.isnan(score))


def mean(values: Array, unit: str) -> Metric:
    """Mean over rows and its standard error, which is None for a single row."""
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return Metric(value=float(values.mean()), standard_error=error, n=len(values), unit=unit)


class _LatentVariance:
    """Var_x[mu], merged chunk by chunk (Chan et al. 1983)."""

    def __init__(self) -> None:
        self._n = 0
        self._mean: Array = np.zeros(())
        self._squares: Array = np.zeros(())  # sum of squared deviations

    def add(self, mu: NDArray[np.floating] | None) -> None:
        """Add posterior means (n, Z) or (n, M, Z); None: no rows."""
        if mu is None:
            return
        new = mu.astype(np.float64)
        n, centre = len(new), new.mean(axis=0)
        delta = centre - self._mean
        total = self._n + n
        self._squares = self._squares + np.square(new - centre).sum(axis=0) + delta**2 * self._n * n / total
        self._mean = self._mean + delta * n / total
        self._n = total

    def active(self, model: Model) -> Metric:
        """Number of active latent dimensions; for an ensemble the mean over its members."""
        variance = self._squares / max(self._n, 1)  # (Z,) or (M, Z)
        members = model.manifest.members
        unit = f"of {model.manifest.latent_dim} latent dimensions" + (", mean over members" if members > 1 else "")
        return Metric(value=float((variance > ACTIVE).sum() / members), n=self._n, unit=unit)


def _dumped(figures: dict[str, Figures]) -> dict[str, Any]:
    return {
        group: {name: metric.model_dump(exclude_none=True) for name, metric in found.items()}
        for group, found in figures.items()
    }
