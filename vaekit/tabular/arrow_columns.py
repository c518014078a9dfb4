"""Converts an Arrow table to the array x (n, D) that a model takes."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vaekit.bundle.input_spec import Column, VectorSpec
from vaekit.tabular.arrow_cells import Floats, check_numbers, check_type, numbers, parse_numbers, read_levels, with_text
from vaekit.tabular.columns import model_order, refuse_duplicate_names
from vaekit.tabular.csv_text import PLAIN, CsvDialect
from vaekit.tabular.invalid_rows import EMPTY_ROW, Faults, RaiseFirstFault
from vaekit.tabular.novelty import has_more_missing, more_missing


class Columns:
    """Finds the model's columns by name in tables of one schema, and reads them. Other columns are ignored."""

    def __init__(
        self,
        schema: pa.Schema,
        spec: VectorSpec,
        *,
        text: bool,
        indices: bool,
        strict: bool = False,
        most_missing: int | None = None,
        most_ignored: int | None = None,
        dialect: CsvDialect = PLAIN,
        beside: Collection[str] = (),
    ) -> None:
        """
        Args:
            schema: the schema of the tables.
            spec: the model's input spec.
            text: whether numbers are given as text.
            indices: whether categories are given as indices of their levels.
            strict: whether to refuse novel rows, and columns that the model does not have.
            most_missing: how many cells of a row may be missing; None: any number.
            most_ignored: how many columns that the model does not have are ignored; None: any number.
            dialect: how numbers are written as text.
            beside: columns that are read in another way, and not ignored.

        Raises:
            InputError: absent columns that may not be missing (the message names all), two columns of one name, a
                column whose type cannot hold the values of the model's column, or more columns that the model does not
                have than are ignored.
        """
        refuse_duplicate_names(schema.names)
        found, self.ignored = model_order(schema.names, spec, strict=strict, most=most_ignored, beside=beside)
        self._text, self._indices, self._dialect = text, indices, dialect
        self._takes_novel, self._most_missing = not strict, most_missing
        each = zip(found, (spec if strict else spec.lenient).columns, strict=True)
        self.at = {at: column for at, column in each if at is not None}  # in the model's order
        self._places = {at: d for d, at in enumerate(found) if at is not None}
        self._dim = spec.dim
        for at, column in self.at.items():
            if not text:
                check_type(column, schema.field(at), indices=indices)
        self._fields = {at: schema.field(at) for at in self.at}

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
        x = np.full((table.num_rows, self._dim), np.nan)  # (n, D); an absent column stays missing
        for at, column in self.at.items():
            arrays[at], x[:, self._places[at]] = self._read(arrays[at], self._fields[at], column, faults)
        empty = np.asarray(np.isnan(x).all(axis=1))
        if empty.any() and not self._takes_novel:
            faults.rows(empty, EMPTY_ROW)
        if self._most_missing is not None and (too_many := has_more_missing(x, self._most_missing)).any():
            faults.rows(too_many, more_missing(self._most_missing))
        return arrays, x

    def _read(self, cells: pa.Array, field: pa.Field, column: Column, faults: Faults) -> tuple[pa.Array, Floats]:
        """(the column as `take` returns it, its values in x (n,))."""
        if column.kind == "category" and not self._indices:
            return cells, read_levels(self._levels(with_text(cells, field), column), column, faults)
        found = parse_numbers(self._dialect.plain(cells), column, faults) if self._text else numbers(cells)
        return (found if self._text else cells), check_numbers(found, cells, column, faults)

    def _levels(self, cells: pa.Array, column: Column) -> pa.Array:
        """Cells of a category with their numbers in plain notation, as training reads a column of numbers."""
        if not self._text or self._dialect.is_plain:
            return cells
        known = pc.is_in(cells, value_set=pa.array(column.levels, cells.type))
        return pc.if_else(known, cells, self._dialect.plain(cells))
