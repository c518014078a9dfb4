"""Reads the intervals of pandas, which Arrow stores as pairs of their ends, as text; does not import pyarrow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vaekit.tabular.arrow_extensions import pandas_parameter

PANDAS_INTERVAL = "pandas.interval"  # the name of their type in Arrow


def closed_end(field: Any) -> str | None:
    """On which side the intervals of an Arrow field are closed (left, right, both or neither); None: no intervals."""
    return pandas_parameter(field, PANDAS_INTERVAL, "closed")


def texts(ends: Iterable[dict[str, Any] | None], closed: str) -> list[str | None]:
    """Intervals as text, such as '(0.5, 1.0]'; None for a missing one."""
    start, end = "[" if closed in ("left", "both") else "(", "]" if closed in ("right", "both") else ")"
    return [None if one is None else f"{start}{one['left']}, {one['right']}{end}" for one in ends]
