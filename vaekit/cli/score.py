"""`vae score`: scores files of rows with a bundle or through a running service."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from vaekit.cli import score_options as opt
from vaekit.cli.csv_options import Decimal, Delimiter, Thousands, dialect_of, same_csv
from vaekit.cli.options import (
    AsJson,
    Device,
    Ignore,
    ModelName,
    Models,
    Quiet,
    beside,
    naming,
    rules_of,
)
from vaekit.cli.output import is_json, is_quiet, print_json, suggest
from vaekit.cli.panels import examples
from vaekit.cli.score_pipe import STDIN, check_format, pipe_options, run_pipe
from vaekit.cli.score_report import check_summary, report, write_summary
from vaekit.cli.score_with import cluster_of, scorer_of
from vaekit.errors import InputError

if TYPE_CHECKING:
    from vaekit.scoring import Options, Scorer, Summary
    from vaekit.scoring.batch.folder import Engine
    from vaekit.scoring.scorers import ScoringOptions

EXAMPLES = examples(
    "vae score breast-cancer examples/rows.csv scored.parquet",
    "vae score breast-cancer examples/rows.csv scored.csv --explain 3 --fdr 0.1",
)


def score(
    model: ModelName,
    source: opt.Source,
    output: opt.Output,
    models: Models = Path("models"),
    url: opt.Url = None,
    key: opt.Key = None,
    alpha: opt.Alpha = 0.05,
    num_samples: opt.NumSamples = None,
    delimiter: Delimiter = None,
    decimal: Decimal = None,
    thousands: Thousands = None,
    strict: opt.Strict = False,
    device: Device = "auto",
    precision: opt.Precision = "float32",
    form: opt.Format = None,
    header: opt.Header = True,
    batch_rows: opt.BatchRows = None,
    columns: opt.Columns = None,
    explain: opt.Explain = None,
    fdr: opt.Fdr = None,
    ignore: Ignore = None,
    quarantine: opt.Quarantine = None,
    max_bad: opt.MaxBad = None,
    summary: opt.Summary = None,
    top: opt.Top = 10,
    part_rows: opt.PartRows = None,
    partitions: opt.Partitions = False,
    resume: opt.Resume = False,
    engine: opt.Engine = "local",
    actors: opt.Actors = None,
    as_json: AsJson = False,
    _quiet: Quiet = False,
) -> None:
    """Score every row of a file, a folder or a pipe: ELBO in nats, p-value and verdict."""
    for_files = {"--fdr": fdr, "--summary": summary, "--part-rows": part_rows, "--partitions": partitions}
    from vaekit.scoring import locate
    from vaekit.storage.paths import STDOUT

    if as_json and output == STDOUT:
        raise InputError("--json: the scored rows go to standard output; name a file for them, or leave out --json")
    check_format(source, output, form, header=header, needs_file={**for_files, "--resume": resume, "--engine": engine})
    options = replace(
        _options(columns, part_rows, partitions, quarantine, max_bad, fdr, top),
        strict=strict,
        csv=dialect_of(None if url else locate(model, models), delimiter, decimal, thousands),
    )
    for_folders = {"--resume": resume, "--partitions": partitions, "--part-rows": part_rows, "--engine": engine}
    _check_folder_options(output, for_folders)
    check_summary(summary)
    signal.signal(signal.SIGTERM, _stop)  # as for Ctrl-C: SystemExit runs the clean-up of incomplete files
    rules = rules_of(ignore)
    scoring: ScoringOptions = {"num_samples": num_samples, "alpha": alpha, "explain": explain, "ignore": rules}
    with (
        scorer_of(model, models, url, key, device, precision, scoring) as scorer,
        cluster_of(model, models, url, device, precision, actors, scoring) if engine == "ray" else nullcontext() as ray,
    ):
        if source == STDIN:
            run_pipe(scorer, pipe_options(options, form, header=header), quarantine)
            return
        scored = _scored(scorer, source, output, options, batch_rows, resume=resume, ray=ray)
    _report(scored, output, summary)
    if output != STDOUT:
        written = same_csv(delimiter, decimal, thousands)
        suggest(f"vae explain {shlex.join([model, source])} --top 3{written}{beside(models)}")


def _scored(
    scorer: Scorer,
    source: str,
    output: str,
    options: Options,
    batch_rows: int | None,
    *,
    resume: bool,
    ray: Engine | None,
) -> Summary:
    """Score into a file or a folder, with a bar of progress."""
    from vaekit.cli.progress import bar
    from vaekit.scoring import score_file, score_folder
    from vaekit.storage.paths import names_a_folder

    run = partial(score_file, scorer, source, output)
    if names_a_folder(output):
        run = partial(score_folder, scorer, source, output, resume=resume, engine=ray)
    hint = "; --quarantine FILE sets invalid rows aside" if options.quarantine is None else ""
    with naming(source, hint, options.csv), bar("scoring") as progress:
        return run(batch_rows=batch_rows, options=options, progress=progress)


def _report(scored: Summary, output: str, summary: Path | None) -> None:
    """Print the report, on stderr if the rows go to stdout, and write the summary if it has a file."""
    from vaekit.storage.paths import STDOUT

    with redirect_stdout(sys.stderr) if output == STDOUT or is_json() else nullcontext():
        if not (is_quiet() or is_json()):
            report(scored)
        if summary is not None:
            write_summary(scored, summary)
    if is_json():
        print_json(scored.to_json())


def _options(
    columns: str | None,
    part_rows: int | None,
    partitions: bool,
    quarantine: str | None,
    max_bad: str | None,
    fdr: float | None,
    top: int,
) -> Options:
    from vaekit.scoring import Options
    from vaekit.scoring.batch.invalid_rows import InvalidRowLimit
    from vaekit.scoring.batch.options import PART_ROWS
    from vaekit.storage.paths import storage_path

    if max_bad is not None and quarantine is None:
        raise InputError("--max-bad: needs --quarantine FILE, the file for invalid rows")
    kept = None if columns is None else [] if columns == "none" else columns.split(",")
    return Options(
        columns=kept,
        part_rows=part_rows or PART_ROWS,
        partitions=partitions,
        quarantine=None if quarantine is None else storage_path(quarantine),
        max_bad=InvalidRowLimit.of(max_bad),
        fdr=fdr,
        top=top,
    )


def _check_folder_options(output: str, given: Mapping[str, object]) -> None:
    """Refuse options that need a folder as output, if the output is one file."""
    from vaekit.storage.paths import names_a_folder

    to_folder = names_a_folder(output)
    for name, value in given.items():
        if value not in (None, False, "local") and not to_folder:
            raise InputError(f"{name}: needs a folder as output (a name without an ending), but the output is one file")


def _stop(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
