"""Scores chunks of an input and yields batches for the output and the quarantine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import pyarrow as pa

from vaekit.errors import InputError
from vaekit.scoring.batch.invalid_rows import quarantine_schema, quarantined
from vaekit.scoring.batch.options import Options
from vaekit.scoring.batch.tally import Tally, edges_for
from vaekit.scoring.files.fragments import Chunk, RowSource
from vaekit.scoring.files.read_ahead import read_ahead
from vaekit.scoring.output_columns import DISCOVERY, appended_columns, of_steps
from vaekit.scoring.rows import SplitChunk, require_valid, rows_of
from vaekit.scoring.scorers import Scorer
from vaekit.scoring.windows import ChunkWindows
from vaekit.tabular.appended import free_names
from vaekit.tabular.novelty import refuse_more_missing


class OutputBatches(NamedTuple):
    """The scored rows and the quarantined rows of one chunk; None if there are none."""

    good: pa.RecordBatch | None
    bad: pa.RecordBatch | None


class Pipeline:
    """Scores the chunks of an input, and separates invalid rows if they are quarantined.

    While a chunk is scored, a thread reads the next chunks and converts them to arrays.
    """

    def __init__(self, scorer: Scorer, source: RowSource, options: Options) -> None:
        """Raises InputError if the columns do not fit the model."""
        self._scorer = scorer
        self._quarantines = options.quarantine is not None
        self._rows = rows_of(
            source, scorer.spec, options.columns, strict=options.strict, most_missing=scorer.most_missing
        )
        self._windows = ChunkWindows(self._rows)
        self._most_missing = scorer.most_missing if options.strict else None
        window = self._rows.window
        if window is not None and window.time is None and self._quarantines:
            raise InputError(
                "quarantine: without invalid rows the steps before and after them would seem to follow each other; "
                "correct the rows, or train with data.time, which shows gaps"
            )
        self.ignored, self.absent = self._rows.ignored, self._rows.absent
        self.remarks = (*source.remarks, *self._rows.remarks)
        self._appended = list(scorer.appended)
        self._with_discoveries = options.fdr is not None
        appended = [*self._appended, *([DISCOVERY] if self._with_discoveries else [])]
        kept = [field for field in self._rows.schema if not (options.partitions and field.name in source.keys)]
        self._kept = [field.name for field in kept]
        self._id = scorer.id_column if scorer.id_column in self._kept else None
        self.renamed = free_names([field.name for field in appended], set(self._kept))
        named = [field.with_name(self.renamed.get(field.name, field.name)) for field in appended]
        self.schema = pa.schema([*kept, *named], metadata=self._rows.schema.metadata)
        self.quarantine = quarantine_schema(source.schema) if self._quarantines else None
        self._empty_tally = Tally(options.top, edges_for(scorer.held_out)).to_json()

    def tally(self) -> Tally:
        """A new, empty tally."""
        return Tally.from_json(self._empty_tally)

    def batches(self, chunks: Iterator[Chunk], tally: Tally, file: str) -> Iterator[OutputBatches]:
        """Score chunks and add them to the tally.

        Raises:
            InputError: a row is invalid and there is no quarantine.
        """
        with closing(read_ahead(map(self._split, chunks))) as split_chunks:
            for split in split_chunks:
                yield OutputBatches(self._scored(split, tally, file), self._quarantined(split, tally))

    @property
    def cuts_windows(self) -> bool:
        """Whether the rows are time steps, whose windows may begin in an earlier chunk."""
        return self._windows.window is not None

    def pass_over(self, chunks: Iterator[Chunk]) -> None:
        """Read chunks that are scored already, because later windows may begin in them."""
        for chunk in chunks:
            self._windows.of(self._split(chunk))

    def _split(self, chunk: Chunk) -> SplitChunk:
        return self._rows.split(chunk) if self._quarantines else require_valid(self._rows, chunk)

    def _scored(self, split: SplitChunk, tally: Tally, file: str) -> pa.RecordBatch | None:
        if not len(split.x):
            return None
        rows, total = self._windows.of(split), len(split.x)
        if self.cuts_windows and self._most_missing is not None:
            refuse_more_missing(rows.x, self._most_missing, split.numbers[rows.at])
        arrays = [split.kept.column(name) for name in self._kept]
        tally.without_window += total - len(rows.x)
        if len(rows.x):
            scores = self._scorer.score(rows.x)
            ids = None if self._id is None else split.kept.column(self._id).take(pa.array(rows.at))
            tally.add(scores, split.numbers[rows.at], file, ids)
            arrays += of_steps(appended_columns(scores, self._appended, self._scorer.spec), rows.at, total)
        else:
            arrays += [pa.nulls(total, field.type) for field in self._appended]
        if self._with_discoveries:
            arrays.append(pa.nulls(total, DISCOVERY.type))  # known once all rows are scored
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _quarantined(self, split: SplitChunk, tally: Tally) -> pa.RecordBatch | None:
        if split.invalid is None:
            return None
        tally.bad.update(split.invalid.reasons)
        return quarantined(split.invalid, self.quarantine)
