"""The summary file of `vae score` and the figure beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from vaekit.scoring import Summary


def check_summary(summary: Path | None) -> None:
    """Refuse a summary that cannot be written, before the rows are scored."""
    from vaekit.errors import InputError

    if summary is None:
        return
    if summary.suffix != ".json":
        raise InputError(f"--summary: {summary}, expected a name that ends in .json")
    if not summary.absolute().parent.is_dir():
        raise InputError(f"--summary: {summary}: folder {summary.parent} does not exist")


def write_summary(scored: Summary, where: Path) -> None:
    """Write the summary as JSON and as a figure of the same name."""
    from vaekit.scoring.batch.summary_plot import draw
    from vaekit.scoring.files.paths import storage_path

    scored.write(storage_path(where))
    typer.echo(f"summary: {where}, {draw(scored, where.with_suffix('.png'))}")
