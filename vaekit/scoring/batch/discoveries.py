"""Fills in is_discovery once the p-values of the whole run are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vaekit.scoring.files.parquet_file import BUFFER
from vaekit.scoring.files.writer import table_writer
from vaekit.scoring.output_columns import DISCOVERY

ROWS = 65_536  # rows per batch


def fill_discoveries(
    written: Any, target: Path | BinaryIO, ending: str, cut: float, renamed: Mapping[str, str]
) -> None:
    """Copy the rows with is_discovery = p_value <= cut, null without a p-value.

    Args:
        written: Parquet file with the scored rows, open or as a path.
        target: the new file, as a path or open.
        ending: format of the new file, .parquet or .csv.
        cut: largest p-value of a discovery, as returned by vaekit.bundle.discoveries.discovery_cut.
        renamed: new names of appended columns.
    """
    p_value, discovery = (renamed.get(name, name) for name in ("p_value", DISCOVERY.name))
    with pq.ParquetFile(written, buffer_size=BUFFER, pre_buffer=False) as rows:
        schema = rows.schema_arrow
        at = schema.get_field_index(discovery)
        with table_writer(target, ending, schema) as writer:
            for batch in rows.iter_batches(batch_size=ROWS):
                found = pc.less_equal(batch.column(p_value), pa.scalar(cut))
                arrays = [*batch.columns[:at], found, *batch.columns[at + 1 :]]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
