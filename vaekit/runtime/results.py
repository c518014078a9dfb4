"""The results of a model, as arrays. N rows, D data dimensions (or H, W, C), Z latent dimensions; nats per row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RowArrays:
    """Arrays whose first axis is the row; None for an array that was not computed."""

    def __getitem__(self, rows: slice) -> Self:
        """The same result for some of the rows."""
        return type(self)(**{name: None if a is None else a[rows] for name, a in vars(self).items()})

    def __len__(self) -> int:
        return len(next(a for a in vars(self).values() if a is not None))

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
    weights: NDArray[np.float32] | None = None  # (N, M), q(m|x); None without members


@dataclass(frozen=True)
class Decoded(RowArrays):
    """Mean and scale of p(x|z) in raw units; a category's mean is the index of its most probable level."""

    mean: Array  # (N, D) or (N, H, W, C)
    scale: Array | None = None  # as mean; None if the likelihood has no scale
    df: Array | None = None  # (N, D), degrees of freedom of student_t
    probabilities: Array | None = None  # (N, L): all levels of all categories, in column order


@dataclass(frozen=True)
class Samples(RowArrays):
    """Draws of the model."""

    latents: NDArray[np.float32]  # (n, Z)
    samples: Array  # (n, D) or (n, H, W, C), raw units; for a category the index of the level
    members: NDArray[np.int64] | None = None  # (n,), the member that drew each row; None without members


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

    @property
    def score(self) -> Array:
        """Negative ELBO of each row, (N,), in nats. Higher is more anomalous."""
        return -self.elbo


@dataclass(frozen=True, kw_only=True)
class Elbo(Bound):
    """elbo <= log_evidence <= log p(x), (N,) each; the second inequality holds up to the error of the draws."""

    log_evidence: Array
    feature_log_likelihood: Array | None = None  # (N, D) or (N, H, W, C); 0 where a cell is missing


CELL = np.dtype(
    [
        ("feature", np.int32),  # its index in the row (of images in H, W, C order); -1: the row has no more cells
        ("value", np.float64),  # the value in the row
        ("surprise", np.float64),  # -E_q[log p(x_d|z)], nats
        ("excess", np.float64),  # the surprise minus the feature's held-out median, nats
        ("p_value", np.float64),  # among the feature's held-out surprises; lower is more anomalous
        ("relief", np.float64),  # by how much the row's score falls without the cell, nats; cells are ranked by it
        ("expected", np.float64),  # given the rest of the row; for a category its most probable level
        ("low", np.float64),  # ends of the central 90 % of p(x_d | the rest); NaN for a category
        ("high", np.float64),
        ("probability", np.float64),  # of the expected level; NaN unless the column is a category
    ]
)

NO_CELL = np.array((-1, *[np.nan] * 9), dtype=CELL)


@dataclass(frozen=True, kw_only=True)
class Explained(Elbo):
    """The bound, the k most anomalous cells of each row, and the p-value of its KL."""

    explanation: NDArray[Any] | None = None  # (N, k) of CELL, the most anomalous first
    kl_p_value: Array | None = None  # (N,), among held-out KLs; lower is more anomalous
    cells: NDArray[np.object_] | None = None  # (N,) lists of dicts: explanation by the names of columns and levels


R = TypeVar("R", bound=RowArrays)


def in_chunks(kind: type[R], n: int, chunk: int, part: Callable[[slice], dict[str, Any]]) -> R:
    """Call `part` on slices of at most `chunk` rows, and concatenate the results as `kind`."""
    slices = [slice(start, min(start + chunk, n)) for start in range(0, n, chunk)]
    return kind.concatenate([kind(**part(at)) for at in slices])
