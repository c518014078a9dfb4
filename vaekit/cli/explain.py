"""`vae explain`: shows why one row of a file is anomalous."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vaekit.cli.options import (
    AsJson,
    Decimal,
    Delimiter,
    Device,
    ModelName,
    Models,
    Quiet,
    RowsPath,
    Thousands,
    dialect_of,
)
from vaekit.cli.output import say
from vaekit.cli.panels import EXPLANATION, INPUT, OUTPUT, examples

if TYPE_CHECKING:
    from vaekit.scoring import RowExplained

WIDE = 120  # characters per line of a table if stdout is a file or a pipe
EXAMPLES = examples(
    "vae explain breast-cancer examples/rows.csv --row 0",
    "vae explain breast-cancer examples/rows.csv --row 0 --top 4 --out row-0.png",
)


def explain(
    model: ModelName,
    data: RowsPath,
    row: Annotated[
        int, typer.Option(min=0, help="number of the row to explain, counted from 0", rich_help_panel=INPUT)
    ],
    models: Models = Path("models"),
    top: Annotated[
        int,
        typer.Option(
            min=1, help="largest number of cells to show, the most anomalous first", rich_help_panel=EXPLANATION
        ),
    ] = 8,
    out: Annotated[
        Path | None,
        typer.Option(
            help=".png file for a figure: cells beside their expected values, or the heatmap of an image; "
            "default: no figure",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    as_json: AsJson = False,
    delimiter: Delimiter = ",",
    decimal: Decimal = ".",
    thousands: Thousands = "",
    device: Device = "auto",
    _quiet: Quiet = False,
) -> None:
    """Show the most anomalous cells of a row and the values expected there."""
    from vaekit.runtime import Model
    from vaekit.scoring import explain_row, locate

    with Model.load(locate(model, models), device=device) as loaded:
        found = explain_row(loaded, data, row, top=top, say=say, csv=dialect_of(delimiter, decimal, thousands))
    if as_json:
        typer.echo(json.dumps(found.tree(), indent=2))
    else:
        _show(Console(highlight=False), found)
    if out is not None:
        from vaekit.scoring.evaluation.explain_plots import draw

        draw(found, out)
        typer.echo(f"written to {out}", err=as_json)


def _show(console: Console, found: RowExplained) -> None:
    if not console.is_terminal:
        console.width = WIDE
    p_value = "no p-value" if found.p_value is None else f"p-value {found.p_value:.3g}"
    p_value += "" if found.group is None else f" among {found.group}"
    title = f"{found.model}: row {found.row} of {found.data}: score {found.score:.4g} nats, {p_value}"
    table = Table(title=escape(title), title_justify="left")
    for column in ("feature", "value", "expected", "90 % interval", "relief", "excess", "p-value"):
        table.add_column(column, justify="left" if column == "feature" else "right", no_wrap=True)
    for cell in found.cells:
        table.add_row(*(escape(text) for text in _cells(cell)))
    console.print(table)
    if not found.kl_is_score:
        console.print(f"kl {found.kl:.3g} nats, p-value {found.kl_p_value:.3g} among held-out rows")
    if found.similar is not None:
        console.print(_similar(found.similar, [cell["feature"] for cell in found.cells]))
    elif found.may_show_similar:
        console.print("to see the most similar training rows too: vae train with --set privacy.show_exemplars=true")


def _similar(rows: list[dict[str, Any]], features: list[str]) -> Table:
    """The most similar training rows, with their values in the columns of the explained cells."""
    table = Table(title="most similar training rows, by the probability of their kernels", title_justify="left")
    for column in ("row", "weight", *features):
        table.add_column(escape(column), justify="right")
    for one in rows:
        values = [one["values"][feature] for feature in features]
        shown = ["" if value is None else escape(_short(value)) for value in values]
        table.add_row(str(one["row"]), f"{one['weight']:.1%}", *shown)
    return table


def _cells(cell: dict[str, Any]) -> list[str]:
    interval = f"{cell['low']:.4g} .. {cell['high']:.4g}" if cell["low"] is not None else f"{cell['probability']:.0%}"
    known = [cell["feature"], _short(cell["value"]), _short(cell["expected"]), interval]
    return [*known, f"{cell['relief']:.3g}", f"{cell['excess']:.3g}", f"{cell['p_value']:.3g}"]


def _short(value: float | str | None) -> str:
    if value is None:
        return "unseen level"
    return value if isinstance(value, str) else f"{value:.4g}"
