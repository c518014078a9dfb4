"""Feeds checked rows to the graphs: missing cells and cells outside their column's support are left out.

N rows, D columns, K draws; nats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import Manifest
from vaekit.bundle.heldout import Surprises
from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.bundle.manifest import Operation
from vaekit.tabular.novelty import NovelCells, cells_missing, cells_outside

Feeds = dict[str, NDArray[Any]]
Terms = dict[str, NDArray[Any]]
MASKED: Operation = "surprise"  # its graph takes `observed` in every vector model of format 1.3


class RowFeeds:
    """Rows of one model as its graphs take them.

    A graph with the input `observed` leaves cells out. Other graphs get a stand-in for them: a usual value.
    """

    def __init__(self, manifest: Manifest, surprises: Surprises | None) -> None:
        self._manifest, self._spec = manifest, manifest.input
        self._masks = {
            operation: any(tensor.name == "observed" for tensor in graph.inputs)
            for operation, graph in manifest.operations.items()
        }
        if isinstance(self._spec, VectorSpec):
            valid = np.array([float(column.kind == "positive") for column in self._spec.columns])
            usual = valid if surprises is None else surprises.usual
            self._stand_in = np.where(np.isfinite(usual), usual, valid)  # (D,)

    def feeds(self, operation: Operation, rows: NDArray[Any]) -> Feeds:
        """The feeds of a graph for checked rows (N, ...): x, and `observed` (N, D) if the graph takes it."""
        if isinstance(self._spec, ImageSpec):
            return {"x": rows}
        return self._feeds(operation, rows, _observed(rows, cells_outside(rows, self._spec)))

    def score(
        self,
        operation: Operation,
        rows: NDArray[Any],
        eps: NDArray[np.float32],
        run: Callable[[Operation, Feeds], Terms],
    ) -> Terms:
        """The terms of the bound of checked rows, by name, with `novel` (N,) and `observed_count` (N,) for columns.

            log p(x_d|z) = log 1 / (n + 1)     where x_d is outside the support, or a level unseen in training

        Rows that the graph cannot take as they are go through the graph of MASKED. A model without such a graph or
        without `novelty` in its manifest (before format 1.3) cannot score them: their terms are NaN.

        Args:
            operation: bound, elbo or surprise.
            rows: (N, ...).
            eps: (N, K, Z).
            run: runs a graph on feeds of any number of rows.
        """
        if isinstance(self._spec, ImageSpec):
            return run(operation, {"x": rows, "eps": eps})
        outside = cells_outside(rows, self._spec)
        if outside is None and not np.isnan(rows).any():  # the usual case
            terms = run(operation, {**self._whole(operation, rows), "eps": eps})
            terms["novel"] = np.zeros(len(rows), dtype=bool)
            if self._spec.may_be_missing:
                terms["observed_count"] = np.full(len(rows), self._spec.dim)
            return terms
        observed = _observed(rows, outside)
        left_out = np.asarray(~observed.all(axis=1))
        if self._masks[operation]:
            terms = run(operation, {**self._feeds(operation, rows, observed), "eps": eps})
        else:
            terms = self._apart(operation, rows, observed, left_out, eps, run)
        if outside is not None:
            self._count_outside(terms, outside)
        novel = NovelCells(outside, cells_missing(rows, self._manifest)).rows
        terms["novel"] = np.zeros(len(rows), dtype=bool) if novel is None else novel
        if self._spec.may_be_missing:
            terms["observed_count"] = (~np.isnan(rows)).sum(axis=1)
        return terms

    def _apart(
        self,
        operation: Operation,
        rows: NDArray[Any],
        observed: NDArray[np.bool_],
        left_out: NDArray[np.bool_],
        eps: NDArray[np.float32],
        run: Callable[[Operation, Feeds], Terms],
    ) -> Terms:
        """The terms of rows of which some, `left_out` (N,), have cells that this graph cannot leave out."""
        can = self._masks.get(MASKED, False)
        found: Terms = {}
        for which, through in ((~left_out, operation), (left_out, MASKED if can else operation)):
            if not which.any():
                continue
            feeds = {**self._feeds(through, rows[which], observed[which]), "eps": np.ascontiguousarray(eps[which])}
            terms = run(through, feeds)
            for name in [tensor.name for tensor in self._manifest.operations[operation].outputs]:
                whole = found.setdefault(name, np.empty((len(rows), *terms[name].shape[1:]), terms[name].dtype))
                whole[which] = terms[name] if can or not left_out[which].all() else np.nan
        return found

    def _count_outside(self, terms: Terms, outside: NDArray[np.bool_]) -> None:
        """Add the reserved probability of the cells that are outside, (N, D), to the terms of their rows."""
        novelty, count = self._manifest.novelty, outside.sum(axis=1)  # (N,)
        log_outside = np.nan if novelty is None else novelty.log_outside
        added = np.where(count > 0, count * log_outside, 0.0)  # (N,)
        for name in ("elbo", "log_likelihood", "log_evidence"):
            if name in terms:
                terms[name] = terms[name] + added
        if "fold_elbo" in terms:
            terms["fold_elbo"] = terms["fold_elbo"] + added[:, None]
        if "feature_log_likelihood" in terms:
            terms["feature_log_likelihood"] = np.where(outside, log_outside, terms["feature_log_likelihood"])

    def _whole(self, operation: Operation, rows: NDArray[Any]) -> Feeds:
        """The feeds of rows of which a graph can take every cell."""
        return {"x": rows, "observed": np.ones(rows.shape, dtype=bool)} if self._masks[operation] else {"x": rows}

    def _feeds(self, operation: Operation, rows: NDArray[Any], observed: NDArray[np.bool_]) -> Feeds:
        if self._masks[operation]:
            return {"x": np.where(observed, rows, 0.0), "observed": observed}
        return {"x": rows if observed.all() else np.where(observed, rows, self._stand_in)}


def _observed(rows: NDArray[Any], outside: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Which cells a graph can take, (N, D): not missing, and not outside their column's support."""
    there: NDArray[np.bool_] = ~np.isnan(rows)
    return there if outside is None else there & ~outside
