"""Finds suspicious data: values that dominate a column's scale, copies of rows, columns of nearly one value.

N rows, D columns.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.tabular.columns import listed
from vaekit_training.data.looks import excluding, is_id, kind_setting
from vaekit_training.data.rows import Rows
from vaekit_training.data.split import SPLITS, Splits

CELLS = 2**22  # of each split, that are looked at
FEW = 0.1  # share of a column's cells that may be far outside the others
FAR = 20.0  # interquartile ranges from the median; of normal data, 27 standard deviations
SENTINEL = re.compile(r"-?9{2,}(?:\.0|\.9+)?|65535|32767|-32768|2147483647|-2147483648|-?1e\+?(?:20|30|300)")
WIDER = 3.0  # by how much such cells widen the standard deviation, if they have one value
MUCH_WIDER = 20.0  # and if they have many, as in a heavy tail
NEARLY = 0.99  # share of one value in a column of nearly one value
COPIES = 0.1  # share of the held-out rows with a copy among the training rows
DISTINCT = 20  # values of a column that make copies of a row unlikely
MOST_COUNT = 1000  # of a column of counts; larger ones are as good as real numbers
SHOWN = 3  # cells that a message names

Floats = NDArray[np.float64]


def findings(rows: Rows, splits: Splits, kept: Container[str] = ()) -> list[str]:
    """One sentence for each suspicious property, with what to do about it.

    Args:
        rows: all rows.
        splits: of them.
        kept: columns whose kind is given, which may be ids or real counts.
    """
    return [*([] if rows.is_image else _columns(rows, splits, kept)), *_copies(rows, splits)]


def counts_as_real(rows: Rows, splits: Splits, kept: Container[str] = (), source: str = "") -> list[str]:
    """A remark on the columns of counts that are modelled as real numbers; none without any, or for windows.

    Args:
        rows: all rows, of a likelihood that takes counts.
        splits: of them.
        kept: columns whose kind is given.
        source: where the rows come from; 'memory': from Python.
    """
    if rows.is_image or rows.place is not None:
        return []
    x = np.asarray(rows.x[_some(rows, splits.train)], dtype=np.float64)  # (n, D)
    each = enumerate(zip(rows.columns, rows.kinds, strict=True))
    real = [(d, name) for d, (name, kind) in each if kind == "real" and name not in kept]
    counts = [name for d, name in real if _is_count(x[~np.isnan(x[:, d]), d])]
    if not counts:
        return []
    keep = kind_setting(counts[0], "count", source)
    return [
        "columns of counts that are modelled as real numbers, so that expected values may be "
        f"fractions and below 0: {listed(counts)}; {keep} models one as counts, with "
        "networks in place of kernels"
    ]


def constants(rows: Rows, splits: Splits, source: str = "") -> list[str]:
    """A remark on the columns with one value in all training rows; none without any, or for images.

    Args:
        rows: all rows.
        splits: of them.
        source: where the rows come from; 'memory': from Python.
    """
    if rows.is_image:
        return []
    x = np.asarray(rows.x[_some(rows, splits.train)], dtype=np.float64)  # (n, D)
    each = list(enumerate(rows.columns))[_first(rows) :]
    names = [name for d, name in each if len(np.unique(x[~np.isnan(x[:, d]), d])) == 1]
    if not names:
        return []
    leave_out = f"{excluding(names[0], source)} leaves {'it' if len(names) == 1 else 'one'} out"
    return [
        f"columns with one value in all training rows: {listed(names)}; they only tell a row with another value there, "
        f"which is an anomaly; {leave_out}"
    ]


def _first(rows: Rows) -> int:
    """The first column to look at: of windows only those of the last step."""
    return 0 if rows.place is None else len(rows.columns) - rows.place.window.dim


def _columns(rows: Rows, splits: Splits, kept: Container[str]) -> Iterator[str]:
    at = _some(rows, splits.train)
    x = np.asarray(rows.x[at], dtype=np.float64)  # (n, D)
    numbers = at if rows.streamed is None else None
    numbers = numbers if rows.place is None else rows.place.row[at]
    nearly, ids = [], []
    for d, (name, kind) in enumerate(zip(rows.columns, rows.kinds, strict=True)):
        if d < _first(rows) or kind not in ("real", "positive", "count"):
            continue
        there = ~np.isnan(x[:, d])
        if name not in kept and len(rows.columns) > 1 and is_id(name, x[there, d]):
            ids.append(name)
        elif said := _far(name, x[there, d], None if numbers is None else numbers[there]):
            yield said
        elif said := _nearly_constant(name, x[there, d]):
            nearly.append(said)
    if ids:
        yield (
            f"columns that look like ids, since their whole numbers all differ and are in order, without gaps or named "
            f"so: {', '.join(map(repr, ids))}; leave them out by data.exclude, or name their kind in data.kinds"
        )
    if nearly:
        yield (
            f"columns of numbers with nearly one value: {', '.join(nearly)}; the few other cells decide their scale. "
            "Leave out by data.exclude those that say little"
        )


def _some(rows: Rows, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    """The first rows of a split, as many as are looked at."""
    return numbers[: max(1, CELLS // int(np.prod(rows.x.shape[1:])))]


def _far(name: str, values: Floats, numbers: NDArray[np.intp] | None) -> str | None:
    """A sentence about a few cells (n,) so far outside the others that they take over the column's scale."""
    if len(values) < DISTINCT:
        return None
    with np.errstate(all="ignore"):  # differences of values near the largest float64 are infinite
        far = _few_far(values)
        far = _sentinels(values) if far is None else far
    if far is None:
        return None
    odd = np.unique(values[far])
    first = ", ".join(map(shortest, odd[:SHOWN])) + (", ..." if len(odd) > SHOWN else "")
    rows = [] if numbers is None else numbers[far].tolist()
    named = f"{', '.join(map(str, rows[:SHOWN]))}{', ...' if len(rows) > SHOWN else ''}"
    where = f" (row{'s' * (len(rows) > 1)} {named})" if rows else ""
    inside = values[~far]
    cells, lie, stretch, they = (
        ("1 cell", "lies", "stretches", "it") if far.sum() == 1 else (f"{far.sum()} cells", "lie", "stretch", "them")
    )
    return (
        f"column {name!r}: {cells} of {first}{where} {lie} far outside the others ({inside.min():g} to "
        f"{inside.max():g}) and {stretch} the column's scale: {_what_to_do(odd, first, they)}"
    )


def _what_to_do(odd: Floats, first: str, they: str) -> str:
    """What to do about cells far outside with these different values; `first` names the first ones."""
    meaning = f'{"it means" if they == "it" else "they mean"} "missing"'
    empty = f"set data.missing_values = [{first}]" if len(odd) <= SHOWN else f"empty {they}"
    if all(SENTINEL.fullmatch(shortest(value)) for value in odd):
        return f"{empty} if {meaning}; if not, correct {they}"
    return f"correct {they} if wrong, or {empty} if {meaning}"


def _few_far(values: Floats) -> NDArray[np.bool_] | None:
    """A few cells, (n,), so many interquartile ranges from the median that they widen the standard deviation."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    far = np.abs(values - middle) > FAR * (high - low)
    if not far.any() or high == low or far.mean() > FEW:
        return None
    centred = np.clip(values - middle, -1e150, 1e150)
    wider = centred.std() / centred[~far].std()
    count = np.unique(values[far], return_counts=True)[1]
    return far if wider > (WIDER if count.max() == far.sum() and far.sum() > 1 else MUCH_WIDER) else None


def _sentinels(values: Floats) -> NDArray[np.bool_] | None:
    """Any number of cells, (n,), with one value such as -999 that is farther from all others than these differ."""
    for value in (values.min(), values.max()):
        at = values == value
        others = values[~at]
        if at.sum() < 2 or not SENTINEL.fullmatch(shortest(value)) or len(np.unique(others)) < 3:
            continue
        if np.abs(others - value).min() > others.max() - others.min():
            return at
    return None


def shortest(value: float) -> str:
    """The shortest text of a number, as float32 if that holds it: '-999.9' of a column of float32."""
    with np.errstate(over="ignore"):
        narrow = np.float32(value)
    return f"{narrow if float(narrow) == value else value!s}".removesuffix(".0")


def _is_count(values: Floats) -> bool:
    """Whether numbers (n,) are counts from 0 or 1 with few gaps, three different ones at least, none of them large."""
    if len(values) < DISTINCT or values.min() not in (0, 1) or values.max() > MOST_COUNT:
        return False
    if (values != np.trunc(values)).any():
        return False
    found = len(np.unique(values))
    return found >= 3 and 2 * found > values.max()


def _nearly_constant(name: str, values: Floats) -> str | None:
    """The column, if it has nearly one value."""
    if len(values) < DISTINCT:
        return None
    found, count = np.unique(values, return_counts=True)
    share = count.max() / len(values)
    if len(found) == 1 or share < NEARLY:
        return None
    return f"{name!r} ({share:.1%} of its cells are {found[count.argmax()]:g})"


def _copies(rows: Rows, splits: Splits) -> Iterator[str]:
    """A sentence if many held-out rows are copies of training rows."""
    calibration = np.concatenate(splits.folds[:1]) if splits.folds else splits.calibration
    train = np.setdiff1d(splits.train, calibration) if splits.folds else splits.train
    known = rows.x[_some(rows, train)]
    if not rows.is_image and not _is_fine(known):
        return  # equal rows are to be expected
    seen = {row.tobytes() for row in _comparable(known)}
    held_out = _comparable(rows.x[_some(rows, calibration)])
    copies = sum(row.tobytes() in seen for row in held_out)
    share = copies / len(held_out)
    if share >= COPIES and copies > 1:
        others = "the other folds" if splits.folds else f"the {SPLITS[0]} split"
        yield (
            f"{share:.0%} of the calibration rows are copies of rows in {others}: if they are not independent "
            f"observations, p-values do not hold. Remove the copies, or keep those of one object together by "
            f"data.split = 'group:COLUMN'"
        )


def _is_fine(x: NDArray[np.float64]) -> bool:
    """Whether equal rows (n, D) are unlikely: in two columns or more, most values differ from most others."""
    distinct = np.array([len(np.unique(column)) for column in np.asarray(x).T])
    return bool((distinct >= DISTINCT).sum() >= min(2, x.shape[1]))


def _comparable(x: NDArray[Any]) -> NDArray[Any]:
    """Rows whose bytes are equal if their values are."""
    return np.ascontiguousarray(x + 0.0 if x.dtype.kind == "f" else x)  # -0.0 becomes 0.0; NaN is always the same one
