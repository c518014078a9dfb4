"""Predicts single cells of a row from p(x_d|x): mean, interval and most probable level.

n rows, k cells per row, D features, Z latent dimensions, M members, K latent draws, S draws of x; raw units.

    p(x_d|x) = sum_m q(m|x) (1/K) sum_k p(x_d|z_mk),   z_mk = mu_m + sigma_m eps_k
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.runtime.latents import MAX_LATENT
from vaekit.runtime.operations import Operations
from vaekit.runtime.results import Array
from vaekit.tabular.levels import level_slices

COVERAGE = 0.9  # of an interval
TAIL = (1.0 - COVERAGE) / 2
POINTS = 64  # about S, the number of draws of x that an interval is computed from; S is a multiple of K
_GOLDEN_RATIO = (5**0.5 - 1) / 2
_MIN_WEIGHT = 1e-300  # smallest weight of a member, so that the weights of selected members are never all 0


@dataclass(frozen=True)
class Predicted:
    """Predictions of cells, (n, k) each. A category has an expected level and its probability, but no interval."""

    expected: Array  # for a category the index of the level
    low: Array  # NaN for a category
    high: Array
    probability: Array  # of a category's most probable level; else NaN


@dataclass(frozen=True)
class _LatentDraws:
    """M * K draws of z ~ q(z|x) for each row, K for each member."""

    z: NDArray[np.float32]  # (n, M K, Z)
    member: NDArray[np.int64]  # (M K,)
    weight: Array  # (n, M K), sums to 1


def points(model: Operations) -> int:
    """S, the number of draws of x for each row and member that an interval is computed from; a multiple of K."""
    k = model.manifest.draws.default
    return k * max(1, POINTS // k)


def predict(
    model: Operations,
    rows: NDArray[Any],
    which: NDArray[np.intp],
    *,
    interval: bool = True,
    among: NDArray[np.bool_] | None = None,
) -> Predicted:
    """Predictions of single cells.

    Args:
        model: predicts the cells.
        rows: (n, ...), checked.
        which: features of the cells, (n, k).
        interval: whether to compute intervals.
        among: (n, M), True for the members that predict the row; None: all members.
    """
    draws_of_z = _draw_latents(model, rows, among)
    expected, probability = _expected(model, draws_of_z, which)
    low, high = _interval(model, draws_of_z, which) if interval else np.full((2, *which.shape), np.nan)
    if isinstance(model.spec, ImageSpec):
        expected = expected.clip(0.0, 255.0)  # a Gaussian's mean may lie outside
    is_level = np.isfinite(probability)
    return Predicted(expected, np.where(is_level, np.nan, low), np.where(is_level, np.nan, high), probability)


def _draw_latents(model: Operations, rows: NDArray[Any], among: NDArray[np.bool_] | None) -> _LatentDraws:
    posterior, eps, members = model.encode_checked(rows), model.draws(), model.manifest.members
    n, (k, width) = len(rows), eps.shape
    mu, sigma = (a.reshape(n, members, 1, width) for a in (posterior.mu, posterior.sigma))
    z = np.clip(mu + sigma * eps, -MAX_LATENT, MAX_LATENT).reshape(n, members * k, width)
    shares = np.ones((n, 1)) if posterior.weights is None else posterior.weights.astype(np.float64)
    if among is not None:
        shares = np.where(among, np.maximum(shares, _MIN_WEIGHT), 0.0)
    weight = np.repeat(shares / shares.sum(axis=1, keepdims=True), k, axis=1) / k
    return _LatentDraws(z, np.repeat(np.arange(members), k), weight)


def _expected(model: Operations, draws_of_z: _LatentDraws, which: NDArray[np.intp]) -> tuple[Array, Array]:
    """(expected, probability), (n, k) each.

    For a category these are the index of the most probable level and its probability. For other columns they are the
    mean over draws of the decoder's mean, and NaN.
    """
    n, draws, width = draws_of_z.z.shape
    member = np.tile(draws_of_z.member, n) if model.manifest.members > 1 else None
    decoded = model.decode_rows(draws_of_z.z.reshape(n * draws, width), member)
    mean = decoded.mean.reshape(n, draws, -1)  # (n, M K, D)
    expected = np.einsum("nj,njd->nd", draws_of_z.weight, mean)  # (n, D)
    probability = np.full(expected.shape, np.nan)
    if decoded.probabilities is not None:
        levels = np.einsum("nj,njl->nl", draws_of_z.weight, decoded.probabilities.reshape(n, draws, -1))
        for d, at in categories(model.spec):
            expected[:, d], probability[:, d] = levels[:, at].argmax(axis=1), levels[:, at].max(axis=1)
    return np.take_along_axis(expected, which, axis=1), np.take_along_axis(probability, which, axis=1)


def categories(spec: VectorSpec | ImageSpec) -> list[tuple[int, slice]]:
    """(index of the column, slice of its levels among all levels) for each category."""
    slices = level_slices(spec)
    names = spec.names if isinstance(spec, VectorSpec) else ()
    return [(d, slices[name]) for d, name in enumerate(names) if name in slices]


def _interval(model: Operations, draws_of_z: _LatentDraws, which: NDArray[np.intp]) -> tuple[Array, Array]:
    """(low, high) of the central interval of draws x_s ~ p(x_d|x), (n, k) each. Both ends are drawn values."""
    n, _, width = draws_of_z.z.shape
    k, members, normals = model.manifest.draws.default, model.manifest.members, _normals(points(model))  # (S, 2)
    indices = np.arange(members * k).reshape(members, 1, k)  # latent draw j is used for the x draws j, j + K, ...
    order = np.broadcast_to(indices, (members, len(normals) // k, k)).ravel()  # (M S,)
    noise = np.tile(normals, (n * members, 1))[:, None].repeat(model.spec.dim, axis=1)  # (n M S, D, 2)
    feeds = {"z": draws_of_z.z[:, order].reshape(-1, width), "noise": noise}
    if members > 1:
        feeds["member"] = np.tile(draws_of_z.member[order], n)
    x = _observe(model, feeds).reshape(n, len(order), -1)  # (n, M S, D)
    drawn = np.take_along_axis(x, which[:, None], axis=2)  # (n, M S, k)
    weight = draws_of_z.weight[:, order] * k / len(normals)
    high = -_weighted_quantile(-drawn, weight, TAIL) + 0.0  # + 0.0 turns -0.0 into 0.0
    return _weighted_quantile(drawn, weight, TAIL), high


def _observe(model: Operations, feeds: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """The output x of the observe graph, in several calls if the rows do not fit in one."""
    total, most = len(feeds["z"]), model.rows_at_once("observe")
    calls = [{name: a[at : at + most] for name, a in feeds.items()} for at in range(0, total, most)]
    return np.concatenate([model.run("observe", call)["x"] for call in calls])


@lru_cache
def _normals(count: int) -> NDArray[np.float32]:
    """Normal quantiles (S, 2) of an even lattice: u_s = (s + 1/2) / S, v_s = (s / golden ratio + 1/2) mod 1."""
    s = np.arange(count)
    uniform = np.stack([(s + 0.5) / count, (s * _GOLDEN_RATIO + 0.5) % 1.0], axis=1)
    quantiles = [NormalDist().inv_cdf(u) for u in uniform.ravel()]
    return np.array(quantiles, dtype=np.float32).reshape(count, 2)


def _weighted_quantile(x: NDArray[np.float64], weight: Array, share: float) -> Array:
    """The largest value of x (n, S, k) with at most this share of the weight below it, (n, k).

    weight (n, S) sums to 1 for each row. Half of a value's own weight counts as below it.
    """
    order = np.argsort(x, axis=1)
    each = np.take_along_axis(np.broadcast_to(weight[..., None], x.shape), order, axis=1)
    below = np.cumsum(each, axis=1) - each / 2
    at = np.maximum((below <= share).sum(axis=1) - 1, 0)  # (n, k)
    found: Array = np.take_along_axis(np.take_along_axis(x, order, axis=1), at[:, None], axis=1)[:, 0]
    return found + 0.0
