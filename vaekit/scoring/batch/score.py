"""Scores an input into one file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from vaekit.bundle.discoveries import discovery_cut
from vaekit.bundle.disk import temporary_folder
from vaekit.scoring.batch.discoveries import fill_discoveries
from vaekit.scoring.batch.options import Options
from vaekit.scoring.batch.pipeline import Pipeline
from vaekit.scoring.batch.summary import Summary
from vaekit.scoring.batch.tally import Tally
from vaekit.scoring.files.fragments import RowSource
from vaekit.scoring.files.sources import open_source
from vaekit.scoring.files.writer import (
    TableWriter,
    check_output,
    check_quarantine,
    check_schema,
    output_file,
    replacing_table,
    table_writer,
)
from vaekit.scoring.progress import Progress
from vaekit.scoring.scorers import Scorer
from vaekit.storage.paths import StoragePath, storage_path

Where = Path | str | StoragePath


def score_file(
    scorer: Scorer,
    source: Where,
    output: Where,
    *,
    batch_rows: int | None = None,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Summary:
    """Score every row of an input in bounded memory.

    The output has the columns of the input (for images: the row numbers), then the columns that the scorer appends.
    Scores are in nats. An existing file is replaced only when the output is complete.

    Args:
        scorer: the model and its options.
        source: .csv, .parquet, .arrow, .feather, .npy or a folder of Parquet files; a path or a URI.
        output: .parquet or .csv; a path or a URI; "-": CSV on standard output, as rows are scored.
        batch_rows: rows per batch; None: the scorer's choice.
        options: how to read, write and report; None: the defaults.
        progress: called after each batch with the progress of reading.

    Raises:
        InputError: the input, a cell or the output is invalid; no file is left behind.
    """
    began = time.perf_counter()
    target, chosen = storage_path(output), options or Options()
    ending = check_output(target, storage_path(source))
    opened = open_source(source, scorer.spec, batch_rows or scorer.batch_rows, chosen.columns, chosen.csv)
    pipeline = Pipeline(scorer, opened, chosen)
    check_schema(ending, pipeline.schema)
    if chosen.quarantine is not None:
        check_quarantine(chosen.quarantine, opened.path, target, pipeline.quarantine)
    tally = pipeline.tally()
    with ExitStack() as stack:
        invalid = chosen.quarantine
        quarantine = None if invalid is None else stack.enter_context(replacing_table(invalid, pipeline.quarantine))
        temp = stack.enter_context(output_file(target))
        first = stack.enter_context(_first_pass(temp)) if chosen.fdr is not None else temp
        with table_writer(first, ".parquet" if chosen.fdr is not None else ending, pipeline.schema) as writer:
            _write(pipeline, opened, tally, chosen, writer, quarantine, progress)
        if chosen.fdr is not None:
            cut = discovery_cut(tally.p_values, tally.p_counts, chosen.fdr)
            fill_discoveries(first, temp, ending, cut, pipeline.renamed)
    return Summary.of(scorer, target, time.perf_counter() - began, tally, chosen, pipeline)


def _write(
    pipeline: Pipeline,
    source: RowSource,
    tally: Tally,
    options: Options,
    writer: TableWriter,
    quarantine: TableWriter | None,
    progress: Progress | None,
) -> None:
    for fragment in source.fragments():
        for good, bad in pipeline.batches(source.read(fragment), tally, fragment.file.name):
            if good is not None:
                writer.write_batch(good)
            if bad is not None and quarantine is not None:
                quarantine.write_batch(bad)
                options.max_bad.check(tally.bad, tally.read, ended=False)
            if progress is not None:
                progress(source.done(), source.size, source.unit)
    options.max_bad.check(tally.bad, tally.read, ended=True)


@contextmanager
def _first_pass(temp: Path | BinaryIO) -> Iterator[Path]:
    """A temporary file for the scored rows before is_discovery is known, beside the output if that is a file."""
    if not isinstance(temp, Path):
        with temporary_folder() as folder:
            yield folder / "first"
        return
    first = temp.with_name(f"{temp.name}.first")
    try:
        yield first
    finally:
        first.unlink(missing_ok=True)
