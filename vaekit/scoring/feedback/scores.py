"""Streams score logs, and keeps the rows that have a label. Memory grows with the labels, not with the logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vaekit.errors import InputError
from vaekit.scoring.feedback.labels import ID, REQUEST, ROW, LateLabels, key_of

BATCH = 2**18  # rows read at once
COMPACT = 2**20  # matched rows, after which those that were scored again are removed
KINDS = {
    "time": pa.timestamp("us", "UTC"), "model": pa.string(), "version": pa.int32(), "group": pa.string(),
    "alpha": pa.float64(), "p_value": pa.float64(), "score": pa.float64(), "is_anomaly": pa.bool_(),
    "novel": pa.string(), "num_samples": pa.int32(), "seed": pa.int64(), "precision": pa.string(),
}  # fmt: skip
OF_FILES = ("group", "p_value", "score", "is_anomaly", "novel")  # those that `vae score` writes
PART = ("model", "version", "group", "alpha")  # the rates of rows that agree in these are reported together

Part = tuple[str | None, int | None, str | None, float | None]


@dataclass
class Joined:
    """The scored rows that have a label, and counts of all scored rows."""

    rows: pa.Table  # columns of KINDS, `label` (index of the label) and with payloads `input`
    scored: Counter[Part] = field(default_factory=Counter)  # all rows with a verdict
    flagged: Counter[Part] = field(default_factory=Counter)  # those of them that are anomalies
    without_verdict: int = 0
    without_id: int = 0
    scored_again: int = 0  # rows of an id that the same version scored again; one of them is used, see _last_of_each
    files: int = 0


def join(
    labels: LateLabels, scores: Path, *, id_column: str = ID, alpha: float | None = None, payloads: bool = False
) -> Joined:
    """Join labels with a score log, or with files that `vae score` wrote.

    Args:
        labels: the labels.
        scores: a folder of .parquet files, or one such file.
        id_column: the column with the ids, in files that are no score log.
        alpha: compare p-values with this alpha; None: the verdicts as they were answered.
        payloads: whether to keep the rows themselves, where the log has them.

    Raises:
        InputError: there are no such files, or one cannot be read or lacks a column.
    """
    found = Joined(pa.table({}))
    kept: list[pa.Table] = []
    order = waiting = 0
    for path in _files(scores):
        found.files += 1
        for batch in _batches(path, payloads):
            table = _counted(batch, found, alpha)
            own = ID if REQUEST in batch.schema.names else id_column
            if not labels.by_request and own not in batch.schema.names:
                raise InputError(f"{path}: no column {own!r} with the ids of rows")
            keys = key_of(batch, own, by_request=labels.by_request)
            found.without_id += keys.null_count
            at = pc.index_in(keys, value_set=labels.keys, skip_nulls=True)
            table = table.append_column("label", at.cast(pa.int64()))
            table = table.append_column("order", pa.array(range(order, order + len(table)), pa.int64()))
            order += len(table)
            matched = table.filter(at.is_valid())
            if matched.num_rows:
                kept.append(matched)
                waiting += matched.num_rows
            if waiting > COMPACT:
                kept, waiting = [_last_of_each(kept, found)], 0
    found.rows = _last_of_each(kept, found)
    return found


def _files(scores: Path) -> list[Path]:
    if scores.is_file():
        return [scores]
    if not scores.is_dir():
        raise InputError(f"{scores}: no such file or folder")
    if files := sorted(path for path in scores.rglob("*.parquet") if not path.name.startswith((".", "_"))):
        return files
    waiting = len(list(scores.glob("*.partial")))
    raise InputError(
        f"{scores}: no .parquet file" + (f"; {waiting} files of the score log are not finished yet" if waiting else "")
    )


def _batches(path: Path, payloads: bool) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if "score" not in names or "is_anomaly" not in names:
                raise InputError(f"{path}: no columns 'score' and 'is_anomaly'; expected a score log or scored rows")
            if REQUEST in names:
                own = {ID, REQUEST, ROW, *KINDS, *(["input"] if payloads else [])}
                names = [name for name in names if name in own]
            yield from file.iter_batches(BATCH, columns=names)
    except (pa.ArrowException, OSError) as exc:
        raise InputError(f"{path}: {exc}") from exc


def _counted(batch: pa.RecordBatch, found: Joined, alpha: float | None) -> pa.Table:
    """The columns of KINDS; all rows are counted by part."""
    known = KINDS if REQUEST in batch.schema.names else OF_FILES  # other columns of scored files are the caller's
    columns = {name: _column(batch, name, kind, name in known) for name, kind in KINDS.items()}
    if alpha is not None:
        columns["alpha"] = pa.repeat(pa.scalar(alpha, pa.float64()), batch.num_rows)
        columns["is_anomaly"] = pc.less_equal(columns["p_value"], alpha)
    table = pa.table(columns)
    counts = table.group_by(list(PART)).aggregate([("is_anomaly", "count"), ("is_anomaly", "sum")])
    for row in counts.to_pylist():
        part: Any = tuple(row[name] for name in PART)
        found.scored[part] += row["is_anomaly_count"]
        found.flagged[part] += row["is_anomaly_sum"] or 0
    found.without_verdict += table.column("is_anomaly").null_count
    if "input" in batch.schema.names:
        table = table.append_column("input", batch.column("input"))
    return table


def _column(batch: pa.RecordBatch, name: str, kind: pa.DataType, known: bool) -> pa.Array:
    if not known or name not in batch.schema.names:
        return pa.nulls(batch.num_rows, kind)
    return batch.column(name).cast(kind)


def _last_of_each(tables: list[pa.Table], found: Joined) -> pa.Table:
    """The last score of each label by each version, with a verdict if one has it.

    Without this rule a flagged row that is scored again with other draws, for a closer look, would be missing in the
    rates. Rows without a time count in the order of reading.
    """
    if not tables:
        return pa.table({name: pa.array([], kind) for name, kind in {**KINDS, "label": pa.int64()}.items()})
    table = pa.concat_tables(tables, promote_options="default")
    keys = ["label", "model", "version"]
    ordered = table.select([*keys, "time", "order"]).append_column("at", pa.array(range(len(table)), pa.int64()))
    ordered = ordered.append_column("judged", table.column("is_anomaly").is_valid().cast(pa.int8()))
    sorting = [(name, "ascending") for name in (*keys, "judged", "time", "order")]
    last = ordered.sort_by(sorting).group_by(keys, use_threads=False).aggregate([("at", "last")])
    found.scored_again += len(table) - len(last)
    return table.take(pa.array(np.sort(last.column("at_last").to_numpy())))
