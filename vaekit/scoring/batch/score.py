"""Scores an input into one file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from vaekit.bundle.discoveries import discovery_cut
from vaekit.bundle.disk import temporary_folder
from vaekit.scoring.batch.discoveries import judge
from vaekit.scoring.batch.options import Options
from vaekit.scoring.batch.pipeline import Pass
from vaekit.scoring.batch.summary import Summary
from vaekit.scoring.batch.tally import Tally
from vaekit.scoring.files.fragments import RowSource
from vaekit.scoring.files.paths import Place, place
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

Where = Path | str | Place


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

    The output has the columns of the input (for images: the row numbers), then the columns that the scorer appends, in
    nats. It replaces an existing file only when it is complete.

    Args:
        scorer: the model and its options.
        source: .csv, .parquet, .arrow, .feather, .npy or a folder of Parquet files; a path or a URI.
        output: .parquet or .csv; a path or a URI; "-": CSV on standard output, as rows are scored.
        batch_rows: rows per batch; None: the scorer's choice.
        options: further options.
        progress: called after each batch with the progress of reading.

    Raises:
        InputError: the input, a cell or the output is invalid; no file is left behind.
    """
    began = time.perf_counter()
    told, asked = place(output), options or Options()
    ending = check_output(told, place(source))
    opened = open_source(source, scorer.spec, batch_rows or scorer.batch_rows, asked.columns)
    over = Pass(scorer, opened, asked)
    check_schema(ending, over.schema)
    if asked.quarantine is not None:
        check_quarantine(asked.quarantine, opened.place, told, over.quarantine)
    tally = over.tally()
    with ExitStack() as held:
        bad = asked.quarantine
        kept = None if bad is None else held.enter_context(replacing_table(bad, over.quarantine))
        temp = held.enter_context(output_file(told))
        first = held.enter_context(_first_pass(temp)) if asked.fdr is not None else temp
        with table_writer(first, ".parquet" if asked.fdr is not None else ending, over.schema) as writer:
            _write(over, opened, tally, asked, writer, kept, progress)
        if asked.fdr is not None:
            judge(first, temp, ending, discovery_cut(tally.p_values, tally.p_counts, asked.fdr))
    return Summary.of(scorer, told, time.perf_counter() - began, tally, asked, remarks=opened.remarks)


def _write(
    over: Pass,
    source: RowSource,
    tally: Tally,
    options: Options,
    writer: TableWriter,
    kept: TableWriter | None,
    progress: Progress | None,
) -> None:
    for fragment in source.fragments():
        for good, bad in over.batches(source.read(fragment), tally, fragment.file.name):
            if good is not None:
                writer.write_batch(good)
            if bad is not None and kept is not None:
                kept.write_batch(bad)
                options.max_bad.check(tally.bad, tally.read, ended=False)
            if progress is not None:
                progress(source.done(), source.size, source.unit)
    options.max_bad.check(tally.bad, tally.read, ended=True)


@contextmanager
def _first_pass(temp: Path | BinaryIO) -> Iterator[Path]:
    """A temporary file, beside the output if that is a file."""
    if not isinstance(temp, Path):
        with temporary_folder() as folder:
            yield folder / "first"
        return
    first = temp.with_name(f"{temp.name}.first")
    try:
        yield first
    finally:
        first.unlink(missing_ok=True)
