"""The columns that scoring appends, and how scores become their cells.

A scorer says which columns it appends; each is an array of its name in the scores, a property of them, or
a field of the cells that explain them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.scoring.explanation_columns import reason_columns, reason_fields

APPENDED = pa.schema(
    [
        ("elbo", pa.float64()),
        ("log_likelihood", pa.float64()),
        ("kl", pa.float64()),
        ("score", pa.float64()),
        ("p_value", pa.float64()),
        ("p_value_tail", pa.float64()),
        ("is_anomaly", pa.bool_()),
    ]
)
OBSERVED = pa.field("observed_count", pa.int64())  # where any column may be missing
DISCOVERY = pa.field("is_discovery", pa.bool_())  # where a false-discovery rate is asked for; known when all is scored
VERDICTS = ("p_value", "p_value_tail", "is_anomaly")  # of which a row may have none where others do


class Scored(Protocol):
    """Scores of rows."""

    @property
    def unknown(self) -> NDArray[np.bool_] | None:
        """Rows without a verdict, (n,)."""

    @property
    def explanation(self) -> NDArray[Any] | None:
        """Their oddest cells, (n, k) of CELL."""

    def __len__(self) -> int: ...


def appended_for(spec: VectorSpec | ImageSpec, explain: int | None = None) -> pa.Schema:
    """What every scorer of a model with such an input appends, where it explains so many cells of each row."""
    reasons = [] if explain is None else reason_fields(explain)
    return pa.schema([*APPENDED, *([OBSERVED] if spec.may_be_missing else []), *reasons])


def appended_columns(scores: Scored, fields: Sequence[pa.Field], spec: VectorSpec | ImageSpec) -> list[pa.Array]:
    """The columns of these fields, (n,) each."""
    odd = {} if scores.explanation is None else reason_columns(scores.explanation, spec)
    return [odd[field.name] if field.name in odd else _column(scores, field) for field in fields]


def _column(scores: Scored, field: pa.Field) -> pa.Array:
    """(n,): null where the scores lack it, and where a row has no verdict."""
    values: Any = getattr(scores, field.name)
    if values is None:
        return pa.nulls(len(scores), field.type)
    mask = scores.unknown if field.name in VERDICTS else None
    return pa.array(np.asarray(values), type=field.type, mask=mask, from_pandas=False)
