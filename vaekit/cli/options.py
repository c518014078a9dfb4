"""The arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vaekit.cli.panels import DEVICE, INPUT, LABELS, OUTPUT

if TYPE_CHECKING:
    from vaekit.tabular.csv_text import CsvDialect

ModelName = Annotated[str, typer.Argument(help="name, name@version, or path of a bundle")]
RowsPath = Annotated[Path, typer.Argument(help="rows: .csv, .parquet, .arrow, .feather, .npy, or a folder of .parquet")]
Models = Annotated[Path, typer.Option(help="folder of models", rich_help_panel=INPUT)]
Device = Annotated[
    str, typer.Option(help="device of the model: auto, cpu, cuda or cuda:<index>", rich_help_panel=DEVICE)
]
BatchRows = Annotated[
    int | None, typer.Option(min=1, help="rows per batch; default: 2^20 cells", rich_help_panel=DEVICE)
]
Anomaly = Annotated[
    list[str] | None,
    typer.Option(help="label value that means anomaly; repeatable; default: 1", rich_help_panel=LABELS),
]
Delimiter = Annotated[
    str, typer.Option(help="character between the cells of a .csv file, such as ; or a tab", rich_help_panel=INPUT)
]
Decimal = Annotated[str, typer.Option(help="decimal separator in a .csv file: . or ,", rich_help_panel=INPUT)]
Thousands = Annotated[
    str,
    typer.Option(help="separator of groups of three digits in a .csv file; default: none", rich_help_panel=INPUT),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of text", rich_help_panel=OUTPUT)]


def dialect_of(delimiter: str, decimal: str, thousands: str) -> CsvDialect:
    """How a .csv file is written, by its options; \\t is a tab.

    Raises:
        InputError: an option is not one of its values.
    """
    from vaekit.tabular.csv_text import CsvDialect

    return CsvDialect("\t" if delimiter == "\\t" else delimiter, decimal, thousands)
