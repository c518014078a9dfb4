"""Arrow columns as other libraries write them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from vaekit.bundle import VectorSpec
from vaekit.bundle.input_spec import Column
from vaekit.errors import InputError
from vaekit.tabular.arrow_cells import read_levels
from vaekit.tabular.arrow_columns import Columns
from vaekit.tabular.invalid_rows import RaiseFirstFault

COLOUR = Column(name="colour", kind="category", levels=("blue", "red"), may_be_missing=True)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "nowhere"])
def test_a_timestamp_with_a_zone_finds_the_level_of_its_time_in_utc(zone: str) -> None:
    column = Column(name="at", kind="category", levels=("1970-01-01T00:00:05",))
    np.testing.assert_array_equal(
        read_levels(pa.array([5, 5], pa.timestamp("s", zone)), column, RaiseFirstFault(0)), [0, 0]
    )


def test_row_numbers_in_messages_begin_at_the_start_of_the_table() -> None:
    spec = VectorSpec(columns=(Column(name="load"), COLOUR))
    table = pa.record_batch({"colour": ["red", None], "other": [1, 2], "load": [1.0, np.nan]})
    columns = Columns(table.select(["colour", "load"]).schema, spec, text=False, indices=False, strict=True)
    table = table.select(["colour", "load"])
    np.testing.assert_array_equal(columns.take(table.slice(0, 1), 7)[1], [[1.0, 1.0]])
    with pytest.raises(InputError, match=r"^row 8, feature 'load': not finite: nan$"):
        columns.take(table, 7)
