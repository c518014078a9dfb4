"""Finds the most anomalous cells of a row, and predicts the values expected there.

N rows, D features, k cells of each row, K draws; nats, and raw units for cells.

An anomalous cell pulls the posterior towards itself, so that other cells appear anomalous instead. Therefore the cells
with the largest excess (the candidates) are removed from the row one at a time. With q the posterior of the row without
cell d (any q gives a bound),

    ELBO_-d(x) = E_q[ sum_{e != d} log p(x_e|z) ] - KL(q || p)
    relief_d   = ELBO_-d(x) - median_d - ELBO(x)          median_d: the median of held-out surprises of feature d

The relief is the amount by which the row's score falls if cell d is only as surprising as usual and the posterior need
not fit it. The KL to an aggregate prior jumps between training rows when any cell is removed, so with such a prior both
ELBOs are computed for members m as

    E_q[log p(x|z)] - sum_m q(m|x) KL(q_m(z|x) || N(0, I))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.bundle.heldout import Surprises
from vaekit.errors import InputError
from vaekit.runtime.explain.intervals import factor_of, widened
from vaekit.runtime.explain.predict import Predicted, points, predict
from vaekit.runtime.explain.surprises import surprise
from vaekit.runtime.operations import Operations
from vaekit.runtime.results import CELL, NO_CELL, Array, Elbo, Explained
from vaekit.tabular.novelty import cells_outside

CANDIDATES = 8  # cells of a row, by excess, that are removed in turn: 5 or 16 find the wrong cell about as often
WHOLE = ("count", "binary", "category")  # kinds whose values are whole numbers


def explain(model: Operations, rows: NDArray[Any], *, top: int) -> Explained:
    """The bound of each checked row, and its `top` most anomalous cells; see Model.explain."""
    held_out = check_explained(model, top)
    elbo = model.elbo_checked(rows, features=True)
    parts = _parts(model, len(rows), top)
    cells = np.concatenate([_explained(model, rows[part], elbo[part], held_out, top) for part in parts])
    kl_p_value = held_out.kl.p_value(elbo.kl, np.zeros(len(rows), np.intp))
    return Explained(**elbo.arrays(), explanation=cells, kl_p_value=kl_p_value)


def check_explained(model: Operations, top: int, num_samples: int | None = None, seed: int | None = None) -> Surprises:
    """The held-out surprises that the cells are compared with.

    Raises:
        InputError: `top` is more than the cells of a row, or there are no held-out surprises for these options.
    """
    held_out, default = model.surprises, model.manifest.draws.default
    if not 1 <= top <= model.spec.dim:
        raise InputError(f"explain: {top} is not between 1 and {model.spec.dim}")
    if held_out is None:
        raise InputError(f"explain: {model.manifest.name} has no surprises of held-out rows; vae calibrate adds them")
    if model.precision != "float32":
        raise InputError(f"explain: {model.precision} graphs have no held-out surprises, only float32 graphs have them")
    if seed is not None or num_samples not in (None, default):
        raise InputError(f"explain: needs the {default} default draws; leave out seed and num_samples")
    return held_out


def passes(model: Operations, top: int) -> int:
    """The cost of explaining a row: how many draws go through the decoder. Scoring a row takes K."""
    k, cells = model.manifest.draws.default, _candidates(model, top)
    encoded = k * (1 + cells) if _is_aggregate(model) else 0
    return k + 2 * k * cells + encoded + (k + points(model)) * top


def _parts(model: Operations, n: int, top: int) -> list[slice]:
    """Slices of n rows, each small enough to be explained at once in memory."""
    most = max(1, model.rows_at_once("observe") // (passes(model, top) * model.manifest.members))
    return [slice(start, start + most) for start in range(0, n, most)]


def heatmap(model: Operations, explained: Explained) -> Array:
    """The excess of each pixel, summed over channels: (N, H, W), nats above the pixel's held-out median.

    Raises:
        InputError: the model does not take images.
    """
    if not isinstance(model.spec, ImageSpec):
        raise InputError(f"heatmap: {model.manifest.name} is not a model of images")
    assert explained.feature_log_likelihood is not None
    assert model.surprises is not None
    usual = model.surprises.features.middle.reshape(model.spec.row_shape)  # (H, W, C)
    heat: Array = (-explained.feature_log_likelihood - usual).sum(axis=-1)
    return heat


def _candidates(model: Operations, top: int) -> int:
    return min(model.spec.dim, max(top, CANDIDATES))


def _explained(model: Operations, rows: NDArray[Any], elbo: Elbo, held_out: Surprises, top: int) -> NDArray[Any]:
    """Cells (n, k) of a few rows."""
    found = surprise(elbo, rows)  # (n, D)
    outside = cells_outside(rows, model.spec) if isinstance(model.spec, VectorSpec) else None
    ranked = found if outside is None else np.where(outside, np.inf, found)  # above every held-out surprise
    over = found - held_out.features.middle
    first_of = over if outside is None else np.where(outside, np.inf, over)
    which = _largest(np.where(np.isnan(over), -np.inf, first_of), _candidates(model, top))  # (n, C)
    out = _taken_out(model, rows, which, held_out)
    relief = out.elbo - held_out.features.middle[which] - _smooth(model, rows, elbo)[:, None]  # (n, C)
    order = np.where(np.isinf(_at(first_of, which)), np.inf, relief)  # cells that make the row novel come first
    first = _largest(np.where(np.isnan(_at(over, which)), -np.inf, order), top)  # (n, k), among the candidates
    which = _at(which, first)
    cells = np.empty(which.shape, dtype=CELL)
    cells["feature"], cells["value"] = which, _at(rows.reshape(found.shape), which)
    cells["surprise"], cells["excess"], cells["relief"] = _at(found, which), _at(over, which), _at(relief, first)
    cells["p_value"] = held_out.features.p_value(_at(ranked, which), which)
    without = out.rows.reshape(*out.elbo.shape, *rows.shape[1:])[np.arange(len(rows))[:, None], first]
    expected = predict(model, without.reshape(-1, *rows.shape[1:]), which.reshape(-1, 1))
    for name, values in vars(widened(expected, which.reshape(-1, 1), model.spec, held_out.factor)).items():
        cells[name] = values.reshape(which.shape)
    cells[np.isnan(cells["surprise"])] = NO_CELL
    return cells


def width_factor(
    model: Operations, rows: NDArray[Any], held_out: Surprises, among: NDArray[np.bool_] | None = None
) -> float:
    """The factor that widens intervals, measured on one cell of each held-out row, with the columns in turn.

    Args:
        model, held_out: used to predict the cells.
        rows: (n, ...), checked.
        among: the members that were trained without each row, (n, M); None: all.
    """
    which = (np.arange(len(rows)) % model.spec.dim)[:, None]  # (n, 1)
    found = []
    for at in _parts(model, len(rows), top=1):
        own = None if among is None else among[at]
        without = _without(model, rows[at], which[at], held_out, own)
        found.append(predict(model, without, which[at], among=own))
    whole = Predicted(*(np.concatenate([getattr(one, name) for one in found]) for name in vars(found[0])))
    return factor_of(whole, which, _at(rows.reshape(len(rows), -1).astype(np.float64), which), model.spec)


@dataclass(frozen=True)
class _TakenOut:
    """Copies of the rows, each without one of C cells."""

    rows: NDArray[Any]  # (n C, ...)
    elbo: Array  # (n, C), of the other cells


def _taken_out(model: Operations, rows: NDArray[Any], which: NDArray[np.intp], held_out: Surprises) -> _TakenOut:
    """The rows without each cell, and their bound. A value put in place of the cell does not count in the bound."""
    without = _without(model, rows, which, held_out)
    bound = model.elbo_checked(without, features=True)
    own = np.nan_to_num(_at(surprise(bound, without), which.reshape(-1, 1))[:, 0])
    return _TakenOut(without, (_smooth(model, without, bound) + own).reshape(which.shape))


def _smooth(model: Operations, rows: NDArray[Any], elbo: Elbo) -> Array:
    """The ELBO (n,) that relief is computed from: with N(0, I) in place of an aggregate prior."""
    if not _is_aggregate(model):
        return elbo.elbo
    found = model.encode_checked(rows)
    mu, sigma = found.mu.astype(np.float64), found.sigma.astype(np.float64)
    kl: Array = (0.5 * (mu * mu + sigma * sigma - 1.0) - np.log(sigma)).sum(axis=-1)  # (n,) or (n, M)
    if found.weights is not None:
        kl = (found.weights * kl).sum(axis=1)
    return elbo.log_likelihood - kl


def _is_aggregate(model: Operations) -> bool:
    return model.manifest.prior.name == "aggregate"


def _without(
    model: Operations,
    rows: NDArray[Any],
    which: NDArray[np.intp],
    held_out: Surprises,
    among: NDArray[np.bool_] | None = None,
) -> NDArray[Any]:
    """Rows (n C, ...) without one cell each: missing if the column may be missing, else replaced by its prediction.

    The prediction is made from the other cells, with the column's usual value in place of the cell. With one cell per
    row, `among` selects the members that predict it.
    """
    d = which.reshape(-1, 1)
    without = np.repeat(rows, which.shape[1], axis=0)
    flat = without.reshape(len(d), -1)  # a view
    _put(flat, d, held_out.usual[d], model.spec)
    _put(flat, d, predict(model, without, d, interval=False, among=among).expected, model.spec)
    return without


def _put(rows: NDArray[Any], d: NDArray[np.intp], values: Array, spec: VectorSpec | ImageSpec) -> None:
    """Put (n, 1) values into cells of rows (n, D), rounded or clipped to valid values; NaN if a cell may be missing."""
    at = np.arange(len(rows)), d[:, 0]
    put = values[:, 0]
    if isinstance(spec, ImageSpec):
        put = np.clip(np.rint(put), 0, 255)
        rows[at] = np.where(put < 128, 0, 255) if spec.two_valued else put
        return
    kinds = np.array([column.kind in WHOLE for column in spec.columns])[d[:, 0]]
    may = np.array([column.may_be_missing for column in spec.columns])[d[:, 0]]
    others = (~np.isnan(rows)).sum(axis=1) > ~np.isnan(rows[at])  # a row must keep at least one observed cell
    rows[at] = np.where(may & others, np.nan, np.where(kinds, np.rint(put), put))


def _largest(values: Array, count: int) -> NDArray[np.intp]:
    """The indices of the largest values of each row, the largest first, (n, count)."""
    return np.argsort(-values, axis=1, kind="stable")[:, :count]


def _at(values: NDArray[Any], which: NDArray[np.intp]) -> NDArray[Any]:
    return np.take_along_axis(values, which, axis=1)
