"""What a cell of a column may be, by the column's kind. Knows columns of the input spec, not rows and not callers.

Cells are float64: a missing one is NaN, a category is the index of its level.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.manifest import Column, ImageSpec, VectorSpec

Floats = NDArray[np.float64]
_SHOWN = 10  # levels that a message lists
_TRUTH = {"true": ("true", "True", "TRUE"), "false": ("false", "False", "FALSE")}
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?Z?)?", re.ASCII)


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


def faults_of(values: Floats, column: Column) -> Iterator[tuple[NDArray[np.bool_], str]]:
    """Which values the column does not take, (N,) each, and what is wrong with those.

    Args:
        values: (N,); NaN where a cell is missing.
        column: what they are values of.
    """
    finite = np.isfinite(values)
    fine = finite | (np.isnan(values) & column.may_be_missing)
    if not fine.all():
        yield ~fine, "not finite"
    if column.kind == "real":
        return
    rule, said = _RULES[column.kind]
    with np.errstate(invalid="ignore"):
        good = rule(values, column) | ~finite
    if not good.all():
        yield ~good, said


def first_fault(values: Floats, column: Column) -> tuple[int, str] | None:
    """Where the first value is that the column does not take, and what is wrong with it; None where there is none."""
    return next(((int(bad.argmax()), what) for bad, what in faults_of(values, column)), None)


@lru_cache(maxsize=1024)
def level_indices(column: Column) -> dict[str | float, int]:
    """A level's index by its text, and by its number or moment where the text is one: 1 and 1.0 are the level '1'."""
    levels = column.levels or ()
    known: dict[str | float, int] = {}
    for i, level in enumerate(levels):
        number = as_number(level)
        if number is not None:
            known.setdefault(number, i)
        if ":" in level and (moment := _as_moment(level)):  # a date alone is a day, not its midnight
            known.setdefault(moment, i)
        for spelling in _TRUTH.get(level.lower(), ()):
            known.setdefault(spelling, i)
    return {**known, **{level: i for i, level in enumerate(levels)}}


def as_number(text: str) -> float | None:
    """The finite number that the text is, or None where it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) and "_" not in text else None  # 1_0 is a number to Python alone


def _as_moment(text: str) -> str | None:
    """The ISO time that the text is, in one spelling for each moment; None where it is none.

    Between date and time is a T or a blank; what is left out at the end is 0.
    """
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        return None
    date, hour, minute, second, fraction = found.groups(default="")
    return f"{date}T{hour or '00'}:{minute or '00'}:{second or '00'}.{fraction:0<9}"


def level_index(cell: Any, column: Column) -> int | None:
    """The index of the level that a cell names, by its text or, where that is a number or a time, by what it is.

    '1', '01', '1.0' and 1 name the level '1', unless another has that very text. None where it names no level.
    """
    known = level_indices(column)
    if isinstance(cell, bool | np.bool_):  # True is 1 to a dictionary
        return known.get(str(cell))
    if isinstance(cell, np.integer | np.floating):
        cell = cell.item()
    if not isinstance(cell, str) or cell in known:
        return known.get(cell) if isinstance(cell, str | int | float) else None
    same = (as_number(cell), _as_moment(cell))
    return next((known[spelling] for spelling in same if spelling is not None and spelling in known), None)


def level_names(indices: Sequence[float] | Floats, column: Column) -> list[str]:
    """The levels that the indices stand for."""
    levels = column.levels or ()
    return [levels[int(i)] for i in indices]


def level_slices(spec: VectorSpec | ImageSpec) -> dict[str, slice]:
    """Where the levels of each category lie among all levels of all of them, by column, in column order."""
    slices: dict[str, slice] = {}
    start = 0
    for column in spec.columns if isinstance(spec, VectorSpec) and spec.has_categories else ():
        if column.levels is not None:
            slices[column.name] = slice(start, start + len(column.levels))
            start += len(column.levels)
    return slices


def not_a_level(column: Column) -> str:
    """What is said of a cell that names no level."""
    levels = column.levels or ()
    some = ", ".join(map(repr, levels[:_SHOWN])) + (", ..." if len(levels) > _SHOWN else "")
    return f"not one of its {len(levels)} levels ({some})"
