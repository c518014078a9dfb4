"""Reads the intervals of pandas, which Arrow stores as pairs of their ends, as text; does not import pyarrow."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

PANDAS_INTERVAL = "pandas.interval"  # the name of their type in Arrow


def closed_end(field: Any) -> str | None:
    """On which side the intervals of an Arrow field are closed (left, right, both or neither); None: no intervals.

    The type tells it if pandas is imported, otherwise the metadata.
    """
    if getattr(field.type, "extension_name", "") == PANDAS_INTERVAL:
        return str(field.type.closed)
    metadata = field.metadata or {}
    if metadata.get(b"ARROW:extension:name") != PANDAS_INTERVAL.encode():
        return None
    return str(json.loads(metadata[b"ARROW:extension:metadata"])["closed"])


def texts(ends: Iterable[dict[str, Any] | None], closed: str) -> list[str | None]:
    """Intervals as text, such as '(0.5, 1.0]'; None for a missing one."""
    start, end = "[" if closed in ("left", "both") else "(", "]" if closed in ("right", "both") else ")"
    return [None if one is None else f"{start}{one['left']}, {one['right']}{end}" for one in ends]
