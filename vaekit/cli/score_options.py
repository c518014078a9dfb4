"""The options of `vae score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vaekit.cli.panels import CLUSTER, DEVICE, EXPLANATION, INPUT, OUTPUT, SCORING

ROWS = (
    "rows: .csv, .parquet, .arrow, .feather, .npy, or a folder of .parquet or of images; a path or a URI (s3://, "
    "gs://); or - for standard input, whose rows are scored as they come"
)
TARGET = (
    ".parquet or .csv file, replaced only when complete; a folder of parts (a name without an ending); or - for "
    "standard output, as CSV or as --format says"
)
Source = Annotated[str, typer.Argument(metavar="INPUT", help=ROWS)]
Output = Annotated[str, typer.Argument(metavar="OUTPUT", help=TARGET)]
Url = Annotated[
    str | None,
    typer.Option(
        help="address of a running service that scores the rows; default: this process scores them",
        rich_help_panel=INPUT,
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        envvar=["VAE_API_KEY", "VAE_KEY"],
        help="key of the service at --url; default: VAE_API_KEY, else no key",
        rich_help_panel=INPUT,
    ),
]
Alpha = Annotated[
    float, typer.Option(help="false-alarm rate of is_anomaly, a share of normal rows", rich_help_panel=SCORING)
]
NumSamples = Annotated[
    int | None,
    typer.Option(
        "--num-samples",
        "-k",
        help="number K of draws per row, at least 2; default: the model's",
        rich_help_panel=SCORING,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="refusal of novel rows, and of columns that the model does not have", rich_help_panel=INPUT
    ),
]
Precision = Annotated[
    Literal["float32", "float16"],
    typer.Option(help="precision of the networks: float32, or float16 if the model has it", rich_help_panel=DEVICE),
]
Format = Annotated[
    Literal["csv", "ndjson"] | None,
    typer.Option("--format", help="format of standard input and output; default: csv", rich_help_panel=INPUT),
]
Header = Annotated[
    bool,
    typer.Option(
        "--header/--no-header",
        help="a first line with column names in CSV on standard input; without it, rows are in the model's order, "
        "and the output has no header either",
        rich_help_panel=INPUT,
    ),
]
BatchRows = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="rows per batch; default: 2^20 cells; with --url 2^18 cells and at most 10,000 rows, 32 times fewer "
        "rows with --explain",
        rich_help_panel=DEVICE,
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        help="input columns to keep in the output, separated by commas; none: only the row number; default: all",
        rich_help_panel=OUTPUT,
    ),
]
Explain = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="number of most anomalous cells to explain per row, at 30 times the work of a score; default: no "
        "explanation",
        rich_help_panel=EXPLANATION,
    ),
]
Fdr = Annotated[
    float | None,
    typer.Option(
        help="false-discovery rate of is_discovery over the whole run; default: no such column",
        rich_help_panel=SCORING,
    ),
]
Quarantine = Annotated[
    str | None,
    typer.Option(
        help="file for invalid rows, .parquet or .csv; default: the first invalid row stops the run",
        rich_help_panel=OUTPUT,
    ),
]
MaxBad = Annotated[
    str | None,
    typer.Option(
        help="largest number N or percentage P% of invalid rows, with --quarantine; default: no limit",
        rich_help_panel=OUTPUT,
    ),
]
Summary = Annotated[
    Path | None,
    typer.Option(
        help=".json file for a summary of the run, with a figure (.png) beside it; default: no summary file",
        rich_help_panel=OUTPUT,
    ),
]
Top = Annotated[int, typer.Option(min=0, help="number of most anomalous rows in the summary", rich_help_panel=OUTPUT)]
PartRows = Annotated[
    int | None,
    typer.Option(min=1, help="approximate rows per part; default: 1,000,000", rich_help_panel=OUTPUT),
]
Partitions = Annotated[
    bool, typer.Option(help="key=value folders for the parts, as in the input folder", rich_help_panel=OUTPUT)
]
Resume = Annotated[
    bool,
    typer.Option(
        help="continuation of the run in the output folder: scores only its missing parts", rich_help_panel=OUTPUT
    ),
]
Engine = Annotated[
    Literal["local", "ray"],
    typer.Option(help="engine that scores the parts: local (this process) or ray (Ray Data)", rich_help_panel=CLUSTER),
]
Actors = Annotated[
    str | None,
    typer.Option(help="number of Ray actors, MIN:MAX; default: from 1 to one per core or GPU", rich_help_panel=CLUSTER),
]
