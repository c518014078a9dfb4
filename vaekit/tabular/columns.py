"""Columns by name: which are there, in which order, and how wide a row is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NoReturn

from vaekit.bundle.input_spec import VectorSpec
from vaekit.errors import InputError
from vaekit.tabular.cells import show


def named_twice(names: Sequence[str]) -> list[str]:
    """Names that more than one column has."""
    return [name for name, count in Counter(names).items() if count > 1]


def refuse_twins(names: Sequence[str], where: str = "") -> None:
    """Refuse two columns of one name; all such names are listed.

    Raises:
        InputError: it begins with `where`.
    """
    if twice := named_twice(names):
        raise InputError(f"{where}two columns of one name: {', '.join(map(repr, twice))}")


def refuse_missing_columns(names: Sequence[str], spec: VectorSpec) -> None:
    """Refuse a table that lacks columns of the model; all of them are listed."""
    missing, _ = unlike(names, spec)
    if missing:
        raise InputError(f"the input lacks {len(missing)} of the model's columns: {', '.join(map(repr, missing))}")


def unlike(names: Sequence[str], spec: VectorSpec) -> tuple[list[str], list[str]]:
    """(the model's columns that a table lacks, the table's that the model has not)."""
    here, known = set(names), set(spec.names)
    return [name for name in spec.names if name not in here], [name for name in names if name not in known]


def places(names: Sequence[str], spec: VectorSpec) -> list[int]:
    """Where a table has the model's columns and no others, (D,), in the model's order.

    Raises:
        InputError: columns that are missing, unknown, or there twice.
    """
    missing, unknown = unlike(names, spec)
    if missing or unknown:
        found = (("missing", missing), ("unknown", unknown))
        raise InputError("columns: " + "; ".join(f"{said}: {', '.join(map(repr, of))}" for said, of in found if of))
    if twice := named_twice(names):
        raise InputError(f"columns: two are named {twice[0]!r}")
    return [names.index(name) for name in spec.names]


def check_widths(rows: Sequence[Any], spec: VectorSpec) -> None:
    """Refuse a row that is no list of as many cells as the model has columns.

    Raises:
        InputError: the row is named.
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
    """Mappings by column name as lists of cells; None where a column that may be missing has no key.

    Raises:
        InputError: a row that is no mapping, an unknown column, or one that is missing and may not be.
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
        raise InputError(f"row {i}: unknown feature {show(unknown[0])}")
    missing = next(column.name for column in spec.columns if column.name not in row and not column.may_be_missing)
    raise InputError(f"row {i}, feature {missing!r}: missing")
