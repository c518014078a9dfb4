"""Converts a column of times to numbers: keys that sort rows by time, and seconds whose differences tell gaps."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.tabular.cells import is_missing, plain, show
from vaekit.tabular.levels import finite_number_in

TimeIs = Literal["number", "timestamp"]
ACCEPTED = "such as 2024-03-14 or 2024-03-14T09:30:00+01:00"


def in_time(where: str, name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Sort keys of n cells, none of them missing, (n,): numbers and dates unchanged, ISO 8601 text as seconds.

    Other text is refused, because it would be sorted alphabetically: 03/01/2024 before 10/01/2023.

    Raises:
        InputError: a cell is not a time, or only some times have a time zone; the message names source, row, feature
            and value.
    """
    if values.dtype.kind in "biufMm":
        return values
    times = [_time(cell) for cell in values.tolist()]
    zoned = [isinstance(time, datetime) and time.tzinfo is not None for time in times]
    for row, (cell, time) in enumerate(zip(values.tolist(), times, strict=True)):
        if time is None or isinstance(time, float) != isinstance(times[0], float):
            what = f"not a number or an ISO 8601 time, {ACCEPTED}"
        elif zoned[row] != zoned[0]:
            what = f"has {'a' if zoned[row] else 'no'} time zone, unlike row 0"
        else:
            continue
        raise InputError(f"{where}: row {row}, feature {name!r}: {cell!r}: {what}")
    return np.array([time if isinstance(time, float) else _seconds(time) for time in times], dtype=np.float64)


def kind_of_time(values: NDArray[Any]) -> TimeIs:
    """What a column of times holds: numbers, or timestamps (dates, or text)."""
    if values.dtype.kind in "Mm":
        return "timestamp"
    return "timestamp" if any(isinstance(plain(cell), str | datetime) for cell in values[:1].tolist()) else "number"


def time_numbers(values: NDArray[Any], time_is: TimeIs, name: str, *, start: int = 0) -> NDArray[np.float64]:
    """Times as numbers, (n,): those of a column of numbers, or the seconds since 1970 of timestamps.

    A timestamp without a time zone is taken as UTC. Seconds are float64, which holds microseconds.

    Args:
        values: the cells, (n,); numbers may be text, as in a CSV file.
        time_is: what the column held in training.
        name: the column's name, for error messages.
        start: the number of the first row, for error messages.

    Raises:
        InputError: a cell is missing, or not of this kind; the message names row, column and value.
    """
    if values.dtype.kind == "M" and time_is == "timestamp":
        found = values.astype("datetime64[us]").astype(np.int64) / 1e6
        return _checked(np.where(np.isnat(values), np.nan, found), values, name, start)
    if values.dtype.kind in "iuf" and time_is == "number":
        return _checked(values.astype(np.float64), values, name, start)
    cells = values.tolist() if values.dtype.kind != "M" else values.astype(str).tolist()
    read = _number if time_is == "number" else _timestamp
    return np.array([_cell(cell, read, name, start + row) for row, cell in enumerate(cells)], dtype=np.float64)


def _checked(found: NDArray[np.float64], values: NDArray[Any], name: str, start: int) -> NDArray[np.float64]:
    bad = ~np.isfinite(found)
    if bad.any():
        row = int(bad.argmax())
        raise _refusal(values[row].item(), name, start + row, "not a finite time")
    return found


def _cell(cell: Any, read: Callable[[Any], float | None], name: str, row: int) -> float:
    cell = plain(cell)
    found = None if is_missing(cell) else read(cell)
    if found is None:
        kind = "a number" if read is _number else f"a date or an ISO 8601 time, {ACCEPTED}"
        raise _refusal(cell, name, row, f"not {kind}, as the first times of the training data")
    return found


def _refusal(cell: Any, name: str, row: int, what: str) -> InputError:
    missing = is_missing(cell) or (isinstance(cell, float) and np.isnan(cell))
    said = "missing value in the column of times" if missing else f"{show(cell)}: {what}"
    return InputError(f"row {row}, column {name!r}: {said}")


def _number(cell: Any) -> float | None:
    if isinstance(cell, str):
        return finite_number_in(cell)
    is_number = isinstance(cell, int | float) and not isinstance(cell, bool)
    return float(cell) if is_number and np.isfinite(cell) else None


def _timestamp(cell: Any) -> float | None:
    if isinstance(cell, np.datetime64):
        cell = cell.astype("datetime64[us]").item()
    time = cell if isinstance(cell, datetime) else _time(cell) if isinstance(cell, str) else None
    return _seconds(time) if isinstance(time, datetime) else None


def _time(cell: Any) -> datetime | float | None:
    if not isinstance(cell, str):
        return float(cell)
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None


def _seconds(time: datetime | None) -> float:
    """Seconds since 1970; a time without a time zone is taken as UTC, which does not change the order in a column."""
    assert time is not None
    return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).timestamp()
