"""The second look at what was written: which rows are discoveries, once the whole run's p-values are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vaekit.scoring.files.parquet_file import BUFFER
from vaekit.scoring.files.writer import table_writer
from vaekit.scoring.output_columns import DISCOVERY

ROWS = 65_536  # at once


def judge(written: Any, target: Path, ending: str, cut: float) -> None:
    """Write the same rows again with is_discovery = p_value <= cut, null where there is no p-value.

    Args:
        written: a Parquet file, by its path or open.
        target: the new file.
        ending: its format's, .parquet or .csv.
        cut: see vaekit.bundle.discoveries.discovery_cut.
    """
    with pq.ParquetFile(written, buffer_size=BUFFER, pre_buffer=False) as rows:
        schema = rows.schema_arrow
        at = schema.get_field_index(DISCOVERY.name)
        with table_writer(target, ending, schema) as writer:
            for batch in rows.iter_batches(batch_size=ROWS):
                found = pc.less_equal(batch.column("p_value"), pa.scalar(cut))
                arrays = [*batch.columns[:at], found, *batch.columns[at + 1 :]]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
