"""Scores an input into a folder of parts, each written once and whole. Composes source, pass and parts.

Who scores the parts is an engine: this process, one after the other, or actors on a cluster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.parquet as pq

from vaekit.bundle.discoveries import discovery_cut
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
    """All that scoring a part takes but the model; it travels to other processes."""

    source: RowSource
    folder: Place
    options: Options

    def score(self, scorer: Scorer, number: int, fragment: Fragment) -> PartRecord:
        """Score a fragment, write its part, and then its record.

        Raises:
            InputError: a row that the model does not take, where there is no quarantine.
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
    """This process."""

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
    """Score every row of an input into a folder of Parquet files, one for each fragment: a file, or row groups of it.

    A run that was ended, in whatever way, leaves parts that are whole; `resume` goes on with the others.

    Args:
        scorer: the model.
        source: as for score_file.
        output: a folder, which is made; a path or a URI.
        batch_rows: as for score_file.
        options: all else.
        resume: go on with the run that is there; where there is none, begin.
        engine: who scores; None: this process.
        progress: told how many parts there are, after each.

    Raises:
        InputError: an input or a row that is refused, or a folder that holds another run, or anything else.
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
    return Summary.of(scorer, folder, time.perf_counter() - began, tally, asked, before)


def _merged(tally: Tally, record: PartRecord) -> int:
    """Count a part; how many of its rows are in quarantine, which is all that is kept of it: parts may be many."""
    tally.merge(record.tally)
    return record.quarantined


def _judge(parts: PartFolder, numbers: Sequence[int], cut: float) -> None:
    """Write parts anew with their discoveries; one that was so written and has no record of it is scored again."""
    for record in map(parts.record, numbers):
        if record.cut != cut:
            part = parts.folder.below(record.part)
            with part.open() as written, replacing(part) as temp:
                judge(written, temp, ".parquet", cut)
            parts.write(replace(record, bytes=int(part.info.size), cut=cut))


def _gather(parts: PartFolder, numbers: Sequence[int], writer: TableWriter) -> None:
    """One quarantine of all parts'."""
    for number in numbers:
        with parts.quarantine(number).open() as file:
            for batch in pq.ParquetFile(file).iter_batches():
                writer.write_batch(batch)
