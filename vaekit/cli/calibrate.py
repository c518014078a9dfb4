"""`vae calibrate`: publishes a new version of a model, calibrated on other rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from vaekit.bundle.manifest import CalibrationEntry, Manifest


def calibrate(
    model: Annotated[str, typer.Argument(help="name, name@version, or the path of a bundle in a models folder")],
    data: Annotated[Path, typer.Argument(help="held-out rows: .csv, .parquet, a folder of .parquet, or .npy")],
    models: Annotated[Path, typer.Option(help="the models folder")] = Path("models"),
    num_samples: Annotated[
        list[int] | None, typer.Option(help="Monte-Carlo draws K to calibrate, repeatable; default: the model's")
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="column that marks anomalies, which are left out, or a .npy file of one label a row"),
    ] = None,
    anomaly: Annotated[
        list[str] | None, typer.Option(help="value of the label that means anomaly, repeatable; default: 1")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on stdout in place of the table")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<index>")] = "auto",
    batch_rows: Annotated[int | None, typer.Option(min=1, help="rows read and scored at once")] = None,
) -> None:
    """Publish a new version of a model whose p-values compare with the rows of DATA; the graphs stay the same."""
    from vaekit.cli.progress import bar
    from vaekit.errors import InputError
    from vaekit.runtime import Model
    from vaekit.scoring import locate, publish_calibration

    if anomaly and label is None:
        raise InputError("--anomaly says which labels mean anomaly: give --label too")
    with Model.load(locate(model, models), device=device) as loaded, bar("scoring") as progress:
        manifest = publish_calibration(
            loaded, data, num_samples=num_samples or (), label=label, anomalies=anomaly or ["1"],
            batch_rows=batch_rows, progress=progress,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(_tree(manifest), indent=2))
    else:
        _show(manifest)


def _tree(manifest: Manifest) -> dict[str, object]:
    """The calibration as the manifest has it, but for its file."""
    assert manifest.calibration is not None
    return {
        "model": f"{manifest.name}@{manifest.version}",
        "assumption": manifest.calibration.assumption,
        "calibrations": [entry.model_dump(mode="json") for entry in manifest.calibration.entries],
    }


def _show(manifest: Manifest) -> None:
    assert manifest.calibration is not None
    n = manifest.calibration.entries[0].n
    typer.echo(f"{manifest.name}@{manifest.version}: p-values by {n:,} rows; the smallest is {1 / (n + 1):.3g}")
    typer.echo(f"assumes that {manifest.calibration.assumption}")
    for entry in manifest.calibration.entries:
        Console(highlight=False).print(_thresholds(entry))
        typer.echo(f"p_value_tail: {entry.tail.sentence() if entry.tail else 'none, too few rows to extrapolate from'}")


def _thresholds(entry: CalibrationEntry) -> Table:
    from vaekit.bundle.thresholds import HEADINGS, lines

    table = Table(title=f"K = {entry.num_samples}, {entry.precision}", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for line in lines(entry.thresholds):
        table.add_row(*line)
    return table
