"""Reads the periods of pandas (a month, a quarter), which Arrow stores as their number since 1970, as dates."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.tabular.arrow_extensions import pandas_parameter

PANDAS_PERIOD = "pandas.period"  # the name of their type in Arrow
_UNITS = {"M": "M", "D": "D", "h": "h", "H": "h", "min": "m", "T": "m", "s": "s", "S": "s", "ms": "ms", "us": "us"}
_UNITS |= {"Q": "3M", "Q-DEC": "3M", "Y": "Y", "Y-DEC": "Y", "A": "Y", "A-DEC": "Y", "ns": "ns"}  # of numpy's dates


def frequency(field: Any) -> str | None:
    """The frequency of the periods of an Arrow field, such as 'M'; None: no periods."""
    return pandas_parameter(field, PANDAS_PERIOD, "freq")


def dates(numbers: NDArray[Any], missing: NDArray[np.bool_], freq: str) -> NDArray[Any]:
    """The first day or moment of each period, (n,); for frequencies that numpy's dates do not have, a text.

    Args:
        numbers: of the periods since 1970, (n,) integers.
        missing: which of them are missing, (n,).
        freq: the frequency, as pandas writes it.
    """
    unit = _UNITS.get(re.sub(r"^\d+", "", freq))  # a period of 2 months has the number of its first month
    if unit is not None:
        found: NDArray[Any] = np.where(missing, 0, numbers).astype(np.int64).view(f"M8[{unit}]").copy()
        found[missing] = np.datetime64("NaT")
        return found
    return np.array(
        [None if lost else f"{freq} {number}" for number, lost in zip(numbers.tolist(), missing, strict=True)],
        dtype=object,
    )
