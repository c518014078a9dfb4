"""Which cells of a row are odd, and what was expected there.

N rows, D features, k cells of each row, K draws; nats, and raw units for cells.

A cell pulls the posterior towards itself, so that others look odd in its place. So the oddest candidates are taken out
of the row one at a time: with q the posterior of the row without cell d (any q gives a bound),

    ELBO_-d(x) = E_q[ sum_{e != d} log p(x_e|z) ] - KL(q || p)
    relief_d   = ELBO_-d(x) - median_d - ELBO(x)          median_d of held-out rows' surprises of d

is how far the row's score falls where that cell is as surprising as usual and the rest need not account for it. The KL
of an aggregate prior jumps from one training row to the next whichever cell is taken out; under it both ELBOs are

    E_q[log p(x|z)] - sum_m q(m|x) KL(q_m(z|x) || N(0, I))          of members m
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

CANDIDATES = 8  # cells of a row, by excess, that are taken out: with 5 or 16 the wrong cell is found no oftener
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
    """What the cells are compared with.

    Raises:
        InputError: a row has no such number of cells, or there is nothing to compare them with; the message says why.
    """
    held_out, default = model.surprises, model.manifest.draws.default
    if not 1 <= top <= model.spec.dim:
        raise InputError(f"explain: {top} is not between 1 and {model.spec.dim}")
    if held_out is None:
        raise InputError(f"explain: {model.manifest.name} has no surprises of held-out rows; vae calibrate adds them")
    if model.precision != "float32":
        raise InputError(f"explain: held-out surprises are those of the float32 graphs, not of {model.precision}")
    if seed is not None or num_samples not in (None, default):
        raise InputError(f"explain: held-out surprises are those of the {default} default draws: leave out others")
    return held_out


def passes(model: Operations, top: int) -> int:
    """How many draws of a row go through the decoder: what explaining costs, where scoring costs K."""
    k, cells = model.manifest.draws.default, _candidates(model, top)
    encoded = k * (1 + cells) if _is_aggregate(model) else 0
    return k + 2 * k * cells + encoded + (k + points(model)) * top


def _parts(model: Operations, n: int, top: int) -> list[slice]:
    """Of n rows, as many at once as explaining them has memory for."""
    most = max(1, model.rows_at_once("observe") // (passes(model, top) * model.manifest.members))
    return [slice(start, start + most) for start in range(0, n, most)]


def heatmap(model: Operations, explained: Explained) -> Array:
    """Where pictures are odd: (N, H, W), nats over each pixel's held-out median, channels added up.

    Raises:
        InputError: a model of tables.
    """
    if not isinstance(model.spec, ImageSpec):
        raise InputError(f"heatmap: {model.manifest.name} takes no pictures")
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
    over = found - held_out.features.middle
    which = _largest(np.where(np.isnan(over), -np.inf, over), _candidates(model, top))  # (n, C)
    out = _taken_out(model, rows, which, held_out)
    relief = out.elbo - held_out.features.middle[which] - _smooth(model, rows, elbo)[:, None]  # (n, C)
    first = _largest(np.where(np.isnan(_at(over, which)), -np.inf, relief), top)  # (n, k), among the candidates
    which = _at(which, first)
    cells = np.empty(which.shape, dtype=CELL)
    cells["feature"], cells["value"] = which, _at(rows.reshape(found.shape), which)
    cells["surprise"], cells["excess"], cells["relief"] = _at(found, which), _at(over, which), _at(relief, first)
    cells["p_value"] = held_out.features.p_value(cells["surprise"], which)
    without = out.rows.reshape(*out.elbo.shape, *rows.shape[1:])[np.arange(len(rows))[:, None], first]
    expected = predict(model, without.reshape(-1, *rows.shape[1:]), which.reshape(-1, 1))
    for name, values in vars(widened(expected, which.reshape(-1, 1), model.spec, held_out.factor)).items():
        cells[name] = values.reshape(which.shape)
    cells[np.isnan(cells["surprise"])] = NO_CELL
    return cells


def width_factor(
    model: Operations, rows: NDArray[Any], held_out: Surprises, among: NDArray[np.bool_] | None = None
) -> float:
    """By what intervals are to be widened: from one cell of each held-out row, the columns in turns.

    Args:
        model, held_out: what cells are predicted by.
        rows: (n, ...), checked.
        among: the members that each row is held out from, (n, M); None: all.
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
    """Rows with one of C cells each taken out."""

    rows: NDArray[Any]  # (n C, ...)
    elbo: Array  # (n, C), of the rest


def _taken_out(model: Operations, rows: NDArray[Any], which: NDArray[np.intp], held_out: Surprises) -> _TakenOut:
    """Those rows and their bound; where something stands in the cell's place, it does not count."""
    without = _without(model, rows, which, held_out)
    bound = model.elbo_checked(without, features=True)
    own = np.nan_to_num(_at(surprise(bound, without), which.reshape(-1, 1))[:, 0])
    return _TakenOut(without, (_smooth(model, without, bound) + own).reshape(which.shape))


def _smooth(model: Operations, rows: NDArray[Any], elbo: Elbo) -> Array:
    """The ELBO (n,) that relief is of: N(0, I) stands for an aggregate prior."""
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
    """Rows (n C, ...) without a cell each: missing where it may be; else what the rest expects stands there.

    What the rest expects is found with the column's usual value in the cell's place, and with one cell a row among the
    members named.
    """
    d = which.reshape(-1, 1)
    without = np.repeat(rows, which.shape[1], axis=0)
    flat = without.reshape(len(d), -1)  # the same memory
    _put(flat, d, held_out.usual[d], model.spec)
    _put(flat, d, predict(model, without, d, interval=False, among=among).expected, model.spec)
    return without


def _put(rows: NDArray[Any], d: NDArray[np.intp], values: Array, spec: VectorSpec | ImageSpec) -> None:
    """Put (n, 1) values into the cells of rows (n, D): as their columns take them; NaN where a cell may be missing."""
    at = np.arange(len(rows)), d[:, 0]
    put = values[:, 0]
    if isinstance(spec, ImageSpec):
        put = np.clip(np.rint(put), 0, 255)
        rows[at] = np.where(put < 128, 0, 255) if spec.two_valued else put
        return
    kinds = np.array([column.kind in WHOLE for column in spec.columns])[d[:, 0]]
    may = np.array([column.may_be_missing for column in spec.columns])[d[:, 0]]
    others = (~np.isnan(rows)).sum(axis=1) > ~np.isnan(rows[at])  # a row that misses every cell is none
    rows[at] = np.where(may & others, np.nan, np.where(kinds, np.rint(put), put))


def _largest(values: Array, count: int) -> NDArray[np.intp]:
    """Where the largest of each row are, the largest first, (n, count)."""
    return np.argsort(-values, axis=1, kind="stable")[:, :count]


def _at(values: NDArray[Any], which: NDArray[np.intp]) -> NDArray[Any]:
    return np.take_along_axis(values, which, axis=1)
