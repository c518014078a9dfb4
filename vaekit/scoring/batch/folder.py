"""Scores an input into a folder of parts.

An engine scores the parts: this process one after the other, or actors on a cluster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from vaekit.bundle.discoveries import discovery_cut
from vaekit.errors import StorageError
from vaekit.scoring.batch.discoveries import judge
from vaekit.scoring.batch.options import Options
from vaekit.scoring.batch.parts import PartFolder, PartRecord
from vaekit.scoring.batch.pipeline import Pass
from vaekit.scoring.batch.summary import Before, Summary
from vaekit.scoring.batch.tally import Tally
from vaekit.scoring.files.fragments import Fragment, RowSource
from vaekit.scoring.files.paths import Place, place
from vaekit.scoring.files.sources import open_source
from vaekit.scoring.files.writer import (
    TableWriter,
    check_apart,
    check_quarantine,
    check_schema,
    make_folder,
    replacing,
    replacing_table,
)
from vaekit.scoring.scorers import Scorer

Numbered = tuple[int, Fragment]


@dataclass(frozen=True)
class PartJob:
    """Everything a part needs to be scored, except the model; can be sent to other processes."""

    source: RowSource
    folder: Place
    options: Options

    def score(self, scorer: Scorer, number: int, fragment: Fragment) -> PartRecord:
        """Score a fragment, write its part, then its record.

        Raises:
            InputError: a row is invalid and there is no quarantine.
        """
        parts, over = PartFolder(self.folder), Pass(scorer, self.source, self.options)
        tally = over.tally()
        name = parts.name(number, fragment, partitions=self.options.partitions)
        part = self.folder.below(name)
        if "/" in name:
            make_folder(self.folder.below(name.rpartition("/")[0]))
        with ExitStack() as held:
            writer = held.enter_context(replacing_table(part, over.schema))
            kept = None
            for good, bad in over.batches(self.source.read(fragment), tally, fragment.file.name):
                if good is not None:
                    writer.write_batch(good)
                if bad is not None:
                    where = parts.quarantine(number)
                    kept = kept or held.enter_context(replacing_table(where, over.quarantine))
                    kept.write_batch(bad)
        record = PartRecord(number, name, fragment, tally.rows, tally.bad.total(), int(part.info.size), tally)
        parts.write(record)
        return record


Engine = Callable[[PartJob, Sequence[Numbered]], Iterator[PartRecord]]


def here(scorer: Scorer) -> Engine:
    """The engine that scores in this process."""

    def score(job: PartJob, todo: Sequence[Numbered]) -> Iterator[PartRecord]:
        return (job.score(scorer, number, fragment) for number, fragment in todo)

    return score


def score_folder(
    scorer: Scorer,
    source: Path | str | Place,
    output: Path | str | Place,
    *,
    batch_rows: int | None = None,
    options: Options | None = None,
    resume: bool = False,
    engine: Engine | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Summary:
    """Score every row of an input into a folder of Parquet files, one per fragment (a file or some of its row groups).

    A run that stops early, for whatever reason, leaves complete parts; `resume` scores the others.

    Args:
        scorer: the model and its options.
        source: as for score_file.
        output: path or URI of a folder, which is created.
        batch_rows: as for score_file.
        options: further options.
        resume: continue the run in the folder, or start one if there is none.
        engine: engine that scores the parts; None: this process.
        progress: called after each part with the number of parts done.

    Raises:
        InputError: the input or a row is invalid, or the folder has another run or other files.
        StorageError: the folder cannot be written.
    """
    began = time.perf_counter()
    folder, asked = place(output), options or Options()
    check_apart(folder, place(source))
    opened = open_source(source, scorer.spec, batch_rows or scorer.batch_rows, asked.columns)
    over = Pass(scorer, opened, asked)
    check_schema(".parquet", over.schema)
    if asked.quarantine is not None:
        check_quarantine(asked.quarantine, opened.place, folder, over.quarantine)
    fragments = opened.fragments(asked.part_rows)
    parts, job = PartFolder(folder), PartJob(opened, folder, asked)
    parts.begin({**scorer.facts, **asked.facts, "appended": scorer.appended.names}, fragments, resume=resume)
    tally = over.tally()
    done = {record.number: _merged(tally, record) for record in (parts.read(fragments) if resume else ())}
    todo = [(number, fragment) for number, fragment in enumerate(fragments) if number not in done]
    before = Before(len(done), tally.rows)
    with _resumable(folder):
        for record in (engine or here(scorer))(job, todo):
            done[record.number] = _merged(tally, record)
            asked.max_bad.check(tally.bad, tally.read, ended=False)
            if progress is not None:
                progress(len(done), len(fragments), "parts")
    asked.max_bad.check(tally.bad, tally.read, ended=True)
    if asked.fdr is not None:
        _judge(parts, sorted(done), discovery_cut(tally.p_values, tally.p_counts, asked.fdr))
    if asked.quarantine is not None:
        with replacing_table(asked.quarantine, over.quarantine) as writer:
            _gather(parts, [number for number in sorted(done) if done[number]], writer)
    parts.succeed()
    return Summary.of(scorer, folder, time.perf_counter() - began, tally, asked, before, opened.remarks)


@contextmanager
def _resumable(folder: Place) -> Iterator[None]:
    """Say how a run goes on whose parts cannot be written any more."""
    try:
        yield
    except StorageError as exc:
        raise StorageError(
            f"{exc}; complete parts are kept in {folder}: the same command with --resume goes on"
        ) from exc


def _merged(tally: Tally, record: PartRecord) -> int:
    """Add a part to the tally; return its number of invalid rows (records are not kept, since there may be many)."""
    tally.merge(record.tally)
    return record.quarantined


def _judge(parts: PartFolder, numbers: Sequence[int], cut: float) -> None:
    """Rewrite parts with is_discovery. If a run stops between part and record, `resume` scores the part again."""
    for record in map(parts.record, numbers):
        if record.cut != cut:
            part = parts.folder.below(record.part)
            with part.open() as written, replacing(part) as temp:
                judge(written, temp, ".parquet", cut)
            parts.write(replace(record, bytes=int(part.info.size), cut=cut))


def _gather(parts: PartFolder, numbers: Sequence[int], writer: TableWriter) -> None:
    """Join the quarantine files of all parts."""
    for number in numbers:
        with parts.quarantine(number).open() as file:
            for batch in pq.ParquetFile(file).iter_batches():
                writer.write_batch(batch)
