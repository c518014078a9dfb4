"""The options that say how a .csv file is written."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vaekit.cli.panels import INPUT

if TYPE_CHECKING:
    from vaekit.tabular.csv_text import CsvDialect

DELIMITER = "character between the cells of a .csv file, such as ; or a tab (\\t)"
DECIMAL = "decimal separator in a .csv file: . or ,"
THOUSANDS = "separator of groups of three digits in a .csv file; '' is none"
Delimiter = Annotated[str | None, typer.Option(help=f"{DELIMITER}; default: as in training", rich_help_panel=INPUT)]
Decimal = Annotated[str | None, typer.Option(help=f"{DECIMAL}; default: as in training", rich_help_panel=INPUT)]
Thousands = Annotated[str | None, typer.Option(help=f"{THOUSANDS}; default: as in training", rich_help_panel=INPUT)]
OF_CONFIG = "default: that of the config, else"
TrainingDelimiter = Annotated[
    str | None, typer.Option("--delimiter", help=f"{DELIMITER}; {OF_CONFIG} a comma", rich_help_panel=INPUT)
]
TrainingDecimal = Annotated[
    str | None, typer.Option("--decimal", help=f"{DECIMAL}; {OF_CONFIG} a point", rich_help_panel=INPUT)
]
TrainingThousands = Annotated[
    str | None, typer.Option("--thousands", help=f"{THOUSANDS}; {OF_CONFIG} none", rich_help_panel=INPUT)
]


def dialect_of(bundle: Path | None, delimiter: str | None, decimal: str | None, thousands: str | None) -> CsvDialect:
    """How a .csv file is written: by its options, else as the training file of the bundle; None: commas and points.

    Raises:
        InputError: an option is not one of its values.
    """
    from vaekit.scoring.files.csv_dialect import chosen_dialect, trained_dialect
    from vaekit.tabular.csv_text import PLAIN

    trained = PLAIN if bundle is None else trained_dialect(bundle)
    return chosen_dialect(trained, _character(delimiter), decimal, thousands)


def csv_settings(delimiter: str | None, decimal: str | None, thousands: str | None) -> dict[str, str]:
    """The settings of [data] that these options give."""
    given = {"delimiter": _character(delimiter), "decimal": decimal, "thousands": thousands}
    return {key: value for key, value in given.items() if value is not None}


def same_csv(delimiter: str | None, decimal: str | None, thousands: str | None) -> str:
    """These options for the next command, as far as they were given."""
    given = {"delimiter": delimiter, "decimal": decimal, "thousands": thousands}
    return "".join(f" --{name} {shlex.quote(value)}" for name, value in given.items() if value is not None)


def in_file(message: str, source: Path | str, csv: CsvDialect | None) -> str:
    """What a message about a row of a .csv file lacks: the line, and the options that read its number; else empty."""
    from vaekit.errors import InputError
    from vaekit.storage.paths import storage_path
    from vaekit.tabular.csv_text import line_of_row
    from vaekit.tabular.number_texts import options_reading

    row = re.match(r"(?:data '.*?': )?row (\d+)\b", message)
    if csv is None or row is None or not str(source).lower().endswith(".csv"):
        return ""
    try:
        line = line_of_row(storage_path(source).open, int(row[1]), csv)
    except (OSError, ValueError, InputError):  # the error is that of the row
        line = None
    said = "" if line is None else f" (line {line} of the file)"
    text = re.search(r": not a number: '(.*?)'", message)
    options = options_reading([text[1]]) if text is not None and csv.is_plain else None
    return said + ("" if options is None else f"; {options} reads it")


def _character(delimiter: str | None) -> str | None:
    """The delimiter itself; \\t is a tab."""
    return "\t" if delimiter == "\\t" else delimiter
