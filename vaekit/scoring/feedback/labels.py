"""Reads labels that came late: the id of a row and what it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from vaekit.errors import InputError
from vaekit.tabular.columns import no_column
from vaekit.tabular.labels import AnomalyLabels

ID, REQUEST, ROW = "id", "request_id", "row"
SEPARATOR = "\n"  # between a request id and a row; no request id has it


@dataclass(frozen=True)
class LateLabels:
    """L labels, one for each id."""

    keys: pa.StringArray  # (L,), see `key_of`
    is_anomaly: NDArray[np.bool_]  # (L,)
    by_request: bool  # whether keys are request ids and rows instead of the callers' ids
    duplicates: int  # labels that repeat another one
    conflicting: int  # ids with both labels, which are left out
    unlabelled: int  # rows of the file without an id or without a label


def key_of(table: pa.Table | pa.RecordBatch, id_column: str, *, by_request: bool) -> pa.Array:
    """The key of each row, as text: its id, or its request id and row; null if it has none.

    Raises:
        InputError: ids of a type other than text or integers.
    """
    if by_request:
        return pc.binary_join_element_wise(_text(table, REQUEST), _text(table, ROW), SEPARATOR)
    return _text(table, id_column)


def read_labels(path: Path, *, id_column: str, label: str, anomalies: Sequence[str]) -> LateLabels:
    """Read a .csv or .parquet file with one label per row.

    Args:
        path: the file. It has the ids in `id_column`, or in `request_id` and `row`.
        id_column: the column with the ids.
        label: the column with the labels.
        anomalies: label values that mean anomaly, as in `vae evaluate`; all others mean normal.

    Raises:
        InputError: the file cannot be read or lacks a column, or no row has an id and a label.
    """
    table = _read(path)
    by_request = id_column not in table.column_names
    wanted = [REQUEST, ROW, label] if by_request else [id_column, label]
    if missing := [name for name in wanted if name not in table.column_names]:
        hint = f"; the ids are in {id_column!r}, or in {REQUEST!r} and {ROW!r}" if by_request else ""
        raise InputError(f"{path}: {no_column(missing[0], table.column_names)}{hint}")
    if repeated := [name for name in wanted if table.column_names.count(name) > 1]:
        raise InputError(f"{path}: more than one column has the name {repeated[0]!r}")
    cells = _plain(table.column(label))
    distinct = cells.unique()
    marks = AnomalyLabels(anomalies)
    anomalous, missing_label = marks.of(distinct.to_pylist())
    at = pc.index_in(cells, value_set=distinct).to_numpy(zero_copy_only=False)
    keys = key_of(table, id_column, by_request=by_request)
    usable = keys.is_valid().to_numpy(zero_copy_only=False) & ~missing_label[at]
    if not usable.any():
        raise InputError(f"{path}: no row has both an id and a label")
    return _distinct(keys.filter(pa.array(usable)), anomalous[at][usable], by_request, int((~usable).sum()))


def _distinct(keys: pa.Array, is_anomaly: NDArray[np.bool_], by_request: bool, unlabelled: int) -> LateLabels:
    """One label per id; ids with both labels are left out."""
    once = keys.unique()
    at = pc.index_in(keys, value_set=once).to_numpy(zero_copy_only=False)
    anomalies, all_labels = np.bincount(at[is_anomaly], minlength=len(once)), np.bincount(at, minlength=len(once))
    clear = (anomalies == 0) | (anomalies == all_labels)
    return LateLabels(
        once.filter(pa.array(clear)),
        (anomalies > 0)[clear],
        by_request,
        duplicates=int((all_labels[clear] - 1).sum()),
        conflicting=int((~clear).sum()),
        unlabelled=unlabelled,
    )


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        if path.suffix.lower() == ".parquet":
            return pq.read_table(path)
        if path.suffix.lower() == ".csv":  # all cells as text, so that the id 007 keeps its zeros
            names = csv.open_csv(path).schema.names
            text = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True)
            return csv.read_csv(path, convert_options=text)
    except (pa.ArrowException, OSError) as exc:
        raise InputError(f"{path}: {exc}") from exc
    raise InputError(f"{path}: expected .csv or .parquet")


def _plain(cells: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column as one array, neither a dictionary nor a view."""
    cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    return cells.cast(pa.string()) if pa.types.is_string_view(cells.type) else cells


def _text(table: pa.Table | pa.RecordBatch, name: str) -> pa.Array:
    """A column of text or integers as text; empty text is null."""
    cells = _plain(table.column(name))
    if pa.types.is_floating(cells.type):  # integers beside missing cells, as pandas writes them
        try:
            cells = cells.cast(pa.int64())
        except pa.ArrowInvalid as exc:
            raise InputError(f"column {name!r}: ids with fractions, expected text or integers") from exc
    if not (pa.types.is_integer(cells.type) or pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        raise InputError(f"column {name!r}: type {cells.type}, expected text or integers")
    text = cells.cast(pa.string())
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
