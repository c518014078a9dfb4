"""The results of a model's operations, as arrays with one entry per row.

N rows, D data dimensions (or H, W, C), Z latent dimensions, M members, F folds. Bounds and scores are in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RowArrays:
    """A result whose fields are arrays (N, ...), or None if they were not computed."""

    def __getitem__(self, rows: slice) -> Self:
        """The same result for some of the rows."""
        return type(self)(**{name: None if a is None else a[rows] for name, a in vars(self).items()})

    def take(self, at: NDArray[np.intp]) -> Self:
        """The same result for the rows with these numbers."""
        return type(self)(**{name: None if a is None else a[at] for name, a in vars(self).items()})

    def __len__(self) -> int:
        return len(next(a for a in vars(self).values() if a is not None))

    @classmethod
    @cache
    def names(cls) -> frozenset[str]:
        """The names of the fields."""
        return frozenset(field.name for field in fields(cls))

    def arrays(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def concatenate(cls, parts: list[Self]) -> Self:
        if len(parts) == 1:
            return parts[0]
        columns = {name: [getattr(part, name) for part in parts] for name in vars(parts[0])}
        return cls(**{name: None if cs[0] is None else np.concatenate(cs) for name, cs in columns.items()})


@dataclass(frozen=True)
class Posterior(RowArrays):
    """q(z|x) = N(mu, diag(sigma^2)), one for each member of an ensemble."""

    mu: NDArray[np.float32]  # (N, Z) or (N, M, Z)
    sigma: NDArray[np.float32]  # as mu
    weights: NDArray[np.float32] | None = None  # (N, M), q(m|x), the weight of each member; None without members


@dataclass(frozen=True)
class Decoded(RowArrays):
    """Parameters of p(x|z) in raw units; the mean of a category is the index of its most probable level."""

    mean: Array  # (N, D) or (N, H, W, C)
    scale: Array | None = None  # as mean; None if the likelihood has no scale
    df: Array | None = None  # (N, D), degrees of freedom of student_t
    probabilities: Array | None = None  # (N, L): all levels of all categories, in column order


@dataclass(frozen=True)
class Samples(RowArrays):
    """Rows sampled from the model."""

    latents: NDArray[np.float32]  # (n, Z)
    samples: Array  # (n, D) or (n, H, W, C), raw units; for a category the index of the level
    members: NDArray[np.int64] | None = None  # (n,), the member that decoded each row; None without members


@dataclass(frozen=True, kw_only=True)
class Bound(RowArrays):
    """elbo = log_likelihood - kl, (N,) each; NaN for a novel row that a bundle before format 1.3 cannot score."""

    elbo: Array
    log_likelihood: Array
    kl: Array
    observed_count: NDArray[np.int64] | None = None  # (N,), observed columns; None if no column may be missing
    novel: NDArray[np.bool_] | None = None  # (N,), rows unlike any training row: see tabular.novelty; None for images
    fold_elbo: Array | None = None  # (N, F), by each fold model, of which elbo is the log-mean-exp; None without folds
    p_value: Array | None = None  # (N,), lower is more anomalous; of unchecked rows, with the draws of a calibration
    group: NDArray[np.str_] | None = None  # (N,), the calibration group of the p-value; None without groups
    group_pooled: NDArray[np.bool_] | None = None  # (N,), whether it is larger than the row's own group
    group_node: NDArray[np.int64] | None = None  # (N,), the row's node in bundle.groups; None without groups
    similar: NDArray[Any] | None = None  # (N, k), records of similar training rows; None unless they were asked for

    @property
    def score(self) -> Array:
        """Negative ELBO of each row, (N,), in nats. Higher is more anomalous."""
        return -self.elbo


@dataclass(frozen=True, kw_only=True)
class Elbo(Bound):
    """elbo <= log_evidence <= log p(x), (N,) each; the second inequality holds up to the error of the draws.

    With a kernel prior the first one holds up to that error too.
    """

    log_evidence: Array
    # E_q[log p(x_d|z)], which adds up to log_likelihood; with a kernel prior log p(x_d | the other cells), which does
    # not. (N, D) or (N, H, W, C); 0 where a cell is missing
    feature_log_likelihood: Array | None = None


@dataclass(frozen=True, kw_only=True)
class CellElbo(Elbo):
    """The ELBO with predictions of each cell from the others, in raw units, (N, D) each; None: the graph has none."""

    feature_expected: Array | None = None  # mean of p(x_d | the other cells)
    feature_low: Array | None = None  # ends of its central 90 %
    feature_high: Array | None = None
    feature_probabilities: Array | None = None  # of the levels of all categories, (N, L); without categories None

    def without_cells(self) -> dict[str, Any]:
        """The arrays of the ELBO by name."""
        return {name: a for name, a in self.arrays().items() if name in Elbo.names()}


@dataclass(frozen=True, kw_only=True)
class Similar(RowArrays):
    """The training rows of a kernel prior that are most similar to each row, the most similar first.

    weight is q(i|x), the posterior probability that the row is from the kernel around training row i. The weights of
    all training rows of the prior add up to 1.
    """

    index: NDArray[np.int64]  # (N, k), number of the training row among the M of the prior
    weight: Array  # (N, k)
    row: NDArray[np.int64] | None = None  # (N, k), its number in the training source; None: the bundle does not show it
    rows: Array | None = None  # (N, k, D), raw units, NaN where a cell is missing; None likewise

    def records(self) -> NDArray[Any]:
        """The rows that are shown as records (N, k) with the fields row, weight and values (D,)."""
        assert self.row is not None
        assert self.rows is not None
        fields = [("row", np.int64), ("weight", np.float64), ("values", np.float64, self.rows.shape[2:])]
        found = np.empty(self.row.shape, dtype=fields)
        found["row"], found["weight"], found["values"] = self.row, self.weight, self.rows
        return found


@dataclass(frozen=True, kw_only=True)
class MostSimilar(Bound):
    """The bound with the exemplars of a kernel prior that are most similar to each row, as the graph names them."""

    exemplar: NDArray[np.int64]  # (N, k)
    exemplar_weight: Array  # (N, k)


CELL = np.dtype(
    [
        ("feature", np.int32),  # index of the cell in the row (for images in H, W, C order); -1: no cell
        ("value", np.float64),  # the value in the row
        ("surprise", np.float64),  # -E_q[log p(x_d|z)], nats; with a kernel prior -log p(x_d | other cells)
        ("excess", np.float64),  # the surprise minus the feature's held-out median, nats
        ("p_value", np.float64),  # among the feature's held-out surprises; lower is more anomalous
        ("relief", np.float64),  # fall of the row's score without the cell, nats; ranks the cells (see explanation.py)
        ("expected", np.float64),  # predicted from the other cells; for a category its most probable level
        ("low", np.float64),  # ends of the central 90 % of p(x_d | other cells); NaN for a category
        ("high", np.float64),
        ("probability", np.float64),  # of the expected level; NaN unless the column is a category
    ]
)

NO_CELL = np.array((-1, *[np.nan] * 9), dtype=CELL)


@dataclass(frozen=True, kw_only=True)
class Explained(Elbo):
    """The ELBO of each row, the k most anomalous cells, and the p-value of the KL."""

    explanation: NDArray[Any] | None = None  # (N, k) of CELL, the most anomalous first
    kl_p_value: Array | None = None  # (N,), among held-out KLs; lower is more anomalous
    cells: NDArray[np.object_] | None = None  # (N,) lists of dicts: explanation by the names of columns and levels


R = TypeVar("R", bound=RowArrays)


def in_chunks(kind: type[R], n: int, chunk: int, part: Callable[[slice], dict[str, Any]]) -> R:
    """Call `part` on slices of at most `chunk` rows, and concatenate the results as `kind`."""
    slices = [slice(start, min(start + chunk, n)) for start in range(0, n, chunk)]
    return kind.concatenate([kind(**part(at)) for at in slices])
