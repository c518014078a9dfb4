"""`vae calibrate`: words and a progress bar around a new calibration. Knows flags, not formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    model: Annotated[str, typer.Argument(help="name, name@version, or the path of a bundle in a models folder")],
    data: Annotated[Path, typer.Argument(help="held-out rows: .csv, .parquet, a folder of .parquet, or .npy")],
    models: Annotated[Path, typer.Option(help="the models folder")] = Path("models"),
    num_samples: Annotated[
        list[int] | None, typer.Option(help="Monte-Carlo draws K to calibrate, repeatable; default: the model's")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:<index>")] = "auto",
    batch_rows: Annotated[int | None, typer.Option(min=1, help="rows read and scored at once")] = None,
) -> None:
    """Publish a new version of a model whose p-values compare with the rows of DATA; the graphs stay the same."""
    from vaekit.cli.progress import bar
    from vaekit.runtime import Model
    from vaekit.scoring import locate, publish_calibration

    with Model.load(locate(model, models), device=device) as loaded, bar("scoring") as progress:
        manifest = publish_calibration(
            loaded, data, num_samples=num_samples or (), batch_rows=batch_rows, progress=progress
        )
    assert manifest.calibration is not None
    n = manifest.calibration.entries[0].n
    typer.echo(f"{manifest.name}@{manifest.version}: p-values by {n:,} rows; the smallest is {1 / (n + 1):.3g}")
    typer.echo(f"assumes that {manifest.calibration.assumption}")
