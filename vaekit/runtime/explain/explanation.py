"""Finds the most anomalous cells of a row, and predicts the values expected there.

N rows, D features, k cells of each row, C candidates, K draws. Scores are in nats, cells in raw units.

An anomalous cell pulls the posterior towards itself, so that other cells appear anomalous instead. Therefore the cells
with the largest excess (the candidates) are removed from the row one at a time. Let q be the posterior of the row
without cell d. Then

    ELBO_-d(x) = E_q[ sum_{e != d} log p(x_e|z) ] - KL(q || p)
    relief_d   = ELBO_-d(x) - median_d - ELBO(x)          median_d: the median of held-out surprises of feature d

ELBO_-d(x) is a bound for any q. The relief is the amount by which the row's score falls if cell d is only as surprising
as usual and does not influence the posterior. The KL to an aggregate prior changes abruptly when a cell is removed,
because the posterior is then near other training rows. With such a prior, both ELBOs are therefore computed with a
normal prior, for members m:

    E_q[log p(x|z)] - sum_m q(m|x) KL(q_m(z|x) || N(0, I))

With a kernel prior, the graph computes p(x_d | the other cells) of every cell: the surprise is -log p(x_d | the other
cells), and the relief is the excess. A wrong cell makes the others appear wrong too, and spoils their expected values.
So if the first cell has a p-value of at most WRONG, it is removed, and the next one is found in the row without it.
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
from vaekit.runtime.explain.predict import TAIL, Predicted, categories, points, predict
from vaekit.runtime.explain.surprises import surprise
from vaekit.runtime.operations import Operations
from vaekit.runtime.results import CELL, NO_CELL, Array, CellElbo, Elbo, Explained
from vaekit.tabular.novelty import cells_outside

WRONG = 0.05  # largest p-value of a cell that is removed before the next one is found
CANDIDATES = 8  # cells of a row, by excess, that are removed in turn; results with 5 or 16 are about as good
WHOLE_NUMBERS = ("count", "binary", "category")  # kinds whose values are whole numbers


def explain(model: Operations, rows: NDArray[Any], *, top: int) -> Explained:
    """The ELBO and the `top` most anomalous cells of each checked row; see Model.explain."""
    held_out = check_explained(model, top)
    elbo = model.cells_checked(rows)
    parts = _parts(model, len(rows), top)
    one = _explain_in_turn if model.predicts_cells else _explain_rows
    cells = np.concatenate([one(model, rows[part], elbo[part], held_out, top) for part in parts])
    kl_p_value = held_out.kl.p_value(elbo.kl, np.zeros(len(rows), np.intp))
    return Explained(**elbo.without_cells(), explanation=cells, kl_p_value=kl_p_value)


def check_explained(model: Operations, top: int, num_samples: int | None = None, seed: int | None = None) -> Surprises:
    """Check the options of an explanation; returns the held-out surprises that cells are compared with.

    Raises:
        InputError: `top` is not between 1 and D, or there are no held-out surprises for these options.
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
    """The cost of explaining a row: the number of latent draws that are decoded. Scoring a row decodes K."""
    k, cells = model.manifest.draws.default, _candidates(model, top)
    if model.predicts_cells:
        return (k + model.spec.dim) * top
    encoded = k * (1 + cells) if _is_aggregate(model) else 0
    return k + 2 * k * cells + encoded + (k + points(model)) * top


def _parts(model: Operations, n: int, top: int) -> list[slice]:
    """Slices of n rows, each small enough to be explained within the memory limit of a call."""
    most = max(1, model.rows_at_once("observe") // (passes(model, top) * model.manifest.members))
    return [slice(start, start + most) for start in range(0, n, most)]


def heatmap(model: Operations, explained: Elbo) -> Array:
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


def _explain_in_turn(
    model: Operations, rows: NDArray[Any], elbo: CellElbo, held_out: Surprises, top: int
) -> NDArray[Any]:
    """The k most anomalous cells of each row, (n, k) of CELL, each from the row without the wrong ones before it."""
    cells, left = _explain_rows(model, rows, elbo, held_out, top), rows.copy()
    all_wrong = np.ones(len(rows), dtype=bool)  # rows whose cells so far are all wrong
    for j in range(1, top):
        before = cells[:, j - 1]
        all_wrong &= (before["p_value"] <= WRONG) & ((~np.isnan(left)).sum(axis=1) > 1)
        at = np.flatnonzero(all_wrong)
        if not len(at):
            break
        left[at, before["feature"][at]] = np.nan
        cells[at, j:] = _explain_rows(model, left[at], model.cells_checked(left[at]), held_out, top - j)
    return cells


def _explain_rows(model: Operations, rows: NDArray[Any], elbo: CellElbo, held_out: Surprises, top: int) -> NDArray[Any]:
    """The k most anomalous cells of each row, (n, k) of CELL."""
    candidates = rank_cells(model, rows, elbo, held_out, _candidates(model, top))
    found = candidates.surprise
    ranked = found if candidates.outside is None else np.where(candidates.outside, np.inf, found)
    first = _indices_of_largest(candidates.rank, top)  # (n, k), among the candidates
    which = _select(candidates.which, first)
    cells = np.empty(which.shape, dtype=CELL)
    cells["feature"], cells["value"] = which, _select(rows.reshape(found.shape), which)
    cells["surprise"], cells["excess"], cells["relief"] = (
        _select(found, which),
        _select(candidates.excess, which),
        _select(candidates.relief, first),
    )
    cells["p_value"] = held_out.features.p_value(_select(ranked, which), which)
    expected = candidates.predicted(model, first)
    for name, values in vars(widened(expected, which, model.spec, held_out.factor)).items():
        cells[name] = values
    cells[np.isnan(cells["surprise"])] = NO_CELL
    return cells


@dataclass(frozen=True)
class RankedCells:
    """The C candidates of each of n rows, and how anomalous they are."""

    surprise: Array  # (n, D), of all cells, nats; NaN for a missing one
    excess: Array  # (n, D), the surprise minus the feature's held-out median
    which: NDArray[np.intp]  # (n, C), features of the candidates
    relief: Array  # (n, C), nats
    rank: Array  # (n, C), relief; inf for a cell that makes its row novel, -inf for a missing cell
    outside: NDArray[np.bool_] | None  # (n, D), cells outside their column's support; None: no cell is
    removed: NDArray[Any] | None  # (n C, ...), copies of the rows, each with one candidate removed; None: see cells
    cells: Predicted | None = None  # (n, D), all cells as the model predicts them from the others

    def predicted(self, model: Operations, first: NDArray[np.intp], *, interval: bool = True) -> Predicted:
        """Predictions of the candidates with these places (n, k), (n, k) each, from the rows without them."""
        which = _select(self.which, first)
        if self.cells is not None:
            return Predicted(**{name: _select(values, which) for name, values in vars(self.cells).items()})
        assert self.removed is not None
        shape = self.removed.shape[1:]
        each = self.removed.reshape(*self.which.shape, *shape)[np.arange(len(self.which))[:, None], first]
        found = predict(model, each.reshape(-1, *shape), which.reshape(-1, 1), interval=interval)
        return Predicted(**{name: values.reshape(which.shape) for name, values in vars(found).items()})


def of_columns(elbo: CellElbo, spec: VectorSpec | ImageSpec) -> Predicted | None:
    """All cells as the model predicts them from the others, (n, D); None if it does not."""
    expected, low, high = elbo.feature_expected, elbo.feature_low, elbo.feature_high
    if expected is None or low is None or high is None or isinstance(spec, ImageSpec):
        return None
    expected, probability = expected.copy(), np.full(expected.shape, np.nan)
    binary = np.array([column.kind == "binary" for column in spec.columns])
    low = np.where(binary, np.where(expected > 1.0 - TAIL, 1.0, 0.0), low)
    high = np.where(binary, np.where(expected >= TAIL, 1.0, 0.0), high)
    if elbo.feature_probabilities is not None:
        for d, at in categories(spec):
            p = elbo.feature_probabilities[:, at]
            expected[:, d], probability[:, d] = p.argmax(axis=1), p.max(axis=1)
    is_level = np.isfinite(probability)
    return Predicted(expected, np.where(is_level, np.nan, low), np.where(is_level, np.nan, high), probability)


def rank_cells(model: Operations, rows: NDArray[Any], elbo: CellElbo, held_out: Surprises, count: int) -> RankedCells:
    """Choose `count` candidates of each row by excess, remove each in turn, and rank them by relief.

    If the model predicts each cell from the others, relief is the excess: with p(x) / p(x without cell d) =
    p(x_d | the other cells), no cell needs to be removed.
    """
    outside = cells_outside(rows, model.spec) if isinstance(model.spec, VectorSpec) else None
    found = surprise(elbo, rows)  # (n, D)
    over = found - held_out.features.middle  # (n, D)
    first_of = over if outside is None else np.where(outside, np.inf, over)  # above every held-out surprise
    which = _indices_of_largest(np.where(np.isnan(over), -np.inf, first_of), count)  # (n, C)
    cells, removed = of_columns(elbo, model.spec), None
    if cells is None:
        out = _remove_cells(model, rows, which, held_out)
        removed = out.rows
        relief = out.elbo - held_out.features.middle[which] - _relief_elbo(model, rows, elbo)[:, None]  # (n, C)
    else:
        relief = _select(over, which)
    rank = np.where(np.isinf(_select(first_of, which)), np.inf, relief)  # cells that make the row novel come first
    rank = np.where(np.isnan(_select(over, which)), -np.inf, rank)
    return RankedCells(found, over, which, relief, rank, outside, removed, cells)


def width_factor(
    model: Operations, rows: NDArray[Any], held_out: Surprises, among: NDArray[np.bool_] | None = None
) -> float:
    """The factor by which intervals are widened to reach their coverage.

    It is measured on one cell of each held-out row: column 0 of the first row, column 1 of the second, and so on.

    Args:
        model, held_out: used to predict the cells.
        rows: held-out rows (n, ...), checked.
        among: (n, M), True for the members that were trained without the row; None: all members.
    """
    which = (np.arange(len(rows)) % model.spec.dim)[:, None]  # (n, 1)
    found = []
    for at in _parts(model, len(rows), top=1):
        own = None if among is None else among[at]
        without = _rows_without_cells(model, rows[at], which[at], held_out, own)
        found.append(predict(model, without, which[at], among=own))
    whole = Predicted(*(np.concatenate([getattr(one, name) for one in found]) for name in vars(found[0])))
    return factor_of(whole, which, _select(rows.reshape(len(rows), -1).astype(np.float64), which), model.spec)


@dataclass(frozen=True)
class _RemovedCells:
    """Copies of the rows, each with one of its C candidates removed."""

    rows: NDArray[Any]  # (n C, ...)
    elbo: Array  # (n, C), over the other cells


def _remove_cells(model: Operations, rows: NDArray[Any], which: NDArray[np.intp], held_out: Surprises) -> _RemovedCells:
    """Remove each candidate in turn. If the cell is replaced by a value, that value does not count in the ELBO."""
    without = _rows_without_cells(model, rows, which, held_out)
    bound = model.elbo_checked(without, features=True)
    own = np.nan_to_num(_select(surprise(bound, without), which.reshape(-1, 1))[:, 0])
    return _RemovedCells(without, (_relief_elbo(model, without, bound) + own).reshape(which.shape))


def _relief_elbo(model: Operations, rows: NDArray[Any], elbo: Elbo) -> Array:
    """The ELBO (n,) that relief is computed from: N(0, I) replaces an aggregate prior."""
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


def _rows_without_cells(
    model: Operations,
    rows: NDArray[Any],
    which: NDArray[np.intp],
    held_out: Surprises,
    among: NDArray[np.bool_] | None = None,
) -> NDArray[Any]:
    """Copies of the rows, (n C, ...), each with one cell removed.

    A removed cell is missing if its column may be missing. Otherwise it is replaced by the value predicted from a row
    in which the cell has the column's usual value. If C is 1, `among` (n, M) selects the members that predict it.
    """
    d = which.reshape(-1, 1)
    without = np.repeat(rows, which.shape[1], axis=0)
    flat = without.reshape(len(d), -1)  # a view
    _put_values(flat, d, held_out.usual[d], model.spec)
    _put_values(flat, d, predict(model, without, d, interval=False, among=among).expected, model.spec)
    return without


def _put_values(rows: NDArray[Any], d: NDArray[np.intp], values: Array, spec: VectorSpec | ImageSpec) -> None:
    """Write values (n, 1) into rows (n, D), rounded and clipped to valid values; NaN if the column may be missing."""
    at = np.arange(len(rows)), d[:, 0]
    put = values[:, 0]
    if isinstance(spec, ImageSpec):
        put = np.clip(np.rint(put), 0, 255)
        rows[at] = np.where(put < 128, 0, 255) if spec.two_valued else put
        return
    whole = np.array([column.kind in WHOLE_NUMBERS for column in spec.columns])[d[:, 0]]
    may = np.array([column.may_be_missing for column in spec.columns])[d[:, 0]]
    others = (~np.isnan(rows)).sum(axis=1) > ~np.isnan(rows[at])  # whether the row has another observed cell
    rows[at] = np.where(may & others, np.nan, np.where(whole, np.rint(put), put))


def _indices_of_largest(values: Array, count: int) -> NDArray[np.intp]:
    """The indices of the largest values of each row, largest first, (n, count)."""
    return np.argsort(-values, axis=1, kind="stable")[:, :count]


def _select(values: NDArray[Any], which: NDArray[np.intp]) -> NDArray[Any]:
    return np.take_along_axis(values, which, axis=1)
