"""The scores of replies that wait for the next comparison, in arrays: kept objects would cost time in the collector."""

from __future__ import annotations

from time import time

import numpy as np

from vaekit.runtime import Bound
from vaekit_service.model_health.held_out import Floats, Scores


class WaitingRows:
    """The last rows of replies, at most `size`; each array is a ring.

    Args:
        size: W, largest number of rows.
        first: the result of the first reply; it tells which arrays there are.
    """

    def __init__(self, size: int, first: Bound) -> None:
        self._size, self._end, self._count = size, 0, 0
        self._elbo = np.empty(size)  # (W,)
        self._folds = None if first.fold_elbo is None else np.empty((size, first.fold_elbo.shape[1]))  # (W, F)
        self._novel = None if first.novel is None else np.empty(size, dtype=bool)
        self._nodes = None if first.group_node is None else np.empty(size, dtype=np.int64)
        self._p_values, self._at = np.empty(size), np.empty(size)

    def __len__(self) -> int:
        return self._count

    def put(self, bound: Bound, p_values: Floats) -> None:
        """Add the rows of a reply. Called in the event loop, for every reply."""
        n, start = len(p_values), self._end
        if start + n > self._size:
            self._put_around(bound, p_values)
            return
        self._put_at(slice(start, start + n), slice(None), bound, p_values)
        self._end, self._count = start + n, min(self._size, self._count + n)

    def _put_around(self, bound: Bound, p_values: Floats) -> None:
        """Add rows that reach beyond the end of the arrays."""
        last = slice(max(0, len(p_values) - self._size), len(p_values))
        n = last.stop - last.start
        first = min(n, self._size - self._end)
        self._put_at(slice(self._end, self._end + first), slice(last.start, last.start + first), bound, p_values)
        self._put_at(slice(0, n - first), slice(last.start + first, last.stop), bound, p_values)
        self._end, self._count = (self._end + n) % self._size, min(self._size, self._count + n)

    def _put_at(self, to: slice, of: slice, bound: Bound, p_values: Floats) -> None:
        self._elbo[to] = bound.elbo[of]
        self._p_values[to] = p_values[of]
        self._at[to] = time()
        if self._folds is not None and bound.fold_elbo is not None:
            self._folds[to] = bound.fold_elbo[of]
        if self._novel is not None and bound.novel is not None:
            self._novel[to] = bound.novel[of]
        if self._nodes is not None and bound.group_node is not None:
            self._nodes[to] = bound.group_node[of]

    def take(self) -> tuple[Scores, Floats, Floats]:
        """The scores, p-values and times (seconds, by time.time()) of the rows, in their order; then there are none."""
        at = (self._end - self._count + np.arange(self._count)) % self._size
        self._count = 0
        scored = Scores(
            -self._elbo[at],
            None if self._folds is None else self._folds[at],
            None if self._novel is None else self._novel[at],
            None if self._nodes is None else self._nodes[at],
        )
        return scored, self._p_values[at], self._at[at]
