"""`vae init`: writes a project folder that trains, scores and serves as it is."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from vaekit.cli.panels import INPUT, examples

EXAMPLES = examples("vae init pumps", "vae init --data examples/rows.csv tumours")


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
) -> None:
    """Write a project folder: config, sample data, compose file and README."""
    from vaekit.project import own_data, sample, write

    project = sample() if data is None else own_data(data, folder)
    for remark in project.remarks:
        typer.echo(remark, err=True)
    for path in write(project, folder):
        typer.echo(path)
    enter = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    typer.echo(f"next: {enter}vae train config.toml", err=True)
