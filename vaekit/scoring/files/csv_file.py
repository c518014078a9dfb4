"""Reads CSV files as text, block by block. `vaekit.scoring.rows` interprets the cells.

Every column is read as text. Columns that are only copied to the output may therefore hold any values, and `007` and
`1e3` stay as they are. `vaekit.tabular.csv_text` defines the dialect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.csv

from vaekit.scoring.files.fragments import Chunk, Fragment, file_of, translated
from vaekit.storage.paths import StoragePath
from vaekit.tabular.csv_lines import BLOCK
from vaekit.tabular.csv_text import PLAIN, CsvDialect, check_quotes, header, parse_options


class CsvSource:
    """One CSV file, read as one fragment. `columns` are the columns to read; None: all."""

    text, indices = True, False
    unit: Literal["rows", "bytes"] = "bytes"
    keys: Sequence[str] = ()
    remarks: Sequence[str] = ()

    def __init__(
        self,
        path: StoragePath,
        batch_rows: int,
        columns: Sequence[str] | None = None,
        dialect: CsvDialect = PLAIN,
    ) -> None:
        self.path = path
        self.size = int(path.info.size)
        self._batch_rows = batch_rows
        self._read = 0
        self.dialect = dialect
        check_quotes(path.open, path, dialect)
        names, self._empty = header(path.open, path, dialect)
        self.names = names
        self.schema = pa.schema([(name, pa.string()) for name in names if columns is None or name in set(columns)])

    def done(self) -> int:
        return self._read

    def fragments(self, part_rows: int | None = None) -> list[Fragment]:  # noqa: ARG002  the number of rows is unknown
        return [Fragment(file_of(self.path))]

    def chunks(self) -> Iterator[Chunk]:
        return self.read(self.fragments()[0])

    def read(self, fragment: Fragment) -> Iterator[Chunk]:
        start = fragment.start
        with translated(self.path):
            for block in self._blocks():
                for first in range(0, block.num_rows, self._batch_rows):
                    chunk = block.slice(first, self._batch_rows)
                    yield Chunk(start, chunk)
                    start += chunk.num_rows

    def _blocks(self) -> Iterator[pa.RecordBatch]:
        if self._empty:
            return
        options = pyarrow.csv.ConvertOptions(
            column_types={name: pa.string() for name in self.names},
            strings_can_be_null=False,
            include_columns=self.schema.names,
        )
        reading = pyarrow.csv.ReadOptions(  # pyarrow reads several blocks ahead
            block_size=BLOCK, column_names=self.names, skip_rows_after_names=1
        )
        with self.path.open() as file:
            for block in pyarrow.csv.open_csv(file, reading, parse_options(self.names, self.dialect), options):
                self._read = int(file.tell())
                yield block
        self._read = self.size
