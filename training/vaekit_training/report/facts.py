"""Gathers the data of a report as arrays: scores, latents, draws and reconstructions.

N rows, D data dimensions (or H, W, C), Z latent dimensions, M members, S steps of a traversal; nats; x in raw units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import AnyCalibration, Calibration
from vaekit.bundle.grouped import every_row
from vaekit.bundle.manifest import Manifest
from vaekit.runtime import Decoded, Model, Posterior, Samples
from vaekit.runtime.results import CellElbo
from vaekit_training.build import costs
from vaekit_training.data.split import SPLITS
from vaekit_training.evaluate import ALPHA
from vaekit_training.loop.tracking import ACTIVE
from vaekit_training.networks import Cost
from vaekit_training.report.measured.cases import Cases, cases
from vaekit_training.report.measured.judged import Judged, judge
from vaekit_training.report.measured.planted import Fault, plant
from vaekit_training.trained import Trained

Floats = NDArray[np.float64]

MOST_ROWS = 1000  # largest number of rows per split, and of draws: enough for a histogram
FEWEST_ROWS = 64  # smallest number of rows per split, if there are so many, and of draws
WORK = 5e8  # multiply-adds per split, and for draws: some tenths of a second on one core
SHOWN_SAMPLES = 64  # largest number of sampled images
TRAVERSED = 9  # S, latent vectors along a latent dimension
MOST_TRAVERSED = 12  # largest number of latent dimensions with a traversal


@dataclass(frozen=True)
class Traversal:
    """E[x|z] where one latent dimension varies over the range of the prior, and the others are at their median."""

    dimension: int
    member: int
    latents: Floats  # (S,) values of this latent dimension
    means: Floats  # (S, D) or (S, H, W, C)


@dataclass(frozen=True)
class Facts:
    """The data of all figures and tables. Rows are sampled if there are many."""

    run: Trained
    manifest: Manifest
    scores: dict[str, Floats]  # by split, (n,) each
    threshold: float | None  # score threshold at ALPHA; None with folds, groups or too few calibration rows
    judged: Judged  # verdicts of test rows and labelled anomalies
    cases: Cases  # the most anomalous of them; none if the config hides them
    planted: tuple[Fault, ...]  # faults planted into test rows; none with labelled anomalies
    can_flag: bool  # whether a p-value can be as small as ALPHA
    test: NDArray[np.generic]  # (N, ...) test rows, NaN for missing cells
    bound: CellElbo  # of the test rows, with terms by feature, and with a kernel prior with predictions of cells
    posterior: Posterior  # of the test rows
    anomaly_posterior: Posterior | None  # of labelled anomalies, if there are any
    reconstruction: Decoded  # p(x|z = mu) of the test rows, with members from each row's most probable one
    draws: Samples  # x ~ p(x|z) with z ~ p(z)
    samples: Samples  # E[x|z] for some draws z ~ p(z)
    traversals: list[Traversal]  # of active dimensions, in descending order of Var_x[mu_j]; none with a kernel prior
    missing: Floats  # (D,) share of training rows with a missing cell
    missing_of: int  # number of training rows counted in `missing`
    encoder: Cost
    decoder: Cost

    @property
    def is_image(self) -> bool:
        return self.manifest.input.kind == "image"

    @property
    def is_windowed(self) -> bool:
        """Whether a row is a window of time steps."""
        return self.manifest.input.window is not None

    @property
    def is_sampled(self) -> bool:
        """Whether `judged` has a sample of the test rows and labelled anomalies."""
        sizes = self.manifest.provenance.rows
        return len(self.judged.index) < sizes.get("test", 0) + sizes.get("anomalies", 0)

    @property
    def has_kernels(self) -> bool:
        """Whether the prior is a kernel density, so that z is the standardised row."""
        return self.manifest.prior.name == "kernel"

    @property
    def modelled(self) -> Floats:
        """Test rows (N, ...) as the likelihood models them: binarised if the model binarises at a threshold."""
        x = np.asarray(self.test, dtype=np.float64)
        threshold = self.manifest.likelihood.threshold
        return x if threshold is None else np.where(x >= threshold, 2.0 * threshold, 0.0)

    @property
    def active(self) -> NDArray[np.bool_]:
        """Mask (M, Z) of active latent dimensions, whose posterior mean varies over the test rows."""
        return np.asarray(spread(self.posterior) > ACTIVE)


def gather(run: Trained, model: Model, manifest: Manifest, held_out: AnyCalibration) -> Facts:
    """Compute all data of the report, with the exported graphs."""
    encoder, decoder = costs(run.vae)
    most = _affordable(encoder.multiply_adds + manifest.draws.default * decoder.multiply_adds)
    seed = run.config.training.seed
    index = {name: _some(getattr(run.splits, name), most, seed) for name in (*SPLITS, "anomalies")}
    rows = {name: run.rows.x[at] for name, at in index.items()}
    judged = judge(model, held_out, run.rows, index["test"], index["anomalies"])
    bound = model.cells_checked(rows["test"])
    posterior = model.encode(rows["test"])
    scores = {name: model.elbo(x).score for name, x in rows.items() if len(x) and name not in ("calibration", "test")}
    scores |= {"calibration": _held_out_scores(held_out), "test": bound.score}
    draws = model.sample_rows(_affordable(decoder.multiply_adds), seed=seed, observe=True)
    return Facts(
        run=run,
        manifest=manifest,
        scores={name: scores[name] for name in (*SPLITS, "anomalies") if name in scores},
        threshold=_threshold(held_out),
        judged=judged,
        cases=cases(model, run.rows, judged) if run.config.privacy.report_rows else Cases(),
        planted=() if judged.has_anomalies else plant(model, held_out, rows["test"], seed),
        can_flag=held_out.smallest_alpha <= ALPHA,
        test=rows["test"],
        bound=bound,
        posterior=posterior,
        anomaly_posterior=model.encode(rows["anomalies"]) if len(rows["anomalies"]) else None,
        reconstruction=_reconstruction(model, posterior),
        draws=draws,
        samples=model.sample_rows(min(SHOWN_SAMPLES, len(draws)), seed=seed),
        traversals=[] if manifest.prior.name == "kernel" else _traversals(model, posterior, draws),
        missing=np.isnan(rows["train"].astype(np.float64)).mean(axis=0),
        missing_of=len(rows["train"]),
        encoder=encoder,
        decoder=decoder,
    )


def _held_out_scores(held_out: AnyCalibration) -> Floats:
    """Scores of the calibration rows; with folds, each row's score is from the model trained without its fold."""
    every = every_row(held_out)
    folds = [every] if isinstance(every, Calibration) else every.folds
    return np.concatenate([fold.scores for fold in folds])


def _threshold(held_out: AnyCalibration) -> float | None:
    if not isinstance(held_out, Calibration) or held_out.smallest_alpha > ALPHA:
        return None
    return held_out.threshold(ALPHA)


def by_member(values: NDArray[np.floating]) -> Floats:
    """Values (N, Z) or (N, M, Z), as the runtime returns them, as (M, N, Z)."""
    wide = values[:, None] if values.ndim == 2 else values
    return np.asarray(wide.transpose(1, 0, 2), dtype=np.float64)


def spread(posterior: Posterior) -> Floats:
    """Var_x[mu_j] of each member, (M, Z)."""
    return by_member(posterior.mu).var(axis=1)


def kl_by_latent(posterior: Posterior) -> Floats:
    """KL( q(z_j|x) || N(0, 1) ) = (mu_j^2 + sigma_j^2 - 1) / 2 - log sigma_j, mean over rows, (M, Z)."""
    mu, sigma = by_member(posterior.mu), by_member(posterior.sigma)
    return np.asarray((0.5 * (mu**2 + sigma**2 - 1) - np.log(sigma)).mean(axis=1))


def _affordable(work: int) -> int:
    """Number of rows for which WORK multiply-adds suffice; work: multiply-adds per row."""
    return int(np.clip(WORK / work, FEWEST_ROWS, MOST_ROWS))


def _some(index: NDArray[np.intp], most: int, seed: int) -> NDArray[np.intp]:
    """At most `most` of these row indices, drawn at random, in ascending order."""
    if len(index) <= most:
        return index
    return np.sort(np.random.default_rng(seed).choice(index, most, replace=False))


def _reconstruction(model: Model, posterior: Posterior) -> Decoded:
    """p(x|z = mu) of each row; with members from the row's most probable member."""
    if posterior.weights is None:
        return model.decode_rows(posterior.mu)
    member = posterior.weights.argmax(axis=1)  # (N,)
    return model.decode_rows(posterior.mu[np.arange(len(member)), member], member=member)


def _traversals(model: Model, posterior: Posterior, draws: Samples) -> list[Traversal]:
    """Traversals of the first member; other members are left out, because their latents are unrelated."""
    of_member = draws.latents if draws.members is None else draws.latents[draws.members == 0]
    if not len(of_member):
        return []
    variance = spread(posterior)[0]  # (Z,)
    order = [int(j) for j in np.argsort(-variance) if variance[j] > ACTIVE][:MOST_TRAVERSED]
    levels = np.linspace(0.01, 0.99, TRAVERSED)
    found = []
    for j in order:
        z = np.repeat(np.median(of_member, axis=0)[None], TRAVERSED, axis=0)  # (S, Z)
        z[:, j] = np.quantile(of_member[:, j], levels)
        member = None if draws.members is None else np.zeros(TRAVERSED, dtype=np.int64)
        found.append(Traversal(j, 0, z[:, j].astype(np.float64), model.decode_rows(z, member=member).mean))
    return found
