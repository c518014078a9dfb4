"""Converts the columns of an Arrow table to x (N, D) as a model takes it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vaekit.bundle.input_spec import Column, VectorSpec
from vaekit.tabular.arrow_cells import Floats, check_type, checked, levels, numbers, parsed
from vaekit.tabular.columns import places, refuse_twins
from vaekit.tabular.csv_text import PLAIN, CsvDialect
from vaekit.tabular.invalid_rows import EMPTY_ROW, Faults, Refusing


class Columns:
    """Reads the model's columns, found by name, from tables of one schema; other columns are ignored."""

    def __init__(
        self,
        schema: pa.Schema,
        spec: VectorSpec,
        *,
        text: bool,
        indices: bool,
        strict: bool = False,
        most_ignored: int | None = None,
        dialect: CsvDialect = PLAIN,
    ) -> None:
        """
        Args:
            schema: of the tables.
            spec: the model's input spec.
            text: whether numbers are written as text.
            indices: whether categories are written as indices of their levels.
            strict: whether to refuse novel rows, and columns that the model does not have.
            most_ignored: how many of these are ignored; None: any number.
            dialect: how numbers are written as text.

        Raises:
            InputError: missing columns (the message names all), two columns of one name, a column whose type cannot
                hold the values of the model's column, or more columns that the model does not have than are ignored.
        """
        refuse_twins(schema.names)
        found, self.ignored = places(schema.names, spec, strict=strict, most=most_ignored)
        self._text, self._indices, self._dialect = text, indices, dialect
        self._takes_novel = not strict
        self.at = dict(zip(found, (spec if strict else spec.lenient).columns, strict=True))  # in the model's order
        for at, column in self.at.items():
            if not text:
                check_type(column, schema.field(at).type, indices=indices)

    def take(self, table: pa.RecordBatch, start: int) -> tuple[list[pa.Array], Floats]:
        """Read a table into (its columns, x).

        In the columns, numbers written as text are float64. In x, (n, D), a missing cell is NaN and a category is the
        index of its level.

        Args:
            table: n rows.
            start: the number of the first row, for messages.

        Raises:
            InputError: an invalid cell, or a row without any observed cell; the message names row, feature and value.
        """
        return self.read(table, Refusing(start))

    def read(self, table: pa.RecordBatch, faults: Faults) -> tuple[list[pa.Array], Floats]:
        """As take, but invalid cells are reported to `faults`; their values in x are undefined."""
        arrays = list(table.columns)
        x = np.empty((table.num_rows, len(self.at)), dtype=np.float64)  # (n, D)
        for d, (at, column) in enumerate(self.at.items()):
            arrays[at], x[:, d] = self._read(arrays[at], column, faults)
        empty = np.asarray(np.isnan(x).all(axis=1))
        if empty.any() and not self._takes_novel:
            faults.rows(empty, EMPTY_ROW)
        return arrays, x

    def _read(self, cells: pa.Array, column: Column, faults: Faults) -> tuple[pa.Array, Floats]:
        """(the column to pass on, its values (n,))."""
        if column.kind == "category" and not self._indices:
            return cells, levels(self._levels(cells, column), column, faults)
        found = parsed(self._dialect.plain(cells), column, faults) if self._text else numbers(cells)
        return (found if self._text else cells), checked(found, cells, column, faults)

    def _levels(self, cells: pa.Array, column: Column) -> pa.Array:
        """Cells of a category with their numbers in plain notation, as training reads a column of numbers."""
        if not self._text or self._dialect.is_plain:
            return cells
        known = pc.is_in(cells, value_set=pa.array(column.levels, cells.type))
        return pc.if_else(known, cells, self._dialect.plain(cells))
