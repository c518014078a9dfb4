"""Finds novel rows: rows that are unlike any training row, whatever their score.

A row is novel if it has a level unseen in training, a number outside the support of its column's kind, or more missing
cells than any training row. N rows, D columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import ImageSpec, VectorSpec
from vaekit.bundle.manifest import Manifest
from vaekit.errors import InputError
from vaekit.tabular.cells import outside


class NovelCells(NamedTuple):
    """The cells that make rows novel."""

    outside: NDArray[np.bool_] | None  # (N, D), unseen levels and numbers outside a support; None: there are none
    missing: NDArray[np.bool_] | None  # (N, D), missing cells of the rows that have too many; None: there are none

    @property
    def rows(self) -> NDArray[np.bool_] | None:
        """Which rows are novel, (N,); None: no row is."""
        cells = self.all
        return None if cells is None else np.asarray(cells.any(axis=1))

    @property
    def all(self) -> NDArray[np.bool_] | None:
        """All these cells, (N, D); None: there are none."""
        if self.outside is None or self.missing is None:
            return self.missing if self.outside is None else self.outside
        return self.outside | self.missing


def cells_outside(x: NDArray[np.float64], spec: VectorSpec) -> NDArray[np.bool_] | None:
    """Which cells have an unseen level or a number outside their column's support, (N, D); None: no cell has.

    Args:
        x: checked rows, (N, D).
        spec: the model's input spec.
    """
    found = None
    for d, column in spec.restricted:
        if (cells := outside(x[:, d], column)).any():
            found = np.zeros(x.shape, dtype=bool) if found is None else found
            found[:, d] = cells
    return found


def cells_missing(x: NDArray[np.float64], manifest: Manifest) -> NDArray[np.bool_] | None:
    """The missing cells of the rows with more of them than any training row, (N, D); None: there are none.

    Args:
        x: checked rows of a vector model, (N, D).
        manifest: the model's.
    """
    is_missing = np.isnan(x)
    if not is_missing.any():
        return None
    too_many = has_more_missing(x, manifest.most_missing)
    return is_missing & too_many[:, None] if too_many.any() else None


def has_more_missing(x: NDArray[np.float64], most: int) -> NDArray[np.bool_]:
    """Which rows of x (N, D) have more than `most` missing cells, (N,)."""
    return np.asarray(np.isnan(x).sum(axis=1) > most)


def more_missing(most: int) -> str:
    """What is wrong with a row of `has_more_missing`, for messages."""
    return f"more missing cells than any training row, which had at most {most}"


def refuse_more_missing(x: NDArray[Any], most: int, numbers: NDArray[np.integer[Any]] | None = None) -> None:
    """Refuse rows with more missing cells than any training row, as strict does; cells are checked by `encode`.

    Args:
        x: checked rows of a vector model, (N, D), or images, of which no pixel is missing.
        most: the manifest's most_missing.
        numbers: of the rows, (N,), for the message; None: 0, 1, ...

    Raises:
        InputError: the message names the first such row.
    """
    if x.ndim != 2 or not len(x):
        return
    too_many = has_more_missing(x, most)
    if too_many.any():
        row = int(too_many.argmax())
        raise InputError(f"row {row if numbers is None else int(numbers[row])}: {more_missing(most)}")


def novel_cells(x: NDArray[np.float64], manifest: Manifest) -> NovelCells:
    """The cells that make rows novel to a model.

    Args:
        x: checked rows of a vector model, (N, D).
        manifest: the model's.
    """
    assert isinstance(manifest.input, VectorSpec)
    return NovelCells(cells_outside(x, manifest.input), cells_missing(x, manifest))


def no_score(manifest: Manifest) -> str:
    """Why a novel row has no ELBO, and what to do, for messages."""
    return f"a bundle of format {manifest.format} has no score for a novel row; train the model again to score it"


def joined_names(names: Sequence[Sequence[str]]) -> NDArray[np.object_]:
    """The names of each row's novel cells as one text, (N,); None for a row that is not novel."""
    found = np.full(len(names), None, dtype=object)
    for row, each in enumerate(names):
        if each:
            found[row] = ", ".join(each)
    return found


def novel_names(x: NDArray[np.float64], manifest: Manifest) -> list[list[str]]:
    """The names of the columns that make each row novel, N lists; an empty list for a row that is not novel.

    Args:
        x: checked rows of a vector model, (N, D), or images, of which none is novel.
        manifest: the model's.
    """
    if isinstance(manifest.input, ImageSpec):
        return [[] for _ in x]
    cells = novel_cells(x, manifest).all
    names = manifest.input.names
    return [[] for _ in x] if cells is None else [[names[d] for d in np.flatnonzero(row)] for row in cells]
