"""Writes an answer as an Arrow stream of one batch.

This file imports pyarrow, so codec.py imports it on first use only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.bundle.input_spec import Column, ImageSpec, VectorSpec
from vaekit.tabular.explained_cells import feature_name
from vaekit.tabular.levels import level_slices
from vaekit_service.codecs.reply_headers import headers
from vaekit_service.messages import NULL_WITHOUT_WINDOW, Answer

_BY_COLUMN = {"mean", "scale", "df", "samples", "feature_log_likelihood"}  # (N, D) for models of tables
_VERDICT = {"p_value", "p_value_tail", "is_anomaly", "is_discovery"}  # null for rows without a p-value
_NULLS = {  # types of fields that may be null for the whole reply, so that the schema is always the same
    **dict.fromkeys(("log_evidence", "p_value", "p_value_tail"), pa.float64()),
    **dict.fromkeys(("is_anomaly", "is_discovery"), pa.bool_()),
}


def write_stream(answer: Answer) -> bytes:
    """An Arrow stream with one column per array of the JSON reply, with the same names and nulls.

    An array (N,) becomes a plain column and (N, Z) a fixed_size_list. An array with more axes becomes a
    fixed_shape_tensor: pyarrow returns it in its shape; readers that do not know the type see a fixed_size_list, with
    the shape in the field's metadata. An array (N, D) over the columns of a table becomes a struct by column name,
    which can be sent back as a table; a category becomes a dictionary of its levels. Facts about the whole reply are in
    the schema's metadata.
    """
    columns = {name: _column(name, a, answer) for name, a in answer.rows.items()}
    if answer.ids is not None:
        columns = {"id": pa.array(_same_type(answer.ids)), **columns}
    if answer.reports:
        columns = _with_invalid(columns, answer)
    batch = pa.record_batch(list(columns.values()), names=list(columns)).replace_schema_metadata(headers(answer))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _same_type(ids: Sequence[Any]) -> list[Any]:
    """Ids of one type: integers if all are, else text."""
    if any(isinstance(one, str) for one in ids):
        return [None if one is None else str(one) for one in ids]
    return list(ids)


def _with_invalid(columns: Mapping[str, pa.Array], answer: Answer) -> dict[str, pa.Array]:
    """The columns with null in the places of invalid rows, and their reasons in the column `error`."""
    reasons = {one.row: str(one) for one in answer.invalid}
    valid = iter(range(answer.n))
    at = pa.array([None if row in reasons else next(valid) for row in range(answer.total)], pa.int64())
    spread = {name: column.take(at) for name, column in columns.items()} if reasons else dict(columns)
    return {**spread, "error": pa.array([reasons.get(row) for row in range(answer.total)], pa.string())}


def _column(name: str, a: NDArray[Any] | None, answer: Answer) -> pa.Array:
    spec, p_value = answer.spec, answer.rows.get("p_value")
    if a is None:
        return pa.nulls(answer.n, _NULLS.get(name, pa.null()))
    if name in ("novel", "tolerated"):
        return pa.array(a.tolist(), pa.list_(pa.string()))
    if name in _VERDICT and p_value is not None:
        return pa.array(a, mask=np.isnan(p_value))
    if name == "probabilities":
        return _struct({column: _block(a[:, at]) for column, at in level_slices(spec).items()})
    if name in _BY_COLUMN and isinstance(spec, VectorSpec):
        named = name in ("mean", "samples")
        return _struct({c.name: _cells(a[:, d], c, named=named) for d, c in enumerate(spec.columns)})
    if name == "similar":
        return _similar(a, spec)
    if answer.unscored is not None and name in NULL_WITHOUT_WINDOW:
        return pa.array(a, mask=answer.unscored)
    return _explained(a, spec) if name == "explanation" else _block(a)


def _explained(cells: NDArray[Any], spec: VectorSpec | ImageSpec) -> pa.Array:
    """Explained cells (N, k) as one list of structs per row. Levels are indices, because a field has one type."""
    exists = cells["feature"] >= 0  # (N, k); rows may have fewer than k cells
    flat = cells[exists]
    names = pa.array([feature_name(int(d), spec) for d in flat["feature"]], pa.string())
    fields = [name for name in flat.dtype.names or () if name != "feature"]
    numbers = {name: pa.array(flat[name], from_pandas=True) for name in fields}  # NaN is null
    offsets = np.concatenate([[0], np.cumsum(exists.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), _struct({"feature": names, **numbers}))


def _similar(records: NDArray[Any], spec: VectorSpec | ImageSpec) -> pa.Array:
    """Similar rows (N, k) as one list of structs per row, with the values as a struct by column name."""
    assert isinstance(spec, VectorSpec)  # a kernel prior is for columns
    exists = records["row"] >= 0  # (N, k); a time step without a window has none
    flat = records[exists]
    offsets = np.concatenate([[0], np.cumsum(exists.sum(axis=1))]).astype(np.int32)
    values = {column.name: _known(flat["values"][:, d], column) for d, column in enumerate(spec.columns)}
    fields = {"row": pa.array(flat["row"]), "weight": pa.array(flat["weight"]), "values": _struct(values)}
    return pa.ListArray.from_arrays(pa.array(offsets), _struct(fields))


def _known(values: NDArray[Any], column: Column) -> pa.Array:
    """Cells (N,) of training rows, NaN for missing ones; those of a category by the names of its levels."""
    if column.levels is None:
        return pa.array(values, from_pandas=True)
    missing = np.isnan(values)
    index = pa.array(np.where(missing, 0, values).astype(np.int32), mask=missing)
    return pa.DictionaryArray.from_arrays(index, pa.array(column.levels, pa.string()))


def _cells(values: NDArray[Any], column: Column, *, named: bool) -> pa.Array:
    """Values (N,) as a column; if `named`, those of a category column by the names of its levels."""
    if named and column.levels is not None:
        return pa.DictionaryArray.from_arrays(values.astype(np.int32), pa.array(column.levels, pa.string()))
    return _block(values)


def _struct(fields: Mapping[str, pa.Array]) -> pa.Array:
    return pa.StructArray.from_arrays(list(fields.values()), names=list(fields))


def _block(a: NDArray[Any]) -> pa.Array:
    """An array (N, ...) as a column."""
    flat = pa.array(np.ascontiguousarray(a).reshape(-1))
    if a.ndim == 1:
        return flat
    lists = pa.FixedSizeListArray.from_arrays(flat, int(np.prod(a.shape[1:])))
    if a.ndim == 2:
        return lists
    return pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(flat.type, a.shape[1:]), lists)
