"""Removes alarms that tolerance rules explain.

An alarm is removed if the row would not be an anomaly with the expected values in the cells that rules tolerate. The
cells are taken in the order of an explanation. Let x be the row, and d its cell with the highest relief:

    no rule for d, or x_d - expected_d is outside it:    the alarm stays, because another cell causes it
    otherwise:                                           x_d := expected_d, and
        x is no anomaly any more:                        the alarm is removed
        x still is:                                      again, with the cell that now has the highest relief

expected_d is predicted from the row without cell d, as in an explanation. Each row has calls of the graphs of its own,
so that its verdict does not depend on the other rows.

n rows, D columns, R rules; deviations in raw units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import VectorSpec
from vaekit.bundle.comparison import TOLERANCE
from vaekit.bundle.heldout import Surprises
from vaekit.bundle.tolerance import Tolerances
from vaekit.errors import InputError
from vaekit.runtime.explain.explanation import CANDIDATES, WHOLE_NUMBERS, passes, rank_cells
from vaekit.runtime.operations import Operations
from vaekit.runtime.results import RowArrays
from vaekit.tolerance_rules import Rules

MOST_CELLS = 8  # of a row that are replaced; an alarm that needs more of them stays


@dataclass(frozen=True)
class Tolerated(RowArrays):
    """Which rules remove the alarm of each row; none: the row keeps its verdict."""

    rules: NDArray[np.bool_]  # (n, R)

    @property
    def removed(self) -> NDArray[np.bool_]:
        """The rows whose alarm is removed, (n,)."""
        return np.asarray(self.rules.any(axis=1))

    def of_alarms(self, alarms: NDArray[np.bool_]) -> Tolerated:
        """The same for N rows, of which alarms (N,) selects these n."""
        rules = np.zeros((len(alarms), self.rules.shape[1]), dtype=bool)
        rules[alarms] = self.rules
        return Tolerated(rules)

    def columns(self, names: Sequence[str]) -> NDArray[np.object_]:
        """The columns of the rules that remove the alarm of each row, (n,) of lists; empty where none does.

        `names` (R,) are the columns of all rules.
        """
        found = np.empty(len(self.rules), dtype=object)
        found[:] = [[names[r] for r in np.flatnonzero(row).tolist()] for row in self.rules]
        return found


def tolerances_of(model: Operations, ignore: Rules | None) -> Tolerances | None:
    """The rules in force: the given ones, or else those of the bundle; None: there are none.

    Raises:
        InputError: a rule does not fit the model, or the model has no surprises of held-out rows.
    """
    found = model.tolerances if ignore is None else Tolerances.of(ignore, model.spec)
    if found is not None and model.surprises is None:
        raise InputError(f"ignore: {model.manifest.name} has no surprises of held-out rows; vae calibrate adds them")
    return found


def work(model: Operations) -> int:
    """The cost of one step of a row, in latent draws that are decoded. Scoring a row decodes K."""
    return passes(model, 1)


def tolerated(
    model: Operations, rows: NDArray[Any], *, tolerances: Tolerances, alpha: float, num_samples: int | None = None
) -> Tolerated:
    """The rules that remove the alarms of rows.

    Args:
        model: a model with held-out surprises.
        rows: checked rows (n, D), which are anomalies at alpha.
        tolerances: the rules in force.
        alpha: false-alarm rate of the verdict.
        num_samples: K of the verdict; None: the default. Cells are ranked and predicted at the default K.
    """
    assert model.surprises is not None
    found = np.zeros((len(rows), len(tolerances)), dtype=bool)
    for i in range(len(rows)):
        if not np.isnan(rows[i, list(tolerances.columns)]).all():
            found[i] = _rules_of(model, rows[i : i + 1], model.surprises, tolerances, alpha, num_samples)
    return Tolerated(found)


def _rules_of(
    model: Operations, row: NDArray[Any], held_out: Surprises, tolerances: Tolerances, alpha: float, k: int | None
) -> NDArray[np.bool_]:
    """The rules that remove the alarm of one row (1, D), as (R,)."""
    stays = np.zeros(len(tolerances), dtype=bool)
    applied, x, group = stays.copy(), row.copy(), model.group_nodes(row)
    for _ in range(MOST_CELLS):
        which, expected = _first_cells(model, x, held_out)
        rules = [tolerances.columns.index(d) if d in tolerances.columns else -1 for d in which]
        deviations = row[0, which] - expected
        if not len(which) or any(
            rule < 0 or applied[rule] or not tolerances.permits(rule, deviation)
            for rule, deviation in zip(rules, deviations, strict=True)
        ):
            return stays
        applied[rules[0]] = True
        x[0, which[0]] = _valid(expected[0], model, which[0])
        if not _is_anomaly(model, x, alpha, k, group):
            return applied
    return stays


def _first_cells(model: Operations, x: NDArray[Any], held_out: Surprises) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """The cells of a row (1, D) with the highest relief, in column order, and the values expected there.

    There is one, or several whose relief is equal up to rounding; none if the row has no score.
    """
    elbo = model.cells_checked(x)
    ranked = rank_cells(model, x, elbo, held_out, min(model.spec.dim, CANDIDATES))
    rank, margin = ranked.rank[0], TOLERANCE * max(1.0, abs(float(elbo.elbo[0])))
    first = np.flatnonzero((rank > -np.inf) & (rank >= rank.max() - margin))
    first = first[np.argsort(ranked.which[0, first])]
    which = ranked.which[0, first]
    if not len(which):
        return which, np.empty(0)
    return which, ranked.predicted(model, first[None], interval=False).expected[0]


def _valid(expected: float, model: Operations, d: int) -> float:
    """The expected value as a value that the column can have."""
    assert isinstance(model.spec, VectorSpec)
    return float(np.rint(expected)) if model.spec.columns[d].kind in WHOLE_NUMBERS else float(expected)


def _is_anomaly(
    model: Operations, x: NDArray[Any], alpha: float, num_samples: int | None, group: NDArray[np.int64] | None
) -> bool:
    """Whether a row (1, D) with replaced cells is an anomaly in the calibration group (1,) of the row as it was."""
    calibration = model.calibration(num_samples)
    assert not isinstance(calibration, str)
    bound = replace(model.bound_checked(x, num_samples=num_samples), group_node=group)
    found = calibration.verdict(bound, alpha).is_anomaly
    assert found is not None
    return bool(found[0])
