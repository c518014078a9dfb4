"""Finds the training rows that are most similar to a row, for models with a kernel prior.

N rows, M exemplars, D columns, k of the exemplars for each row. The prior is a mean of kernels around training rows,
its exemplars. Given a row x, exemplar i has the posterior probability

    q(i|x) = t_i(x) / sum_j t_j(x),   t_i: the kernel of exemplar i at x

which the graph computes. The original rows are in the bundle only if it was trained with privacy.show_exemplars.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.runtime.operations import Operations
from vaekit.runtime.results import Similar

SIMILAR = 3  # rows that are named by default


def similar(model: Operations, rows: NDArray[Any], *, top: int | None = None, show: bool = False) -> Similar:
    """The `top` exemplars that are most similar to each checked row; see Model.similar."""
    top = check_similar(model, top, show=show)
    found = model.exemplars_checked(rows)
    index, weight = found.exemplar[:, :top], found.exemplar_weight[:, :top]
    known = model.exemplars
    if known is None:
        return Similar(index=index, weight=weight)
    return Similar(index=index, weight=weight, row=known.row[index], rows=known.x[index])


def check_similar(model: Operations, top: int | None, *, show: bool) -> int:
    """The number of similar rows: `top`, or the default if it is None.

    Raises:
        InputError: the model does not name similar rows, or not so many; or they are to be shown, and are not in the
            bundle.
    """
    most = model.most_similar
    if not most:
        raise InputError(
            f"similar: {model.manifest.name} does not name similar training rows; only models with prior.name = "
            "'kernel', without data.folds and of format 1.5, do"
        )
    if top is not None and not 1 <= top <= most:
        raise InputError(f"similar: {top} is not between 1 and {most}")
    if show and model.exemplars is None:
        raise InputError(
            f"similar: {model.manifest.name} does not hold its training rows; to show them to everyone who has the "
            "bundle or may score rows, train again with privacy.show_exemplars = true"
        )
    return min(SIMILAR, most) if top is None else top


def passes_of_similar(model: Operations) -> int:
    """The cost of finding the similar rows of a row, in the unit of explanation.passes."""
    return model.manifest.draws.default + model.spec.dim
