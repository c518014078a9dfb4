"""Turns scores into the columns that scoring appends.

A column comes from the attribute of the scores with its name, or from the cells of an explanation.
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
NOVEL = pa.field("novel", pa.string())  # names of the cells that make the row novel; null if it is not; tables only
# Columns of the rules that removed the row's alarm; null if none did; only with tolerance rules.
TOLERATED = pa.field("tolerated", pa.string())
OBSERVED = pa.field("observed_count", pa.int64())  # only for models in which a column may be missing
# Only for models that are calibrated by group: the group that the row was compared with, and whether it is larger than
# the row's own group, because that has too few calibration rows.
GROUP = (pa.field("group", pa.string()), pa.field("group_pooled", pa.bool_()))
# Only if a false-discovery rate is requested; the values are known once all rows are scored.
DISCOVERY = pa.field("is_discovery", pa.bool_())
VERDICTS = ("p_value", "p_value_tail", "is_anomaly")  # null in rows without a p-value


class Scored(Protocol):
    """Scores of n rows."""

    @property
    def unknown(self) -> NDArray[np.bool_] | None:
        """Rows without a p-value, (n,)."""

    @property
    def explanation(self) -> NDArray[Any] | None:
        """The most anomalous cells of each row, (n, k) of CELL."""

    def __len__(self) -> int: ...


def appended_for(
    spec: VectorSpec | ImageSpec, explain: int | None = None, *, rules: bool = False, grouped: bool = False
) -> pa.Schema:
    """The columns that scoring appends for this input.

    Args:
        spec: the model's input.
        explain: number of cells to explain per row; None: no explanation.
        rules: whether there are tolerance rules.
        grouped: whether the model is calibrated by group.
    """
    groups, tolerated = GROUP if grouped else (), [TOLERATED] if rules else []
    reasons = [] if explain is None else reason_fields(explain)
    novel = [NOVEL] if isinstance(spec, VectorSpec) else []
    observed = [OBSERVED] if spec.may_be_missing else []
    return pa.schema([*APPENDED, *groups, *tolerated, *novel, *observed, *reasons])


def appended_columns(scores: Scored, fields: Sequence[pa.Field], spec: VectorSpec | ImageSpec) -> list[pa.Array]:
    """One array (n,) per field."""
    cells = {} if scores.explanation is None else reason_columns(scores.explanation, spec)
    return [cells[field.name] if field.name in cells else _column(scores, field) for field in fields]


def of_steps(columns: Sequence[pa.Array], at: NDArray[np.intp], total: int) -> list[pa.Array]:
    """Columns of n windows as columns of `total` time steps, null where no window ends; at: the step of each (n,)."""
    if len(at) == total:
        return list(columns)
    places = np.full(total, -1, dtype=np.int64)
    places[at] = np.arange(len(at))
    index = pa.array(places, mask=places < 0)
    return [column.take(index) for column in columns]


def _column(scores: Scored, field: pa.Field) -> pa.Array:
    """(n,): null if the scores do not have the field, and a verdict is null in rows without a p-value."""
    values: Any = getattr(scores, field.name)
    if values is None:
        return pa.nulls(len(scores), field.type)
    mask = scores.unknown if field.name in VERDICTS else None
    return pa.array(np.asarray(values), type=field.type, mask=mask, from_pandas=False)
