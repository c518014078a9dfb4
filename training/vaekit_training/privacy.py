"""Measures what a bundle reveals about its training rows: membership by their KL, and copies of them among samples.

N rows, D data dimensions, E coordinates (numbers and one-hot levels), S samples, M members, C components of the prior.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.exemplars import Exemplars
from vaekit.bundle.manifest import Metric
from vaekit.bundle.privacy import Privacy
from vaekit.bundle.ranking import auroc
from vaekit.runtime import Model
from vaekit_training.build import costs
from vaekit_training.config import Config
from vaekit_training.data.rows import Rows
from vaekit_training.data.split import Splits
from vaekit_training.folds import AnyVAE, FoldModels
from vaekit_training.kernel_vae import KernelVAE
from vaekit_training.prior import Normal, Prior

Floats = NDArray[np.float64]

NEAR = 0.15  # standard deviations per column within which a sample counts as a copy of a row
MOST_ROWS = 1000  # largest number of training rows, and of held-out rows
WORK = 1e10  # multiply-adds for the samples of one temperature: about a second on one core
FEWEST_SAMPLES, MOST_SAMPLES = 200, 10_000  # the largest is what one request may ask for
MOST_CELLS = 2**23  # largest number of cells of rows, and of samples: 64 MB of float64
CHUNK = 1000  # samples that rows are compared with at once
FARTHEST = 1e4  # standard deviations; values are clipped, so that squares cancel without loss


def privacy(config: Config, vae: AnyVAE, splits: Splits) -> Privacy:
    """The number of training rows in the graphs, and whether samples may be copies of them."""
    return Privacy(
        training_rows=len(training_rows(vae, splits)),
        allow_low_temperature=config.privacy.allow_low_temperature,
        show_exemplars=shows_exemplars(config, vae),
    )


def shows_exemplars(config: Config, vae: AnyVAE) -> bool:
    """Whether the bundle holds the training rows of the prior in raw units."""
    return config.privacy.show_exemplars and isinstance(vae, KernelVAE)


def exemplars(vae: KernelVAE, rows: Rows, splits: Splits) -> Exemplars:
    """The training rows of the prior, raw units, in its order; a window has the number of the row at which it ends."""
    row = splits.train[vae.prior.row.numpy()]  # (M,)
    number = row if rows.place is None else rows.place.row[row]
    return Exemplars(number.astype(np.int64), np.asarray(rows.x[row], dtype=np.float64))


def training_rows(vae: AnyVAE, splits: Splits) -> NDArray[np.intp]:
    """Indices of the distinct rows whose posteriors are components of the prior, of any fold model, ascending."""
    if isinstance(vae, FoldModels):
        found = [_components(one.prior, splits.without(f).train) for f, one in enumerate(vae.each)]
        return np.unique(np.concatenate(found))
    return np.unique(_components(vae.prior, splits.train))


def _components(prior: Prior, train: NDArray[np.intp]) -> NDArray[np.intp]:
    return train[:0] if isinstance(prior, Normal) else train[prior.row.numpy()]


def metrics(model: Model, vae: AnyVAE, x: NDArray[np.generic], splits: Splits, seed: int) -> dict[str, Metric]:
    """Metrics by name, for rows x (N, ...).

    Held-out rows are those of calibration and test; with folds, in which all calibration rows are trained on, those of
    validation and test.
    """
    rng = np.random.default_rng(seed)
    others = splits.validation if splits.folds else splits.calibration
    most = min(MOST_ROWS, max(1, MOST_CELLS // model.spec.dim))
    train = x[_some(splits.train, most, rng)]
    held_out = x[_some(np.concatenate([others, splits.test]), most, rng)]
    return {
        "membership_auc": _membership(model.bound(train).kl, model.bound(held_out).kl),
        **_copies(model, vae, train, held_out, seed),
    }


def _some(index: NDArray[np.intp], most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """At most `most` of these row indices, ascending."""
    return np.sort(rng.choice(index, min(most, len(index)), replace=False))


def _membership(train: Floats, held_out: Floats) -> Metric:
    """P(kl of a held-out row > kl of a training row), ties counted half."""
    return Metric(
        value=auroc(train, held_out)[0],
        n=len(train) + len(held_out),
        unit="kl of held-out rows against training rows; 0.5: no difference",
    )


def _copies(
    model: Model, vae: AnyVAE, train: NDArray[np.generic], held_out: NDArray[np.generic], seed: int
) -> dict[str, Metric]:
    """Shares of rows that have a sample within NEAR of them, at temperature 0 and 1."""
    affordable = int(np.clip(WORK / costs(vae)[1].multiply_adds, FEWEST_SAMPLES, MOST_SAMPLES))
    most = min(affordable, max(1, MOST_CELLS // model.spec.dim))
    space = Coordinates(model.spec, train)
    cold = space.of(_at_temperature_0(model, most))[0]
    warm = space.of(model.sample_rows(len(cold) if model.manifest.components else most, seed=seed).samples)[0]
    found = {}
    for name, rows, samples, temperature in (
        ("training_rows_reconstructed", train, cold, 0),
        ("held_out_rows_reconstructed", held_out, cold, 0),
        ("training_rows_reconstructed_at_1", train, warm, 1),
        ("held_out_rows_reconstructed_at_1", held_out, warm, 1),
    ):
        share = float((space.nearest(rows, samples) <= NEAR).mean())
        of = "the only sample" if len(samples) == 1 else f"one of {len(samples):,} samples"
        unit = f"share within {NEAR} standard deviations per column of {of} at temperature {temperature}"
        found[name] = Metric(value=share, n=len(rows), unit=unit)
    return found


def _at_temperature_0(model: Model, most: int) -> NDArray[np.generic]:
    """Samples at temperature 0, (S, ...), one for each component of each member, spread evenly if those are too many.

    They come from the graphs directly, because a bundle may refuse such samples to others.
    """
    manifest = model.manifest
    components = manifest.prior.components or 1
    which = np.unique(np.linspace(0, components * manifest.members, most, endpoint=False).astype(np.int64))  # (S,)
    draws: dict[str, NDArray[Any]] = {
        "noise": np.zeros((len(which), manifest.latent_dim), dtype=np.float32),
        "choice": ((which // manifest.members + 0.5) / components).astype(np.float32),
    }
    if manifest.members > 1:
        draws["member"] = which % manifest.members
    return model.samples_from_draws(draws).samples


class Coordinates:
    """Rows as vectors whose distance is in standard deviations per column.

    A number is divided by the standard deviation of its column in the training rows, a pixel by that of all pixels. A
    category has the distance 1 between any two levels. Columns that are constant in the training rows are left out.
    """

    def __init__(self, spec: VectorSpec | ImageSpec, train: NDArray[np.generic]) -> None:
        """train: training rows (N, ...), NaN for missing cells."""
        flat = _flat(train)
        self._levels = [len(column.levels or ()) for column in spec.columns] if isinstance(spec, VectorSpec) else None
        observed = ~np.isnan(flat)
        count = np.maximum(observed.sum(0), 1)
        with np.errstate(over="ignore", invalid="ignore"):  # a column whose squares overflow is left out
            self._mean = np.where(observed, flat, 0.0).sum(0) / count  # (D,)
            deviation = np.sqrt((np.where(observed, flat - self._mean, 0.0) ** 2).sum(0) / count)  # (D,)
        self._scale = np.where(np.isfinite(deviation), deviation, 0.0)
        if self._levels is None:
            self._scale = np.full_like(self._scale, np.sqrt((self._scale**2).mean()))

    def of(self, rows: NDArray[np.generic]) -> tuple[Floats, Floats]:
        """Coordinates of rows, and 1 where they are observed, otherwise 0; each (N, E)."""
        flat = _flat(rows)
        observed = ~np.isnan(flat)
        cells, masks = [], []
        for d, scale in enumerate(self._scale):
            own, value = observed[:, d : d + 1], np.where(observed[:, d], flat[:, d], self._mean[d])[:, None]
            levels = self._levels[d] if self._levels is not None else 0
            if levels > 1:
                cells.append((np.rint(value) == np.arange(levels)) * np.sqrt(0.5) * own)
                masks.append(np.repeat(own, levels, axis=1))
            elif scale > 0:
                cells.append(np.clip((value - self._mean[d]) / scale, -FARTHEST, FARTHEST))
                masks.append(own)
        empty = np.zeros((len(flat), 0))
        return np.hstack([empty, *cells]), np.hstack([empty, *masks]).astype(np.float64)

    def nearest(self, rows: NDArray[np.generic], samples: Floats) -> Floats:
        """Root mean square over the observed columns of the difference from the nearest sample, (N,).

        Args:
            rows: (N, ...), raw units.
            samples: coordinates (S, E).
        """
        a, observed = self.of(rows)
        found = np.full(len(a), np.inf)
        for start in range(0, len(samples), CHUNK):
            s = samples[start : start + CHUNK]
            squares = observed @ (s * s).T - 2.0 * a @ s.T + (a * a).sum(1)[:, None]  # (N, at most CHUNK)
            found = np.minimum(found, squares.min(1))
        return np.sqrt(np.maximum(found, 0.0) / self._columns(rows))

    def _columns(self, rows: NDArray[np.generic]) -> Floats:
        """Number of observed columns that are not constant, at least 1, (N,)."""
        varies = (self._scale > 0) | (np.array(self._levels or [0]) > 1)
        return np.maximum((~np.isnan(_flat(rows)) & varies).sum(1), 1).astype(np.float64)


def _flat(rows: NDArray[np.generic]) -> Floats:
    return np.asarray(rows, dtype=np.float64).reshape(len(rows), -1)
