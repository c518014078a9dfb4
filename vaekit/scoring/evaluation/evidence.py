"""Estimates the ELBO and log evidence of each row from many independent draws, in bounded memory.

    elbo           = (1/K) sum_k log p(x|z_k) - KL(q(z|x) || p(z)),   z_k = mu + sigma eps_k
    log_evidence_K = log (1/K) sum_k w_k,   w_k = p(x|z_k) p(z_k) / q(z_k|x)          Burda et al. (2016)

One call of the graph returns log (1/k) sum w over its k draws. Several calls are combined by the log-sum-exp of
log_evidence + log k, minus log K, so that any K fits in memory. The draws of a row depend only on the seed and the row
number. The draws for K = 10 are the first ten draws for K = 100.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit.runtime.operations import MAX_ELEMENTS
from vaekit.runtime.results import RowArrays

Array = NDArray[np.float64]
USUAL_DRAWS = 64  # per call; the encoder runs once per call, so that more draws make its share of the time small
MOST_ROWS = 256  # per call


@dataclass(frozen=True)
class Bounds(RowArrays):
    """Bounds of N rows, nats."""

    elbo: Array  # (N,)
    log_likelihood: Array  # (N,)
    kl: Array  # (N,)
    log_evidence: Array  # (N, number of K)


def check_counts(counts: Sequence[int]) -> tuple[int, ...]:
    """The distinct K, ascending.

    Raises:
        InputError: there is no K, or one is below 1.
    """
    if not counts or min(counts) < 1:
        raise InputError(f"num_samples: {min(counts, default='none')}, expected whole numbers of at least 1")
    return tuple(sorted(set(counts)))


def estimate(
    model: Model,
    x: NDArray[Any],
    counts: Sequence[int],
    *,
    seed: int,
    first: int = 0,
    on_rows: Callable[[int], None] = lambda _: None,
) -> Bounds:
    """Estimate the bounds of rows, with log_evidence at each K of `counts`.

    Args:
        model: the model.
        x: N >= 1 rows of model input.
        counts: K, ascending.
        seed: seed of the draws.
        first: row number of the first row in the whole data.
        on_rows: called after each graph call with the number of rows done.
    """
    size, most = call_shape(model)
    parts = []
    for start in range(0, len(x), size):
        parts.append(_block(model, x[start : start + size], counts, most, seed, first + start))
        on_rows(min(start + size, len(x)))
    return Bounds.concatenate(parts)


def call_shape(model: Model) -> tuple[int, int]:
    """(rows N, draws K) per graph call, with N K (width of the widest layer) <= MAX_ELEMENTS."""
    widest = max(model.spec.dim, model.manifest.latent_dim, model.manifest.width, model.manifest.components)
    rows = min(MOST_ROWS, max(1, MAX_ELEMENTS // (USUAL_DRAWS * widest)))
    return rows, max(1, MAX_ELEMENTS // (rows * widest))


def _block(model: Model, x: NDArray[Any], counts: Sequence[int], most: int, seed: int, first: int) -> Bounds:
    draws = [np.random.default_rng([seed, first + n]) for n in range(len(x))]
    terms = np.zeros((3, len(x)))  # sums over draws of elbo, log_likelihood, kl
    log_sum = np.full(len(x), -np.inf)  # log sum_k w_k
    evidence, done = [], 0
    for k in counts:
        while done < k:
            size = min(most, k - done)
            shape = (size, model.manifest.latent_dim)
            eps = np.stack([row.standard_normal(shape, dtype=np.float32) for row in draws])  # (N, k, Z)
            got = model.elbo_checked(x, eps=eps)
            terms += size * np.stack([got.elbo, got.log_likelihood, got.kl])
            with np.errstate(invalid="ignore"):  # NaN: a novel row that an old bundle cannot score
                log_sum = np.logaddexp(log_sum, got.log_evidence + np.log(size))
            done += size
        evidence.append(log_sum - np.log(done))
    elbo, log_likelihood, kl = terms / done
    return Bounds(elbo, log_likelihood, kl, np.stack(evidence, axis=1))
