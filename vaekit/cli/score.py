"""`vae score`: scores files of rows with a bundle or through a running service."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from vaekit.cli.options import Decimal, Delimiter, Device, Ignore, ModelName, Models, Thousands, dialect_of, rules_of
from vaekit.cli.panels import CLUSTER, DEVICE, EXPLANATION, INPUT, OUTPUT, SCORING, examples
from vaekit.cli.score_pipe import STDIN, check_format, pipe_options, run_pipe
from vaekit.cli.score_report import check_summary, report, write_summary
from vaekit.cli.score_with import cluster_of, scorer_of

if TYPE_CHECKING:
    from vaekit.scoring import Options, Scorer, Summary
    from vaekit.scoring.batch.folder import Engine
    from vaekit.scoring.scorers import ScoringOptions

ROWS = (
    "rows: .csv, .parquet, .arrow, .feather, .npy, or a folder of .parquet or of images; a path or a URI (s3://, "
    "gs://); or - for standard input, whose rows are scored as they come"
)
TARGET = (
    ".parquet or .csv file, replaced only when complete; a folder of parts (a name without an ending); or - for "
    "standard output, as CSV or as --format says"
)
EXAMPLES = examples(
    "vae score breast-cancer examples/rows.csv scored.parquet",
    "vae score breast-cancer examples/rows.csv scored.csv --explain 3 --fdr 0.1",
)


def score(
    model: ModelName,
    source: Annotated[str, typer.Argument(metavar="INPUT", help=ROWS)],
    output: Annotated[str, typer.Argument(help=TARGET)],
    models: Models = Path("models"),
    url: Annotated[
        str | None,
        typer.Option(
            help="address of a running service that scores the rows; default: this process scores them",
            rich_help_panel=INPUT,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            envvar=["VAE_API_KEY", "VAE_KEY"],
            help="key of the service at --url; default: VAE_API_KEY, else no key",
            rich_help_panel=INPUT,
        ),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="false-alarm rate of is_anomaly, a share of normal rows", rich_help_panel=SCORING)
    ] = 0.05,
    num_samples: Annotated[
        int | None,
        typer.Option(help="number K of draws per row, at least 2; default: the model's", rich_help_panel=SCORING),
    ] = None,
    delimiter: Delimiter = ",",
    decimal: Decimal = ".",
    thousands: Thousands = "",
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="refusal of novel rows, and of columns that the model does not have", rich_help_panel=INPUT
        ),
    ] = False,
    device: Device = "auto",
    precision: Annotated[
        Literal["float32", "float16"],
        typer.Option(help="precision of the networks: float32, or float16 if the model has it", rich_help_panel=DEVICE),
    ] = "float32",
    form: Annotated[
        Literal["csv", "ndjson"] | None,
        typer.Option("--format", help="format of standard input and output; default: csv", rich_help_panel=INPUT),
    ] = None,
    header: Annotated[
        bool,
        typer.Option(
            "--header/--no-header",
            help="a first line with column names in CSV on standard input; without it, rows are in the model's order, "
            "and the output has no header either",
            rich_help_panel=INPUT,
        ),
    ] = True,
    batch_rows: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="rows per batch; default: 2^20 cells; with --url 2^18 cells and at most 10,000 rows, 32 times fewer "
            "rows with --explain",
            rich_help_panel=DEVICE,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="input columns to keep in the output, separated by commas; none: only the row number; default: all",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    explain: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="number of most anomalous cells to explain per row, at 30 times the work of a score; default: no "
            "explanation",
            rich_help_panel=EXPLANATION,
        ),
    ] = None,
    fdr: Annotated[
        float | None,
        typer.Option(
            help="false-discovery rate of is_discovery over the whole run; default: no such column",
            rich_help_panel=SCORING,
        ),
    ] = None,
    ignore: Ignore = None,
    quarantine: Annotated[
        str | None,
        typer.Option(
            help="file for invalid rows, .parquet or .csv; default: the first invalid row stops the run",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    max_bad: Annotated[
        str | None,
        typer.Option(
            help="largest number N or percentage P% of invalid rows, with --quarantine; default: no limit",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(
            help=".json file for a summary of the run, with a figure (.png) beside it; default: no summary file",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    top: Annotated[
        int, typer.Option(min=0, help="number of most anomalous rows in the summary", rich_help_panel=OUTPUT)
    ] = 10,
    part_rows: Annotated[
        int | None,
        typer.Option(min=1, help="approximate rows per part; default: 1,000,000", rich_help_panel=OUTPUT),
    ] = None,
    partitions: Annotated[
        bool, typer.Option(help="key=value folders for the parts, as in the input folder", rich_help_panel=OUTPUT)
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            help="continuation of the run in the output folder: scores only its missing parts", rich_help_panel=OUTPUT
        ),
    ] = False,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option(
            help="engine that scores the parts: local (this process) or ray (Ray Data)", rich_help_panel=CLUSTER
        ),
    ] = "local",
    actors: Annotated[
        str | None,
        typer.Option(
            help="number of Ray actors, MIN:MAX; default: from 1 to one per core or GPU", rich_help_panel=CLUSTER
        ),
    ] = None,
) -> None:
    """Score every row of a file, a folder or a pipe: ELBO in nats, p-value and verdict."""
    for_files = {"--fdr": fdr, "--summary": summary, "--part-rows": part_rows, "--partitions": partitions}
    check_format(source, output, form, header=header, needs_file={**for_files, "--resume": resume, "--engine": engine})
    options = replace(
        _options(columns, part_rows, partitions, quarantine, max_bad, fdr, top),
        strict=strict,
        csv=dialect_of(delimiter, decimal, thousands),
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
    with bar("scoring") as progress:
        return run(batch_rows=batch_rows, options=options, progress=progress)


def _report(scored: Summary, output: str, summary: Path | None) -> None:
    """Print the report, on stderr if the rows go to stdout, and write the summary if it has a file."""
    from vaekit.storage.paths import STDOUT

    with redirect_stdout(sys.stderr) if output == STDOUT else nullcontext():
        report(scored)
        if summary is not None:
            write_summary(scored, summary)


def _options(
    columns: str | None,
    part_rows: int | None,
    partitions: bool,
    quarantine: str | None,
    max_bad: str | None,
    fdr: float | None,
    top: int,
) -> Options:
    from vaekit.errors import InputError
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
    from vaekit.errors import InputError
    from vaekit.storage.paths import names_a_folder

    to_folder = names_a_folder(output)
    for name, value in given.items():
        if value not in (None, False, "local") and not to_folder:
            raise InputError(f"{name}: needs a folder as output (a name without an ending), but the output is one file")


def _stop(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)
