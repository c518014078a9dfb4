"""Scores an input into a folder of parts.

An engine scores the parts: one after the other in this process, or in parallel on a cluster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from vaekit.bundle.discoveries import discovery_cut
from vaekit.errors import InputError, StorageError
from vaekit.scoring.batch.discoveries import fill_discoveries
from vaekit.scoring.batch.options import Options
from vaekit.scoring.batch.parts import PartFolder, PartRecord
from vaekit.scoring.batch.pipeline import Pipeline
from vaekit.scoring.batch.summary import EarlierRuns, Summary
from vaekit.scoring.batch.tally import Tally
from vaekit.scoring.files.fragments import Fragment, RowSource
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
from vaekit.storage.paths import StoragePath, storage_path

Numbered = tuple[int, Fragment]


@dataclass(frozen=True)
class PartJob:
    """Everything needed to score a part, except the model. It can be sent to other processes."""

    source: RowSource
    folder: StoragePath
    options: Options

    def score(self, scorer: Scorer, number: int, fragment: Fragment, pipeline: Pipeline | None = None) -> PartRecord:
        """Score a fragment, write its part, then its record.

        Args:
            scorer: the model.
            number, fragment: of the part.
            pipeline: one that has read all fragments before; None: no row depends on earlier ones.

        Raises:
            InputError: a row is invalid and there is no quarantine.
        """
        parts, pipeline = PartFolder(self.folder), pipeline or Pipeline(scorer, self.source, self.options)
        tally = pipeline.tally()
        name = parts.name(number, fragment, partitions=self.options.partitions)
        part = self.folder.below(name)
        if "/" in name:
            make_folder(self.folder.below(name.rpartition("/")[0]))
        with ExitStack() as stack:
            writer = stack.enter_context(replacing_table(part, pipeline.schema))
            quarantine = None
            for good, bad in pipeline.batches(self.source.read(fragment), tally, fragment.file.name):
                if good is not None:
                    writer.write_batch(good)
                if bad is not None:
                    path = parts.quarantine(number)
                    quarantine = quarantine or stack.enter_context(replacing_table(path, pipeline.quarantine))
                    quarantine.write_batch(bad)
        record = PartRecord(number, name, fragment, tally.written, tally.bad.total(), int(part.info.size), tally)
        parts.write(record)
        return record


Engine = Callable[[PartJob, Sequence[Numbered]], Iterator[PartRecord]]


def local_engine(scorer: Scorer) -> Engine:
    """The engine that scores in this process."""

    def score(job: PartJob, todo: Sequence[Numbered]) -> Iterator[PartRecord]:
        pipeline = Pipeline(scorer, job.source, job.options)
        if not pipeline.cuts_windows:
            return (job.score(scorer, number, fragment) for number, fragment in todo)
        return _in_order(scorer, job, todo, pipeline)

    return score


def _in_order(scorer: Scorer, job: PartJob, todo: Sequence[Numbered], pipeline: Pipeline) -> Iterator[PartRecord]:
    """Score parts in order, and read those in between that are scored already: windows reach across parts."""
    wanted = dict(todo)
    for number, fragment in enumerate(job.source.fragments(job.options.part_rows)):
        if number > max(wanted, default=-1):
            return
        if number in wanted:
            yield job.score(scorer, number, fragment, pipeline)
        else:
            pipeline.pass_over(job.source.read(fragment))


def score_folder(
    scorer: Scorer,
    source: Path | str | StoragePath,
    output: Path | str | StoragePath,
    *,
    batch_rows: int | None = None,
    options: Options | None = None,
    resume: bool = False,
    engine: Engine | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Summary:
    """Score every row of an input into a folder of Parquet files, one per fragment (a file or some of its row groups).

    A run that stops early leaves only complete parts. `resume` scores the missing ones.

    Args:
        scorer: the model and its options.
        source: the input, as for score_file.
        output: path or URI of a folder, which is created.
        batch_rows: rows per batch; None: the scorer's choice.
        options: how to read, write and report; None: the defaults.
        resume: continue the run in the folder, or start a run if the folder has none.
        engine: engine that scores the parts; None: this process.
        progress: called after each part with the number of parts done.

    Raises:
        InputError: the input or a row is invalid, or the folder has another run or other files.
        StorageError: the folder cannot be written.
    """
    began = time.perf_counter()
    folder, chosen = storage_path(output), options or Options()
    check_apart(folder, storage_path(source))
    opened = open_source(source, scorer.spec, batch_rows or scorer.batch_rows, chosen.columns, chosen.csv)
    pipeline = Pipeline(scorer, opened, chosen)
    check_schema(".parquet", pipeline.schema)
    if chosen.quarantine is not None:
        check_quarantine(chosen.quarantine, opened.path, folder, pipeline.quarantine)
    if pipeline.cuts_windows and engine is not None:
        raise InputError(
            "the windows of a series reach across parts, which this engine scores in any order: score in one process "
            "(--engine local)"
        )
    fragments = opened.fragments(chosen.part_rows)
    parts, job = PartFolder(folder), PartJob(opened, folder, chosen)
    parts.begin({**scorer.facts, **chosen.facts, "appended": scorer.appended.names}, fragments, resume=resume)
    tally = pipeline.tally()
    done = {record.number: _merge(tally, record) for record in (parts.read(fragments) if resume else ())}
    todo = [(number, fragment) for number, fragment in enumerate(fragments) if number not in done]
    earlier = EarlierRuns(len(done), tally.rows)
    with _resumable(folder):
        for record in (engine or local_engine(scorer))(job, todo):
            done[record.number] = _merge(tally, record)
            chosen.max_bad.check(tally.bad, tally.read, ended=False)
            if progress is not None:
                progress(len(done), len(fragments), "parts")
    chosen.max_bad.check(tally.bad, tally.read, ended=True)
    if chosen.fdr is not None:
        cut = discovery_cut(tally.p_values, tally.p_counts, chosen.fdr)
        _fill_discoveries(parts, sorted(done), cut, pipeline.renamed)
    if chosen.quarantine is not None:
        with replacing_table(chosen.quarantine, pipeline.quarantine) as writer:
            _join_quarantine(parts, [number for number in sorted(done) if done[number]], writer)
    parts.succeed()
    return Summary.of(scorer, folder, time.perf_counter() - began, tally, chosen, pipeline, earlier)


@contextmanager
def _resumable(folder: StoragePath) -> Iterator[None]:
    """Say how a run goes on whose parts cannot be written any more."""
    try:
        yield
    except StorageError as exc:
        raise StorageError(
            f"{exc}; complete parts are kept in {folder}: the same command with --resume goes on"
        ) from exc


def _merge(tally: Tally, record: PartRecord) -> int:
    """Add a part to the tally and return its number of invalid rows. The record itself is not kept, to save memory."""
    tally.merge(record.tally)
    return record.quarantined


def _fill_discoveries(parts: PartFolder, numbers: Sequence[int], cut: float, renamed: Mapping[str, str]) -> None:
    """Rewrite the parts with is_discovery. If a run stops between a part and its record, `resume` scores that part."""
    for record in map(parts.record, numbers):
        if record.cut != cut:
            part = parts.folder.below(record.part)
            with part.open() as written, replacing(part) as temp:
                fill_discoveries(written, temp, ".parquet", cut, renamed)
            parts.write(replace(record, bytes=int(part.info.size), cut=cut))


def _join_quarantine(parts: PartFolder, numbers: Sequence[int], writer: TableWriter) -> None:
    """Join the quarantine files of all parts."""
    for number in numbers:
        with parts.quarantine(number).open() as file:
            for batch in pq.ParquetFile(file).iter_batches():
                writer.write_batch(batch)
