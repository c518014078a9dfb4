"""`vae init`: writes a project folder that trains, scores and serves as it is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from vaekit.cli.csv_options import TrainingDecimal, TrainingDelimiter, TrainingThousands, csv_settings
from vaekit.cli.options import Anomaly, AsJson, Quiet
from vaekit.cli.output import print_json, say
from vaekit.cli.panels import INPUT, LABELS, examples
from vaekit.errors import InputError

EXAMPLES = examples("vae init pumps", "vae init tumours --data examples/rows.csv --json")


def init(
    folder: Annotated[Path, typer.Argument(help="folder of the project, made if it does not exist")] = Path(),
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="your training rows, as for vae train: a config is made for them; default: sample data are written",
            rich_help_panel=INPUT,
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="column of --data that marks anomalies, which are never trained on; default: no labels",
            rich_help_panel=LABELS,
        ),
    ] = None,
    anomaly: Anomaly = None,
    delimiter: TrainingDelimiter = None,
    decimal: TrainingDecimal = None,
    thousands: TrainingThousands = None,
    as_json: AsJson = False,
    _quiet: Quiet = False,
) -> None:
    """Write a project folder: config, sample data, compose file and README."""
    from vaekit.project import own_data, sample, write

    written = csv_settings(delimiter, decimal, thousands)
    if data is None and (label or anomaly or written):
        raise InputError("--label, --anomaly and --delimiter: describe your own rows; name them with --data")
    project = sample() if data is None else own_data(data, folder, label=label, anomalies=anomaly, csv=written)
    for remark in project.remarks:
        say(remark)
    paths = list(map(str, write(project, folder)))
    end_of_options = "-- " if str(folder).startswith("-") else ""
    enter = "" if folder.resolve() == Path.cwd() else f"cd {end_of_options}{shlex.quote(str(folder))} && "
    if as_json:
        print_json({"model": project.name, "files": paths, "remarks": project.remarks})
        return
    typer.echo("\n".join(paths))
    say(f"next: {enter}vae train config.toml")
