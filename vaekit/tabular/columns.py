"""Matches the columns of the input with the model's columns, by name or by order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NoReturn

from vaekit.bundle.input_spec import VectorSpec
from vaekit.errors import InputError
from vaekit.tabular.cells import show


def duplicates(names: Sequence[str]) -> list[str]:
    """The names that occur more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


def refuse_duplicate_names(names: Sequence[str], where: str = "") -> None:
    """Check that no column name occurs twice.

    Raises:
        InputError: the message begins with `where` and lists all duplicate names.
    """
    if repeated := duplicates(names):
        raise InputError(f"{where}duplicate column name: {', '.join(map(repr, repeated))}")


def refuse_missing_columns(names: Sequence[str], spec: VectorSpec) -> None:
    """Check that a table has all columns of the model.

    Raises:
        InputError: the message lists all missing columns.
    """
    missing, _ = missing_and_unknown(names, spec)
    if missing:
        raise InputError(f"the input lacks {len(missing)} of the model's columns: {', '.join(map(repr, missing))}")


def missing_and_unknown(names: Sequence[str], spec: VectorSpec) -> tuple[list[str], list[str]]:
    """(names of the model's columns that the table lacks, names of the table's columns that the model lacks)."""
    here, known = set(names), set(spec.names)
    return [name for name in spec.names if name not in here], [name for name in names if name not in known]


def model_order(names: Sequence[str], spec: VectorSpec) -> list[int]:
    """The indices (D,) that put the columns of a table into the model's order.

    Raises:
        InputError: columns are missing, unknown, or duplicate.
    """
    missing, unknown = missing_and_unknown(names, spec)
    if missing or unknown:
        found = (("missing", missing), ("unknown", unknown))
        raise InputError("columns: " + "; ".join(f"{said}: {', '.join(map(repr, of))}" for said, of in found if of))
    if repeated := duplicates(names):
        raise InputError(f"columns: duplicate name {repeated[0]!r}")
    return [names.index(name) for name in spec.names]


def check_widths(rows: Sequence[Any], spec: VectorSpec) -> None:
    """Check that each row is a list with one cell for each column of the model.

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
    """Convert rows that map column names to cells into lists of cells in the model's column order.

    A row may omit columns that may be missing; their cells are None.

    Raises:
        InputError: a row is not a mapping, has an unknown column, or lacks a column that may not be missing.
    """
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(f"row {i}: expected an object with column names as keys, like row 0, not {show(row)}")
        if len(row) != spec.dim and not spec.may_be_missing:
            _refuse_keys(i, row, spec)
    if not spec.may_be_missing or all(len(row) == spec.dim for row in rows):
        pick = itemgetter(*spec.names) if spec.dim > 1 else lambda row: (row[spec.names[0]],)
        try:
            return list(map(pick, rows))
        except KeyError:
            pass
    return [_with_missing_cells(i, row, spec) for i, row in enumerate(rows)]


def _with_missing_cells(i: int, row: Mapping[Any, Any], spec: VectorSpec) -> list[Any]:
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
