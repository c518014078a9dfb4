"""Makes Arrow tables of log entries. It imports pyarrow, so only a service with a score log imports it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Column, ImageSpec, VectorSpec
from vaekit.tabular.explained_cells import UNSEEN
from vaekit.tabular.novelty import joined_names
from vaekit_service.score_log.entry import Entry

INPUT = "input"  # the column of payloads

FIELDS = (
    pa.field("time", pa.timestamp("us", "UTC")),
    pa.field("request_id", pa.string()),
    pa.field("row", pa.int32()),  # of the request, from 0
    pa.field("id", pa.string()),  # the caller's; null if it sent none
    pa.field("model", pa.string()),
    pa.field("version", pa.int32()),
    pa.field("group", pa.string()),  # null without groups
    pa.field("group_pooled", pa.bool_()),
    pa.field("elbo", pa.float64()),
    pa.field("score", pa.float64()),  # -elbo: higher is more anomalous
    pa.field("p_value", pa.float64()),
    pa.field("alpha", pa.float64()),
    pa.field("is_anomaly", pa.bool_()),  # as answered
    pa.field("novel", pa.string()),  # names of the cells that make the row novel; null if it is not
    pa.field("num_samples", pa.int32()),
    pa.field("seed", pa.int64()),  # null: the default draws
    pa.field("precision", pa.string()),
)


def schema_of(spec: VectorSpec | ImageSpec, *, payloads: bool) -> pa.Schema:
    """The columns of the log of a model."""
    return pa.schema([*FIELDS, pa.field(INPUT, _input_type(spec))] if payloads else FIELDS)


def table_of(entries: Sequence[Entry], *, payloads: bool) -> pa.Table:
    """The rows of entries of one model version."""
    model = entries[0].model
    sizes = np.array([entry.n for entry in entries])
    each = np.repeat(np.arange(len(entries)), sizes)  # (N,), the entry of each row
    n = int(sizes.sum())
    manifest = model.manifest
    elbo = _floats(entries, "elbo")
    columns: dict[str, Any] = {
        "time": pa.array([entry.micros for entry in entries], pa.timestamp("us", "UTC")).take(pa.array(each)),
        "request_id": pa.array([entry.request_id for entry in entries], pa.string()).take(pa.array(each)),
        "row": np.arange(n) - (np.cumsum(sizes) - sizes)[each],
        "id": [None if one is None else str(one) for entry in entries for one in entry.ids or [None] * entry.n],
        "model": pa.repeat(pa.scalar(manifest.name), n),
        "version": np.full(n, manifest.version),
        "elbo": elbo,
        "score": -elbo,
        "p_value": _floats(entries, "p_value"),
        "alpha": pa.array([entry.alpha for entry in entries], pa.float64()).take(pa.array(each)),
        "num_samples": np.array([entry.num_samples for entry in entries])[each],
        "seed": pa.array([entry.seed for entry in entries], pa.int64()).take(pa.array(each)),
        "precision": pa.repeat(pa.scalar(model.precision), n),
        **{name: _objects(entries, name) for name in ("group", "group_pooled", "is_anomaly")},
        "novel": _novel(entries),
    }
    schema = schema_of(manifest.input, payloads=payloads)
    if payloads:
        x = np.concatenate([entry.inputs for entry in entries if entry.inputs is not None])
        columns[INPUT] = _inputs(x, manifest.input)
    arrays = [_array(columns[field.name], field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, kind, from_pandas=True)


def _floats(entries: Sequence[Entry], name: str) -> NDArray[np.float64]:
    """A figure of all rows, (N,), NaN where there is none."""
    parts = [getattr(entry, name) for entry in entries]
    if any(part is None for part in parts):
        parts = [np.full(entry.n, np.nan) if part is None else part for entry, part in zip(entries, parts, strict=True)]
    return np.concatenate(parts).astype(np.float64, copy=False)


def _objects(entries: Sequence[Entry], name: str) -> Any:
    """A text or flag of all rows, (N,), None where there is none."""
    parts = [getattr(entry, name) for entry in entries]
    if all(part is None for part in parts):
        return [None] * sum(entry.n for entry in entries)
    if not any(part is None for part in parts):
        return np.concatenate(parts)
    found: list[Any] = []
    for entry, part in zip(entries, parts, strict=True):
        found.extend([None] * entry.n if part is None else part.tolist())
    return found


def _novel(entries: Sequence[Entry]) -> list[str | None]:
    """The names of the cells that make each row novel, (N,); None for a row that is not."""
    found: list[str | None] = []
    for entry in entries:
        if entry.novel is None or (entry.n == 1 and not entry.novel[0]):  # the usual case
            found.extend([None] * entry.n)
        else:
            found.extend(joined_names(entry.novel.tolist()).tolist())
    return found


def _input_type(spec: VectorSpec | ImageSpec) -> pa.DataType:
    if isinstance(spec, ImageSpec):
        return pa.list_(pa.uint8(), prod(spec.row_shape))
    return pa.struct([(column.name, pa.float64() if column.levels is None else pa.string()) for column in spec.columns])


def _inputs(x: NDArray[Any], spec: VectorSpec | ImageSpec) -> pa.Array:
    """Checked rows as they were sent, (N,) of structs by column name, or of flat images."""
    if isinstance(spec, ImageSpec):
        return pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), prod(spec.row_shape))
    arrays = [_cells(values, column) for values, column in zip(x.T, spec.columns, strict=True)]
    return pa.StructArray.from_arrays(arrays, fields=list(_input_type(spec)))


def _cells(values: NDArray[np.float64], column: Column) -> pa.Array:
    """The cells of one column, (N,): numbers, or the names of levels; null where missing."""
    if column.levels is None:
        return pa.array(np.ascontiguousarray(values), pa.float64(), from_pandas=True)
    names = [*column.levels, UNSEEN]
    return pa.array([None if np.isnan(value) else names[int(value)] for value in values], pa.string())
