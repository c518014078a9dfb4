"""The options of `vae calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vaekit.cli import completion
from vaekit.cli.options import FORMATS
from vaekit.cli.panels import INPUT, LABELS, OUTPUT, SCORING

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="name, name@version, or path of a bundle in a folder of models",
        autocompletion=completion.models,
    ),
]
Data = Annotated[
    Path | None,
    typer.Argument(metavar="DATA", help=f"held-out rows: {FORMATS}; none with --feedback"),
]
NumSamples = Annotated[
    list[int] | None,
    typer.Option(
        "--num-samples",
        "-k",
        help="number K of draws per row to calibrate, at least 2; repeatable; default: the model's",
        rich_help_panel=SCORING,
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMNS",
        help="group columns, separated by commas, the most important first: a row is compared with the held-out "
        "rows of its group alone; columns of the model (categories, counts, binary) or observed_cells; none: no "
        "groups; default: as before",
        rich_help_panel=SCORING,
    ),
]
LeastRows = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="fewest held-out rows of a group; rows of a smaller one are compared with the group of one column "
        "less; default: as before, or 19",
        rich_help_panel=SCORING,
    ),
]
Propose = Annotated[
    bool,
    typer.Option(
        "--propose",
        help="the new version is only used where it is named, until vae models accept NAME@VERSION; default: it is "
        "the latest at once",
        rich_help_panel=OUTPUT,
    ),
]
Feedback = Annotated[
    Path | None,
    typer.Option(
        metavar="LABELS",
        help="labels by id, as for vae feedback: propose a version calibrated on rows of --scores that are "
        "confirmed as normal; default: calibrate on DATA",
        rich_help_panel=LABELS,
    ),
]
Scores = Annotated[
    Path | None,
    typer.Option(
        help="score log of the service, for --feedback: a folder or a file; default: none", rich_help_panel=INPUT
    ),
]
IdColumn = Annotated[
    str, typer.Option("--id", help="column with the id of a row in --feedback", rich_help_panel=LABELS)
]
Label = Annotated[
    str | None,
    typer.Option(
        help="column that marks anomalies, or .npy file with one label per row; anomalies are left out; "
        "default: no labels; with --feedback: label",
        rich_help_panel=LABELS,
    ),
]
