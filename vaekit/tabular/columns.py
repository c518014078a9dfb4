"""Matches columns to the model's by name and order, and checks the width of rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NoReturn

from vaekit.bundle.input_spec import VectorSpec
from vaekit.errors import InputError
from vaekit.tabular.cells import show


def named_twice(names: Sequence[str]) -> list[str]:
    """The names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def refuse_twins(names: Sequence[str], where: str = "") -> None:
    """Refuse two columns of one name.

    Raises:
        InputError: the message begins with `where` and lists all such names.
    """
    if twice := named_twice(names):
        raise InputError(f"{where}two columns of one name: {', '.join(map(repr, twice))}")


def refuse_missing_columns(names: Sequence[str], spec: VectorSpec) -> None:
    """Refuse a table without all columns of the model; the message lists all that are missing."""
    missing, _ = unlike(names, spec)
    if missing:
        raise InputError(f"the input lacks {len(missing)} of the model's columns: {', '.join(map(repr, missing))}")


def unlike(names: Sequence[str], spec: VectorSpec) -> tuple[list[str], list[str]]:
    """(the model's columns that are not in the table, the table's columns that are not in the model)."""
    here, known = set(names), set(spec.names)
    return [name for name in spec.names if name not in here], [name for name in names if name not in known]


def places(names: Sequence[str], spec: VectorSpec) -> list[int]:
    """The index in the table of each column of the model, (D,), in the model's order.

    Raises:
        InputError: columns that are missing, unknown, or duplicated.
    """
    missing, unknown = unlike(names, spec)
    if missing or unknown:
        found = (("missing", missing), ("unknown", unknown))
        raise InputError("columns: " + "; ".join(f"{said}: {', '.join(map(repr, of))}" for said, of in found if of))
    if twice := named_twice(names):
        raise InputError(f"columns: two are named {twice[0]!r}")
    return [names.index(name) for name in spec.names]


def check_widths(rows: Sequence[Any], spec: VectorSpec) -> None:
    """Refuse a row that is not a list with one cell for each column of the model.

    Raises:
        InputError: the message names the row.
    """
    try:
        widths = set(map(len, rows))
    except TypeError:
        row = next(i for i, r in enumerate(rows) if not hasattr(r, "__len__"))
        raise InputError(f"row {row}: expected a list of {spec.dim} numbers, not {show(rows[row])}") from None
    if widths != {spec.dim}:
        row = next(i for i, r in enumerate(rows) if len(r) != spec.dim)
        raise InputError(f"row {row}: {len(rows[row])} values, expected {spec.dim}")


def in_column_order(rows: Sequence[Any], spec: VectorSpec) -> list[Sequence[Any]]:
    """Mappings by column name as lists of cells in column order; None for a column without a key that may be missing.

    Raises:
        InputError: a row that is not a mapping, an unknown column, or a missing column that may not be missing.
    """
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(f"row {i}: expected an object by column name, as in row 0, not {show(row)}")
        if len(row) != spec.dim and not spec.may_be_missing:
            _refuse_keys(i, row, spec)
    if not spec.may_be_missing or all(len(row) == spec.dim for row in rows):
        pick = itemgetter(*spec.names) if spec.dim > 1 else lambda row: (row[spec.names[0]],)
        try:
            return list(map(pick, rows))
        except KeyError:
            pass
    return [_with_gaps(i, row, spec) for i, row in enumerate(rows)]


def _with_gaps(i: int, row: Mapping[Any, Any], spec: VectorSpec) -> list[Any]:
    absent = [column for column in spec.columns if column.name not in row]
    if len(row) + len(absent) != spec.dim or not all(column.may_be_missing for column in absent):
        _refuse_keys(i, row, spec)
    return [row.get(name) for name in spec.names]


def _refuse_keys(i: int, row: Mapping[Any, Any], spec: VectorSpec) -> NoReturn:
    unknown = [key for key in row if key not in set(spec.names)]
    if unknown:
        known = ", ".join(spec.names)[:200]
        raise InputError(f"row {i}: unknown feature {show(unknown[0])}; known features: {known}")
    missing = next(column.name for column in spec.columns if column.name not in row and not column.may_be_missing)
    raise InputError(f"row {i}, feature {missing!r}: missing")
