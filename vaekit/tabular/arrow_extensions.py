"""Reads the types that pandas adds to Arrow; does not import pyarrow."""

from __future__ import annotations

import json
from typing import Any


def pandas_parameter(field: Any, type_name: str, parameter: str) -> str | None:
    """A parameter of a field's pandas type, such as 'closed' of 'pandas.interval'; None: the field has another type.

    The type tells it if pandas is imported, otherwise the metadata.
    """
    if getattr(field.type, "extension_name", "") == type_name:
        return str(getattr(field.type, parameter))
    metadata = field.metadata or {}
    if metadata.get(b"ARROW:extension:name") != type_name.encode():
        return None
    return str(json.loads(metadata[b"ARROW:extension:metadata"])[parameter])
