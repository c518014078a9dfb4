"""Converts a column of times to keys that sort the rows by time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import InputError


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
            what = "not a number or an ISO 8601 time, such as 2024-03-14 or 2024-03-14T09:30:00+01:00"
        elif zoned[row] != zoned[0]:
            what = f"has {'a' if zoned[row] else 'no'} time zone, unlike row 0"
        else:
            continue
        raise InputError(f"{where}: row {row}, feature {name!r}: {cell!r}: {what}")
    return np.array([time if isinstance(time, float) else _seconds(time) for time in times], dtype=np.float64)


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
