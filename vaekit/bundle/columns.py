"""What a cell of a column may be, by the column's kind. Knows columns of the input spec, not rows and not callers.

Cells are float64: a missing one is NaN, a category is the index of its level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.manifest import Column, ImageSpec, VectorSpec

Floats = NDArray[np.float64]
_SHOWN = 10  # levels that a message lists
_TRUTH = {"true": ("true", "True", "TRUE"), "false": ("false", "False", "FALSE")}


def _of_a_level(v: Floats, column: Column) -> NDArray[np.bool_]:
    good: NDArray[np.bool_] = (v >= 0) & (v < len(column.levels or ())) & (v == np.trunc(v))
    return good


# What a value of the kind is, and what is said of one that is not. NaN is none of them; it is looked at apart.
_RULES: dict[str, tuple[Callable[[Floats, Column], NDArray[np.bool_]], str]] = {
    "positive": (lambda v, _: v > 0, "not above 0"),
    "count": (lambda v, _: (v >= 0) & (v == np.trunc(v)), "not a whole number of at least 0"),
    "fraction": (lambda v, _: (v >= 0) & (v <= 1), "not between 0 and 1"),
    "binary": (lambda v, _: (v == 0) | (v == 1), "not 0 or 1"),
    "category": (_of_a_level, "not the index of a level"),
}


def first_fault(values: Floats, column: Column) -> tuple[int, str] | None:
    """Where the first value is that the column does not take, and what is wrong with it; None where there is none.

    Args:
        values: (N,); NaN where a cell is missing.
        column: what they are values of.
    """
    finite = np.isfinite(values)
    fine = finite | (np.isnan(values) & column.may_be_missing)
    if not fine.all():
        return int(fine.argmin()), "not finite"
    if column.kind == "real":
        return None
    rule, said = _RULES[column.kind]
    with np.errstate(invalid="ignore"):
        good = rule(values, column) | ~finite
    return None if good.all() else (int(good.argmin()), said)


@lru_cache(maxsize=1024)
def level_indices(column: Column) -> dict[str | float, int]:
    """A level's index by its text, and by its number where the text is a numeral: 1 and 1.0 are the level '1'."""
    levels = column.levels or ()
    known: dict[str | float, int] = {}
    for i, level in enumerate(levels):
        number = as_number(level)
        if number is not None:
            known.setdefault(number, i)
        for spelling in _TRUTH.get(level.lower(), ()):
            known.setdefault(spelling, i)
    return {**known, **{level: i for i, level in enumerate(levels)}}


def as_number(text: str) -> float | None:
    """The finite number that the text is, or None where it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def level_index(cell: Any, column: Column) -> int | None:
    """The index of the level that a cell names, by its text or, where the text is a numeral, by the number.

    None where it names no level.
    """
    known = level_indices(column)
    if isinstance(cell, bool | np.bool_):  # True is 1 to a dictionary
        return known.get(str(cell))
    if isinstance(cell, np.integer | np.floating):
        cell = cell.item()
    return known.get(cell) if isinstance(cell, str | int | float) else None


def level_names(indices: Sequence[float] | Floats, column: Column) -> list[str]:
    """The levels that the indices stand for."""
    levels = column.levels or ()
    return [levels[int(i)] for i in indices]


def level_slices(spec: VectorSpec | ImageSpec) -> dict[str, slice]:
    """Where the levels of each category lie among all levels of all of them, by column, in column order."""
    slices: dict[str, slice] = {}
    start = 0
    for column in spec.columns if isinstance(spec, VectorSpec) else ():
        if column.levels is not None:
            slices[column.name] = slice(start, start + len(column.levels))
            start += len(column.levels)
    return slices


def not_a_level(column: Column) -> str:
    """What is said of a cell that names no level."""
    levels = column.levels or ()
    some = ", ".join(map(repr, levels[:_SHOWN])) + (", ..." if len(levels) > _SHOWN else "")
    return f"not one of its {len(levels)} levels ({some})"
