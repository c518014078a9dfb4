"""Converts an Arrow table to the array x (n, D) that a model takes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from vaekit.bundle.input_spec import Column, VectorSpec
from vaekit.tabular.arrow_cells import Floats, check_numbers, check_type, numbers, parse_numbers, read_levels
from vaekit.tabular.columns import refuse_duplicate_names, refuse_missing_columns
from vaekit.tabular.invalid_rows import EMPTY_ROW, Faults, RaiseFirstFault


class Columns:
    """Finds the model's columns by name in tables of one schema, and reads them. Other columns are ignored."""

    def __init__(self, schema: pa.Schema, spec: VectorSpec, *, text: bool, indices: bool) -> None:
        """
        Args:
            schema: the schema of the tables.
            spec: the model's input spec.
            text: whether numbers are given as text.
            indices: whether categories are given as indices of their levels.

        Raises:
            InputError: columns are missing (the message lists them), a column name occurs twice, or the type of a
                column cannot hold the values of the model's column.
        """
        refuse_duplicate_names(schema.names)
        refuse_missing_columns(schema.names, spec)
        self._text, self._indices = text, indices
        self.at = {schema.get_field_index(column.name): column for column in spec.columns}  # in the model's order
        for at, column in self.at.items():
            if not text:
                check_type(column, schema.field(at).type, indices=indices)

    def take(self, table: pa.RecordBatch, start: int) -> tuple[list[pa.Array], Floats]:
        """(the table's columns, x) of a table.

        The model's columns that are numbers in text are returned as float64, all other columns unchanged. In x, (n, D),
        a missing cell is NaN and a category is the index of its level.

        Args:
            table: n rows.
            start: the number of the first row, for error messages.

        Raises:
            InputError: an invalid cell, or a row without any observed cell; the message names row, feature and value.
        """
        return self.read(table, RaiseFirstFault(start))

    def read(self, table: pa.RecordBatch, faults: Faults) -> tuple[list[pa.Array], Floats]:
        """Like take, but invalid cells are reported to `faults`. Their values in x are undefined."""
        arrays = list(table.columns)
        x = np.empty((table.num_rows, len(self.at)), dtype=np.float64)  # (n, D)
        for d, (at, column) in enumerate(self.at.items()):
            arrays[at], x[:, d] = self._read(arrays[at], column, faults)
        empty = np.asarray(np.isnan(x).all(axis=1))
        if empty.any():
            faults.rows(empty, EMPTY_ROW)
        return arrays, x

    def _read(self, cells: pa.Array, column: Column, faults: Faults) -> tuple[pa.Array, Floats]:
        """(the column as `take` returns it, its values in x (n,))."""
        if column.kind == "category" and not self._indices:
            return cells, read_levels(cells, column, faults)
        found = parse_numbers(cells, column, faults) if self._text else numbers(cells)
        return (found if self._text else cells), check_numbers(found, cells, column, faults)
