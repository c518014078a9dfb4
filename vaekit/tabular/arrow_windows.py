"""Reads the columns of series and of times beside the modelled columns of an Arrow table of time steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.bundle.window import SeriesWindow
from vaekit.tabular.arrow_cells import period_dates, stored
from vaekit.tabular.csv_text import PLAIN, CsvDialect
from vaekit.tabular.periods import frequency
from vaekit.tabular.series import Steps
from vaekit.tabular.windows import steps_of


def steps_of_table(
    table: pa.RecordBatch,
    x: NDArray[np.float64],
    window: SeriesWindow,
    *,
    start: int = 0,
    dialect: CsvDialect | None = None,
) -> Steps:
    """The time steps of a table.

    Args:
        table: T rows, with the columns of series and times if the window has them.
        x: the modelled columns, (T, D), checked.
        window: how steps become windows.
        start: the number of the first row, for error messages.
        dialect: how numbers are written, if all cells are text.

    Raises:
        InputError: a cell of these columns is missing, or no time.
    """
    beside = {}
    for name in window.beside:
        cells = table.column(name)
        if name == window.time and window.time_is == "number" and dialect is not None:
            cells = (dialect or PLAIN).plain(cells)
        beside[name] = _cells(cells, table.schema.field(name))
    return steps_of(x, window, beside, start)


def _cells(cells: pa.Array, field: pa.Field) -> NDArray[Any]:
    """A column as numbers, dates or objects."""
    if frequency(field):
        return period_dates(cells, field)
    cells = stored(cells)
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        return np.asarray(cells.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False))
    is_number = pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type)
    if is_number and not cells.null_count:
        return np.asarray(cells.to_numpy(zero_copy_only=False))
    found = np.empty(len(cells), dtype=object)
    found[:] = cells.to_pylist()
    return found
