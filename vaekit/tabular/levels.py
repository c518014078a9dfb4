"""Makes the names of a category's levels, and finds the level that a cell names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Column, ImageSpec, VectorSpec

_MAX_SHOWN = 10  # number of levels that a message lists
_BOOLEAN_SPELLINGS = {"true": ("true", "True", "TRUE"), "false": ("false", "False", "FALSE")}
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(Z|[-+]\d\d(?::?\d\d)?)?)?", re.ASCII
)
_DIGITS = re.compile(r"[-+]?\d+", re.ASCII)
_TIME_OF_DAY = re.compile(r"(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?", re.ASCII)
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|[-+]?(?:inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE)


def level_text(cell: str | bool | int | float) -> str:
    """The level that training makes of a cell: '1' for 1 and 1.0, 'true' for True, text unchanged."""
    if isinstance(cell, bool):
        return str(cell).lower()
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def number_in(text: str) -> float | None:
    """The number in a text, with or without blanks around it; None if the text is not a number, like 1_0 or 0x10."""
    text = text.strip()
    return float(text) if NUMBER.fullmatch(text) else None


def finite_number_in(text: str) -> float | None:
    """Like number_in, but None for numbers that are not finite."""
    number = number_in(text)
    return number if number is not None and np.isfinite(number) else None


def exact_number_in(text: str) -> int | float | None:
    """As finite_number_in, with a text of digits alone as an int, which keeps those that float64 cannot hold."""
    number = finite_number_in(text)
    return int(text) if number is not None and _DIGITS.fullmatch(text.strip()) else number


def level_index(cell: Any, column: Column) -> int | None:
    """The index of the level that a cell names; None if it names none.

    A cell names the level with exactly its text. If there is none, a number, or text that is a number, names the level
    of equal value ('01', '1.0' and 1 name the level '1'), and a time names the level that is the same moment. Whole
    numbers are compared exactly if some level has more digits than float64 holds.

    Args:
        cell: text, a boolean, or a Python number.
        column: a category.
    """
    known = level_indices(column)
    if not isinstance(cell, str | bool | int | float) or not (isinstance(cell, str) or is_finite(cell)):
        return None
    own = level_text(cell)
    if own in known or isinstance(cell, bool):
        return known.get(own)
    number = exact_number_in(cell) if isinstance(cell, str) else cell
    if number is not None and number not in known and not _has_long_levels(column):
        number = float(number)  # training may have read the levels as float64
    same = (number, _moment(cell) if isinstance(cell, str) else None)
    return next((known[spelling] for spelling in same if spelling is not None and spelling in known), None)


@lru_cache(maxsize=1024)
def level_indices(column: Column) -> dict[str | float, int]:
    """The index of each level by its text, and also by its number or moment if its text is a number or a time."""
    levels = column.levels or ()
    known: dict[str | float, int] = {}  # an int and a float of equal value are one key
    for i, level in enumerate(levels):
        number = exact_number_in(level)
        if number is not None and (number not in known or level == level_text(number)):
            known[number] = i
        if ":" in level and (moment := _moment(level)):  # a date without a time is a day, not its midnight
            known.setdefault(moment, i)
        for spelling in _BOOLEAN_SPELLINGS.get(level.lower(), ()):
            known.setdefault(spelling, i)
    return {**known, **{level: i for i, level in enumerate(levels)}}


@lru_cache(maxsize=1024)
def _has_long_levels(column: Column) -> bool:
    """Whether some level is a whole number that float64 does not hold."""
    numbers = map(exact_number_in, column.levels or ())
    return any(isinstance(number, int) and int(float(number)) != number for number in numbers)


def level_names(indices: Sequence[float] | NDArray[np.float64], column: Column) -> list[str]:
    """The names of levels by their indices."""
    levels = column.levels or ()
    return [levels[int(i)] for i in indices]


def level_slices(spec: VectorSpec | ImageSpec) -> dict[str, slice]:
    """For each category column, the slice of its levels among the levels of all categories, in column order."""
    slices: dict[str, slice] = {}
    start = 0
    for column in spec.columns if isinstance(spec, VectorSpec) and spec.has_categories else ():
        if column.levels is not None:
            slices[column.name] = slice(start, start + len(column.levels))
            start += len(column.levels)
    return slices


def not_a_level(column: Column) -> str:
    """What is wrong with a cell that names no level, for messages."""
    levels = column.levels or ()
    some = ", ".join(map(repr, levels[:_MAX_SHOWN])) + (", ..." if len(levels) > _MAX_SHOWN else "")
    return f"not one of its {len(levels)} levels ({some})"


def is_finite(number: float) -> bool:
    """Whether the number, which may be an integer of any size, is finite as float64."""
    try:
        return bool(np.isfinite(float(number)))
    except OverflowError:
        return False


def _moment(text: str) -> str | None:
    """The ISO time or time of day that the text is, in UTC and normalised; None if it is neither.

    Date and time are separated by a T or a blank. Omitted minutes and seconds are 0. A time without a zone is in UTC.
    """
    if of_day := _TIME_OF_DAY.fullmatch(text.strip()):
        return f"{of_day[1]}.{of_day[2] or '':0<9}"
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        return None
    date, hour, minute, second, fraction, zone = found.groups(default="")
    moment = f"{date}T{hour or '00'}:{minute or '00'}:{second or '00'}"
    return f"{_in_utc(moment, zone)}.{fraction:0<9}"


def _in_utc(moment: str, zone: str) -> str:
    if zone in ("", "Z"):
        return moment
    sign, hours, minutes = (-1 if zone[0] == "-" else 1), int(zone[1:3]), int(zone[-2:]) if len(zone) > 3 else 0
    try:
        local = datetime.fromisoformat(moment)
        return (local - sign * timedelta(hours=hours, minutes=minutes)).isoformat()
    except (ValueError, OverflowError):  # such as the 31st of June, or a moment before the year 1
        return f"{moment}{zone}"
