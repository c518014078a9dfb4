"""Composes source, rows, scorer and writer into one pass over an input. Has no format and no model of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from vaekit.bundle import ImageSpec, VectorSpec
from vaekit.errors import InputError
from vaekit.scoring.appended import cells
from vaekit.scoring.pieces import Source
from vaekit.scoring.rows import ImageRows, VectorRows
from vaekit.scoring.scorers import Scorer, Scores
from vaekit.scoring.sources import open_source
from vaekit.scoring.writer import check_output, check_schema, replacing, table_writer

Progress = Callable[[int, int, str], None]  # done, of, unit: "rows" or "bytes"


@dataclass(frozen=True)
class Summary:
    """What one run did."""

    output: Path
    model: str  # name@version
    rows: int
    seconds: float
    alpha: float
    anomalies: int | None  # rows whose p-value is at most alpha; None where there are no p-values
    reason: str | None  # why there are none
    unknown: int = 0  # rows that have no p-value where others do, since no calibration row misses as many cells

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds if self.seconds else 0.0

    @property
    def share(self) -> float | None:
        """Anomalies among the rows that have a p-value; None where there are none."""
        judged = self.rows - self.unknown
        return None if self.anomalies is None or not judged else self.anomalies / judged


def score_file(
    scorer: Scorer, source: Path, output: Path, *, batch_rows: int | None = None, progress: Progress | None = None
) -> Summary:
    """Score every row of an input; memory stays bounded whatever its size.

    The output holds the input's columns as they came (for pictures: their row numbers), and behind them those that the
    scorer appends, in nats. It replaces an older file of its name when all of it is written, and not before.

    Args:
        scorer: the model.
        source: .csv, .parquet, a folder of Parquet files, or .npy.
        output: .parquet or .csv.
        batch_rows: rows that are read and scored at once, None: what the scorer likes.
        progress: told how far the reading is, after each batch.

    Raises:
        InputError: an input, a cell or an output that is refused; nothing is left behind.
    """
    began = time.perf_counter()
    ending = check_output(output, source)
    opened = open_source(source, scorer.spec, batch_rows or scorer.batch_rows)
    rows = rows_of(opened, scorer.spec)
    schema = _extended(rows.schema, scorer.appended)
    check_schema(ending, schema)
    count, anomalies, unknown = 0, 0, 0
    with replacing(output) as temp, table_writer(temp, ending, schema) as writer:
        for piece in opened.pieces():
            passed, x = rows.take(piece)
            scores = scorer.score(x)
            writer.write_batch(_joined(passed, scores, scorer.appended, schema))
            count += len(x)
            anomalies += 0 if scores.is_anomaly is None else int(scores.is_anomaly.sum())
            unknown += 0 if scores.unknown is None else int(scores.unknown.sum())
            if progress is not None:
                progress(opened.done(), opened.size, opened.unit)
    seconds = time.perf_counter() - began
    told = anomalies if scorer.reason is None else None
    return Summary(output, scorer.model, count, seconds, scorer.alpha, told, scorer.reason, unknown)


def rows_of(source: Source, spec: VectorSpec | ImageSpec) -> VectorRows | ImageRows:
    """What makes the model's array of the source's pieces.

    Raises:
        InputError: columns that do not fit the model.
    """
    if isinstance(spec, ImageSpec):
        return ImageRows(source.schema, spec)
    return VectorRows(source.schema, spec, text=source.text, indices=source.indices)


def _extended(schema: pa.Schema, appended: pa.Schema) -> pa.Schema:
    clash = [name for name in appended.names if name in set(schema.names)]
    if clash:
        raise InputError(f"the input has columns that scoring would append: {', '.join(map(repr, clash))}; rename them")
    return pa.schema([*schema, *appended], metadata=schema.metadata)


def _joined(passed: pa.RecordBatch, scores: Scores, appended: pa.Schema, schema: pa.Schema) -> pa.RecordBatch:
    more = [cells(scores, field) for field in appended]
    return pa.RecordBatch.from_arrays([*passed.columns, *more], schema=schema)
